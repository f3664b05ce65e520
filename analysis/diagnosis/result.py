"""What a diagnosis says: drivers, causes and the verdict, as data and as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from analysis.anomalies.alerts import Alert
from analysis.anomalies.baseline import Baseline
from analysis.anomalies.day_marks import Feedback
from analysis.causes import drilldown
from analysis.causes.cause_signatures import Cause
from analysis.causes.drilldown import Inside
from analysis.diagnosis import narrative
from analysis.formatting import usd


@dataclass(frozen=True)
class Line:
    """One driver as it is shown: `delta` and the amounts beside it are exact Decimals in the metric's unit."""

    segment: dict[str, str | None]
    factor: str
    delta: Decimal
    share: float | None  # of the whole change
    before: float | None  # the factor's value on the baseline day and on the day
    after: float | None
    unit: str
    detail: str | None  # the model of a mix, the price that moved
    order_range: tuple[Decimal, Decimal] | None
    undo_saves: Decimal | None  # per day, with this factor alone back at its baseline


@dataclass(frozen=True)
class Finding:
    """A cause as it is shown. The findings and the residual sum to the change, as the drivers do."""

    cause: Cause
    delta: Decimal
    share: float | None
    undo_saves: Decimal
    inside: list[Inside] = field(default_factory=list)  # the model, template and hours that hold most of it


@dataclass(frozen=True)
class Diagnosis:
    """What moved `day` away from its baseline. `drivers` and `residual` sum to `delta` exactly."""

    day: date
    metric: str
    by: tuple[str, ...]
    actual: Decimal
    expected: Decimal
    drivers: list[Line]
    residual: Decimal
    flagged: bool
    verdict: str  # flagged, ordinary, not_enough_history
    low: Decimal | None
    high: Decimal | None
    p_value: float | None
    onset: date | None  # the first day of the run of flagged days that ends on `day`
    baseline: Baseline
    causes: list[Finding]
    alerts: list[Alert]  # what stands out beside the total
    feedback: Feedback | None  # what a person said of the day
    unpriced: tuple[int, float]  # calls without a price on the day, and per baseline day
    priced: tuple[float, float]  # calls in the figures, likewise

    @property
    def delta(self) -> Decimal:
        return self.actual - self.expected

    @property
    def day_before(self) -> date:
        """The newest day of the baseline; the day itself where there is none."""
        return max(self.baseline.weights, default=self.day)

    def day_of(self, found: Finding) -> date:
        """The day whose calls show a cause: what no longer runs has none on the day itself."""
        return self.day_before if found.cause.cause == "gone" else self.day

    @property
    def low_history(self) -> bool:
        return self.baseline.low_history

    @property
    def summary(self) -> str:
        return " ".join(narrative.summary(self))

    def to_json(self, store: str | None = None) -> dict[str, Any]:
        """The document of `hindcast diagnose --json`; `store` is named in its commands."""

        def amount(value: Decimal | None) -> Any:
            if self.metric == "cost" or value is None:
                return usd(value)
            return int(value) if value == int(value) else float(value)

        return {
            "day": self.day.isoformat(),
            "metric": self.metric,
            "by": list(self.by),
            "actual": amount(self.actual),
            "expected": amount(self.expected),
            "delta": amount(self.delta),
            "range": None if self.low is None else {"low": amount(self.low), "high": amount(self.high)},
            "flagged": self.flagged,
            "verdict": self.verdict,
            "p_value": self.p_value,
            "onset": self.onset.isoformat() if self.onset else None,
            "low_history": self.low_history,
            "baseline": {
                "kind": self.baseline.kind,
                "history_days": self.baseline.history_days,
                "days": {d.isoformat(): round(w, 6) for d, w in sorted(self.baseline.weights.items())},
                "left_out": [d.isoformat() for d in self.baseline.excluded],
            },
            "unpriced_calls": {"day": self.unpriced[0], "baseline_per_day": round(self.unpriced[1], 2)},
            "drivers": [
                {
                    "segment": line.segment,
                    "factor": line.factor,
                    "delta": amount(line.delta),
                    "share": line.share,
                    "before": line.before,
                    "after": line.after,
                    "unit": line.unit,
                    "detail": line.detail,
                    "order_range": None if line.order_range is None else [amount(v) for v in line.order_range],
                    "undo_saves": amount(line.undo_saves),
                }
                for line in self.drivers
            ],
            "residual": amount(self.residual),
            "causes": [
                {
                    "cause": found.cause.cause,
                    "title": found.cause.title,
                    "segments": found.cause.segments,
                    "factors": found.cause.factors,
                    "delta": amount(found.delta),
                    "share": found.share,
                    "undo_saves": amount(found.undo_saves),
                    "surprising": found.cause.surprising,
                    "confidence": round(found.cause.confidence, 4),
                    "evidence": found.cause.evidence,
                    "fix": found.cause.fix,
                    "inside": [
                        {"dimension": one.dimension, "value": one.value, "share": round(one.share, 4)}
                        for one in found.inside
                    ],
                    "commands": drilldown.commands(
                        found.cause.segments, self.day_of(found), cause=found.cause.cause, store=store
                    ),
                    "sql": drilldown.sql(found.cause.segments, self.day_of(found), cause=found.cause.cause),
                }
                for found in self.causes
            ],
            "feedback": None
            if self.feedback is None
            else {"verdict": self.feedback.verdict, "note": self.feedback.note},
            "alerts": [alert.to_json() for alert in self.alerts],
            "summary": self.summary,
        }
