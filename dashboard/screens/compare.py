"""Compare: two periods side by side, and what moved between them in dollars that add up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

import streamlit as st

from analysis import time_zone
from analysis.attribution.segment_sums import segment_names
from analysis.calendar_days import parse_range
from analysis.formatting import count as counted
from analysis.formatting import day as day_text
from analysis.formatting import money, share, tokens
from dashboard.data import measures, results_cache
from dashboard.documents import document_views, evidence_tables
from dashboard.render import daily_charts
from dashboard.render.cards import Kpi
from dashboard.render.daily_charts import Line
from dashboard.render.palette import GREY, HUES
from dashboard.render.tables import Column, Table
from dashboard.widgets import blocks, calls_drilldown, page_frame, progress
from dashboard.widgets.page_frame import View
from ingest.errors import InputError

DAY: Final = timedelta(days=1)
WEEK: Final = 7
BEFORE: Final = "the days before"
EARLIER: Final = {"a week earlier": 7, "4 weeks earlier": 28, "a year earlier": 364}  # whole weeks: weekdays match
CUTS: Final = ("agent, task", "agent", "model", "task", "agent, model", "user", "team", "environment")
TABLE_ROWS: Final = 12
Period = tuple[date, date]


@dataclass(frozen=True)
class Side:
    """The figures of one period, and its number of days in the log."""

    period: Period
    days: int
    cost: document_views.Document
    service: document_views.Document
    unit: document_views.Document


def show() -> None:
    """Draw the page."""
    view = page_frame.view()
    if not view.coverage.days:
        blocks.nothing("No call has a time", "Periods can only be compared where the log says when calls were made.")
        return
    if len(view.coverage.days) == 1:
        blocks.nothing("The log has one day, and nothing to compare it with", "Two days make two periods.")
        return
    with st.container(horizontal=True, key="compare-choices", vertical_alignment="bottom"):
        against = st.selectbox(
            "Against", (BEFORE, *EARLIER), key="vs", bind="query-params", accept_new_options=True, width=220,
            help="Or type days: 2024-02, 2024-W08, 2024-02-20..2024-02-26",
        )  # fmt: skip
        cut = st.selectbox(
            "Cut by", CUTS, key="cut", bind="query-params", accept_new_options=True, width=220,
            help="The drivers are told for each value of these. Or type others: user, tag.team",
        )  # fmt: skip
    by = segment_names([name.strip() for name in str(cut or CUTS[0]).split(",") if name.strip()])
    now, then = _periods(view, str(against or BEFORE))
    found = _drivers(view, now, then, by)
    if found is None:
        return
    blocks.finding(headline(found), level=1)
    sides = [_side(view, period) for period in (now, then)]
    blocks.kpis(figures_of_merit(found))
    page_frame.remarks(view.coverage)
    blocks.finding("Side by side")
    blocks.table(side_by_side(*sides), f"compare-{now[0]}-{now[1]}")
    _daily(view, now, then)
    if not found["drivers"]:
        blocks.nothing("Nothing to take apart", "Both periods cost the same.")
        return
    before, after = (money(document_views.dollars(found[name])) for name in ("expected", "actual"))
    scaled = "" if found["days"] == found["days_before"] else f", scaled to {counted(found['days'], 'day')},"
    blocks.finding(f"From {before}{scaled} to {after}")
    steps = document_views.steps_by_place(found)
    steps = [daily_charts.Step("before", steps[0].amount, "total"), *steps[1:-1],
             daily_charts.Step("now", steps[-1].amount, "total")]  # fmt: skip
    blocks.picture(
        daily_charts.waterfall(steps),
        f"drivers-{now[0]}-{now[1]}",
        alt=f"From {before} before to {after} now: "
        + "; ".join(f"{s.label} {s.detail} {money(s.amount, sign=True)}" for s in steps if s.kind == "change"),
        caption=_caption(view, f"Drivers in USD, from {_words(then)} to {_words(now)}"),
    )
    blocks.finding("The drivers, largest first")
    table = evidence_tables.drivers(found)
    kept = slice(None, -1)  # what undoing saves a day is of a day's diagnosis
    blocks.table(
        Table(
            f"Drivers from {_words(then)} to {_words(now)}",
            table.columns[kept],
            tuple(row[kept] for row in table.rows),
            table.total[kept] if table.total else None,
        ),
        f"period-drivers-{now[0]}-{now[1]}",
        limit=TABLE_ROWS,
    )
    calls_drilldown.from_driver(view, found, *now)


def _periods(view: View, against: str) -> tuple[Period, Period]:
    """The window and the days that it is held against; of a window of all days the last seven whole ones."""
    days = view.coverage.days
    if view.since is None and view.until is None:
        last = (view.coverage.whole_days or days)[-1]
        now = (max(days[0], last - (WEEK - 1) * DAY), last)
        blocks.note(
            f"The window is all days, so the last {WEEK} complete ones are compared; choose days above for others."
        )
    else:
        now = (view.since or days[0], view.until or days[-1])
    if against == BEFORE:
        then = (now[0] - (now[1] - now[0]) - DAY, now[0] - DAY)
    elif against in EARLIER:
        back = EARLIER[against] * DAY
        then = (now[0] - back, now[1] - back)
    else:
        then = parse_range(against, days[-1])
    if then[1] < days[0]:
        raise InputError(
            f"the log has no day from {then[0]} to {then[1]}",
            remedy=f"It begins on {days[0]}: choose later days, or others to hold them against.",
        )
    return now, (max(then[0], days[0]), then[1])


def _drivers(view: View, now: Period, then: Period, by: tuple[str, ...]) -> document_views.Document | None:
    if view.coverage.calls <= results_cache.AT_ONCE:
        return results_cache.periods(*view.key, now, then, by)
    arguments = {"now": now, "before": then, "by": by}
    found: document_views.Document | None = progress.result(
        view, "periods", arguments, "Comparing the two periods", key=(now, then, by)
    )
    return found


def _side(view: View, period: Period) -> Side:
    days = sum(period[0] <= day <= period[1] for day in view.coverage.days)
    (service,) = results_cache.service(*view.key, (), *period)
    unit = {"usd_per_unit": None, "units": None}
    if view.coverage.calls <= results_cache.AT_ONCE:
        unit = results_cache.unit_costs(*view.key, "conversation", (), *period)["total"]
    return Side(period, days, results_cache.cost(*view.key, (), *period)["total"], service, unit)


def _words(period: Period) -> str:
    if period[0] == period[1]:
        return f"{day_text(period[1])} {period[1].year}"
    year = "" if period[0].year == period[1].year else f" {period[0].year}"
    return f"{day_text(period[0])}{year} to {day_text(period[1])} {period[1].year}"


def headline(found: document_views.Document) -> str:
    """How much, against how much, and what moved most."""
    now, then = (
        (date.fromisoformat(first), date.fromisoformat(last)) for first, last in (found["now"], found["before"])
    )
    actual, expected = document_views.amount(found["actual"]), document_views.amount(found["expected"])
    change = document_views.change(actual, expected)
    ratio = "" if change is None else f", {share(change, sign=True)}"
    scaled = "" if found["days"] == found["days_before"] else f" scaled to {counted(found['days'], 'day')}"
    return (
        f"{_words(now)} cost {money(actual)} against {money(expected)} from {_words(then)}{scaled}: "
        f"{money(actual - expected, sign=True)}{ratio}"
    )


def figures_of_merit(found: document_views.Document) -> list[Kpi]:
    """Both totals, the difference, what no driver explains."""
    scaled = "" if found["days"] == found["days_before"] else f", scaled to {found['days']}"
    return [
        Kpi("Now", money(document_views.dollars(found["actual"])), counted(found["days"], "day")),
        Kpi("Before", money(document_views.dollars(found["expected"])),
            f"{counted(found['days_before'], 'day')}{scaled}"),
        Kpi("Difference", money(document_views.dollars(found["delta"]), sign=True),
            "the drivers and the unexplained part sum to it"),
        Kpi("Unexplained", money(document_views.dollars(found["residual"])), "zero except for calls without a price"),
    ]  # fmt: skip


def side_by_side(now: Side, then: Side) -> Table:
    """Dollars, volume, unit cost, errors and latency of both periods, and the change of each. Nothing is scaled."""
    rows: list[tuple[Any, ...]] = []

    def add(what: str, values: Callable[[Side], Any], text: Callable[[Any], str], *, points: bool = False) -> None:
        pair = [values(now), values(then)]
        known = all(value is not None for value in pair)
        moved: str | None = None
        if known and points:
            moved = f"{100 * (pair[0] - pair[1]):+.1f} points"
        elif known and pair[1]:
            moved = share(float(pair[0] / pair[1]) - 1, sign=True)
        rows.append((what, *("-" if value is None else text(value) for value in pair), moved))

    def usd(side: Side) -> Decimal | None:
        return document_views.dollars(side.cost["cost_usd"])

    def a_call(side: Side) -> Decimal | None:
        priced, total = side.cost["calls"] - side.cost["unpriced_calls"], usd(side)
        return total / priced if priced and total is not None else None

    def a_day(side: Side) -> Decimal | None:
        total = usd(side)
        return None if total is None or not side.days else total / side.days

    add("days in the log", lambda side: side.days, lambda value: f"{value:,}")
    add("USD", usd, money)
    add("USD a day", a_day, money)
    add("USD a call", a_call, money)
    add("USD a conversation", lambda side: document_views.dollars(side.unit["usd_per_unit"]), money)
    add("conversations", lambda side: side.unit["units"] or None, lambda value: f"{value:,}")
    add("calls", lambda side: side.cost["calls"], lambda value: f"{value:,}")
    add("input tokens", lambda side: side.cost["input_tokens"], tokens)
    add("output tokens", lambda side: side.cost["output_tokens"], tokens)
    add("calls without a price", lambda side: side.cost["unpriced_calls"], lambda value: f"{value:,}")
    add("failed calls", lambda side: side.service["error_share"], share, points=True)
    add("latency p50", lambda side: side.service["p50_ms"], measures.seconds)
    add("latency p95", lambda side: side.service["p95_ms"], measures.seconds)
    columns = (
        Column(""), Column("now", figure=True), Column("before", figure=True), Column("change", figure=True),
    )  # fmt: skip
    return Table(f"{_words(now.period)} beside {_words(then.period)}", columns, tuple(rows))


def _daily(view: View, now: Period, then: Period) -> None:
    """Both periods in one picture, day over day."""
    costs = document_views.day_costs(results_cache.cost(*view.key, ("day",), None, None))
    known = set(view.coverage.days)
    length = max(now[1] - now[0], then[1] - then[0]).days + 1
    if length < 2:
        return
    days = [now[0] + number * DAY for number in range(length)]

    def amounts(period: Period) -> list[Decimal | None]:
        each = [period[0] + number * DAY for number in range(length)]
        return [costs.get(day, Decimal(0)) if day <= period[1] and day in known else None for day in each]

    lines = [
        Line("before", days, amounts(then), GREY, dashed=True),
        Line("now", days, amounts(now), HUES[0]),
    ]
    blocks.picture(
        daily_charts.comparison(lines),
        "compared-days",
        alt=f"Cost per day from {_words(now)}, and day over day from {_words(then)}",
        caption=_caption(view, f"USD per day, {_words(now)} beside {_words(then)}"),
    )


def _caption(view: View, title: str) -> str:
    calls = f" · only calls with {view.scope.words()}" if view.scope.where else ""
    return f"{title}, {time_zone.label()}{calls} · {view.source}"
