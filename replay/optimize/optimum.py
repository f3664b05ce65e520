"""What a search finds: the strategy, its cost and quality, and the Pareto front that it was chosen from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from analysis.formatting import money, share, usd
from analysis.money import dollars
from replay.optimize.write_strategy import Group
from replay.quality.gate import QualityReport
from replay.strategy.schema import Strategy


@dataclass(frozen=True)
class Point:
    """A policy on the Pareto front. Cost in pico-dollars over the window; `quality_lower` as a ratio to logged."""

    knobs: str
    cost_pico: int
    quality_lower: float

    def to_json(self) -> dict[str, Any]:
        return {
            "knobs": self.knobs,
            "cost_usd": usd(dollars(self.cost_pico)),
            "quality_lower": round(self.quality_lower, 6),
        }


@dataclass(frozen=True)
class Optimum:
    """The chosen strategy, what it was chosen from, and what was left out and why."""

    strategy: Strategy
    cost_pico: int
    baseline_pico: int
    report: QualityReport
    front: tuple[Point, ...]
    assignment: tuple[tuple[Group, str, str], ...]  # (group, model or KEEP, evidence)
    notes: tuple[str, ...] = field(default=())

    @property
    def saved_share(self) -> float | None:
        """Savings as a share of the baseline; None where nothing was spent."""
        return (self.baseline_pico - self.cost_pico) / self.baseline_pico if self.baseline_pico else None

    @property
    def summary(self) -> str:
        """What the strategy costs and keeps, in a sentence."""
        return (
            f"{money(dollars(self.cost_pico))} instead of {money(dollars(self.baseline_pico))}"
            f" ({share(self.saved_share)} saved) at {self.report.lower_90 or 0:.3f} of today's quality or better:"
            f" {self.report.verdict} {self.report.floor:g}."
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "strategy": self.strategy.document(),
            "cost_usd": usd(dollars(self.cost_pico)),
            "baseline_cost_usd": usd(dollars(self.baseline_pico)),
            "saved_share": self.saved_share,
            "quality": self.report.to_json(),
            "front": [point.to_json() for point in self.front],
            "assignment": [
                {
                    "agent": group.agent,
                    "task": group.task,
                    **({"template": group.template} if group.by_template else {}),
                    "model": model,
                    "evidence": evidence,
                }
                for group, model, evidence in self.assignment
            ],
            "notes": list(self.notes),
        }
