"""Spike: what a day cost beyond the expected, why, in dollars that add up, down to the prompt behind it."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import streamlit as st

from analysis import narrative
from analysis.present import day as day_text
from analysis.present import money, share
from dashboard import cached, drill, elements, figures, frame, views
from dashboard.cards import Kpi
from dashboard.tables import Column, Table

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
    elements.kpis(figures_of_merit(found))
    for text in notes(found):
        elements.note(text, warn=True)
    frame.remarks(view.coverage)
    if not found["drivers"]:
        elements.nothing("Nothing to take apart", "The day cost what was expected, or there is no day to compare with.")
        return
    elements.finding(
        f"From {money(views.dollars(found['expected']))} expected to {money(views.dollars(found['actual']))}"
    )
    elements.picture(
        figures.waterfall(views.driver_steps(found)),
        f"waterfall-{found['day']}",
        alt=f"Waterfall from the expected to the actual cost of {found['day']}: "
        + "; ".join(
            f"{views.where(d['segment'])}, {views.what(d)}: {money(Decimal(d['delta']), sign=True)}"
            for d in found["drivers"][: views.DRIVERS_SHOWN]
        ),
    )
    elements.finding("The drivers, largest first")
    elements.table(driver_table(found), f"drivers-{found['day']}", limit=TABLE_ROWS)
    drill.from_driver(view, found)


def figures_of_merit(found: views.Document) -> list[Kpi]:
    """The day, what was expected, the difference, and what no driver explains."""
    actual, expected = views.dollars(found["actual"]), views.dollars(found["expected"])
    low, high = views.expected_range(found) or (None, None)
    between = f"range {money(low)} to {money(high)}" if low is not None else "no range: not enough history"
    delta = views.dollars(found["delta"])
    bad = bool(found["flagged"])
    return [
        Kpi(day_text(date.fromisoformat(found["day"])), money(actual), "stands out" if bad else "does not stand out",
            tone="bad" if bad else ""),
        Kpi("Expected", money(expected), between, about="The matched baseline: comparable days before this one."),
        Kpi("Difference", money(delta, sign=True), "the drivers and the unexplained part sum to it"),
        Kpi("Unexplained", money(views.dollars(found["residual"])), "zero except for calls without a price"),
    ]  # fmt: skip


def notes(found: views.Document) -> list[str]:
    """Cautions of the diagnosis itself."""
    said = []
    if found["low_history"]:
        days = found["baseline"]["history_days"]
        said.append(f"Low history: {days} active days before this one, so the baseline is their mean, without a range.")
    left_out = found["baseline"]["left_out"]
    if left_out:
        said.append("Left out of the baseline, as they stand out themselves: " + ", ".join(left_out) + ".")
    unpriced = found["unpriced_calls"]
    if unpriced["day"] or unpriced["baseline_per_day"]:
        said.append(
            f"Without a price, so in no figure here: {views.plural(unpriced['day'], 'call')} on the day, "
            f"{unpriced['baseline_per_day']:,g} per baseline day."
        )
    if found["onset"] and found["onset"] != found["day"]:
        said.append(f"It has stood out since {day_text(date.fromisoformat(found['onset']))}.")
    return said


def driver_table(found: views.Document) -> Table:
    """Segment, factor, dollars, share, before and after, and what undoing it saves."""
    columns = (
        Column("share", share, figure=True, about="Of the whole difference"),
        Column("USD", lambda value: money(value, sign=True), figure=True),
        Column("where"),
        Column("what"),
        Column("before", figure=True),
        Column("after", figure=True),
        Column("undo saves a day", lambda value: "-" if value is None else money(value), figure=True,
               about="What the day would cost less if this alone went back to its baseline"),
    )  # fmt: skip
    rows = tuple(
        (
            driver["share"],
            Decimal(driver["delta"]),
            views.where(driver["segment"]),
            views.what(driver),
            narrative.figure(driver["before"], driver["unit"]),
            narrative.figure(driver["after"], driver["unit"]),
            views.dollars(driver["undo_saves"]),
        )
        for driver in found["drivers"]
    )
    total = (1.0 if views.amount(found["delta"]) else None, views.dollars(found["delta"]), "sums to the change",
             f"{money(views.dollars(found['residual']))} unexplained", None, None, None)  # fmt: skip
    return Table(f"Drivers of {found['day']}", columns, rows, total=total)
