"""Which of the logs that were found are read for a first answer: the newest ones, as far as seconds reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ingest.detect.known_locations import FoundLogs, LogFile

DAYS: Final = 31  # a file written last before this many days before the newest one holds no call of the last 30
BUDGET_BYTES: Final = 450_000_000  # of transcripts that are read as columns: about three seconds on two processors
_AS_COLUMNS: Final = frozenset({"Claude Code"})
_BY_ROWS: Final = 6  # bytes of columns that are read in the time of one byte of another log
_INFLATED: Final = 6  # bytes in one compressed byte of JSON
_COMPRESSED: Final = (".gz", ".zst")
_DAY_NS: Final = 86_400 * 10**9


@dataclass(frozen=True)
class RecentFiles:
    """The files to read, newest first, and how many were left out: `older` than the days, or `beyond` the bytes."""

    files: tuple[Path, ...]
    tools: tuple[str, ...]  # whose they are, the largest first
    older: int
    beyond: int
    beyond_bytes: int
    format: str | None = None  # of all of them, where it is known without looking


def recent_files(
    logs: Sequence[FoundLogs], *, days: int = DAYS, budget_bytes: int = BUDGET_BYTES, newest_ns: int | None = None
) -> RecentFiles:
    """The files of `logs` that were written in the `days` days before `newest_ns` or later, until their bytes, weighted
    by how long reading them takes, reach `budget_bytes`. The newest file is always among them.

    `newest_ns` is the time of the newest call (nanoseconds since 1970). Before it is known, the time at which a file
    was written last stands for it: no call is newer, but a file that was copied, or that a resumed session touched,
    may hold older ones alone.
    """
    found = sorted(
        ((file, one.tool) for one in logs for file in one.contents),
        key=lambda entry: (-entry[0].written_ns, str(entry[0].path)),
    )
    if not found:
        return RecentFiles((), (), 0, 0, 0)
    oldest = (found[0][0].written_ns if newest_ns is None else newest_ns) - days * _DAY_NS
    recent = [entry for entry in found if entry[0].written_ns >= oldest]
    spent = 0
    files: list[Path] = []
    beyond: list[LogFile] = []
    tools: set[str] = set()
    format_of = {one.tool: one.format for one in logs}
    for file, tool in recent:
        dear = _weight(file, tool)
        if files and spent + dear > budget_bytes:
            beyond.append(file)
            continue
        spent += dear
        files.append(file.path)
        tools.add(tool)
    named = tuple(dict.fromkeys(one.tool for one in logs if one.tool in tools))
    known = {format_of[tool] for tool in tools}
    return RecentFiles(
        tuple(files), named, len(found) - len(recent), len(beyond), sum(file.size_bytes for file in beyond),
        known.pop() if len(known) == 1 else None,
    )  # fmt: skip


def _weight(file: LogFile, tool: str) -> int:
    inflated = _INFLATED if file.path.suffix in _COMPRESSED else 1
    return file.size_bytes * inflated * (1 if tool in _AS_COLUMNS else _BY_ROWS)
