"""An alert of the sequential detector: which series changed, how, since when, and by how many dollars an hour."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

KINDS: Final = ("step", "ramp", "spike", "silence", "unusable", "unpriced")


@dataclass(frozen=True)
class Alert:
    """One change of one series. Times are UTC without a zone, on the grid of ten minutes.

    `kind`: `step` to another level, `ramp` toward one, `spike` (over within two hours), `silence` (no calls where there
    always were some), `unusable` and `unpriced` (the share of such calls rose).
    """

    dimension: str  # total, agent, model, user, template
    value: str | None  # of the dimension; None for the total and for calls without one
    kind: str
    started: datetime  # begin of the first ten minutes of the change, as estimated
    detected: datetime  # end of the ten minutes in which it became certain enough
    usd_per_hour: float  # since it started
    expected_usd_per_hour: float  # in the same hours
    ended: datetime | None = None  # when it was as expected again, a week after `started` at the latest; None: not yet

    @property
    def key(self) -> tuple[str, str | None, str, datetime]:
        """What stays the same of an alert while more is logged: dimension, value, kind and when it was detected."""
        return self.dimension, self.value, self.kind, self.detected

    def to_json(self) -> dict[str, Any]:
        """Plain values: times as ISO texts, dollars an hour as numbers."""
        return {
            "dimension": self.dimension,
            "value": self.value,
            "kind": self.kind,
            "started": self.started.isoformat(),
            "detected": self.detected.isoformat(),
            "ended": self.ended.isoformat() if self.ended else None,
            "usd_per_hour": round(self.usd_per_hour, 6),
            "expected_usd_per_hour": round(self.expected_usd_per_hour, 6),
        }
