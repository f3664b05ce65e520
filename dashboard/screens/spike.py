"""Spike: what a day cost beyond the expected, why, in dollars that add up, down to the prompt behind it."""

from __future__ import annotations

from datetime import date

import streamlit as st

from analysis.formatting import count as counted
from analysis.formatting import money
from dashboard import cached, drill, elements, figures, frame, marking, proofs, regions, views
from dashboard.cards import Kpi

TABLE_ROWS = 12


def show() -> None:
    """Draw the page."""
    view = frame.view(dates=False)
    whole = view.coverage.days
    if not whole:
        elements.nothing("No call has a time", "A day can only be explained where the log says when calls were made.")
        frame.remarks(view.coverage)
        return
    newest = cached.diagnosis(*view.key, None)
    chosen = st.sidebar.date_input(
        "Day to explain", value=date.fromisoformat(newest["day"]), min_value=whole[0], max_value=whole[-1],
        key="day", bind="query-params", help="A UTC day. It starts at the newest complete day that stands out.",
    )  # fmt: skip
    found = newest if chosen.isoformat() == newest["day"] else cached.diagnosis(*view.key, chosen)
    sentences = views.sentences(found)
    elements.finding(sentences[0], level=1)
    if len(sentences) > 1:
        elements.lead(" ".join(sentences[1:]))
    elements.kpis(figures_of_merit(found, view.coverage))
    for text in notes(found):
        elements.note(text, warn=True)
    frame.remarks(view.coverage)
    marking.of_day(view, found)
    if not found["drivers"]:
        elements.nothing("Nothing to take apart", "The day cost what was expected, or there is no day to compare with.")
        return
    _waterfall(view, found)
    if views.causes(found):
        elements.finding("The causes, and what to do about them")
        elements.table(proofs.causes(found), f"causes-{found['day']}")
    elements.finding("The drivers, largest first")
    elements.table(proofs.drivers(found), f"drivers-{found['day']}", limit=TABLE_ROWS)
    if found["alerts"]:
        _alerts(view, found)
    drill.from_driver(view, found)


@regions.region
def _alerts(_view: frame.View, found: views.Document) -> None:
    name = f"alerts-{found['day']}"
    title = f"{counted(len(found['alerts']), 'thing')} beside the total that stood out"
    regions.fold(title, f"fold-{name}", lambda: elements.table(proofs.alerts(found), name))


@regions.region
def _waterfall(_view: frame.View, found: views.Document) -> None:
    expected, actual = money(views.dollars(found["expected"])), money(views.dollars(found["actual"]))
    elements.finding(f"From {expected} expected to {actual}")
    choices = ["by cause", "by place"] if views.causes(found) else ["by place"]
    how = st.segmented_control(
        "Taken apart", choices, default=choices[0], key="apart", bind="query-params", required=True,
        label_visibility="collapsed",
    )  # fmt: skip
    steps = views.steps_by_cause(found) if how == "by cause" else views.steps_by_place(found)
    elements.picture(
        figures.waterfall(steps),
        f"waterfall-{found['day']}",
        alt=f"From {expected} expected to {actual} on {found['day']}: "
        + "; ".join(f"{s.label} {s.detail} {money(s.amount, sign=True)}" for s in steps if s.kind == "change"),
    )


def figures_of_merit(found: views.Document, coverage: views.Coverage) -> list[Kpi]:
    """The day, what was expected, the difference, and what no driver explains."""
    actual, expected = views.dollars(found["actual"]), views.dollars(found["expected"])
    low, high = views.expected_range(found) or (None, None)
    between = f"range {money(low)} to {money(high)}" if low is not None else "no range: not enough history"
    delta = views.dollars(found["delta"])
    bad = bool(found["flagged"])
    day = coverage.named(date.fromisoformat(found["day"]))
    return [
        Kpi(day, money(actual), "stands out" if bad else "does not stand out",
            tone="bad" if bad else ""),
        Kpi("Expected", money(expected), between, about=baseline_words(found["baseline"])),
        Kpi("Difference", money(delta, sign=True), "the drivers and the unexplained part sum to it"),
        Kpi("Unexplained", money(views.dollars(found["residual"])), "zero except for calls without a price"),
    ]  # fmt: skip


def baseline_words(baseline: views.Document) -> str:
    """What the day was compared with."""
    left_out = baseline["left_out"]
    text = f"The mean of {len(baseline['days'])} comparable days, weighted: {', '.join(baseline['days'])}."
    return f"{text} Left out, as they stand out themselves: {', '.join(left_out)}." if left_out else text


def notes(found: views.Document) -> list[str]:
    """Cautions of the diagnosis itself."""
    said = []
    if found["low_history"]:
        days = found["baseline"]["history_days"]
        said.append(f"Low history: {days} active days before this one, so the baseline is their mean, without a range.")
    unpriced = found["unpriced_calls"]
    if unpriced["day"] or unpriced["baseline_per_day"]:
        said.append(
            f"Without a price, so in no figure here: {counted(unpriced['day'], 'call')} on the day, "
            f"{unpriced['baseline_per_day']:,g} per baseline day."
        )
    return said
