"""Regions of a page that are drawn again by themselves: a click inside one leaves the rest of the page as it is."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec

import streamlit as st

from analysis import time_zone
from dashboard.data import store_version
from dashboard.widgets import blocks
from dashboard.widgets.page_frame import View
from ingest.errors import HindcastError
from ingest.store.address import open_store

Rest = ParamSpec("Rest")


def region(draw: Callable[Concatenate[View, Rest], None]) -> Callable[Concatenate[View, Rest], None]:
    """What `draw` draws, as a region. Where the store has changed since, or is gone, the whole page is drawn again."""

    @wraps(draw)
    def shown(view: View, /, *args: Rest.args, **kwargs: Rest.kwargs) -> None:
        path = Path(view.path)
        if not open_store(path).exists() or store_version.version(path) != view.version:
            st.rerun()
        time_zone.set_in_thread(view.scope.zone)
        try:
            draw(view, *args, **kwargs)
        except HindcastError as error:  # the page's own answer to an error is not there when only this is drawn
            blocks.nothing(error.what, error.remedy or "Look at the output of `hindcast dashboard`.")

    return st.fragment(shown)


def fold(label: str, key: str, draw: Callable[[], None], *, opened: bool = False) -> None:
    """A part of the page under a heading that folds away; it is drawn, and sent, only while it is open."""
    box = st.expander(label, key=key, expanded=opened, on_change="rerun")
    if box.open:
        with box:
            draw()
