"""The result of a diagnosis: its drivers, causes and verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, time
from decimal import Decimal
from typing import Any

from analysis.anomalies.alerts import Alert
from analysis.anomalies.annotations import Annotation
from analysis.anomalies.baseline import Baseline
from analysis.anomalies.day_marks import Feedback
from analysis.anomalies.flagged_runs import FlaggedRun
from analysis.causes.cause_signatures import Cause
from analysis.causes.drilldown import Inside


@dataclass(frozen=True)
class DriverLine:
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

    def to_json(self, amount: Callable[[Decimal | None], Any]) -> dict[str, Any]:
        """Plain values; `amount` writes one of the metric's unit."""
        return {
            "segment": self.segment,
            "factor": self.factor,
            "delta": amount(self.delta),
            "share": self.share,
            "before": self.before,
            "after": self.after,
            "unit": self.unit,
            "detail": self.detail,
            "order_range": None if self.order_range is None else [amount(value) for value in self.order_range],
            "undo_saves": amount(self.undo_saves),
        }


@dataclass(frozen=True)
class CauseEstimate:
    """A cause as it is shown. The findings and the residual sum to the change, as the drivers do."""

    cause: Cause
    delta: Decimal
    share: float | None
    undo_saves: Decimal
    inside: list[Inside] = field(default_factory=list)  # the model, template and hours that hold most of it


@dataclass(frozen=True)
class BegunDay:
    """A day that the log covers in part, too little of it to judge: what it has come to in the metric's unit, and the
    most that a day before it came to."""

    day: date
    so_far: Decimal
    most: Decimal


@dataclass(frozen=True)
class Diagnosis:
    """What moved `day` away from its baseline. `drivers` and `residual` sum to `delta` exactly."""

    day: date
    metric: str
    by: tuple[str, ...]
    actual: Decimal
    expected: Decimal
    drivers: list[DriverLine]
    residual: Decimal
    flagged: bool
    verdict: str  # flagged, ordinary, not_enough_history
    low: Decimal | None
    high: Decimal | None
    p_value: float | None
    onset: date | None  # the first day of the run of flagged days that ends on `day`
    until: time | None  # wall clock up to which the log covers the day and all days are compared; None: a whole day
    exceeds_whole_day: bool  # a day covered in part is beyond the range of a whole one
    newest: bool  # no later day can be judged
    left_out: BegunDay | None  # the log's newest day, where that was asked for and cannot be judged yet
    unjudged: dict[date, tuple[int, int]]  # later days with hardly a price: calls without one, and all
    last_day: date  # of the log
    runs: list[FlaggedRun]  # of flagged days, newest first
    baseline: Baseline
    causes: list[CauseEstimate]
    alerts: list[Alert]  # what stands out beside the total
    feedback: Feedback | None  # what a person said of the day
    annotations: list[Annotation]  # what people did shortly before it began, the latest first
    unpriced: tuple[int, float]  # calls without a price on the day, and per baseline day; without `failed`
    failed: tuple[int, float]  # calls that failed and name no usage, likewise
    priced: tuple[float, float]  # calls in the figures, likewise

    @property
    def delta(self) -> Decimal:
        """Actual minus expected."""
        return self.actual - self.expected

    @property
    def day_before(self) -> date:
        """The newest day of the baseline; the day itself where there is none."""
        return max(self.baseline.weights, default=self.day)

    def day_of(self, found: CauseEstimate) -> date:
        """The day whose calls show a cause: what no longer runs has none on the day itself."""
        return self.day_before if found.cause.cause == "gone" else self.day

    @property
    def low_history(self) -> bool:
        """Whether the baseline rests on too few days for a range."""
        return self.baseline.low_history
