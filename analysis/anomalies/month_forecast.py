"""Where a month is heading if the last week goes on: a run-rate with its weekdays, and the band of ordinary days."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Collection, Mapping, Sequence
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
    per_day: Decimal  # the run-rate: mean of the last seven complete days, those without a call as $0
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
    the question is what the month comes to if this week goes on. A weekday that had calls on some of its dates only is
    worth that share of them: a team that rests at weekends is not billed for them. The band is day-to-day noise, and
    which of the days will have calls; it does not foresee the next spike.
    """
    days = sorted(complete)
    if not any(costs.get(day, Decimal(0)) > 0 for day in days):
        return None
    newest = days[-1]
    days = [day for day in days if (newest - day).days <= WINDOW]
    known = [day for day in days if costs.get(day, Decimal(0)) > 0]
    window = {day: float(costs[day]) for day in known}
    effects = fit_level(window).weekday
    week = days[-RUN_DAYS:]
    recent = [day for day in week if day in window]
    rate = sum(window[day] / exp(effects[day.weekday()]) for day in recent) / max(len(recent), 1)
    active = _active_shares(days, window)
    first = max(newest.replace(day=1), min(costs))
    last = newest.replace(day=monthrange(newest.year, newest.month)[1])
    month = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    done = [day for day in month if day <= newest]
    left = month[len(done) :]
    so_far = sum((costs.get(day, Decimal(0)) for day in month), Decimal(0))
    spent = float(sum((costs.get(day, Decimal(0)) for day in done), Decimal(0)))
    coming = {day: rate * exp(effects[day.weekday()]) for day in left}
    ahead = sum(
        max(active[day.weekday()] * usd, float(costs.get(day, Decimal(0)))) for day, usd in coming.items()
    )  # fmt: skip
    spread = REACH * noise(window, effects) * sqrt(1 / max(len(left), 1) + 1 / max(len(recent), 1))
    chance = sum(active[day.weekday()] * (1 - active[day.weekday()]) * usd**2 for day, usd in coming.items())
    unsure = REACH * sqrt(chance)  # dollars, by which of the days have calls
    return Outlook(
        first=first,
        last=last,
        so_far=so_far,
        per_day=(sum((costs[day] for day in recent), Decimal(0)) / len(week)).quantize(CENT),
        days_left=len(left),
        expected=_cents(spent + ahead),
        low=_cents(max(spent + ahead * exp(-spread) - unsure, float(so_far))),
        high=_cents(spent + ahead * exp(spread) + unsure),
    )


def _active_shares(days: Sequence[date], costs: Mapping[date, float]) -> list[float]:
    """For each weekday, on which share of its dates among `days` there were calls; the share of all days where it
    has no date among them."""
    overall = len(costs) / len(days)
    of = [[day in costs for day in days if day.weekday() == weekday] for weekday in range(7)]
    return [sum(dates) / len(dates) if dates else overall for dates in of]


def noise(costs: Mapping[date, float], effects: Mapping[int, float]) -> float:
    """How much an ordinary day differs from the day before it, weekdays apart, as a log; never below ORDINARY_NOISE."""
    flat = [log(costs[day]) - effects[day.weekday()] for day in sorted(costs)]
    steps = [abs(after - before) for before, after in pairwise(flat)]
    return max(ORDINARY_NOISE, 1.4826 * median(steps) / sqrt(2)) if steps else ORDINARY_NOISE


def _cents(amount: float) -> Decimal:
    return Decimal(amount).quantize(CENT)
