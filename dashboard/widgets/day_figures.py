"""A figure of each day that is no stack of bars, and the way from a bar to its day."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import streamlit as st

from analysis.formatting import money
from dashboard.data import measures, results_cache
from dashboard.render import daily_charts
from dashboard.widgets import blocks
from dashboard.widgets.page_frame import View

_CLICKED = "clicked-day"


def draw(view: View, heading: Any, picture: Any, measure: str) -> Callable[[], None]:
    """Draw a measure of `measures.NAMES` that is not stacked; nothing is left to draw later."""
    days = view.since, view.until
    if measure in (measures.ERRORS, measures.LATENCY):
        rows = results_cache.service(*view.key, ("day",), *days)
        (whole,) = results_cache.service(*view.key, (), *days)
        found = (measures.errors if measure == measures.ERRORS else measures.latency)(rows, whole)
    else:
        costs = results_cache.unit_costs(*view.key, measures.UNITS[measure], ("day",), *days)
        found = measures.unit_cost(costs, measure, costs["summary"])
    with heading:
        blocks.finding(found.finding)
    if found.lines:
        with picture:
            blocks.picture(
                daily_charts.comparison(
                    found.lines, annotations=view.coverage.annotations, unit=found.unit, text=_text(measure)
                ),
                f"daily-{measure.replace(' ', '-')}",
                alt=f"{measure.capitalize()} per day, {view.window()}. {found.finding}",
                clicked=clicked,
                caption=view.caption(f"{measure.capitalize()} per day"),
            )
            if found.note:
                blocks.note(found.note)
    return lambda: None


def _text(measure: str) -> Callable[[Any], str]:
    if measure == measures.ERRORS:
        return lambda value: "-" if value is None else f"{value:.1f} %"
    if measure == measures.LATENCY:
        return lambda value: measures.seconds(None if value is None else 1000 * value)
    return money


def clicked() -> None:
    """Before the run that follows a click on a picture of days: remember which day it was."""
    if (day := _clicked_day()) is not None:
        st.session_state[_CLICKED] = day


def clicked_week() -> None:
    """Before the run that follows a click on a bar of a week: its days are the window from here on."""
    if (monday := _clicked_day()) is not None:
        st.session_state["days"] = f"{monday}..{monday + timedelta(days=6)}"


def _clicked_day() -> date | None:
    for name, state in st.session_state.items():
        if not str(name).startswith("picture-daily-") or not state:
            continue
        points = state.get("selection", {}).get("points", [])
        if points and "x" in points[0]:
            try:
                return date.fromisoformat(str(points[0]["x"])[:10])
            except ValueError:
                return None
    return None


def open_clicked_day() -> None:
    """Go to the Spike page of the day that was clicked, if one was."""
    day: date | None = st.session_state.pop(_CLICKED, None)
    if day is None:
        return
    st.switch_page(st.session_state["pages"]["spike"], query_params={"day": day.isoformat()})
