"""The server's process: the pages behind their access rules, and a thread that works out what a first page asks for.

    python -P -m dashboard.server --host 127.0.0.1 --port 8501    (as `hindcast dashboard` does, with HINDCAST_STORE)

What pages import is imported before the server answers, and the store is summed up meanwhile; by the time someone
opens the first page, most of its figures are known.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import secrets
import socket
import sys
import threading
import time
import webbrowser
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from dashboard.access import SERVED_AT, WILDCARDS, Access, AccessMiddleware, is_local

PAUSE_S = 8.0  # a reader who opens the page at once should find the processor free for it
FAREWELL_S = 1  # readers' connections are cut this long after the server was asked to end
FOLDER = Path(__file__).parent


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


def pages(access: Access) -> Any:
    """The pages as an ASGI application. Raises nothing for settings of the working folder: it reads none."""
    from starlette.middleware import Middleware
    from streamlit import config
    from streamlit.starlette import App

    # a `.streamlit` of the working folder could load scripts, and its secrets become environment variables
    with contextlib.chdir(FOLDER):
        app = App(FOLDER / "app.py", middleware=[Middleware(AccessMiddleware, access=access)])
        config.set_option("secrets.files", [])
    return app


def listen(host: str, port: int) -> socket.socket:
    """A socket at this address. Raises OSError where it is taken or is none of this machine's."""
    family, *_, address = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    both = family == socket.AF_INET6 and host in WILDCARDS and socket.has_dualstack_ipv6()
    return socket.create_server(address[:2], family=family, dualstack_ipv6=both)


def warning(where: str, store: str) -> str:
    """What somebody must know who serves the pages beyond this machine."""
    return (
        f"Warning: other machines reach {where}. Whoever has the address with its token can\n"
        f"  read   every figure, name, prompt and answer in {store}\n"
        "  write  what is said of a day (into that store), strategy files (into ./strategies), saved views\n"
        "         (into ./dashboard-views.json)\n"
        "The connection is not encrypted: put a proxy with TLS before it, or use --host 127.0.0.1 and a tunnel."
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until stopped; the exit code."""
    parser = argparse.ArgumentParser(prog="dashboard.server")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8501)
    parser.add_argument("--name", action="append", default=[])
    parser.add_argument("--browser", action="store_true")
    chosen = parser.parse_args(arguments)

    from dashboard.data import cost_cells

    # the store is read while the imports take their time
    threading.Thread(target=cost_cells.start, daemon=True).start()
    from streamlit.logger import set_log_level

    set_log_level("ERROR")  # that pages are imported before there are readers is no news
    for screen in ("overview", "spike"):
        import_module(f"dashboard.screens.{screen}")
    import uvicorn

    local = is_local(chosen.host) and not chosen.name
    token = None if local else secrets.token_urlsafe(32)
    shown = f"[{chosen.host}]" if ":" in chosen.host else chosen.host
    where = f"{'localhost' if chosen.host == '127.0.0.1' else shown}:{chosen.port}"
    try:
        opened = listen(chosen.host, chosen.port)
    except (OSError, OverflowError) as error:
        taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        why = "port is taken: choose another with --port" if taken else str(error)
        print(f"hindcast: cannot listen at {where}: {why}", file=sys.stderr)
        return 2
    store = os.environ.get("HINDCAST_STORE", "hindcast.duckdb")
    if not local:
        os.environ[SERVED_AT] = where
        print(warning(where, store), file=sys.stderr)
    url = f"http://{where}" + (f"/?token={token}" if token else "")
    print(f"Dashboard of {store}: {url}   (Ctrl-C stops it)", file=sys.stderr, flush=True)

    app = pages(Access.of_server(chosen.host, chosen.port, chosen.name, token))
    threading.Thread(target=prepare, daemon=True).start()
    if chosen.browser:
        threading.Timer(1.0, webbrowser.open, [url]).start()
    server = uvicorn.Server(
        uvicorn.Config(
            app, log_level="error", access_log=False, use_colors=False, timeout_graceful_shutdown=FAREWELL_S,
            server_header=False,
        )
    )  # fmt: skip
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[opened])
    return 0


if __name__ == "__main__":
    sys.exit(main())
