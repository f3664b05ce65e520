"""Overview: are we all right? Yesterday against expected, the month and its forecast, the trajectory, the movers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal

import streamlit as st

from analysis.forecast.month_outlook import Outlook, outlook
from analysis.formatting import day as day_text
from analysis.formatting import money, share
from analysis.gates.settings import Settings, read
from dashboard.data import results_cache
from dashboard.documents import document_views, evidence_tables
from dashboard.render import daily_charts
from dashboard.render.cards import Kpi
from dashboard.widgets import blocks, fragments, page_frame
from ingest.errors import HindcastError

BY = ("agent", "model", "task")
WEEK = 7
DAYS_SHOWN = 40
FLAGGED_SHOWN = 3
MANY = 10  # times as much: easier to grasp than a change in per cent


def show() -> None:
    """Draw the page: at once on a small store; on a large one first without the diagnosis, then with it."""
    view = page_frame.view()
    answer = st.container()
    picture = st.container()
    with picture:
        heading = st.empty()
        # before anything is computed: the address may name another dimension
        dimension = str(
            st.segmented_control("Stacked by", BY, default=BY[0], key="by", bind="query-params", required=True,
                                 label_visibility="collapsed")
        )  # fmt: skip
    report = results_cache.cost(*view.key, ("day", dimension), view.since, view.until)
    costs = document_views.day_costs(report)
    if not costs:
        with answer:
            blocks.nothing("No call in these days", "Choose other days in the sidebar.")
            page_frame.remarks(view.coverage, report)
        return
    at_once = view.coverage.calls <= results_cache.AT_ONCE
    found = results_cache.diagnosis(*view.key, None) if at_once else results_cache.known_diagnosis(*view.key, None)
    every = document_views.day_costs(results_cache.cost(*view.key, ("day",), None, None))
    limits = read()
    with answer:
        blocks.finding(document_views.sentences(found)[0] if found else _so_far(costs), level=1)
        ahead = document_views.under_way(outlook(every, view.coverage.whole_days), view.coverage)
        blocks.kpis(figures_of_merit(view.coverage, costs, found, ahead, limits))
        page_frame.remarks(view.coverage, report)
    drawn = document_views.by_week(
        document_views.trajectory(report, dimension, results_cache.colours(*view.key, dimension))
    )
    with heading:
        blocks.finding(document_views.trajectory_finding(drawn, dimension, found, view.coverage.mean_days))
    with picture:
        draw = _trajectory(view, drawn, dimension, found, limits.daily)
    if found:
        _flagged(found)
        _movers(view, found)
    _proof(view, report, dimension)
    draw()
    if not found:
        with answer:
            _compare(*view.key)


@st.fragment(run_every=1.0)
def _compare(path: str, version: str) -> None:
    """Has the newest day explained once the browser has drawn the page: only then does it ask for this part again."""
    if results_cache.known_diagnosis(path, version, None) is not None:
        st.rerun()
    drawn = ("drawn", path, version)
    if st.session_state.get("awaited") == drawn:
        try:
            results_cache.start_diagnosis(path, version, None)
        except HindcastError as error:
            blocks.nothing(error.what, error.remedy or "")
            return
    st.session_state["awaited"] = drawn
    blocks.note("The newest day is being compared with earlier ones.")


def _so_far(costs: dict[date, Decimal]) -> str:
    """The answer before the newest day has been compared with those before it."""
    first, last = min(costs), max(costs)
    return f"{money(sum(costs.values(), Decimal(0)))} from {day_text(first)} to {day_text(last)} {last.year}"


def figures_of_merit(
    coverage: document_views.Coverage,
    costs: dict[date, Decimal],
    found: document_views.Document | None,
    ahead: Outlook | None,
    settings: Settings,
) -> list[Kpi]:
    """The KPI row: the day that matters, the last seven days against the seven before, the month, the unpriced."""
    row = [_day(found, coverage)] if found else [Kpi("Newest day", "...", "being compared with earlier days")]
    whole = [day for day in coverage.whole_days if min(costs) <= day <= max(costs)]
    if len(whole) >= WEEK and any(costs.get(day) for day in whole[-WEEK:]):
        recent, before = whole[-WEEK:], whole[-2 * WEEK : -WEEK]
        now = document_views.total_of(costs, recent)
        moved = document_views.change(now, document_views.total_of(costs, before)) if len(before) == WEEK else None
        row.append(
            Kpi(
                f"Last {WEEK} complete days",
                money(now),
                "no full week before"
                if moved is None
                else f"{signed(moved)} {'as' if moved + 1 >= MANY else 'against'} the {WEEK} days before",
                tone="bad" if moved is not None and moved > 0.5 else "",
            )
        )
    if ahead is not None:
        budget = settings.budget("month") or (settings.daily and settings.daily * ahead.last.day)
        over = budget is not None and ahead.expected > budget
        row.append(
            Kpi(
                f"{ahead.first:%B} so far",
                money(ahead.so_far),
                f"{money(ahead.expected)} by {ahead.last.day} {ahead.last:%b} if this week goes on "
                f"({money(ahead.low)} to {money(ahead.high)})" + (f", budget {money(budget)}" if budget else ""),
                tone="bad" if over else "",
                about="Run-rate of the last seven complete days with weekday effects; the range holds 80 % of ordinary "
                "day-to-day noise and foresees no spike.",
            )
        )
    row.append(
        Kpi(
            "Calls without a price",
            f"{coverage.unpriced:,}",
            f"of {coverage.calls:,} ({share(coverage.unpriced / coverage.calls)}), in no total",
            tone="bad" if coverage.unpriced else "",
            about="A model that the price book does not know, or a call without token counts. Never counted as $0.",
        )
    )
    return row


def _day(found: document_views.Document, coverage: document_views.Coverage) -> Kpi:
    actual, expected = document_views.dollars(found["actual"]), document_views.dollars(found["expected"])
    ratio = document_views.change(actual, expected) if actual is not None and expected is not None else None
    return Kpi(
        f"{coverage.named(date.fromisoformat(found['day']))}{' (spike)' if found['flagged'] else ''}",
        money(actual),
        f"expected {money(expected)}"
        + (f" by {found['until']}" if found["until"] else "")
        + (f", {signed(ratio)}" if ratio is not None else ""),
        tone="bad" if found["flagged"] else "",
        about="The newest day that can be judged: a day under way is compared with the same hours of earlier days.",
    )


def signed(ratio: float) -> str:
    """`+12.0 %`; a large one as `59 times as much`."""
    if ratio + 1 >= MANY:
        return f"{ratio + 1:,.0f} times as much"
    return f"{'+' if ratio >= 0 else '-'}{share(abs(ratio))}"


def _trajectory(
    view: page_frame.View,
    drawn: document_views.Trajectory,
    dimension: str,
    found: document_views.Document | None,
    budget: Decimal | None,
) -> Callable[[], None]:
    """A place for the picture and its notes; the result draws the picture there."""
    run = document_views.told(found) if found else None
    spike = run.first if run else None
    if spike and drawn.weekly:
        spike -= timedelta(days=spike.weekday())
    whole = set(view.coverage.whole_days)
    figure = daily_charts.trajectory(
        drawn.days,
        drawn.stacks,
        results_cache.colours(*view.key, dimension),
        spike=spike,
        expected=None if drawn.weekly or not found else document_views.expected_range(found),
        budget=None if drawn.weekly else budget,
        incomplete=[] if drawn.weekly else [day for day in drawn.days if day not in whole],
        annotations=view.coverage.annotations,
        unit="USD per week" if drawn.weekly else "USD per day",
    )
    highest = max(zip(drawn.totals, drawn.days, strict=True))
    draw = blocks.first_picture(
        figure,
        f"daily-cost-by-{dimension}",
        alt=f"Daily cost in USD from {drawn.days[0]} to {drawn.days[-1]}, stacked by {dimension}; "
        f"highest on {highest[1]} with {money(highest[0])}.",
    )
    if drawn.weekly:
        blocks.note("Each bar is a week from Monday on: choose fewer days in the sidebar to see single ones.")
    elif any(day not in whole for day in drawn.days):
        blocks.note("Pale bars are days that the log covers in part.")
    means = [day for day in view.coverage.mean_days if drawn.days[0] <= day <= drawn.days[-1]]
    if view.coverage.log.idle(means):
        blocks.note(f"A day: {view.coverage.mean_of(means)}.")
    return draw


def _flagged(found: document_views.Document) -> None:
    earlier = document_views.earlier_flagged(found)
    if earlier:
        blocks.note("Stood out before: " + " ".join(earlier[:FLAGGED_SHOWN]))
        if len(earlier) > FLAGGED_SHOWN:
            blocks.note(f"And {len(earlier) - FLAGGED_SHOWN} more: hindcast diagnose --flagged")


def _movers(view: page_frame.View, found: document_views.Document) -> None:
    if not found["drivers"]:
        return
    day = date.fromisoformat(found["day"])
    blocks.finding(f"What moved most on {view.coverage.named(day)}")
    blocks.table(evidence_tables.movers(found), "movers")
    st.page_link(st.session_state["pages"]["spike"], label="The whole explanation", icon=":material/troubleshoot:")


@fragments.region
def _proof(view: page_frame.View, report: document_views.Document, dimension: str) -> None:
    def every_day() -> None:
        drawn = document_views.trajectory(report, dimension, results_cache.colours(*view.key, dimension))
        blocks.table(evidence_tables.days(report, drawn, dimension), f"cost-by-day-{dimension}", limit=DAYS_SHOWN)

    fragments.fold("Every day in figures", "every-day", every_day)
