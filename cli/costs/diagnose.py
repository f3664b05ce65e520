"""`hindcast diagnose`: why a day cost what it cost."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

from cli.terminal.options import parse_day
from cli.terminal.output import JsonOption, StoreOption, emit_json, named_store, note, say, table

if TYPE_CHECKING:
    from analysis.diagnosis.result import Diagnosis

SHOWN = 8
NOTICED = 6
CAUSES = 5


def register(app: typer.Typer) -> None:
    app.command()(diagnose)


def diagnose(
    store: StoreOption = "hindcast.duckdb",
    day: Annotated[
        date | None,
        typer.Option(
            "--day", parser=parse_day, metavar="YYYY-MM-DD", help="UTC day to explain; else the newest odd one."
        ),
    ] = None,
    baseline: Annotated[
        str | None, typer.Option("--baseline", help="Days to compare with, A..B; else days like it.")
    ] = None,
    by: Annotated[str, typer.Option("--by", help="What a segment is: agent,task,model,user,...")] = "agent,task",
    metric: Annotated[str, typer.Option("--metric", help="cost, calls or tokens.")] = "cost",
    mark: Annotated[
        str | None, typer.Option("--mark", help="Say of --day: expected, planned or wrong. It raises no flag again.")
    ] = None,
    unmark: Annotated[bool, typer.Option("--unmark", help="Forget what was said of --day.")] = False,
    remark: Annotated[str | None, typer.Option("--note", help="Why, kept with --mark.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Show every driver.")] = False,
    json: JsonOption = False,
) -> None:
    """Explain a day against its baseline, in drivers that add up to the change.

    Example: hindcast diagnose --day 2024-03-05
    """
    from analysis.anomalies.baseline import parse_range
    from analysis.diagnosis import document
    from analysis.diagnosis.diagnose import diagnose as explain_day
    from ingest.errors import InputError
    from ingest.store.database import Store

    if mark and unmark:
        raise InputError("--mark and --unmark say opposite things", remedy="Leave one of them out.")
    if mark or unmark:
        from analysis.anomalies import day_marks

        if day is None:
            option = "--mark planned" if mark else "--unmark"
            raise InputError(f"{option.split()[0]} needs a day", remedy=f"Name it: --day 2024-03-05 {option}")
        if mark:
            day_marks.mark(Store(store), day, mark, remark)
            note(f"{day} is marked as {mark}: it raises no flag and counts as history")
        else:
            day_marks.unmark(Store(store), day)
            note(f"{day} is no longer marked: it is judged like any other day")
    found = explain_day(
        Store(store),
        day=day,
        baseline=parse_range(baseline) if baseline else None,
        by=[part.strip() for part in by.split(",") if part.strip()],
        metric=metric,
    )
    if json:
        emit_json(document.to_json(found, named_store(store)))
        return
    show(found, every=every, store=named_store(store))


def show(found: Diagnosis, *, every: bool = False, store: str | None = None) -> None:
    """The answer, the table that proves it, what is not in it, and what to do next."""
    from analysis import formatting
    from analysis.anomalies.alerts import in_words
    from analysis.diagnosis import narrative

    for sentence in narrative.summary(found):
        say(sentence)
    say()
    rows, hidden = narrative.rows(found, len(found.drivers) if every else SHOWN)
    table(["share", "usd" if found.metric == "cost" else found.metric, "where", "what", "before -> after",
           "undo saves"], rows, left=(2, 3))  # fmt: skip
    if narrative.crossed(found):
        say("Parts run against each other, so that one alone can be more than 100 % of the change.")
    causes = narrative.cause_rows(found, CAUSES)
    if causes:
        say()
        table(["usd" if found.metric == "cost" else found.metric, "cause", "where", "fix", "undo saves"], causes,
              left=(1, 2, 3))  # fmt: skip
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
    if hidden:
        note(f"{hidden} smaller drivers: --all")
    day_unpriced, before_unpriced = found.unpriced
    if day_unpriced or before_unpriced:
        say(
            f"Unpriced, in no figure above: {formatting.count(day_unpriced, 'call')} on {formatting.day(found.day)}, "
            f"{before_unpriced:,.1f} per baseline day."
        )
    say()
    say(narrative.next_step(found, store))
