"""The days that stand out and what people did, as lists: each day leads to its explanation."""

from __future__ import annotations

from datetime import date, timedelta
from functools import partial

import streamlit as st

from analysis import time_zone
from analysis.diagnosis import narrative
from analysis.formatting import count as counted
from analysis.formatting import day as day_text
from dashboard.documents import document_views
from dashboard.render.tables import Column, Table
from dashboard.widgets import blocks, fragments
from dashboard.widgets.page_frame import View

SHOWN = 3
MOST = 60


def flagged_days(found: document_views.Document) -> list[date]:
    """Every day of every run that stands out, oldest first."""
    days = []
    for run in found["flagged_runs"]:
        first, last = date.fromisoformat(run["first"]), date.fromisoformat(run["last"])
        days += [first + timedelta(days=number) for number in range((last - first).days + 1)]
    return sorted(days)


def flagged(view: View, found: document_views.Document | None) -> None:
    """The runs of days that stand out within the window, newest first, each a link to its first day."""
    if found is None:
        return
    covered = view.coverage.days
    first, last = view.since or covered[0], view.until or covered[-1]
    runs = [
        run
        for run in found["flagged_runs"]
        if date.fromisoformat(run["first"]) <= last and date.fromisoformat(run["last"]) >= first
    ]
    if not runs:
        return
    days = sum(run["days"] for run in runs)
    title = f"{counted(days, 'day')} stood out" if len(runs) == days else f"{days} days in {len(runs)} runs stood out"
    if len(runs) == 1 < days:
        title = f"{days} days in a row stood out"
    blocks.finding(title)
    for run in runs[:SHOWN]:
        _link(run)
    if len(runs) > SHOWN:
        _more(view, tuple(range(SHOWN, min(len(runs), MOST))), runs)


@fragments.region
def _more(_view: View, places: tuple[int, ...], runs: list[document_views.Document]) -> None:
    def every_run() -> None:
        for place in places:
            _link(runs[place])
        if len(runs) > MOST:
            blocks.note(f"And {len(runs) - MOST} more: hindcast diagnose --flagged")

    fragments.fold(f"{len(runs) - SHOWN} more", "flagged-runs", every_run)


def _link(run: document_views.Document) -> None:
    st.page_link(
        st.session_state["pages"]["spike"],
        label=narrative.run_in_words(run).replace("$", "\\$"),
        icon=":material/trending_up:" if run["direction"] == "up" else ":material/trending_down:",
        query_params={"day": run["first"]},
    )


def marks(view: View) -> None:
    """What was marked with `hindcast mark`, newest first."""
    made = sorted(view.coverage.annotations, key=lambda one: one.time, reverse=True)
    if not made:
        return
    rows = tuple((time_zone.local(one.time), one.text, one.source) for one in made)
    columns = (
        Column("when", lambda at: f"{day_text(at.date())} {at.year} {at:%H:%M}"),
        Column("what was done"),
        Column("noted", lambda source: "from git" if source == "git" else "by hand", minor=True),
    )
    table = Table("What was done, as marked", columns, rows)
    _marks(view, table)


@fragments.region
def _marks(_view: View, table: Table) -> None:
    fragments.fold(
        f"{counted(len(table.rows), 'mark')} of what was done", "marks", partial(blocks.table, table, "marks")
    )
