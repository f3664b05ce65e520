"""The bill of this month, the next month and the next quarter, and what it is made of.

dollars a day = requests a day x calls per request x tokens per call x dollars per token. The last days say what each
factor is, `daily_forecast` how the product goes on. Growth is stated for a factor, or fitted for the product.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from math import exp
from typing import Any, Final

import numpy as np

from analysis import log_days, time_zone
from analysis.dimensions import Where, as_filter
from analysis.forecast.book_prices import price_factor
from analysis.forecast.daily_forecast import DailyForecast, forecast
from analysis.forecast.month_outlook import outlook
from analysis.formatting import count, money, share, usd
from analysis.ledger.costs_view import FAILED, costs_relation
from analysis.reports.call_labels import labelled
from analysis.reports.cost import condition, require_ledger
from ingest.errors import InputError
from ingest.store.database import Store

MONTH: Final = 30.4375  # days
BASIS: Final = 28  # days that the factors are of, and as many before them
LEAST: Final = 7  # days with calls that a forecast needs
LEVEL_DAYS: Final = 3  # of a new level, before the factors are of it alone
LOST: Final = 0.01  # of the calls without a price, beyond which a forecast is a least amount and has no range
NAMED: Final = 0.9  # share of calls that name a request, for requests to be counted
QUARTER: Final = 3  # months
CENT: Final = Decimal("0.01")
FACTORS: Final = ("requests_per_day", "calls_per_request", "tokens_per_call", "usd_per_million_tokens")


@dataclass(frozen=True)
class Period:
    """One period: `spent` is logged, `expected` and its 80 % range are of the whole of it, dollars."""

    name: str  # this_month, next_month, next_quarter
    first: date
    last: date
    spent: Decimal
    expected: Decimal
    low: Decimal
    high: Decimal

    def to_json(self) -> dict[str, Any]:
        """Plain values: dollars as decimal strings, days as ISO dates."""
        return {
            "name": self.name, "first": self.first.isoformat(), "last": self.last.isoformat(),
            "spent_usd": usd(self.spent), "expected_usd": usd(self.expected), "low_usd": usd(self.low),
            "high_usd": usd(self.high),
        }  # fmt: skip

    @property
    def title(self) -> str:
        """`April 2024`, `May to July 2024`."""
        if (self.first.year, self.first.month) == (self.last.year, self.last.month):
            return f"{self.last:%B %Y}"
        year = f" {self.first.year}" if self.first.year != self.last.year else ""
        return f"{self.first:%B}{year} to {self.last:%B %Y}"


@dataclass(frozen=True)
class Factor:
    """One factor of the bill over the last days, and over as many before them (None where the log has none)."""

    name: str
    before: float | None
    now: float

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"name": self.name, "before": self.before, "now": self.now}


@dataclass(frozen=True)
class BillForecast:
    """What the bill comes to. `growth` a month as a share, `stated` or fitted; `basis` the days of the factors."""

    daily: DailyForecast
    periods: tuple[Period, ...]
    factors: tuple[Factor, ...]
    basis: tuple[date, date]
    request: str  # what a request is: conversation, trace or call
    growth: float
    stated: bool
    unpriced: int  # calls of the basis in no figure
    calls: int  # of the basis
    book: float | None = None  # what prices that the book knows to change do to the bill, as a share

    @property
    def told(self) -> bool:
        """Whether the log has enough days with calls for a forecast."""
        return self.daily.learned >= LEAST

    @property
    def partial(self) -> bool:
        """Whether so many calls have no price that the bill is beyond what is forecast."""
        return self.unpriced > LOST * self.calls

    @property
    def too_few(self) -> str:
        """Why there is no forecast to rely on, where `told` is false."""
        days = count(self.daily.learned, "day")
        return f"{days} with calls are too few to forecast from ({LEAST} are needed)"

    def period(self, name: str) -> Period:
        """The period of that name."""
        return next(one for one in self.periods if one.name == name)

    @property
    def summary(self) -> str:
        """The answer in a sentence or two."""
        month, quarter = self.period("next_month"), self.period("next_quarter")
        if not self.told:
            return f"{self.too_few}: the ranges say little."
        how = "as stated" if self.stated else "as fitted"
        grows = "no growth" if abs(self.growth) < 0.0005 else f"{share(self.growth, sign=True)} a month"
        if self.partial:
            return (
                f"{month.title} comes to at least {money(month.expected)}, {quarter.title} to at least "
                f"{money(quarter.expected)}, with {grows} {how}: {self.unpriced:,} of the {count(self.calls, 'call')} "
                f"since {self.basis[0]} have no price and are in no figure."
            )
        return (
            f"{month.title} comes to {money(month.expected)} ({money(month.low)} to {money(month.high)}), "
            f"{quarter.title} to {money(quarter.expected)} ({money(quarter.low)} to {money(quarter.high)}), "
            f"with {grows} {how}. In four of five such forecasts the bill falls within the range."
        )

    def remarks(self) -> list[str]:
        """What it rests on, and what it cannot know, in sentences."""
        daily = self.daily
        said = [f"Learned from {count(daily.learned, 'day')} with calls up to {self.basis[1]}."]
        if daily.shifts:
            said.append(f"A new level began on {', '.join(day.isoformat() for day in daily.shifts[-3:])}.")
        if daily.odd_days:
            named = ", ".join(day.isoformat() for day in daily.odd_days[-5:])
            said.append(f"{count(len(daily.odd_days), 'odd day')} taught it no level: {named}.")
        if daily.learned < 2 * LEAST:
            said.append("Less than two weeks of history: the range is wide because little is known.")
        if self.book is not None and abs(self.book) >= 0.0005:
            said.append(
                f"Prices that the price book knows to change: {share(self.book, sign=True)} by the quarter's end."
            )
        if self.unpriced and not self.partial:
            said.append(f"No price, in no figure: {count(self.unpriced, 'call')} of the last days.")
        said.append("A launch, a new level or a price that nobody has announced is not foreseen.")
        return said

    def to_json(self) -> dict[str, Any]:
        """The document of `hindcast forecast --json`."""
        return {
            "summary": self.summary,
            "periods": [one.to_json() for one in self.periods],
            "factors": [one.to_json() for one in self.factors],
            "request": self.request,
            "basis": [day.isoformat() for day in self.basis],
            "growth_per_month": round(self.growth, 6),
            "enough_history": self.told,
            "growth": "stated" if self.stated else "fitted",
            "known_price_change_share": self.book,
            "unpriced_calls": self.unpriced,
            "days_learned": self.daily.learned,
            "levels_since": [day.isoformat() for day in self.daily.shifts],
            "odd_days": [day.isoformat() for day in self.daily.odd_days],
            "daily": [
                {"day": day.isoformat(), "expected_usd": usd(_cents(amount))}
                for day, amount in zip(self.daily.days, self.daily.per_day.tolist(), strict=True)
            ],
            "remarks": self.remarks(),
        }


def bill_forecast(
    store: Store,
    *,
    growth: float | None = None,
    factor: Callable[[date], float] | None = None,
    where: Where = None,
) -> BillForecast:
    """The bill of the month under way, the next and the next quarter.

    `growth` in log units a day replaces the fitted one; `factor` is what a day's prices are to those of the log.
    Raises InputError where the log covers no whole day with a cost.
    """
    days = log_days.of(store)
    whole = days.whole
    costs = _day_costs(store, where)
    newest = whole[-1] if whole else None
    if newest is None or not any(costs.get(day) for day in whole):
        raise InputError("the log covers no whole day with a price", remedy="What it has: hindcast cost --by day")
    after = newest.replace(day=monthrange(newest.year, newest.month)[1]) + timedelta(days=1)
    end = _months_on(after, QUARTER) - timedelta(days=1)
    daily = forecast(costs, whole, end, growth=growth)
    assert daily is not None
    basis = _basis(daily, whole)
    book = price_factor(store, basis[0], basis[1], end)
    for prices in (factor, book):
        if prices is not None:
            daily = daily.scaled(np.array([prices(day) for day in daily.days]))
    month = outlook(costs, whole, daily)
    assert month is not None
    next_end = _months_on(after, 1) - timedelta(days=1)
    now, request, unpriced, calls = _factors(store, basis[0], basis[1], where, None)
    length = basis[1] - basis[0] + timedelta(days=1)
    earlier = basis[0] - length
    before = _factors(store, earlier, basis[0] - timedelta(days=1), where, request)[0] if earlier >= whole[0] else None
    return BillForecast(
        daily=daily,
        periods=(
            Period("this_month", month.first, month.last, month.so_far, month.expected, month.low, month.high),
            _period("next_month", daily, after, next_end),
            _period("next_quarter", daily, after, end),
        ),
        factors=tuple(Factor(name, None if before is None else before[name], now[name]) for name in FACTORS),
        basis=basis,
        request=request,
        growth=exp(daily.growth * MONTH) - 1,
        stated=growth is not None,
        unpriced=unpriced,
        calls=calls,
        book=None if book is None else book(end) - 1,
    )


def _period(name: str, daily: DailyForecast, first: date, last: date) -> Period:
    found = daily.over([day for day in daily.days if first <= day <= last])
    return Period(name, first, last, Decimal(0), _cents(found.usd), _cents(found.low), _cents(found.high))


def _day_costs(store: Store, where: Where) -> dict[date, Decimal]:
    chosen = as_filter(where)
    keep, values = condition(chosen, None, None)
    with store.read() as con:
        require_ledger(con, store)
        source = labelled(con, store, f"{costs_relation(con)} AS costs", chosen.dimensions)
        rows = con.execute(
            f"""SELECT {time_zone.day_sql()} AS day, sum(cost_usd) FROM {source}
                WHERE start_time IS NOT NULL AND {keep} GROUP BY 1 ORDER BY 1""",
            values,
        ).fetchall()
    return {day: amount or Decimal(0) for day, amount in rows}


def _basis(daily: DailyForecast, whole: list[date]) -> tuple[date, date]:
    """The last BASIS complete days, without those before the newest level where it is some days old."""
    first = whole[-min(BASIS, len(whole))]
    level = max((day for day in daily.shifts if (whole[-1] - day).days >= LEVEL_DAYS), default=first)
    return max(first, level), whole[-1]


def _factors(
    store: Store, first: date, last: date, where: Where, request: str | None
) -> tuple[Mapping[str, float], str, int, int]:
    """The factors of the priced calls of some days, what a request is, how many calls have no price, and all."""
    chosen = as_filter(where)
    keep, values = condition(chosen, first, last)
    with store.read() as con:
        source = labelled(con, store, f"{costs_relation(con)} AS costs", chosen.dimensions)
        calls, conversations, traces, of, named, traced, tokens, cost, unpriced = con.execute(
            f"""SELECT coalesce(sum(weight), 0), count(DISTINCT conversation_id), count(DISTINCT trace_id), count(*),
                       count(conversation_id), count(trace_id),
                       coalesce(sum(weight * (coalesce(input_tokens, 0) + coalesce(output_tokens, 0))), 0),
                       coalesce(sum(cost_usd), 0), (SELECT count(*) FROM {source} WHERE {keep} AND cost_usd IS NULL
                                                AND NOT coalesce({FAILED}, false))
                FROM {source} WHERE {keep} AND cost_usd IS NOT NULL""",
            values,
        ).fetchall()[0]
    if request is None:
        request = "conversation" if of and named / of >= NAMED else "trace" if of and traced / of >= NAMED else "call"
    requests = {"conversation": conversations, "trace": traces, "call": calls}[request]
    days = (last - first).days + 1
    return (
        {
            "requests_per_day": float(requests) / days,
            "calls_per_request": float(calls) / float(requests) if requests else 0.0,
            "tokens_per_call": float(tokens) / float(calls) if calls else 0.0,
            "usd_per_million_tokens": float(cost) / float(tokens) * 1e6 if tokens else 0.0,
        },
        request,
        int(unpriced),
        int(of + unpriced),
    )


def _months_on(day: date, months: int) -> date:
    """The first of the month so many months after that of `day`."""
    number = day.year * 12 + day.month - 1 + months
    return date(number // 12, number % 12 + 1, 1)


def _cents(amount: float) -> Decimal:
    return Decimal(amount).quantize(CENT)
