"""What a file is: its packing, its layout and its log format, or a clear word about why it cannot be used."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingest.errors import InputError
from ingest.files import containers, line_files
from ingest.files.byte_stream import StreamCutError
from ingest.files.line_files import Shape
from ingest.format_contract import Format
from ingest.formats import detect, format_named, formats, nearest_formats

SAMPLE = 50
GLANCE_BYTES = 1 << 16


@dataclass(frozen=True)
class Recognised:
    """A file that can be read. `format` None means that its records are of several formats."""

    name: str
    format: str | None
    shape: Shape
    compressed: bool  # or in another encoding than UTF-8: ranges of its bytes are no text
    splittable: bool


def recognise(path: Path, *, mapping: Any = None, forced: Format | None = None) -> Recognised:
    """Raises InputError for what is empty, binary or of no known format, naming the nearest ones."""
    if mapping is None:
        plain = _at_a_glance(path, forced)
        if plain is not None:
            return plain
    kind = line_files.file_kind(path)
    where = str(path)
    if kind.shape == "empty":
        raise InputError("the file is empty", where=where, remedy="Nothing to read; check what wrote it.")
    if kind.shape == "binary":
        raise InputError(
            "not a log: neither JSON, CSV nor Parquet (plain, .gz or .zst)",
            where=where,
            remedy="Decompress it first, or name the right file.",
        )
    compressed = not kind.plain
    if mapping is not None:
        name = f"mapping:{mapping.name}"
        return Recognised(name, "mapping", kind.shape, compressed, kind.shape == "jsonl")
    if forced is not None:
        return Recognised(forced.name, forced.name, kind.shape, compressed, forced.splittable and kind.shape == "jsonl")
    found = _by_header(kind) if kind.shape == "csv" else None
    if found is None:
        found = detect(sample(path, kind))
    if found is None:
        raise unknown_format(path, kind)
    splittable = found.splittable and kind.shape == "jsonl"
    return Recognised(found.name, found.name, kind.shape, compressed, splittable)


_LATER_ROWS, _LINE_BYTES = 100_000, 16 << 20


def _at_a_glance(path: Path, forced: Format | None) -> Recognised | None:
    """A log of one object a line, of the `forced` format or of one that its first lines tell, as almost all do; None
    for any other file."""
    kind = line_files.file_kind(path, GLANCE_BYTES)
    head = kind.head[: kind.head.rfind(b"\n") + 1]
    first = head.removeprefix(line_files.BOM).lstrip().split(b"\n", 1)[0]
    if kind.shape != "jsonl" or not line_files.is_object(first):
        return None
    rows = itertools.islice(line_files.line_rows(head, 0, 0), SAMPLE)
    found = forced or detect(row.record for row in rows if row.error is None)
    if found is None:
        return None
    return Recognised(found.name, found.name, kind.shape, not kind.plain, found.splittable)


def sample(path: Path, kind: line_files.FileKind, limit: int = SAMPLE) -> list[Any]:
    """The first records that can be decoded."""
    if kind.shape == "jsonl":  # on from the head, where its first line is longer
        rows = line_files.file_rows(path)
    else:
        rows = containers.rows_of_shape(path, kind.shape)
    found: list[Any] = []
    try:
        for row in itertools.islice(rows, 10 * limit):
            if row.error is None:
                found.append(row.record)
                if len(found) >= limit:
                    break
    except StreamCutError:
        pass
    return found


def later_sample(path: Path, kind: line_files.FileKind, skip: int, limit: int = 50) -> list[Any]:
    """Records from all over the file, after its first `skip` ones: what is empty at its beginning may fill later.

    A plain file of lines is looked into at even distances; any other is read, up to 100,000 records.
    """
    if kind.shape == "jsonl" and kind.plain:
        return _at_even_distances(path, limit)
    rows = line_files.file_rows(path) if kind.shape == "jsonl" else containers.rows_of_shape(path, kind.shape)
    found: list[Any] = []
    step = 1
    try:
        for number, row in enumerate(itertools.islice(rows, skip, _LATER_ROWS)):
            if number % step == 0 and row.error is None:
                found.append(row.record)
                if len(found) > 2 * limit:
                    found, step = found[::2], 2 * step
    except StreamCutError:
        pass
    return found


def _at_even_distances(path: Path, limit: int) -> list[Any]:
    found = []
    size = path.stat().st_size
    with path.open("rb") as file:
        for number in range(limit):
            file.seek(size * number // limit)
            file.readline(_LINE_BYTES)  # the rest of the line that the place is in
            for row in line_files.line_rows(file.readline(_LINE_BYTES), 0, 0):
                if row.error is None:
                    found.append(row.record)
    return found


def _by_header(kind: line_files.FileKind) -> Format | None:
    header = set(containers.csv_header(kind.head))
    for one in formats():
        if one.csv_columns and one.csv_columns <= header:
            return format_named(one.name)
    return None


def unknown_format(path: Path, kind: line_files.FileKind) -> InputError:
    """The error for a file of no known format: the nearest formats and the keys that were missing."""
    records = sample(path, kind, 5)
    if not records and kind.shape == "sqlite":
        return InputError("a database without a row of a model call", where=str(path))
    if not records:
        return InputError(
            "no line of it is a whole JSON value", where=str(path), remedy="Check that the file is complete."
        )
    near = nearest_formats(records[0])
    if near:
        hints = "; ".join(f"{one.title} (missing: {', '.join(missing[:6])})" for one, missing in near)
        what = f"of no known format; nearest: {hints}"
    else:
        shown = ", ".join(sorted(records[0])[:8]) if isinstance(records[0], dict) else type(records[0]).__name__
        what = f"of no known format (its first record has: {shown})"
    return InputError(what, where=str(path), remedy=f"Describe its fields: hindcast mapping init {path}")
