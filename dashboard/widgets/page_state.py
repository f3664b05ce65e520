"""What a reader chose on a page holds when they come back to it, by the menu or by the browser's Back.

On the way to another page the browser is given the bare address of the page that is left, so Back would show that
page as nobody has seen it. The address itself always wins: a shared one shows what it names.
"""

from __future__ import annotations

from typing import Any, Final

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

# by page, the choices that no publish can take away
FIXED: Final = {
    "": ("by", "dimension", "measure"), "spike": ("apart",), "compare": ("vs", "cut"), "explore": ("look",),
    "strategies": ("cold",), "cache-lab": ("key", "hot"), "optimize": ("floor",),
}  # fmt: skip
SHARED: Final = ("days", "where", "tz")  # what the filter bar holds on every page
_SEEN: Final = "choices-seen"  # the page that was drawn last, and what was chosen on each
_BAR: Final = "*"  # the filter bar, which all pages share
_AGAIN: Final = "choices-again"


def bring(page: str) -> None:
    """Before a page is drawn: what was chosen on it before, if the reader comes from another one."""
    last, chosen = _seen()
    if last is not None:  # a run may have been cut short by the click that led here, so this is noted now
        found = {name: st.session_state[name] for name in FIXED.get(last, ()) if name in st.session_state}
        chosen.setdefault(last, {}).update(found)
        chosen.setdefault(_BAR, {}).update(
            {name: st.session_state[name] for name in SHARED if name in st.session_state}
        )
    moved = last not in (None, page)
    kept = {**chosen.get(_BAR, {}), **chosen.get(page, {})}
    wanted = {name: value for name, value in kept.items() if name not in st.query_params}
    again = st.session_state.pop(_AGAIN, False)
    if moved and _came_back() and not again and wanted:
        # in a run that follows the browser's history, what an address does not name is put back to its default
        st.session_state[_AGAIN] = True
        st.rerun()
    st.session_state[_SEEN] = (page, chosen)
    if moved:
        for name, value in wanted.items():
            st.session_state[name] = value


def _came_back() -> bool:
    """Whether this run follows the browser's Back or Forward."""
    run = get_script_run_ctx()
    return bool(getattr(run, "is_history_navigation", False))


def _seen() -> tuple[str | None, dict[str, dict[str, Any]]]:
    found: tuple[str | None, dict[str, dict[str, Any]]] = st.session_state.setdefault(_SEEN, (None, {}))
    return found
