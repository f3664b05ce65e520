"""The dashboard's entry: `streamlit run dashboard/app.py` with HINDCAST_STORE set, as `hindcast dashboard` does.

Read-only on the store. A page is the `show` of a module in `dashboard.screens`, imported when it is first opened; the
URL carries what a reader chose.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import streamlit as st

from dashboard import access
from dashboard.data import store_version
from dashboard.widgets import blocks, page_frame, page_state
from ingest.errors import HindcastError

# a file of ours: a named icon would be fetched from a font server
ICON = Path(__file__).parent / "assets" / "icon.svg"
ABOUT = (
    "**Hindcast** explains what a log of model calls cost, and what it would have cost under another policy. "
    f"{access.audience()}"
)
PAGES = (
    ("overview", "Overview", ":material/monitoring:"),
    ("spike", "Spike", ":material/troubleshoot:"),
    ("compare", "Compare", ":material/compare_arrows:"),
    ("explore", "Explore", ":material/account_tree:"),
    ("strategies", "Strategies", ":material/alt_route:"),
    ("cache-lab", "Cache lab", ":material/cached:"),
    ("optimize", "Optimize", ":material/tune:"),
    ("prices", "Prices", ":material/sell:"),
    ("data", "Data", ":material/database:"),
)


def screen(path: str) -> Callable[[], None]:
    """The page at a URL path."""

    def show() -> None:
        import_module(f"dashboard.screens.{path.replace('-', '_')}").show()

    return show


# with an entry of its own the menu is shown, and in it the choice between light, dark and the system's theme
st.set_page_config(page_icon=str(ICON), layout="wide", menu_items={"About": ABOUT})
blocks.look()
pages = {
    path: st.Page(screen(path), title=title, url_path=path, icon=icon, default=path == "overview")
    for path, title, icon in PAGES
}
st.session_state["pages"] = pages
page = st.navigation(list(pages.values()))
st.session_state["page-path"] = page.url_path
st.set_page_config(page_title=f"{page.title} · Hindcast")
try:
    page_frame.check(store_version.store_path())
    page_state.bring(page.url_path)
    page.run()
except HindcastError as error:
    blocks.nothing(error.what, error.remedy or "Look at the output of `hindcast dashboard`.")
page_frame.follow()
page_frame.footer()
