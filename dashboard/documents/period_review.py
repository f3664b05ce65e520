"""A period against the one before it, of as many whole days, and what was promised for it beside what came true.

Promises are what is written down or can be computed from the log as it stood before: the budgets and the strategy in
force of `hindcast.toml`, and the month's outlook on the eve of the period.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from analysis.calendar_days import today
from analysis.forecast.month_outlook import Outlook, outlook
from analysis.formatting import count, money, named, share
from analysis.formatting import day as day_text
from analysis.gates.periods import DAY, begin_of
from analysis.gates.settings import Settings
from analysis.log_days import nothing_logged
from dashboard.documents import document_views
from dashboard.documents.document_views import Coverage, Document
from dashboard.render.tables import Column, Table
from ingest.errors import InputError
from ingest.store.database import Store
from replay.gates.evaluate import evaluate

AGENTS: Final = 8  # rows of the table; the others are one row
TIMES: Final = 3.0  # a rise to so many times as much is told as that
_WORDS: Final = {"passed": "Kept", "failed": "Not kept", "cannot_say": "Cannot be said"}


@dataclass(frozen=True)
class Review:
    """Whole days `first` to `last`, and as many before them; `before` is None where the log does not cover those."""

    first: date
    last: date
    total: Decimal
    before: Decimal | None
    calls: int
    calls_before: int
    agents: tuple[tuple[str, Decimal, Decimal], ...]  # name, dollars, dollars before; dearest change first
    promises: tuple[str, ...]

    @property
    def days(self) -> int:
        """How many days the period has."""
        return (self.last - self.first).days + 1

    @property
    def change(self) -> str:
        """How the total moved, in words."""
        if self.before is None:
            return f"the log does not cover the {count(self.days, 'day')} before"
        against = f"the {count(self.days, 'day')} before ({money(self.before)})"
        if not self.before:
            return f"against {against}"
        ratio = float(self.total / self.before)
        if ratio >= TIMES:
            return f"{ratio:,.1f} times as much as {against}"
        return f"{share(ratio - 1, sign=True)} against {against}"

    @property
    def headline(self) -> str:
        """The period in one sentence."""
        days = f"from {day_text(self.first)} to {day_text(self.last)} {self.last.year}"
        days = days if self.days > 1 else f"on {day_text(self.first)} {self.first.year}"
        return f"The LLM bill was {money(self.total)} {days}, {self.change}"

    @property
    def table(self) -> Table:
        """By agent: dollars, dollars before, and the change. The changes sum to the total's."""
        return Table(
            f"Cost by agent from {self.first} to {self.last} and before",
            (
                Column("agent"),
                Column("USD", money, figure=True),
                Column("before", money, figure=True),
                Column("change", lambda value: money(value, sign=True), figure=True),
            ),
            tuple((name, now, then, now - then) for name, now, then in self.agents),
            ("all", self.total, self.before, self.total - self.before) if self.before is not None else None,
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values: dollars as decimal strings, days as ISO dates."""
        return {
            "first": self.first.isoformat(), "last": self.last.isoformat(), "usd": str(self.total),
            "before_usd": None if self.before is None else str(self.before), "calls": self.calls,
            "calls_before": self.calls_before, "headline": self.headline,
            "agents": [{"agent": name, "usd": str(now), "before_usd": str(then)} for name, now, then in self.agents],
            "promises": list(self.promises),
        }  # fmt: skip


def period_of(store: Store, coverage: Coverage, since: date, until: date | None) -> tuple[date, date]:
    """The whole days of a window: as many as were asked for, ending with the newest whole one.

    Raises InputError where nothing is logged in the window, or no day of it is whole.
    """
    nothing = nothing_logged(store, since, until)
    if nothing or not coverage.whole_days:
        raise InputError(
            nothing or "the log covers no whole day", remedy="The days that it has: hindcast cost --by day"
        )
    end = until or min(today(), coverage.days[-1])
    last = min(end, coverage.whole_days[-1])
    first = max(since - (end - last), coverage.whole_days[0])
    if last < first:
        raise InputError(f"the log covers no whole day from {since} on", remedy="Name an earlier day: --since DAY")
    return first, last


def review(
    store: Store,
    settings: Settings,
    coverage: Coverage,
    by_agent: Document,
    costs: Mapping[date, Decimal],
    first: date,
    last: date,
) -> Review:
    """The whole days from `first` to `last` against as many before them. `by_agent` is the cost by day and agent."""
    eve = first - DAY
    start = eve - (last - first)
    known = bool(coverage.whole_days) and start >= coverage.whole_days[0]
    now: dict[str, Decimal] = {}
    then: dict[str, Decimal] = {}
    calls = [0, 0]
    for row in by_agent["rows"]:
        if row["day"] is None:
            continue
        day = date.fromisoformat(row["day"])
        side = now if first <= day <= last else then if start <= day <= eve else None
        if side is None:
            continue
        name = named(row["agent"])
        side[name] = side.get(name, Decimal(0)) + (document_views.dollars(row["cost_usd"]) or Decimal(0))
        calls[side is then] += row["calls"]
    zero = Decimal(0)
    rows = [(name, now.get(name, zero), then.get(name, zero)) for name in {**now, **then}]
    rows.sort(key=lambda row: (-abs(row[1] - row[2]), row[0]))
    rest = rows[AGENTS:]
    if rest:
        others = f"{len(rest)} more"
        rows = [*rows[:AGENTS], (others, sum((r[1] for r in rest), zero), sum((r[2] for r in rest), zero))]
    return Review(
        first=first,
        last=last,
        total=sum(now.values(), zero),
        before=sum(then.values(), zero) if known else None,
        calls=calls[0],
        calls_before=calls[1],
        agents=tuple(rows),
        promises=tuple(_promises(store, settings, coverage, costs, eve, last)),
    )


def _promises(
    store: Store, settings: Settings, coverage: Coverage, costs: Mapping[date, Decimal], eve: date, last: date
) -> Iterator[str]:
    before, now = _outlook(coverage, costs, eve), _outlook(coverage, costs, last)
    if before is not None:
        yield _outlook_in_words(before, now, costs, eve, last)
    promised = replace(
        settings, flagged_days=False, unpriced_share=None, unusable_share=None, ambiguous_share=None, score_floor=None,
        latency_p95_ms=None,
    )  # fmt: skip
    for result in evaluate(store, promised, begin_of(last + DAY) - timedelta(microseconds=1)):
        yield f"{_WORDS[result.outcome]}: {result.name}. {result.sentence}"
    if settings.rollout is None:
        yield "No strategy in force is named in hindcast.toml ([rollout]), so no saving was promised."


def _outlook(coverage: Coverage, costs: Mapping[date, Decimal], day: date) -> Outlook | None:
    """The month's outlook as it was at the end of a day."""
    return outlook(
        {at: amount for at, amount in costs.items() if at <= day}, [at for at in coverage.whole_days if at <= day]
    ) if any(at <= day for at in costs) else None  # fmt: skip


def _outlook_in_words(
    before: Outlook, now: Outlook | None, costs: Mapping[date, Decimal], eve: date, last: date
) -> str:
    """What the month was heading for on the eve of the period, and what came of it."""
    month = f"{before.last:%B %Y}"
    told = f"{money(before.expected)} ({money(before.low)} to {money(before.high)})"
    text = f"On {day_text(eve)} {month} was heading for {told}."
    if last >= before.last:
        came = document_views.total_of(costs, [day for day in costs if before.first <= day <= before.last])
        inside = "inside" if before.low <= came <= before.high else "outside"
        return f"{text} It came to {money(came)}, {inside} that range."
    if now is None or now.last != before.last:
        return text
    inside = "inside" if before.low <= now.expected <= before.high else "outside"
    return f"{text} By {day_text(last)} it is heading for {money(now.expected)}, {inside} that range."
