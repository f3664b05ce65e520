"""`hindcast report`: the story in one file, for whoever pays, whoever built it, or a pull request."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.terminal.options import Day, Where, choice, registry, selected_store
from cli.terminal.output import DEFAULT_STORE, JsonOption, StoreOption, emit_json, note, progress


def register(app: typer.Typer) -> None:
    app.command()(report)


def report(
    strategies: Annotated[
        list[Path] | None, typer.Argument(help="Strategy files to compare (default: those of ./strategies).")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The file to write.")] = None,
    audience: Annotated[
        str,
        choice(
            "--for",
            registry("dashboard.documents.html_report", "AUDIENCES"),
            "Whom it is for: everyone, stakeholders or engineers.",
        ),
    ] = "everyone",
    day: Day = None,
    md: Annotated[bool, typer.Option("--md", help="Markdown for a pull request.")] = False,
    pdf: Annotated[bool, typer.Option("--pdf", help="PDF, printed by Chromium or Chrome.")] = False,
    where: Where = None,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
) -> None:
    """Write the diagnosis and the recommendation as one file.

    What happened, why, what was compared and what is recommended; the file needs no network.

    Example: hindcast report -o report.html --for stakeholders
    """
    from cli.python_api.reports import default_strategies, write_report
    from ingest.errors import InputError
    from replay.strategy.schema import load

    if md and pdf:
        raise InputError("--md and --pdf ask for two files", remedy="Run the command once for each.")
    form = "md" if md else "pdf" if pdf else "html"
    chosen = [load(path) for path in strategies] if strategies else default_strategies()
    with progress("Replaying", unit="strategies") as bar:
        bar.total(max(sum(1 for strategy in chosen if strategy.stages()), 1))
        written = write_report(
            selected_store(store, where),
            output or Path(f"report.{form}"),
            form=form,
            strategies=chosen,
            audience=audience,
            day=day,
            done=lambda _name: bar.advance(1),
        )
    if json:
        emit_json(written.document())
    else:
        note(f"Wrote {written.path} ({max(1, written.path.stat().st_size // 1000):,} kB).")
