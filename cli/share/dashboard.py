"""`hindcast dashboard`: serves the dashboard on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from cli.terminal.output import DEFAULT_STORE, StoreOption
from ingest.errors import StoreError


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def dashboard(
        port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8501,
        host: Annotated[
            str, typer.Option(help="Address to bind; any but this machine's own asks readers for a token.")
        ] = "127.0.0.1",
        name: Annotated[
            list[str] | None, typer.Option(help="A name that a proxy before it is called by (repeatable).")
        ] = None,
        browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser window.")] = False,
        store: StoreOption = DEFAULT_STORE,
    ) -> None:
        """Serve the dashboard on this machine. It reads the store while an ingest writes.

        Example: hindcast dashboard --port 8600
        """
        from ingest.store.address import is_lake, open_store

        if not open_store(store).exists():
            raise StoreError(f"there is no store at {store}", remedy="Make one with: hindcast ingest PATH")
        address = store if is_lake(store) else str(Path(store).resolve())
        raise typer.Exit(serve(address, port=port, host=host, names=name or (), browser=browser))


def serve(store: str, *, port: int, host: str = "127.0.0.1", names: Sequence[str] = (), browser: bool = False) -> int:
    """Serve the store at this address until stopped; the exit code. No usage statistics are sent."""
    command = [
        sys.executable, "-P", "-m", "dashboard.server", "--host", host, "--port", str(port),
        *(part for name in names for part in ("--name", name)), *(["--browser"] if browser else []),
    ]  # fmt: skip
    environment = {**os.environ, "HINDCAST_STORE": store}
    if os.name == "posix":  # the server takes this process's place: whoever ends it ends the server
        sys.stdout.flush()
        sys.stderr.flush()
        os.execve(sys.executable, command, environment)  # noqa: S606
    try:
        return subprocess.run(command, env=environment, check=False).returncode
    except KeyboardInterrupt:
        return 0
