"""`hindcast report`: the story in one file, for whoever pays, whoever built it, or a pull request."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.terminal.options import parse_day
from cli.terminal.output import DEFAULT_STORE, JsonOption, StoreOption, emit_json, note, progress

if TYPE_CHECKING:
    from dashboard.documents.story import Findings
    from replay.strategy.schema import Strategy


def register(app: typer.Typer) -> None:
    app.command()(report)


def report(
    strategies: Annotated[
        list[Path] | None, typer.Argument(help="Strategy files to compare; else those of ./strategies.")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The file to write.")] = None,
    audience: Annotated[str, typer.Option("--for", help="everyone, stakeholders or engineers.")] = "everyone",
    day: Annotated[
        date | None,
        typer.Option(
            "--day", parser=parse_day, metavar="YYYY-MM-DD", help="UTC day to explain, not the newest odd one."
        ),
    ] = None,
    md: Annotated[bool, typer.Option("--md", help="Markdown for a pull request.")] = False,
    pdf: Annotated[bool, typer.Option("--pdf", help="PDF, printed by Chromium or Chrome.")] = False,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
) -> None:
    """Write what happened, why, what was compared and what is recommended, as one file that needs no network.

    Example: hindcast report -o report.html --for stakeholders
    """
    from dashboard.documents import pdf as printing
    from dashboard.documents.html_report import AUDIENCES, html, markdown
    from dashboard.documents.story import gather
    from ingest.errors import InputError, did_you_mean
    from ingest.store.database import Store

    if audience not in AUDIENCES:
        raise InputError(f"'{audience}' is not an audience", remedy=did_you_mean(audience, AUDIENCES))
    if md and pdf:
        raise InputError("--md and --pdf ask for two files", remedy="Run the command once for each.")
    if not Path(store).exists():
        from ingest.errors import StoreError

        raise StoreError(f"there is no store at {store}", remedy="Make one with: hindcast ingest PATH")
    browser = printing.find_browser() if pdf else None
    chosen = _strategies(strategies)
    with progress("Replaying", unit="strategies") as bar:
        bar.total(max(len(chosen), 1))
        findings = gather(Store(store), chosen, day=day, done=lambda _name: bar.advance(1))
    target = output or Path("report.md" if md else "report.pdf" if pdf else "report.html")
    if md:
        _write(target, markdown(findings, audience))
    elif browser is not None:
        printing.print_page(browser, html(findings, audience), target)
    else:
        _write(target, html(findings, audience))
    if json:
        emit_json(_document(findings, target))
    else:
        note(f"Wrote {target} ({max(1, target.stat().st_size // 1000):,} kB).")


def _strategies(paths: list[Path] | None) -> list[Strategy]:
    """The named files; else those of ./strategies; else those that come with the package."""
    from dashboard.data.strategy_files import FOLDER
    from replay.strategy.schema import load

    found = paths or (sorted(FOLDER.glob("*.y*ml")) if FOLDER.is_dir() else [])
    if not found:
        import sample_logs

        found = sample_logs.strategies()
    return [strategy for strategy in (load(path) for path in found) if strategy.stages()]


def _write(target: Path, text: str) -> None:
    from ingest.errors import InputError

    try:
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"cannot be written: {error.strerror}", where=str(target), remedy="Name another -o."
        ) from error


def _document(findings: Findings, target: Path) -> dict[str, object]:
    from dashboard.documents.story import headline, numbers, recommendation

    return {
        "path": str(target),
        "headline": headline(findings),
        "numbers": [{"label": label, "value": value, "detail": detail} for label, value, detail in numbers(findings)],
        "recommendation": recommendation(findings),
        "diagnosis": findings.diagnosis,
        "replay": findings.replay,
    }
