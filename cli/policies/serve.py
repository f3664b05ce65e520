"""`hindcast serve`: a strategy in front of an OpenAI-compatible provider, for programs in any language."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.terminal.output import note


def register(app: typer.Typer) -> None:
    app.command()(serve)


def serve(
    strategy: Annotated[Path, typer.Argument(help="The strategy file.")],
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen at; 0 takes a free one.")] = 4000,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    upstream: Annotated[
        str, typer.Option(envvar="OPENAI_BASE_URL", help="The provider that is asked.")
    ] = "https://api.openai.com/v1",
    log: Annotated[Path, typer.Option(help="Where the calls are logged.")] = Path("calls.jsonl"),
    redis: Annotated[str | None, typer.Option(envvar="HINDCAST_REDIS", help="Address of a shared tier.")] = None,
) -> None:
    """Serve a strategy as an OpenAI-compatible endpoint.

    Callers' keys are passed on and never kept. Give the context of a call in headers such as x-hindcast-agent.

    Example: hindcast serve routed.yaml --port 4000
    """
    from ingest.errors import InputError
    from replay.live.proxy import Proxy, run

    if not upstream.startswith(("http://", "https://")):
        raise InputError(f"--upstream '{upstream}' is no address", remedy="Such as https://api.openai.com/v1")
    local = host in ("127.0.0.1", "localhost", "::1")
    proxy = Proxy(strategy, upstream=upstream, log=log, redis=redis, local=local)
    if not local:
        note(f"anyone who reaches {host} can send calls through this proxy; cached answers go to their own key alone")
    run(proxy, host, port, lambda address: note(f"{proxy.applied.strategy.name} at {address}   ·   log: {log}"))
