"""The files of an ingest: found below the given paths, recognised, and compared with what the store knows of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from ingest.detect.file_format import Recognised, recognise
from ingest.errors import HindcastError, InputError
from ingest.files.byte_stream import open_file
from ingest.files.containers import csv_header
from ingest.files.folders import files_below
from ingest.format_contract import Format
from ingest.pipeline.report import IngestReport
from ingest.records.claimed_usage import claimed_in_bytes, claimed_usage, names_tokens
from ingest.staging.printed_runs import is_printed
from ingest.staging.source_files import SourceFile, compare, fingerprint, recall_unchanged
from ingest.store.database import Store

_PEEK = 1 << 16  # bytes of a file that tell what it is of
_PEEK_LINES = 20
_COLUMNS = 3  # that a line has at the least which is no sentence


def find_files(
    paths: Iterable[str | Path], store: Store, report: IngestReport, *, mapping: Any, forced: Format | None
) -> list[tuple[SourceFile, Recognised]]:
    """Recognise every file; what tools printed of their runs comes last.

    A named file that cannot be used is a problem of the report; in a folder it is passed over. Raises InputError if no
    file can be used.
    """
    found: list[tuple[SourceFile, Recognised]] = []
    met = 0
    for path, real, named in _files(paths, report):
        met += 1
        problem: InputError
        try:
            found.append(_recognised(path, real, mapping, forced, fingerprinted=store.reads_again))
            continue
        except InputError as error:
            problem = error
        except OSError as error:
            problem = InputError(f"cannot be read: {error.strerror}", where=str(path))
        except (RuntimeError, ValueError) as error:  # a loop of links, a name that no file can have
            problem = InputError(f"cannot be read: {error}", where=str(path))
        if named:
            report.problems.append(problem)
        else:
            report.passed_over.append(str(problem).splitlines()[0])
            if _names_usage(path):
                report.passed_over_usage.append(str(path))
    if not found:
        raise _nothing_usable(report, met)
    found.sort(key=lambda one: one[0].printed)
    for number, (source, _) in enumerate(found):
        source.number = number
    if store.exists():
        with store.read() as con:
            for source, known in found:
                compare(con, source, splittable=known.splittable)
            recall_unchanged(con, [source for source, _ in found])
    return found


def _recognised(
    path: Path, real: str, mapping: Any, forced: Format | None, *, fingerprinted: bool
) -> tuple[SourceFile, Recognised]:
    known = recognise(path, mapping=mapping, forced=forced)
    stat = path.stat()
    print_of = fingerprint(path, stat.st_size) if fingerprinted else ""
    source = SourceFile(0, Path(real), known.name, stat.st_size, stat.st_mtime_ns, print_of)
    source.printed = is_printed(known.name, path)
    return source, known


def _nothing_usable(report: IngestReport, met: int) -> HindcastError:
    """Why none of the files that were `met` can be read."""
    if len(report.problems) == 1:
        return report.problems[0]
    if report.problems:
        first = str(report.problems[0]).splitlines()[0]
        return InputError(f"none of the files can be used: {first} (and {len(report.problems) - 1} more like it)")
    return InputError(
        ("no log was recognised" if met else "no file was found")
        + (f"; hidden and not read: {_some(report.hidden)}" if report.hidden else ""),
        remedy="Name the files, or describe their fields: hindcast mapping init FILE",
    )


def _some(paths: list[str]) -> str:
    """The first names of a list, and how many more there are."""
    more = f" and {len(paths) - 3:,} more" if len(paths) > 3 else ""
    return ", ".join(Path(path).name for path in paths[:3]) + more


def _names_usage(path: Path) -> bool:
    """Whether the beginning of a file that is no log names tokens or dollars that were used."""
    try:
        with open_file(path) as handle:
            beginning = handle.read(_PEEK)
    except OSError:
        return False
    return (
        any(claimed_in_bytes(beginning))
        or any(any(claimed_usage(one)) for one in _first_records(beginning))
        or _has_columns_of_tokens(beginning)
    )


def _has_columns_of_tokens(beginning: bytes) -> bool:
    """Whether the first line of a text names columns, and one of them is of token counts."""
    columns = csv_header(beginning) if b"\x00" not in beginning else []
    return len(columns) >= _COLUMNS and any(map(names_tokens, columns))


def _first_records(beginning: bytes) -> Iterator[Any]:
    """The JSON documents of the first lines."""
    for line in beginning.splitlines()[:_PEEK_LINES]:
        try:
            yield msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue


def _files(paths: Iterable[str | Path], report: IngestReport) -> Iterator[tuple[Path, str, bool]]:
    """(file, its real path, whether it was named itself), folders walked in order of name; what is hidden in them is
    told."""
    seen = set()
    for given in paths:
        path = Path(given).expanduser()
        try:
            folder = path.is_dir()
        except OSError as error:
            report.problems.append(InputError(f"cannot be read: {error.strerror}", where=str(path)))
            continue
        inside = [path]
        if folder:
            inside, hidden = files_below(path)
            report.hidden.extend(map(str, hidden))
        for found in inside:
            real = os.path.realpath(found)  # unlike Path.resolve, also where links go round in a circle
            if real not in seen:
                seen.add(real)
                yield found, real, not folder
