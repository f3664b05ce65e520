"""Where a month is heading: what is spent, and the forecast of the days that are left."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from analysis.forecast.daily_forecast import DailyForecast, forecast
from analysis.formatting import usd

RUN_DAYS: Final = 7
CENT: Final = Decimal("0.01")


@dataclass(frozen=True)
class Outlook:
    """The month of the newest complete day. `so_far` is logged; `expected` and its 80 % band are of the whole month,
    from `first` (the month's first day, or the log's) to its end. None without a complete day in the month.
    """

    first: date
    last: date
    so_far: Decimal
    per_day: Decimal  # mean of the last seven complete days, those without a call as $0
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


def outlook(
    costs: Mapping[date, Decimal], complete: Collection[date], ahead: DailyForecast | None = None
) -> Outlook | None:
    """The month of the newest complete day, given dollars per day and which days the log covers whole.

    `ahead`: the forecast to take, made of the same days and reaching to the month's end. The days that are left cost
    what `daily_forecast` says, as in `hindcast forecast`; a day that has only begun at least what it has cost already.
    """
    days = sorted(complete)
    if not any(costs.get(day, Decimal(0)) > 0 for day in days):
        return None
    newest = days[-1]
    first = max(newest.replace(day=1), min(costs))
    last = newest.replace(day=monthrange(newest.year, newest.month)[1])
    ahead = ahead or forecast(costs, days, last)
    if ahead is None:
        return None
    month = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    so_far = sum((costs.get(day, Decimal(0)) for day in month), Decimal(0))
    spent = sum((costs.get(day, Decimal(0)) for day in month if day <= newest), Decimal(0))
    begun = sum(
        max(float(costs.get(day, Decimal(0))) - usual, 0.0)
        for day, usual in zip(ahead.days, ahead.per_day, strict=True)
        if day <= last
    )
    left = [day for day in month if day > newest]
    whole = ahead.over(left).plus(float(spent) + begun)
    week = days[-RUN_DAYS:]
    return Outlook(
        first=first,
        last=last,
        so_far=so_far,
        per_day=(sum((costs.get(day, Decimal(0)) for day in week), Decimal(0)) / len(week)).quantize(CENT),
        days_left=len(left),
        expected=_cents(whole.usd),
        low=_cents(max(whole.low, float(so_far))),
        high=_cents(max(whole.high, float(so_far))),
    )


def _cents(amount: float) -> Decimal:
    return Decimal(amount).quantize(CENT)
