"""How a page waits for long work: what is done so far, a way to stop it, and the result kept for all visitors."""

from __future__ import annotations

import time
from collections.abc import Hashable, Mapping
from typing import Any

import streamlit as st

from dashboard.data import job_process, results_cache, store_version
from dashboard.widgets import blocks
from dashboard.widgets.page_frame import View
from ingest.errors import HindcastError


def result(view: View, job: str, arguments: Mapping[str, Any], text: str, *, key: Hashable, of: int = 0) -> Any:
    """The result of an job on this store, kept from before or worked out now; None if the reader stopped it.

    `key` says all that the result depends on beside the store. `of` is how many steps it will tell of, if known.
    """
    name = (job, *view.key, key)
    if (found := results_cache.get(name)) is not None:
        return found
    if st.session_state.get("stopped") == name:
        blocks.nothing("Stopped", "Nothing was kept of it; it can start again at any time.")
        st.button("Start again", type="primary", on_click=lambda: st.session_state.pop("stopped", None))
        return None
    box = st.empty()
    with box.container():
        bar = st.progress(0.0, text=text)
        st.button("Stop this", key=f"stop-{job}", on_click=lambda: st.session_state.update(stopped=name))
        began = time.monotonic()

        def tick(finished: list[str]) -> None:
            # a click on Stop, or any other, ends this run of the page at this drawing, and the work with it
            spent = f"{time.monotonic() - began:.0f} s"
            steps = f"{len(finished)} of {of} done" if of else finished[-1] if finished else "starting"
            bar.progress(min(1.0, len(finished) / of) if of else 0.0, text=f"{text}: {steps}, {spent}")

        try:
            found = job_process.run(
                job,
                store_version.store_path(),
                results_cache.copy_path(view.version),
                arguments,
                tick,
                scope=view.scope,
            )
        except HindcastError:
            box.empty()
            raise
    box.empty()
    results_cache.put(name, found)
    return found
