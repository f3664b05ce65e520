"""`hindcast dashboard`: serves the dashboard on this machine."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.terminal.output import DEFAULT_STORE, StoreOption, note
from ingest.errors import StoreError


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def dashboard(
        port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8501,
        host: Annotated[str, typer.Option(help="Address to bind; the default is this machine only.")] = "127.0.0.1",
        browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser window.")] = False,
        store: StoreOption = DEFAULT_STORE,
    ) -> None:
        """Serve the dashboard on this machine. It reads the store while an ingest writes.

        Example: hindcast dashboard --port 8600
        """
        if not Path(store).exists():
            raise StoreError(f"there is no store at {store}", remedy="Make one with: hindcast ingest PATH")
        raise typer.Exit(serve(Path(store), port=port, host=host, browser=browser))


def serve(store: Path, *, port: int, host: str = "127.0.0.1", browser: bool = False) -> int:
    """Serve until stopped; the exit code. No usage statistics are sent."""
    found = importlib.util.find_spec("dashboard")
    assert found is not None
    assert found.origin is not None
    script = Path(found.origin).with_name("app.py")
    note(f"Dashboard of {store}: http://{'localhost' if host == '127.0.0.1' else host}:{port}   (Ctrl-C stops it)")
    command = [
        sys.executable, "-m", "dashboard.server", str(script),
        "--server.port", str(port),
        "--server.address", host,
        "--server.headless", "false" if browser else "true",
        "--server.fileWatcherType", "none",
        "--browser.gatherUsageStats", "false",
        "--client.toolbarMode", "minimal",
        "--logger.level", "error",
        "--logger.hideWelcomeMessage", "true",
        "--global.developmentMode", "false",
    ]  # fmt: skip
    environment = {**os.environ, "HINDCAST_STORE": str(store.resolve())}
    if os.name == "posix":  # the server takes this process's place: whoever ends it ends the server
        sys.stdout.flush()
        sys.stderr.flush()
        os.execve(sys.executable, command, environment)  # noqa: S606
    try:
        return subprocess.run(command, env=environment, check=False).returncode
    except KeyboardInterrupt:
        return 0
