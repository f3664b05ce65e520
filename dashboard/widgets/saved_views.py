"""Saved views: the address of a page under a name, to come back to; kept in a file of the working folder."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard.data import view_files
from dashboard.data.view_files import SavedView
from dashboard.widgets import blocks
from ingest.errors import InputError


def draw() -> None:
    """The views that were saved, each a link with a way to forget it, and a box to save what is on the page now."""
    try:
        views = view_files.read()
    except InputError as error:
        blocks.note(f"{error.what}. {error.remedy}", warn=True)
        return
    st.html('<p class="hc-label">Saved views</p>')
    for number, view in enumerate(views):
        with st.container(horizontal=True, key=f"view-{number}", vertical_alignment="center"):
            page = st.session_state["pages"].get(view.page or "overview")
            if page is not None:
                st.page_link(page, label=_plain(view.name), query_params=_query(view), width="stretch")
            st.button(
                "Forget", key=f"forget-{number}", on_click=_forget, args=(view.name,), type="tertiary",
                icon=":material/delete:", help=f"Forget the view {_plain(view.name)}",
            )  # fmt: skip
    with st.form("save-view", border=False):
        st.text_input("Save this page as", key="view-name", max_chars=view_files.LONGEST, placeholder="a name")
        st.form_submit_button("Save", on_click=_save)
    if problem := st.session_state.pop("view-problem", None):
        blocks.note(problem, warn=True)


def _query(view: SavedView) -> dict[str, Any]:
    return {name: values[0] if len(values) == 1 else values for name, values in view.query.items()}


def _plain(text: str) -> str:
    """A name as a label shows it: Streamlit's labels know Markdown."""
    return "".join(f"\\{char}" if char in r"\`*_{}[]()#+-.!|~:$<>" else char for char in text)


def _save() -> None:
    query = {name: st.query_params.get_all(name) for name in st.query_params}
    try:
        view_files.save(SavedView(st.session_state["view-name"], st.session_state["page-path"], query))
        st.session_state["view-name"] = ""
    except (InputError, OSError) as error:
        st.session_state["view-problem"] = f"Not saved: {error}"


def _forget(name: str) -> None:
    try:
        view_files.remove(name)
    except (InputError, OSError) as error:
        st.session_state["view-problem"] = f"Not forgotten: {error}"
