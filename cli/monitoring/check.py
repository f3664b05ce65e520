"""`hindcast check`: gates for a build, a schedule or a pull request."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from analysis.calendar_days import single_day, today
from analysis.settings_file import FILE
from cli.terminal.options import choice, registry
from cli.terminal.output import DEFAULT_STORE, JsonOption, StoreOption, emit_json, say

if TYPE_CHECKING:
    from analysis.gates.result import GateResult


def register(app: typer.Typer) -> None:
    app.command()(check)


def check(
    settings: Annotated[Path, typer.Option("--settings", help="The file with the limits.")] = FILE,
    at: Annotated[
        date | None,
        typer.Option("--at", parser=single_day, metavar="DAY", help="Judge as at the end of this UTC day."),
    ] = None,
    form: Annotated[
        str,
        choice("--format", registry("cli.monitoring.gate_formats", "FORMS"), "text, github, junit or markdown."),
    ] = "text",
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
) -> None:
    """Fail a build on budgets, odd days and the state of the log.

    One line per gate of hindcast.toml. Exit code 1 where one fails, 2 on bad input, else 0.

    Example: hindcast check --format github
    """
    from analysis.gates import settings as gate_settings
    from cli.monitoring import gate_formats
    from ingest.errors import InputError
    from ingest.store.database import Store
    from replay.gates.evaluate import evaluate

    if settings != FILE and not settings.is_file():
        raise InputError("there is no such file", where=str(settings), remedy="The limits: docs/ci.md")
    limits = gate_settings.read(settings)
    results = evaluate(Store(store), limits, _moment(at))
    failures = [one for one in results if limits.fails(one)]
    if json:
        emit_json(_document(results, failures))
    else:
        for line in gate_formats.FORMS[form](results, failures):
            say(line)
    if failures:
        raise typer.Exit(1)


def _moment(at: date | None) -> datetime:
    """What is judged: the end of the day that was asked for or set as the present one, else the present."""
    if at is None and not os.environ.get("HINDCAST_NOW"):
        return datetime.now(UTC)
    return datetime.combine(at or today(), time.max, UTC)


def _document(results: tuple[GateResult, ...], failures: list[GateResult]) -> dict[str, object]:
    return {
        "passed": not failures,
        "failed": [one.name for one in failures],
        "cannot_say": [one.name for one in results if one.passed is None],
        "gates": [one.to_json() for one in results],
    }
