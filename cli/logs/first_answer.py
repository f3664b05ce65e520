"""The first answer: what the last days cost, from logs as they lie, or at the end of an ingest."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.terminal.output import progress, say, table

if TYPE_CHECKING:
    from analysis.reports.recent_days import Lever, RecentDays
    from ingest.detect.known_locations import FoundLogs
    from ingest.detect.recent_files import RecentFiles
    from ingest.store.database import Store

SHOWN_DAYS = 14
LOCAL = "this folder"  # the tool of logs in the working folder (`ingest.detect.known_locations`)
MOST_DRAFTED = 20_000_000  # bytes of a log that is read by a drafted mapping: seconds
SHOWN_SEGMENTS = 6


@dataclass(frozen=True)
class ReadLogs:
    """Logs in memory: the store that holds their calls, which files were taken, and how many could not be read.

    `drafted`: the one file that was read, of no known format, by a mapping drafted from its first records.
    """

    store: Store
    taken: RecentFiles
    unread: int
    drafted: Path | None = None


@contextmanager
def in_memory(logs: Sequence[FoundLogs]) -> Iterator[ReadLogs | None]:
    """The newest of the logs, read and priced without their texts; None where none of them can be used."""
    from ingest.detect.recent_files import recent_files
    from ingest.pipeline.workers import prepare

    taken = recent_files(logs)
    prepare(taken.files, None)
    from analysis.ledger import ledger
    from cli.python_api.log_ingest import load_pricing
    from ingest.pipeline import run  # noqa: F401  imported while the server of workers imports its own
    from ingest.store.memory import MemoryStore

    with tempfile.TemporaryDirectory(prefix="hindcast-") as folder:
        store = MemoryStore(Path(folder) / "logs")
        unread = _read(store, taken.files, taken.format, load_pricing)
        calls, newest = _calls(store)
        if newest is not None:  # an older file may reach into the days before it after all
            wider = recent_files(logs, newest_ns=newest)
            more = [file for file in wider.files if file not in set(taken.files)]
            if more:
                unread += _read(store, more, wider.format)
                taken = wider
        if not calls:
            drafted = _by_drafted_mapping(logs, Path(folder))
            if drafted is not None:
                ledger.update(drafted.store)
            yield drafted
            return
        ledger.update(store)
        yield ReadLogs(store, taken, unread)


def _read(store: Store, files: Sequence[Path], format: str | None, meanwhile: Callable[[], None] | None = None) -> int:
    """Read the files into the store; how many of them could not be used."""
    from ingest.errors import InputError
    from ingest.pipeline.run import ingest

    try:
        with progress("Reading") as bar:
            report = ingest(store, files, format=format, metadata_only=True, progress=bar, meanwhile=meanwhile)
    except InputError:  # none of them is a log of a known format
        return len(files)
    return len(report.problems)


def _calls(store: Store) -> tuple[int, int | None]:
    """(calls, time of the newest one in nanoseconds since 1970; None where no call has one)."""
    if not store.exists():
        return 0, None
    with store.read() as con:
        calls, newest = con.execute("SELECT count(*), epoch_ns(max(start_time)) FROM calls").fetchall()[0]
    return calls, newest


def _by_drafted_mapping(logs: Sequence[FoundLogs], folder: Path) -> ReadLogs | None:
    """The largest log of the working folder, read by a mapping that is drafted for it; None where that gives no call
    with a time."""
    from ingest.detect.draft_mapping import draft_mapping
    from ingest.detect.recent_files import recent_files
    from ingest.errors import HindcastError
    from ingest.pipeline.run import ingest
    from ingest.store.memory import MemoryStore

    own = next((one for one in logs if one.tool == LOCAL), None)
    taken = recent_files([own] if own else [])
    if own is None or own.size_bytes > MOST_DRAFTED:
        return None
    try:
        mapping = folder / "drafted.yaml"
        mapping.write_text(draft_mapping(own.path), encoding="utf-8")
        store = MemoryStore(folder / "drafted")
        report = ingest(store, taken.files, mapping=mapping, metadata_only=True)
    except HindcastError:
        return None
    with store.read() as con:
        timed = con.execute("SELECT count(start_time) FROM calls").fetchall()[0][0] if report.calls else 0
    return ReadLogs(store, taken, 0, own.path) if timed else None


def recent(store: Store) -> RecentDays | None:
    """The last days of the store; None where no call has a time."""
    from analysis.reports.recent_days import recent_days

    return recent_days(store)


def show_recent(found: RecentDays, newest: Sequence[str]) -> None:
    """What `newest` says of the newest day, the days before it, whose they are, and the largest lever."""
    from analysis import formatting
    from analysis.formatting import count, money, share

    total = found.total
    first, *more = newest or [_only_day(found)]
    say(first, style="bold")
    for line in more:
        say(line)
    say()
    rows = [
        [
            formatting.day(row["day"]),
            f"{row['calls']:,}",
            formatting.tokens(row["input_tokens"]),
            _cached(row),
            formatting.tokens(row["output_tokens"]),
            money(row["cost_usd"], symbol=""),
            formatting.named(row["agent"]),
            formatting.named(row["model"]),
        ]
        for row in found.days[:SHOWN_DAYS]
    ]
    headers = ["day", "calls", "input", "cached", "output", "usd", "most of it", "model"]
    table(headers, rows, left=(0, 6, 7), optional=(4, 2, 3, 7))
    hidden = found.days[SHOWN_DAYS:]
    if hidden:
        rest = sum((row["cost_usd"] or Decimal(0) for row in hidden), Decimal(0))
        say(f"... and {count(len(hidden), 'earlier day')}, {money(rest)}")
    if len(found.segments) > 1:
        say()
        rows = [
            [
                formatting.named(row["agent"]),
                formatting.named(row["model"]),
                f"{row['calls']:,}",
                money(row["cost_usd"], symbol=""),
                share(float(row["cost_usd"] / total["cost_usd"])) if row["cost_usd"] and total["cost_usd"] else "-",
            ]
            for row in found.segments[:SHOWN_SEGMENTS]
        ]
        table(["agent", "model", "calls", "usd", "share"], rows, left=(0, 1))
        if len(found.segments) > SHOWN_SEGMENTS:
            say(f"... and {len(found.segments) - SHOWN_SEGMENTS} more")
    say()
    calls = f"{count(total['calls'], 'call')} in {_span(found)}"
    if total["cost_usd"] is None:
        say(f"Together {calls}, none of them with a price.")
    else:
        say(f"Together {money(total['cost_usd'])} for {calls}.")
    if total["unpriced_calls"] and total["cost_usd"] is not None:
        say(f"{total['unpriced_calls']:,} of them without a price and in no total.", style="yellow")
    if total["estimated_calls"]:
        say(f"{total['estimated_calls']:,} of them priced by estimated token counts.", style="yellow")
    for number, what in ((found.older_calls, "before these days"), (found.untimed_calls, "without a time")):
        if number:
            say(f"Not shown: {count(number, 'call')} {what}")
    if found.lever is not None:
        say(lever_in_words(found.lever))


def lever_in_words(lever: Lever) -> str:
    """What it would save, and what has to be known before."""
    from analysis.formatting import money, share, tokens

    part = f"{money(lever.saves)} of {money(lever.whole)} ({share(float(lever.saves / lever.whole))})"
    if lever.kind == "cheaper_model":
        return (
            f"Largest lever: {lever.to} in place of {lever.model}\n"
            f"  would save {part} on the same tokens, at list prices; quality is not judged here"
        )
    return (
        f"Largest lever: {tokens(lever.tokens)} tokens of earlier turns went to {lever.model} again at full price\n"
        f"  read from the provider's cache they would save at most {part}"
    )


def bounds(read: ReadLogs) -> list[str]:
    """What was not read, and why."""
    from analysis.formatting import count

    lines = []
    taken = read.taken
    if taken.older:
        lines.append(f"{count(taken.older, 'older file')}, last written a month or more before the newest call")
    if taken.beyond:
        lines.append(f"{count(taken.beyond, 'file')} of {taken.beyond_bytes / 1e6:,.0f} MB, to answer in seconds")
    if read.unread:
        lines.append(f"{count(read.unread, 'file')} of no known format")
    return lines


def _only_day(found: RecentDays) -> str:
    from analysis import formatting
    from analysis.formatting import count, money

    row = found.days[0]
    day, calls = f"{formatting.day(row['day'])} {row['day'].year}", count(row["calls"], "call")
    if row["cost_usd"] is None:
        logged = row["logged_cost_usd"]
        said = f" we know; the log itself says {money(logged)}." if logged else "."
        return f"{day} has {calls}, none of them with a price{said}"
    alone = len(found.days) == 1 and not found.older_calls
    return f"{day} cost {money(row['cost_usd'])} for {calls}" + (
        "; there is no earlier day to compare it with." if alone else "."
    )


def _span(found: RecentDays) -> str:
    from analysis.formatting import count, day

    if found.first is None or found.last is None or found.first == found.last:
        return "one day"
    first = day(found.first) if found.first.year == found.last.year else f"{day(found.first)} {found.first.year}"
    return f"{count(len(found.days), 'day')} with calls, {first} to {day(found.last)} {found.last.year}"


def _cached(row: dict[str, Any]) -> str:
    """The share of the input that was read from the provider's cache."""
    from analysis.formatting import share

    read, whole = row["cache_read_input_tokens"], row["input_tokens"]
    return share(read / whole) if read is not None and whole else "-"
