"""Overview: are we all right? Yesterday against expected, the month and its forecast, the trajectory, the movers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import streamlit as st

from analysis.dimensions import REGISTRY, dimension
from analysis.forecast.month_outlook import Outlook, outlook
from analysis.formatting import day as day_text
from analysis.formatting import money, share
from analysis.gates.settings import Settings, read
from dashboard.data import measures, results_cache
from dashboard.data.scope import Scope
from dashboard.documents import document_views, evidence_tables
from dashboard.render import daily_charts
from dashboard.render.cards import Kpi
from dashboard.widgets import blocks, day_figures, day_list, fragments, page_frame, unit_cards
from ingest.errors import HindcastError

BY = ("agent", "model", "task")
OTHER = "other"
WEEK = 7
DAYS_SHOWN = 40
MANY = 10  # times as much: easier to grasp than a change in per cent


def show() -> None:
    """Draw the page: at once on a small store; on a large one first without the diagnosis, then with it."""
    view = page_frame.view()
    answer = st.container()
    picture = st.container()
    with picture:
        heading = st.empty()
        by, measure = _choices(view)  # before anything is computed: the address may name others
    report = results_cache.cost(*view.key, ("day", by), view.since, view.until)
    costs = document_views.day_costs(report)
    if not costs:
        with answer:
            blocks.nothing("No call in these days", "Choose other days above.")
            page_frame.remarks(view.coverage, report)
        return
    at_once = view.coverage.calls <= results_cache.AT_ONCE
    found = results_cache.diagnosis(*view.key, None) if at_once else results_cache.known_diagnosis(*view.key, None)
    newest = found if found and _within(view, date.fromisoformat(found["day"])) else None
    every = document_views.day_costs(results_cache.cost(*view.key, ("day",), None, None))
    limits = read()
    with answer:
        blocks.finding(document_views.sentences(newest)[0] if newest else _so_far(costs), level=1)
        ahead = document_views.under_way(outlook(every, view.coverage.whole_days), view.coverage)
        row = figures_of_merit(view.coverage, costs, found, ahead, None if view.scope.where else limits)
        blocks.kpis([*row, *(unit_cards.figures(view) if at_once else [])])
        page_frame.remarks(view.coverage, report)
        unit_cards.budgets(view, limits)
    if measure in measures.STACKED:
        counted = report if measure == measures.DOLLARS else measures.as_counts(report, measure)
        drawn = document_views.by_week(document_views.trajectory(counted, by, results_cache.colours(*view.key, by)))
        with heading:
            blocks.finding(_finding(view, drawn, by, measure, found))
        with picture:
            draw = _trajectory(view, drawn, by, measure, found, None if view.scope.where else limits.daily)
    else:
        draw = day_figures.draw(view, heading, picture, measure)
    day_figures.open_clicked_day()
    day_list.flagged(view, found)
    day_list.marks(view)
    if newest:
        _movers(view, newest)
    unit_cards.per_name(view, by, opened=at_once)
    _proof(view, report, by)
    draw()
    if not found:
        with answer:
            _compare(*view.key)


def _within(view: page_frame.View, day: date) -> bool:
    return (view.since is None or view.since <= day) and (view.until is None or day <= view.until)


def _choices(view: page_frame.View) -> tuple[str, str]:
    """What the picture is split by, and what it shows."""
    with st.container(horizontal=True, key="picture-choices", vertical_alignment="center"):
        by = str(
            st.segmented_control("Stacked by", (*BY, OTHER), default=BY[0], key="by", bind="query-params",
                                 required=True, label_visibility="collapsed")
        )  # fmt: skip
        if by == OTHER:
            others = [*results_cache.tag_keys(*view.key[:2]), *GROUPED]
            by = dimension(
                str(
                    st.selectbox("Dimension", others, key="dimension", bind="query-params", accept_new_options=True,
                                 label_visibility="collapsed", width=200)
                    or others[0]
                ),
            ).name  # fmt: skip
        measure = st.selectbox("What is shown", measures.NAMES, key="measure", bind="query-params", width=220,
                               label_visibility="collapsed")  # fmt: skip
    return by, str(measure or measures.DOLLARS)


GROUPED = tuple(
    entry.name
    for entry in REGISTRY
    if entry.refusal("group") is None and entry.kind not in ("time", "id") and entry.name not in BY
)


def _finding(
    view: page_frame.View,
    drawn: document_views.Trajectory,
    dimension: str,
    measure: str,
    found: document_views.Document | None,
) -> str:
    if measure == measures.DOLLARS:
        return document_views.trajectory_finding(drawn, dimension, found, view.coverage.mean_days)
    total = sum(drawn.totals, Decimal(0))
    return f"{measures.count_text(total)} {measure} from {view.window()}"


@st.fragment(run_every=1.0)
def _compare(path: str, version: str, scope: Scope) -> None:
    """Has the newest day explained once the browser has drawn the page: only then does it ask for this part again."""
    if results_cache.known_diagnosis(path, version, scope, None) is not None:
        st.rerun()
    drawn = ("drawn", path, version, scope)
    if st.session_state.get("awaited") == drawn:
        try:
            results_cache.start_diagnosis(path, version, scope, None)
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
    settings: Settings | None,
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
        budget = None
        if settings is not None:
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
    if not found["baseline"]["history_days"]:
        return Kpi(coverage.named(date.fromisoformat(found["day"])), money(actual), "no earlier day to compare with")
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
    measure: str,
    found: document_views.Document | None,
    budget: Decimal | None,
) -> Callable[[], None]:
    """A place for the picture and its notes; the result draws the picture there."""
    run = document_views.told(found) if found else None
    spike = run.first if run else None
    if spike and drawn.weekly:
        spike -= timedelta(days=spike.weekday())
    whole = set(view.coverage.whole_days)
    dollars = measure == measures.DOLLARS
    what = "USD" if dollars else measure
    figure = daily_charts.trajectory(
        drawn.days,
        drawn.stacks,
        results_cache.colours(*view.key, dimension),
        spike=spike if dollars else None,
        expected=None if drawn.weekly or not found or not dollars else document_views.expected_range(found),
        budget=budget if dollars and not drawn.weekly else None,
        incomplete=[] if drawn.weekly else [day for day in drawn.days if day not in whole],
        annotations=view.coverage.annotations,
        unit=f"{what} per {'week' if drawn.weekly else 'day'}",
        text=money if dollars else measures.count_text,
        flagged=_flagged(found, weekly=drawn.weekly) if found else [],
    )
    highest = max(zip(drawn.totals, drawn.days, strict=True))
    text = money(highest[0]) if dollars else measures.count_text(highest[0])
    draw = blocks.first_picture(
        figure,
        f"daily-{'cost' if dollars else measure}-by-{dimension}",
        alt=f"Daily {'cost in USD' if dollars else measure} from {drawn.days[0]} to {drawn.days[-1]}, stacked by "
        f"{dimension}; highest on {highest[1]} with {text}.",
        clicked=day_figures.clicked_week if drawn.weekly else day_figures.clicked,
        caption=view.caption(
            f"{'Cost' if dollars else measure.capitalize()} per {'week' if drawn.weekly else 'day'} by {dimension}"
        ),
    )
    if drawn.weekly:
        blocks.note("Each bar is a week from Monday on; a click on one shows its days.")
    elif any(day not in whole for day in drawn.days):
        blocks.note("Pale bars are days that the log covers in part.")
    means = [day for day in view.coverage.mean_days if drawn.days[0] <= day <= drawn.days[-1]]
    if view.coverage.log.idle(means):
        blocks.note(f"A day: {view.coverage.mean_of(means)}.")
    return draw


def _flagged(found: document_views.Document, *, weekly: bool) -> list[date]:
    """The days that stand out, or the Mondays of their weeks."""
    days = day_list.flagged_days(found)
    return sorted({day - timedelta(days=day.weekday()) for day in days}) if weekly else days


def _movers(view: page_frame.View, found: document_views.Document) -> None:
    if not found["drivers"]:
        return
    day = date.fromisoformat(found["day"])
    moved = "moved most on" if found["baseline"]["history_days"] else "made up the cost of"
    blocks.finding(f"What {moved} {view.coverage.named(day)}")
    blocks.table(evidence_tables.movers(found), "movers")
    st.page_link(st.session_state["pages"]["spike"], label="The whole explanation", icon=":material/troubleshoot:")


@fragments.region
def _proof(view: page_frame.View, report: document_views.Document, dimension: str) -> None:
    def every_day() -> None:
        drawn = document_views.trajectory(report, dimension, results_cache.colours(*view.key, dimension))
        table = evidence_tables.days(report, drawn, dimension)
        total: list[object] = ["all days"]
        for column in list(zip(*table.rows, strict=True))[1:]:
            known = [value for value in column if isinstance(value, (int, Decimal))]
            total.append(sum(known[1:], known[0]) if known else None)
        first, *others = table.columns
        dated = replace(first, text=lambda day: first.text(day) if isinstance(day, date) else str(day))
        table = replace(table, columns=(dated, *others), total=tuple(total))
        blocks.table(table, f"cost-by-day-{dimension}", limit=DAYS_SHOWN)

    fragments.fold("Every day in figures", "every-day", every_day)
