"""What a person says of a day: the one thing that the dashboard writes to the store."""

from __future__ import annotations

from datetime import date
from functools import partial
from typing import Final

import streamlit as st

from analysis.anomalies.day_marks import mark, unmark
from analysis.formatting import day as day_text
from dashboard.documents import document_views
from dashboard.widgets import blocks, fragments
from dashboard.widgets.page_frame import View
from ingest.errors import HindcastError
from ingest.store.address import open_store

MEANING: Final = {
    "expected": "as it should be",
    "planned": "planned, such as a launch",
    "wrong": "flagged for no reason",
}


@fragments.region
def of_day(view: View, found: document_views.Document) -> None:
    """What was said of the day, with a way to take it back; else a form to say it."""
    day = date.fromisoformat(found["day"])
    if problem := st.session_state.pop("unmarked", None):
        blocks.note(f"Not written: {problem}", warn=True)
    if said := found["feedback"]:
        note = f": {said['note']}" if said["note"] else ""
        blocks.note(
            f"{day_text(day)} is marked as {said['verdict']} ({MEANING[said['verdict']]}){note}. "
            "It raises no flag and counts as history."
        )
        st.button("Take it back", on_click=_forget, args=(view, day), type="tertiary", icon=":material/undo:")
        return
    title = f"Was {day_text(day)} expected? Say so, and it raises no flag again"
    fragments.fold(title, f"marking-{day}", partial(_form, view, found, day))


def _form(view: View, found: document_views.Document, day: date) -> None:
    with st.form("feedback"):
        st.segmented_control(
            "The day was", list(MEANING), format_func=lambda verdict: MEANING[verdict], key="verdict",
            default="planned" if found["flagged"] else "expected", required=True,
        )  # fmt: skip
        st.text_input("Why, for whoever looks next", key="why", max_chars=200)
        st.form_submit_button("Remember", on_click=_remember, args=(view, day))
        blocks.note(
            f"Written to {view.name}, as `hindcast diagnose --mark` does. The day then counts as history: "
            "later days are compared with it."
        )


def _remember(view: View, day: date) -> None:
    try:
        mark(open_store(view.path), day, st.session_state["verdict"], st.session_state["why"].strip() or None)
    except HindcastError as error:
        st.session_state["unmarked"] = str(error)
    st.session_state["day"] = day  # the page stays with the day, whichever stands out now


def _forget(view: View, day: date) -> None:
    try:
        unmark(open_store(view.path), day)
    except HindcastError as error:
        st.session_state["unmarked"] = str(error)
    st.session_state["day"] = day
