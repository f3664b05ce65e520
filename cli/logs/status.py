"""`hindcast` alone: where you stand, and the next useful command."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import ingest
from analysis import time_zone
from analysis.formatting import count
from cli.terminal.options import requested_time_zone
from cli.terminal.output import DEFAULT_STORE, JsonOption, StoreOption, emit_json, say, table

if TYPE_CHECKING:
    from analysis.reports.recent_days import RecentDays
    from ingest.detect.known_locations import FoundLogs
    from ingest.store.database import Store


SHOWN = 3


def register(app: typer.Typer) -> None:
    app.callback(invoke_without_command=True, help=app.info.help)(status)


def print_version(wanted: bool) -> None:
    """For --version: print it, and end."""
    if wanted:
        say(f"hindcast {ingest.__version__}")
        raise typer.Exit


def status(
    context: typer.Context,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
    tz: Annotated[
        str | None,
        typer.Option("--tz", metavar="ZONE", is_eager=True, help="Time zone of the days, such as Europe/Berlin."),
    ] = None,
    version: Annotated[  # noqa: ARG001
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Where you stand, and the next useful command."""
    asked = [] if tz is None else ["--tz", tz]
    if asked or context.invoked_subcommand is None:
        context.with_resource(time_zone.days_in(requested_time_zone(asked)))
    if context.invoked_subcommand is not None:
        return  # --store, --json and --tz hold for that command: see their options
    from ingest.store.address import open_store

    path, handle = Path(store), open_store(store)
    if not handle.exists():
        _no_store(path, as_json=json)
        return
    document = standing(handle)
    if json:
        emit_json(document)
    else:
        _show(path, document)


def standing(store: Any) -> dict[str, Any]:
    """What is in the store, the newest day that can be judged against its expectation, the days that stood out before
    it, and the next command."""
    from analysis.diagnosis.diagnose import diagnose
    from analysis.diagnosis.document import to_json
    from analysis.reports.cost import cost
    from ingest.errors import InputError

    with store.read() as con:
        calls = con.execute("SELECT count(*) FROM calls").fetchall()[0][0]
        quarantined = con.execute("SELECT count(*) FROM quarantine").fetchall()[0][0]
    document = {"store": store.address, "calls": calls, "quarantined": quarantined, "total": None, "day": None}
    if not calls:
        return {**document, "next": "hindcast ingest PATH"}
    try:
        total = cost(store, by=()).to_json()["total"]
    except InputError:
        return {**document, "next": "hindcast reprice"}
    document["total"] = total
    try:
        found = to_json(diagnose(store))
    except InputError:
        return {**document, "next": "hindcast cost --by model"}
    kept = (
        "day",
        "until",
        "left_out",
        "time_zone",
        "actual",
        "expected",
        "range",
        "flagged",
        "flagged_runs",
        "summary",
    )
    day = {key: found[key] for key in kept}
    return {**document, "day": day, "next": "hindcast diagnose" if found["flagged"] else "hindcast dashboard"}


def _show(path: Path, document: dict[str, Any]) -> None:
    from decimal import Decimal

    from analysis.formatting import money

    total = document["total"]
    if not document["calls"]:
        say(f"{path} holds no calls yet.", style="bold")
    elif total is None:
        say(f"{path} holds {count(document['calls'], 'call')} without a cost.", style="bold")
    else:
        day = document["day"]
        first, *earlier = day_in_words(day) if day else ["No call has both a time and a price."]
        say(first, style="bold")
        for line in earlier:
            say(line)
        cost = None if total["cost_usd"] is None else Decimal(total["cost_usd"])
        say(f"{count(total['calls'], 'call')} in {path}, {money(cost)} together.")
        if total["unpriced_calls"]:
            say(f"{total['unpriced_calls']:,} of them without a price and in no total.", style="yellow")
        if total["estimated_calls"]:
            say(f"{total['estimated_calls']:,} of them priced by estimated token counts.", style="yellow")
    if document["quarantined"]:
        say(f"Not read: {count(document['quarantined'], 'line')}; hindcast dashboard shows why.", style="yellow")
    say()
    say(f"Next: {document['next']}")


def day_in_words(day: dict[str, Any]) -> list[str]:
    """The newest day against its expectation, and the days that stood out before it, a line each."""
    return [_dated(day), *_earlier(day)]


def _dated(day: dict[str, Any]) -> str:
    """The summary with the year of its day."""
    from datetime import date

    from analysis.formatting import day as day_text

    at = date.fromisoformat(day["day"])
    named, rest = day_text(at), day["summary"].removeprefix(day_text(at))
    return f"{named} {at.year}{rest.removeprefix(f' {at.year}')}"


def _earlier(day: dict[str, Any]) -> list[str]:
    """The runs of flagged days before the day, newest first, each with its age and year."""
    from analysis.diagnosis.narrative import run_in_words

    runs = [run for run in day["flagged_runs"] if run["last"] < day["day"]]
    lines = [f"{'Stood out before:' if not i else ' ' * 17} {run_in_words(run)}" for i, run in enumerate(runs[:SHOWN])]
    if len(runs) > SHOWN:
        lines.append(f"{' ' * 17} and {len(runs) - SHOWN} more: hindcast diagnose --flagged")
    return lines


def _no_store(path: Path, *, as_json: bool) -> None:
    """Answer from the logs that are found, in memory; list them where none of them can be used."""
    from ingest.detect.known_locations import find_logs

    logs = find_logs()
    document: dict[str, Any] = {
        "store": str(path),
        "total": None,
        "day": None,
        "logs": [{"what": f.tool, "path": str(f.path), "files": f.files, "size_bytes": f.size_bytes} for f in logs],
        "next": ingest_command(logs),
    }
    if logs and _answer_from(logs, document, as_json=as_json):
        return
    if as_json:
        emit_json(document)
        return
    say(f"No store at {path} yet.", style="bold")
    if logs:
        show_found_logs(logs)
    say()
    say(f"Next: {document['next']}   ·   or see the origin story: hindcast demo")


def _answer_from(logs: list[FoundLogs], document: dict[str, Any], *, as_json: bool) -> bool:
    """Print what the newest logs cost, as text or as `document` with `recent` and `read`; False where that cannot be
    said."""
    from cli.logs import first_answer

    with first_answer.in_memory(logs) as read:
        found = first_answer.recent(read.store) if read is not None else None
        if read is None or found is None:
            return False
        day = newest_day(read.store, found)
    taken = read.taken
    if as_json:
        counts = {"files": len(taken.files), "older": taken.older, "beyond": taken.beyond, "unread": read.unread}
        drafted = {"drafted_mapping": str(read.drafted)} if read.drafted else {}
        emit_json({**document, "day": day, "recent": found.to_json(), "read": {**counts, **drafted}})
        return True
    first_answer.show_recent(found, day_in_words(day) if day else [])
    say()
    if read.drafted is not None:
        mapping = f"{read.drafted.name.split('.')[0]}.mapping.yaml"
        named = shlex.quote(str(read.drafted))
        say(f"{read.drafted.name} is of no known format: its fields were guessed. Check them before you rely on this.")
        document["next"] = f"hindcast mapping init {named} -o {mapping} && hindcast ingest {named} --mapping {mapping}"
    files = count(len(taken.files) - read.unread, "file")
    say(f"Read in memory and without texts, nothing was written: {files} of {' and '.join(taken.tools)}.")
    for line in first_answer.bounds(read):
        say(f"Not read: {line}", style="yellow")
    say()
    say(f"Keep it, and ask more: {document['next']}")
    return True


def newest_day(store: Store, found: RecentDays) -> dict[str, Any] | None:
    """The newest day against its expectation, as `standing` has it; None where there is no other day."""
    if len(found.days) < 2 and not found.older_calls:
        return None
    day: dict[str, Any] | None = standing(store)["day"]
    return day


def show_found_logs(logs: list[FoundLogs]) -> None:
    """Print where logs were found, as `hindcast` and `hindcast ingest` without a path list them."""
    say("Logs found on this machine, not read yet:")
    say()
    table(
        ["what", "where", "files", "MB"],
        [[found.tool, str(found.path), f"{found.files:,}", f"{found.size_bytes / 1e6:,.1f}"] for found in logs],
        left=(0, 1),
    )


def ingest_command(logs: list[FoundLogs]) -> str:
    """The command that reads the logs that were found."""
    return f"hindcast ingest {shlex.join(str(found.path) for found in logs) if logs else 'PATH'}"
