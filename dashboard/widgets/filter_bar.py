"""The filter bar of every page: which days, which calls, and whose midnight; in the address, one for all pages."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Final

import streamlit as st

from analysis import time_zone
from analysis.calendar_days import parse_range
from analysis.dimensions import as_filter
from dashboard.data import results_cache
from dashboard.data.scope import Scope
from dashboard.widgets import saved_views
from ingest.errors import InputError

ALL_DAYS: Final = "all days"
SPIKE_ON: Final = "from the spike on"
LAST: Final = ("last 7 days", "last 30 days", "last 90 days")
_LAST: Final = re.compile(r"last (\d{1,5}) days", re.ASCII)
THIS_MONTH: Final = "this month"
LAST_MONTH: Final = "last month"
PRESETS: Final = (ALL_DAYS, *LAST, THIS_MONTH, LAST_MONTH, SPIKE_ON)
MOST_CONDITIONS: Final = 20


def draw(path: str, version: str, *, dates: bool) -> tuple[str, Scope]:
    """Draw the bar; the chosen days as text (ALL_DAYS where a page has none to choose) and the calls.

    Raises InputError for a condition or a zone that is none.
    """
    time_zone.set_in_thread(None)  # what the thread's last reader chose says nothing here
    with st.container(horizontal=True, key="filter-bar", vertical_alignment="bottom", gap="small"):
        days = ALL_DAYS
        if dates:
            days = str(
                st.selectbox(
                    "Days", PRESETS, index=0, key="days", bind="query-params", accept_new_options=True, width=190,
                    help="Counted back from the newest day of the log. Or type: 2024-03, 2024-W10, 14d, "
                    "2024-03-01..2024-03-05",
                )
                or ALL_DAYS
            )  # fmt: skip
        where = st.multiselect(
            "Calls", results_cache.filter_choices(path, version), key="where", bind="query-params",
            accept_new_options=True, max_selections=MOST_CONDITIONS, placeholder="all calls",
            select_all=False, wrap=True,
            help="As --where of the commands: agent=x, model!=gpt-4*, tag.team=core. Values of one dimension add up, "
            "different dimensions all hold.",
        )  # fmt: skip
        with st.popover("More", icon=":material/more_horiz:", help="Calendar, time zone, saved views", width="content"):
            if dates:
                _calendar(path, version)
            zone = _zone()
            saved_views.draw()
    scope = Scope(tuple(where), zone)
    as_filter(scope.where)
    time_zone.set_in_thread(zone)
    return days, scope


def window(text: str, covered: list[date], spike: date | None = None) -> tuple[date, date]:
    """The first and the last day that a choice names, within the log's days (`covered`, not empty).

    Relative days count from the log's newest. `spike` is the first day that stands out; all days where it is None.
    Raises InputError for a text that names no days, and for days that the log has none of.
    """
    first, newest = covered[0], covered[-1]
    if text == ALL_DAYS or (text == SPIKE_ON and spike is None):
        return first, newest
    if text == SPIKE_ON and spike is not None:
        since, until = spike, newest
    elif text in (THIS_MONTH, LAST_MONTH):
        until = newest if text == THIS_MONTH else newest.replace(day=1) - timedelta(days=1)
        since = until.replace(day=1)
    else:
        days = _LAST.fullmatch(text)
        since, until = parse_range(f"{days[1]}d" if days else text, newest)
    since, until = max(since, first), min(until, newest)
    if since > until:
        raise InputError(f"no call in {text}", remedy=f"The log has {first} to {newest}: choose other days.")
    return since, until


def _calendar(path: str, version: str) -> None:
    covered = results_cache.coverage(path, version, Scope()).days

    def choose() -> None:
        chosen = st.session_state["calendar"]
        if isinstance(chosen, tuple) and len(chosen) == 2:
            st.session_state["days"] = f"{chosen[0]}..{chosen[1]}"

    st.date_input(
        "From and to", value=[], min_value=covered[0], max_value=covered[-1], key="calendar", on_change=choose,
        format="YYYY-MM-DD", help="The first and the last day, both included",
    )  # fmt: skip


def _zone() -> str | None:
    """The zone of the days; None for that of the process, so that its results are found again."""
    own = time_zone.label()
    options = dict.fromkeys([own, "UTC", *filter(None, [st.context.timezone])])
    chosen = st.selectbox(
        "Days begin at midnight in", list(options), index=0, key="tz", bind="query-params", accept_new_options=True,
        help="Or type another time zone, such as Europe/Berlin",
    )  # fmt: skip
    return None if chosen in (None, own) else str(chosen)
