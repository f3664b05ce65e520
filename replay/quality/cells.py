"""What is known of the quality of one (task, logged model, serving model)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from replay.quality.intervals import Moments
from replay.quality.selection import OffPolicy


@dataclass(frozen=True)
class Cell:
    """One (task, logged model, serving model): its share of the demand and what is known of its quality."""

    task: str | None
    logged: str | None
    served: str | None
    share: float
    evidence: str
    moments: Moments | None  # None = unknown
    explanation: str | None = None  # what a public benchmark says of the two models; it counts only where accepted
    logged_mean: float | None = None  # of the logged model where only that is known
    apart: float | None = None  # mean score of the serving model on calls of its own, where that is all
    selection: OffPolicy | None = None  # what the log's own choices say, where they were asked
    calls: int = 0

    def to_json(self) -> dict[str, Any]:
        known = self.moments
        return {
            "task": self.task,
            "logged_model": self.logged,
            "model": self.served,
            "share": round(self.share, 6),
            "evidence": self.evidence,
            "n": known.n if known else 0,
            "mean": round(known.mean_served, 6) if known and known.scored else None,
            "logged_mean": round(known.mean_logged, 6) if known and known.scored else self.logged_mean,
            **({"told": self.explanation} if self.explanation else {}),
            **({"mean_of_own_calls": round(self.apart, 6)} if self.apart is not None else {}),
            **self._selection(),
        }

    def _selection(self) -> dict[str, Any]:
        found = self.selection
        if found is None:
            return {}
        overlap = {"overlap": found.overlap.to_json()} if found.overlap else {}
        return overlap | ({"why": found.why} if found.why and found.moments is None else {})
