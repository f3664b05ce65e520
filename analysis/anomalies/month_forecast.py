"""Where a month is heading if the last week goes on: a run-rate with its weekdays, and the band of ordinary days."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from math import exp, log, sqrt
from statistics import median
from typing import Any, Final

from analysis.anomalies.baseline import ORDINARY_NOISE, WINDOW, fit_level
from analysis.formatting import usd

RUN_DAYS: Final = 7
REACH: Final = 1.48  # a Student t with 5 degrees of freedom leaves 10 % on either side beyond it
CENT: Final = Decimal("0.01")


@dataclass(frozen=True)
class Outlook:
    """The month of the newest complete day. `so_far` is logged; `expected` and its 80 % band are of the whole month,
    from `first` (the month's first day, or the log's) to its end. None without a complete day in the month.
    """

    first: date
    last: date
    so_far: Decimal
    per_day: Decimal  # the run-rate: mean of the last complete days
    days_left: int
    expected: Decimal
    low: Decimal
    high: Decimal

    def to_json(self) -> dict[str, Any]:
        """Plain values: dollars as decimal strings, days as ISO dates."""
        return {
            "first": self.first.isoformat(),
            "last": self.last.isoformat(),
            "so_far_usd": usd(self.so_far),
            "per_day_usd": usd(self.per_day),
            "days_left": self.days_left,
            "expected_usd": usd(self.expected),
            "low_usd": usd(self.low),
            "high_usd": usd(self.high),
        }


def outlook(costs: Mapping[date, Decimal], complete: Collection[date]) -> Outlook | None:
    """The month of the newest complete day, given dollars per day and which days the log covers whole.

    Weekday effects come from up to six weeks (`baseline.fit_level`), the level from the last seven complete days alone:
    the question is what the month comes to if this week goes on. The band is day-to-day noise only; it does not
    foresee the next spike.
    """
    known = sorted(day for day in complete if costs.get(day, Decimal(0)) > 0)
    if not known:
        return None
    newest = known[-1]
    known = [day for day in known if (newest - day).days <= WINDOW]
    window = {day: float(costs[day]) for day in known}
    effects = fit_level(window).weekday
    recent = known[-RUN_DAYS:]
    rate = sum(window[day] / exp(effects[day.weekday()]) for day in recent) / len(recent)
    first = max(newest.replace(day=1), min(costs))
    last = newest.replace(day=monthrange(newest.year, newest.month)[1])
    month = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    done = [day for day in month if day <= newest]
    left = month[len(done) :]
    so_far = sum((costs.get(day, Decimal(0)) for day in month), Decimal(0))
    spent = float(sum((costs.get(day, Decimal(0)) for day in done), Decimal(0)))
    ahead = sum(max(rate * exp(effects[day.weekday()]), float(costs.get(day, Decimal(0)))) for day in left)
    spread = REACH * noise(window, effects) * sqrt(1 / max(len(left), 1) + 1 / len(recent))
    return Outlook(
        first=first,
        last=last,
        so_far=so_far,
        per_day=(sum((costs[day] for day in recent), Decimal(0)) / len(recent)).quantize(CENT),
        days_left=len(left),
        expected=_cents(spent + ahead),
        low=_cents(max(spent + ahead * exp(-spread), float(so_far))),
        high=_cents(spent + ahead * exp(spread)),
    )


def noise(costs: Mapping[date, float], effects: Mapping[int, float]) -> float:
    """How much an ordinary day differs from the day before it, weekdays apart, as a log; never below ORDINARY_NOISE."""
    flat = [log(costs[day]) - effects[day.weekday()] for day in sorted(costs)]
    steps = [abs(after - before) for before, after in pairwise(flat)]
    return max(ORDINARY_NOISE, 1.4826 * median(steps) / sqrt(2)) if steps else ORDINARY_NOISE


def _cents(amount: float) -> Decimal:
    return Decimal(amount).quantize(CENT)
