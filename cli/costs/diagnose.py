"""`hindcast diagnose`: why a day cost what it cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.terminal.options import By, Day, Where, choice, comma_separated, registry, selected_store
from cli.terminal.output import JsonOption, StoreOption, emit_json, named_store, note, say, table
from cli.terminal.row_files import RowsOption, write_rows

if TYPE_CHECKING:
    from analysis.diagnosis.result import Diagnosis

METRICS = registry("analysis.attribution.segment_sums", "METRICS")
VERDICTS = registry("analysis.anomalies.day_marks", "VERDICTS")
SHOWN = 8
NOTICED = 6
CAUSES = 5


def register(app: typer.Typer) -> None:
    app.command()(diagnose)


def diagnose(
    where: Where = None,
    store: StoreOption = "hindcast.duckdb",
    day: Day = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            "--baseline",
            metavar="A..B",
            help="Days to compare with: A..B, 2024-02, 2024-W08 (default: comparable days).",
        ),
    ] = None,
    by: By = "agent,task",
    metric: Annotated[str, choice("--metric", METRICS, "What is explained: cost, calls or tokens.")] = "cost",
    mark: Annotated[
        str | None, choice("--mark", VERDICTS, "Mark --day as expected, planned or wrong: it is not flagged again.")
    ] = None,
    unmark: Annotated[bool, typer.Option("--unmark", help="Remove the mark of --day.")] = False,
    remark: Annotated[str | None, typer.Option("--note", help="The reason, kept with --mark.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Show every driver.")] = False,
    flagged: Annotated[bool, typer.Option("--flagged", help="List the days that stand out, newest first.")] = False,
    output: RowsOption = None,
    json: JsonOption = False,
) -> None:
    """Explain a day's cost by drivers that add up to the change.

    The change is against a baseline: comparable earlier days, or those of --baseline.

    Example: hindcast diagnose --day 2024-03-05
    """
    from analysis.calendar_days import parse_range, today
    from analysis.diagnosis import document
    from analysis.diagnosis.diagnose import diagnose as explain_day
    from ingest.errors import InputError
    from ingest.store.address import open_store

    if mark and unmark:
        raise InputError("--mark and --unmark contradict each other", remedy="Leave one of them out.")
    if mark or unmark:
        from analysis.anomalies import day_marks

        if day is None:
            option = "--mark planned" if mark else "--unmark"
            raise InputError(f"{option.split()[0]} needs a day", remedy=f"Name it: --day 2024-03-05 {option}")
        if mark:
            day_marks.mark(open_store(store), day, mark, remark)
            note(f"{day} is marked as {mark}: it raises no flag and counts as history")
        else:
            day_marks.unmark(open_store(store), day)
            note(f"{day} is no longer marked: it is assessed like any other day")
    found = explain_day(
        selected_store(store, where),
        day=day,
        baseline=parse_range(baseline, today()) if baseline else None,
        by=comma_separated(by),
        metric=metric,
    )
    if output is not None:
        from cli.python_api.diagnosis import Diagnosis

        write_rows(Diagnosis(found, Path(store)).to_frame(), output)
        return
    if json:
        emit_json(document.to_json(found, named_store(store)))
        return
    if flagged:
        show_flagged(found)
        return
    show(found, every=every, store=named_store(store))


def show_flagged(found: Diagnosis) -> None:
    """The days of the log that stand out, newest first, with how long each run lasted and how long ago it ended."""
    from datetime import date
    from decimal import Decimal

    from analysis.formatting import count, money

    if not found.runs:
        say("No day of this log stands out.")
        return

    def amount(value: float) -> str:
        return money(Decimal(repr(round(value, 6)))) if found.metric == "cost" else f"{value:,.0f}"

    def dated(day: date) -> str:
        return f"{day:%a} {day.day} {day:%b %Y}"

    kinds = {"day": "one day", "days": "a few days", "level": "a new level"}
    rows = [
        [dated(run.first), "" if run.last == run.first else dated(run.last), kinds[run.kind], amount(run.actual),
         amount(run.expected), count(run.days_ago, "day")]
        for run in found.runs
    ]  # fmt: skip
    table(["from", "to", "what", "first day", "expected", "before the newest"], rows, left=(0, 1, 2))
    say()
    say(f"Next: hindcast diagnose --day {found.runs[0].first}")


def show(found: Diagnosis, *, every: bool = False, store: str | None = None) -> None:
    """The answer, the table that proves it, what is not in it, and what to do next."""
    from analysis import formatting
    from analysis.anomalies.alerts import in_words
    from analysis.diagnosis import narrative

    for sentence in narrative.summary(found):
        say(sentence)
    say()
    rows = narrative.rows(found, len(found.drivers) if every else SHOWN)
    table(["share", "usd" if found.metric == "cost" else found.metric, "where", "what", "before -> after",
           "undo saves"], rows, left=(2, 3), optional=(5, 0))  # fmt: skip
    remark = narrative.crossed(found)
    if remark is not None:
        say(remark)
    causes = narrative.cause_rows(found, CAUSES)
    if causes:
        say()
        table(["usd" if found.metric == "cost" else found.metric, "cause", "where", "fix", "undo saves"], causes,
              left=(1, 2, 3), optional=(4,))  # fmt: skip
        say()
        say("The calls behind them (as SQL: --json):")
        for line in narrative.behind(found, store):
            say(f"  {line}")
    noticed = in_words(found.alerts)
    if noticed:
        say()
        for i, line in enumerate(noticed[:NOTICED]):
            say(f"{'Also stands out:' if not i else ' ' * 16} {line}")
        if len(noticed) > NOTICED:
            say(f"{' ' * 16} and {len(noticed) - NOTICED} more (--json)")
    day_unpriced, before_unpriced = found.unpriced
    if day_unpriced or before_unpriced:
        say(
            f"Unpriced, in no figure above: {formatting.count(day_unpriced, 'call')} on {formatting.day(found.day)}, "
            f"{before_unpriced:,.1f} per baseline day."
        )
    say()
    say(narrative.next_step(found, store))
