"""`hindcast report`: the story in one file, for whoever pays, whoever built it, or a pull request."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.terminal.options import Day, Since, Until, Where, choice, registry, selected_store
from cli.terminal.output import DEFAULT_STORE, JsonOption, StoreOption, emit_json, note, progress, write


def register(app: typer.Typer) -> None:
    app.command()(report)


def report(
    strategies: Annotated[
        list[Path] | None,
        typer.Argument(help="Strategy files to compare (default: those of ./strategies, else drafts)."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The file to write; its ending tells the form; - is stdout.")
    ] = None,
    audience: Annotated[
        str,
        choice(
            "--for",
            registry("dashboard.documents.html_report", "AUDIENCES"),
            "Whom it is for: everyone, stakeholders, engineers or finance.",
        ),
    ] = "everyone",
    day: Day = None,
    first: Since = None,  # not `since`: --day is the day to explain here
    until: Until = None,
    md: Annotated[bool, typer.Option("--md", help="Markdown for a pull request.")] = False,
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="DIM", help="For finance: what divides the bill: team, tag.KEY, agent."),
    ] = None,
    pdf: Annotated[bool, typer.Option("--pdf", help="PDF, printed by Chromium or Chrome.")] = False,
    where: Where = None,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
) -> None:
    """Write the diagnosis and the recommendation as one file.

    What happened, why, what was compared and what is recommended; the file needs no network. With --since the whole
    days of a period beside as many before it, and what was promised for it.

    Example: hindcast report -o report.html --for stakeholders
    """
    from cli.python_api.reports import default_strategies, write_report
    from dashboard.documents.pdf import find_browser
    from ingest.errors import InputError
    from replay.strategy.schema import load_all

    if md and pdf:
        raise InputError("--md and --pdf ask for two files", remedy="Run the command once for each.")
    if until and (first is None or first > until):
        raise InputError("--until needs an earlier --since", remedy="A week: --since 2024-03-04 --until 2024-03-10")
    form = _form(output, md=md, pdf=pdf)
    to_stdout = output == Path("-")
    if to_stdout and json:
        raise InputError("-o - and --json both write to stdout", remedy="Leave one of them out.")
    if form == "pdf":
        find_browser()  # before the work that would be for nothing
    held = selected_store(store, where)
    chosen = [one for _, one in load_all(strategies)] if strategies else default_strategies(held)
    with progress("Replaying", unit="strategies") as bar:
        bar.total(max(sum(1 for strategy in chosen if strategy.stages()), 1))
        written = write_report(
            held,
            Path("-") if to_stdout else output or Path(f"report.{form}"),
            form=form,
            strategies=chosen,
            audience=audience,
            day=day,
            period=(first, until) if first else None,
            by=by,
            done=lambda _name: bar.advance(1),
        )
    if json:
        emit_json(written.document())
    elif to_stdout:
        write(written.text or "")
    else:
        note(f"Wrote {written.path} ({max(1, written.path.stat().st_size // 1000):,} kB).")


def _form(output: Path | None, *, md: bool, pdf: bool) -> str:
    """html, md, docx or pdf: by the option, else by the ending of the file. Raises InputError where they contradict."""
    from cli.python_api.reports import FORMATS
    from ingest.errors import InputError, did_you_mean

    asked = "md" if md else "pdf" if pdf else None
    ending = "" if output is None else output.suffix.lower().removeprefix(".")
    ending = {"htm": "html", "markdown": "md"}.get(ending, ending)
    if ending and ending not in FORMATS:
        raise InputError(f"-o {output}: '.{ending}' is no form of a report", remedy=did_you_mean(ending, FORMATS))
    if asked and ending and asked != ending:
        raise InputError(f"--{asked} and -o {output} ask for two forms", remedy="Leave one of them out.")
    if output == Path("-") and asked == "pdf":
        raise InputError("a PDF is no text for stdout", remedy="Name a file: -o report.pdf")
    return asked or ending or "html"
