"""The server's process: Streamlit, and beside it a thread that works out what every first page asks for.

    python -m dashboard.server APP --server.port 8501 ...    (as `streamlit run`; `hindcast dashboard` starts it)

What pages import is imported before the server answers; by the time someone opens the first page, most of its figures
are known.
"""

from __future__ import annotations

import sys
import threading
import time
from importlib import import_module

PAUSE_S = 8.0  # a reader who opens the page at once should find the processor free for it


def prepare() -> None:
    """Compute the first page's figures. An error here is raised again on the page, which shows it."""
    from streamlit import runtime

    from dashboard.data import results_cache
    from ingest.errors import HindcastError

    while not runtime.exists():
        time.sleep(0.02)
    try:
        results_cache.warm_first_page()
        time.sleep(PAUSE_S)
        results_cache.warm_next_pages()
    except HindcastError:
        return


def main() -> None:
    """Serve until stopped."""
    from streamlit.logger import set_log_level

    set_log_level("ERROR")  # that pages are imported before there are readers is no news
    for screen in ("overview", "spike"):
        import_module(f"dashboard.screens.{screen}")
    threading.Thread(target=prepare, daemon=True).start()
    from streamlit.web import cli

    sys.argv = ["streamlit", "run", *sys.argv[1:]]
    cli.main(prog_name="streamlit")


if __name__ == "__main__":
    main()
