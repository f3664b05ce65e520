"""Budgets: what a period has cost so far, when it is spent, and what it comes to if the last week repeats.

The forecast takes every hour that is left as the same hour of the week was in the last seven days of the log, idle
hours included: nothing is assumed about the week but that it goes on. What a month comes to is what its outlook says
(`analysis.forecast.month_outlook`), as on the page; the hours only tell when.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import duckdb

from analysis import log_days, time_zone
from analysis.dimensions import Filter
from analysis.forecast.month_outlook import outlook
from analysis.formatting import count, money, named, share
from analysis.formatting import day as day_text
from analysis.formatting import tokens as tokens_text
from analysis.gates.periods import DAY, Span, begin_of, judged, local_day, naive
from analysis.gates.result import GateResult
from analysis.gates.settings import Budget, Settings
from analysis.ledger.costs_view import FAILED, costs_relation
from analysis.reports.call_labels import labelled
from ingest.errors import InputError, did_you_mean
from ingest.store.database import Store

HOUR: Final = timedelta(hours=1)
WEEK: Final = timedelta(days=7)
ZERO: Final = Decimal(0)
_SUMS: Final = {
    "usd": "coalesce(sum(cost_usd), 0)",
    "tokens": "coalesce(sum(coalesce(input_tokens, 0) * weight + coalesce(output_tokens, 0) * weight), 0)",
}
_WORKED: Final = f"NOT coalesce({FAILED}, false)"
_UNKNOWN: Final = {"usd": "cost_usd IS NULL", "tokens": "input_tokens IS NULL AND output_tokens IS NULL"}
Hours = Mapping[datetime, Decimal]


@dataclass(frozen=True)
class _Log:
    """The first and the newest call of the whole log up to now, UTC, and the days that it covers whole."""

    first: datetime
    newest: datetime
    whole: list[date]


def budget_gates(store: Store, settings: Settings, now: datetime) -> list[GateResult]:
    """One result per budget. Raises InputError where no call has the value that a budget names."""
    if not settings.budgets:
        return []
    with store.read() as con:
        log = _log(con, now)
        return [_gate(con, store, settings, budget, log, now) for budget in settings.budgets]


def _log(con: duckdb.DuckDBPyConnection, now: datetime) -> _Log | None:
    first, newest = con.execute(
        "SELECT min(start_time), max(start_time) FROM calls WHERE start_time <= $now", {"now": naive(now)}
    ).fetchall()[0]
    if first is None:
        return None
    whole = [day for day in log_days.read(con).whole if begin_of(day + DAY) <= now + timedelta(seconds=1)]
    return _Log(first.replace(tzinfo=UTC), newest.replace(tzinfo=UTC), whole)


def _gate(
    con: duckdb.DuckDBPyConnection, store: Store, settings: Settings, budget: Budget, log: _Log | None, now: datetime
) -> GateResult:
    chosen = Filter((budget.of,) if budget.of else ())
    source = labelled(con, store, f"{costs_relation(con)} AS costs", chosen.dimensions)
    keep, values = chosen.sql()
    _require_value(con, source, budget, settings)
    spans = [one for one in judged(budget.period, now) if log and log.first < one.end and log.newest >= one.start]
    if log is None or not spans:
        ends = (
            f"The log ends {_named(local_day(log.newest))}"
            if log
            else f"No call of the log has a time up to {now.date()}"
        )
        current = judged(budget.period, now)[-1]
        return _result(budget, None, None, f"{ends}, so nothing is known of what was spent {current.words}",
                       remedy="Ingest the newer logs, or judge an earlier day: --at DAY")  # fmt: skip
    # the month's outlook learns from all that is logged, as on the page
    since = log.first if budget.period == "month" else min(spans[0].start, _hour(log.newest) - WEEK)
    rows = con.execute(
        f"""SELECT date_trunc('hour', start_time), {_SUMS[budget.unit]}, count_if({_WORKED}),
                   count_if({_WORKED} AND {_UNKNOWN[budget.unit]})
            FROM {source} WHERE start_time BETWEEN $since AND $now AND {keep} GROUP BY 1 ORDER BY 1""",
        {**values, "since": naive(since), "now": naive(now)},
    ).fetchall()
    hours = {row[0].replace(tzinfo=UTC): Decimal(row[1]) for row in rows}
    found = [_judge(budget, one, log, hours, rows) for one in spans]
    newest_first = found[::-1]
    return max(newest_first, key=lambda one: (one.passed is False, one.passed is None, one.measured or ZERO))


def _require_value(con: duckdb.DuckDBPyConnection, source: str, budget: Budget, settings: Settings) -> None:
    if budget.of is None:
        return
    keep, values = Filter((budget.of,)).sql()
    if con.execute(f"SELECT 1 FROM {source} WHERE {keep} LIMIT 1", values).fetchall():
        return
    of = budget.of.dimension
    known = [
        named(row[0])
        for row in con.execute(
            f"SELECT {of.text} AS value, count(*) FROM {source} GROUP BY 1 ORDER BY 2 DESC, 1 NULLS LAST LIMIT 1000"
        ).fetchall()
    ]
    wanted = named(budget.of.value)
    near = did_you_mean(wanted, known)
    raise InputError(
        f"[budget.{of.name}.{wanted}]: no call has {budget.of}",
        where=str(settings.path),
        remedy=near if near.startswith("Did") else f"What there is: hindcast cost --by {of.name}",
    )


def _judge(budget: Budget, period: Span, log: _Log, hours: Hours, rows: Sequence[tuple[Any, ...]]) -> GateResult:
    inside = [row for row in rows if period.start <= row[0].replace(tzinfo=UTC) < period.end]
    calls, unknown = sum(row[2] for row in inside), sum(row[3] for row in inside)
    spent = sum((amount for hour, amount in hours.items() if period.start <= hour < period.end), ZERO)
    words = period.words
    if calls and calls == unknown:
        what = "a price" if budget.unit == "usd" else "token counts"
        return _result(budget, None, None, f"None of the {count(calls, 'call')} {words} has {what}",
                       remedy="hindcast cost --by cost_status")  # fmt: skip
    missing = f"; {count(unknown, 'call')} of it {'is' if unknown == 1 else 'are'} in no total" if unknown else ""
    if log.first >= period.start + DAY:
        missing += f"; the log begins on {day_text(local_day(log.first))}"
    over = _reached(hours, period.start, period.end, ZERO, budget.limit)
    text = f"{_amount(budget, spent)} of {_amount(budget, budget.limit)} {words}"
    if over is not None and spent > budget.limit:
        text = f"{text}, {_when(over, period)}{missing}"
        return _result(budget, False, spent, text, over, _look(budget, period))
    ahead = _ahead(hours, log, period)
    closed = log.newest >= period.end - HOUR
    if ahead is None and budget.rule == "forecast" and not closed:
        return _result(
            budget, None, None, f"{text} so far, and less than a week of history to forecast the rest{missing}"
        )
    if ahead is None or closed:
        text = f"{text} ({share(float(spent / budget.limit))}){missing}"
        return _within(budget, spent, text, calls, unknown)
    if period.period == "month":
        ahead = _as_outlook(ahead, hours, log, period, spent)
    expected = spent + sum(ahead.values(), ZERO)
    dry = _reached(ahead, period.start, period.end, spent, budget.limit)
    if dry is not None:
        goes_on = f"spent on {day_text(local_day(dry))} if this week goes on ({_amount(budget, expected)} in all)"
    else:
        goes_on = f"{_amount(budget, expected)} in all if this week goes on"
    text = f"{text} so far, {goes_on}{missing}"
    failed = budget.rule == "forecast" and expected > budget.limit
    measured = expected if budget.rule == "forecast" else spent
    if failed:
        return _result(budget, False, measured, text, dry, _look(budget, period))
    return _within(budget, measured, text, calls, unknown, dry)


def _within(
    budget: Budget, measured: Decimal, text: str, calls: int, unknown: int, dry: datetime | None = None
) -> GateResult:
    """A budget that holds as far as the log tells; not where the calls that are in no total could be what is beyond."""
    whole = measured * calls / (calls - unknown) if unknown else measured
    if whole <= budget.limit:
        return _result(budget, True, measured, text, dry)
    told = f"{text}; at the cost of the others they would make it {_amount(budget, whole)}"
    return _result(budget, None, None, told, dry, "hindcast cost --by cost_status,model")


def _ahead(hours: Hours, log: _Log, period: Span) -> dict[datetime, Decimal] | None:
    """What is still to come in each hour of the period from the newest call on; None without a week of history."""
    newest = _hour(log.newest)
    if newest - WEEK < _hour(log.first):
        return None
    found = {}
    hour = max(newest, period.start)
    while hour < period.end:
        back = WEEK * (1 + max(0, (hour - newest) // WEEK)) if hour > newest else WEEK
        usual = hours.get(hour - back, ZERO)
        found[hour] = max(usual - hours.get(hour, ZERO), ZERO) if hour == newest else usual
        hour += HOUR
    return found


def _as_outlook(
    ahead: dict[datetime, Decimal], hours: Hours, log: _Log, period: Span, spent: Decimal
) -> dict[datetime, Decimal]:
    """What is still to come of a month, so that the whole is what the outlook of its complete days says."""
    daily: dict[date, Decimal] = {}
    for hour, amount in hours.items():
        daily[local_day(hour)] = daily.get(local_day(hour), ZERO) + amount
    found = outlook(daily, log.whole) if daily else None
    whole = sum(ahead.values(), ZERO)
    if found is None or found.last != period.last or not whole:
        return ahead
    factor = max(found.expected - spent, ZERO) / whole
    return {hour: amount * factor for hour, amount in ahead.items()}


def _reached(hours: Hours, start: datetime, end: datetime, spent: Decimal, limit: Decimal) -> datetime | None:
    """The hour in which the running sum goes beyond the limit."""
    for hour in sorted(hour for hour in hours if start <= hour < end):
        spent += hours[hour]
        if spent > limit:
            return hour
    return None


def _when(at: datetime, period: Span) -> str:
    """When the limit was reached, without the day where the period is one."""
    clock = time_zone.local(naive(at))
    return f"spent at {clock:%H:%M}" + ("" if period.period == "day" else f" on {day_text(clock.date())}")


def _named(day: date) -> str:
    return f"{day_text(day)} {day.year}"


def _hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)


def _amount(budget: Budget, amount: Decimal) -> str:
    return money(amount) if budget.unit == "usd" else f"{tokens_text(round(amount))} tokens"


def _look(budget: Budget, period: Span) -> str:
    where = f" --where '{budget.of}'" if budget.of else ""
    return f"hindcast cost --by day,agent --since {period.first} --until {period.last}{where}"


def _result(
    budget: Budget, passed: bool | None, measured: Decimal | None, sentence: str,
    runs_out: datetime | None = None, remedy: str | None = None,
) -> GateResult:  # fmt: skip
    return GateResult(budget.name, passed, measured, budget.limit, budget.unit, f"{sentence}.", remedy, runs_out)
