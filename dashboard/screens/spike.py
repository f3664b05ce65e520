"""Spike: what a day cost beyond the expected, why, in dollars that add up, down to the prompt behind it."""

from __future__ import annotations

from datetime import date

import streamlit as st

from analysis.formatting import count as counted
from analysis.formatting import money
from dashboard.data import results_cache
from dashboard.documents import document_views, evidence_tables
from dashboard.render import daily_charts
from dashboard.render.cards import Kpi
from dashboard.widgets import blocks, calls_drilldown, fragments, mark_day, page_frame

TABLE_ROWS = 12


def show() -> None:
    """Draw the page."""
    view = page_frame.view(dates=False)
    whole = view.coverage.days
    if not whole:
        blocks.nothing("No call has a time", "A day can only be explained where the log says when calls were made.")
        page_frame.remarks(view.coverage)
        return
    newest = results_cache.diagnosis(*view.key, None)
    chosen = st.date_input(
        "Day to explain", value=date.fromisoformat(newest["day"]), min_value=whole[0], max_value=whole[-1],
        key="day", bind="query-params", format="YYYY-MM-DD", width=190,
        help="It starts at the newest day that can be judged.",
    )  # fmt: skip
    found = newest if chosen.isoformat() == newest["day"] else results_cache.diagnosis(*view.key, chosen)
    sentences = document_views.sentences(found)
    blocks.finding(sentences[0], level=1)
    if len(sentences) > 1:
        blocks.lead(" ".join(sentences[1:]))
    blocks.kpis(figures_of_merit(found, view.coverage))
    for text in notes(found):
        blocks.note(text, warn=True)
    page_frame.remarks(view.coverage)
    mark_day.of_day(view, found)
    if not found["drivers"]:
        blocks.nothing("Nothing to take apart", "The day cost what was expected, or there is no day to compare with.")
        return
    _waterfall(view, found)
    if document_views.causes(found) and found["baseline"]["history_days"]:
        blocks.finding("The causes, and what to do about them")
        blocks.table(evidence_tables.causes(found), f"causes-{found['day']}")
    blocks.finding("The drivers, largest first")
    blocks.table(evidence_tables.drivers(found), f"drivers-{found['day']}", limit=TABLE_ROWS)
    if found["alerts"]:
        _alerts(view, found)
    calls_drilldown.from_driver(view, found)


@fragments.region
def _alerts(_view: page_frame.View, found: document_views.Document) -> None:
    name = f"alerts-{found['day']}"
    title = f"{counted(len(found['alerts']), 'thing')} beside the total that stood out"
    fragments.fold(title, f"fold-{name}", lambda: blocks.table(evidence_tables.alerts(found), name))


@fragments.region
def _waterfall(_view: page_frame.View, found: document_views.Document) -> None:
    expected, actual = money(document_views.dollars(found["expected"])), money(document_views.dollars(found["actual"]))
    if not found["baseline"]["history_days"]:
        blocks.finding(f"What made up {actual}")
        choices = ["by place"]
    else:
        blocks.finding(f"From {expected} expected to {actual}")
        choices = ["by cause", "by place"] if document_views.causes(found) else ["by place"]
    how = st.segmented_control(
        "Taken apart", choices, default=choices[0], key="apart", bind="query-params", required=True,
        label_visibility="collapsed",
    )  # fmt: skip
    steps = document_views.steps_by_cause(found) if how == "by cause" else document_views.steps_by_place(found)
    if not found["baseline"]["history_days"]:
        steps = steps[1:]  # nothing was expected
    blocks.picture(
        daily_charts.waterfall(steps),
        f"waterfall-{found['day']}",
        alt=f"From {expected} expected to {actual} on {found['day']}: "
        + "; ".join(f"{s.label} {s.detail} {money(s.amount, sign=True)}" for s in steps if s.kind == "change"),
    )


def figures_of_merit(found: document_views.Document, coverage: document_views.Coverage) -> list[Kpi]:
    """The day, what was expected, the difference, and what no driver explains."""
    actual, expected = document_views.dollars(found["actual"]), document_views.dollars(found["expected"])
    low, high = document_views.expected_range(found) or (None, None)
    between = f"range {money(low)} to {money(high)}" if low is not None else "no range: not enough history"
    delta = document_views.dollars(found["delta"])
    bad = bool(found["flagged"])
    alone = not found["baseline"]["history_days"]
    day = coverage.named(date.fromisoformat(found["day"]))
    return [
        Kpi(day, money(actual), "no earlier day to compare with" if alone else "stands out" if bad
            else "does not stand out", tone="bad" if bad else ""),
        *([] if alone else [Kpi("Expected", money(expected), between, about=baseline_words(found["baseline"]))]),
        *([] if alone else
          [Kpi("Difference", money(delta, sign=True), "the drivers and the unexplained part sum to it")]),
        Kpi("Unexplained", money(document_views.dollars(found["residual"])), "zero except for calls without a price"),
    ]  # fmt: skip


def baseline_words(baseline: document_views.Document) -> str:
    """What the day was compared with."""
    left_out = baseline["left_out"]
    text = f"The mean of {len(baseline['days'])} comparable days, weighted: {', '.join(baseline['days'])}."
    return f"{text} Left out, as they stand out themselves: {', '.join(left_out)}." if left_out else text


def notes(found: document_views.Document) -> list[str]:
    """Cautions of the diagnosis itself."""
    said = []
    if found["low_history"] and found["baseline"]["history_days"]:
        days = found["baseline"]["history_days"]
        said.append(f"Low history: {days} active days before this one, so the baseline is their mean, without a range.")
    unpriced = found["unpriced_calls"]
    if unpriced["day"] or unpriced["baseline_per_day"]:
        said.append(
            f"Without a price, so in no figure here: {counted(unpriced['day'], 'call')} on the day, "
            f"{unpriced['baseline_per_day']:,g} per baseline day."
        )
    return said
