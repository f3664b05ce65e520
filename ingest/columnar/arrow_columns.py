"""Calls as columns straight from the bytes of a log, where nothing of the messages is kept.

A format may have a column reader beside its ordinary one. It decodes only the fields that it needs, all lines in one
go, and makes arrays of them without an object per call. It takes what is plain and leaves the rest to the ordinary
reader, so that the calls are the same ones either way (`tests/ingest/columnar/test_arrow_columns.py` compares the
stores).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, tzinfo
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.files.line_files import Row, decoded, unread_rows
from ingest.records.call import TOKEN_LIMIT, BadRecordError
from ingest.records.timestamps import time_us

_BLOCK = 1 << 18
_FIRST_US = 946_684_800_000_000  # the beginning of 2000, UTC
_END_US = 4_102_444_800_000_000  # the beginning of 2100


Left = list[tuple[int, int, bytes]]  # number, offset, line
CHANCES = 200  # lines that a decoder may refuse, one and all, before it is given up


def structs(data: bytes, decoder: Any, *, each: bool = False, before: int = 0) -> tuple[list[Any], Left] | None:
    """(a struct for every line, lines that are none); a blank line and one that is no struct has None in the list.

    None if a line is JSON of a shape that the decoder refuses; with `each`, only if it refuses line after line.
    `before` lines of the piece stand before `data`; lines are numbered in the piece. msgspec checks the syntax of what
    it skips, but not that it is UTF-8, nor where lines end.
    """
    ends = line_ends(data)
    if ends is not None and is_text(data):
        try:
            found: list[Any] = decoder.decode_lines(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            found = []
        if len(found) == len(ends):
            return found, []
    return _line_by_line(data, decoder, each, before)


def _line_by_line(data: bytes, decoder: Any, each: bool, before: int) -> tuple[list[Any], Left] | None:
    found: list[Any] = []
    left: Left = []
    for row in unread_rows(data, 0, before):
        line = row.raw or b""
        found.extend([None] * (row.number - before - 1 - len(found)))
        if is_text(line):
            try:
                found.append(decoder.decode(line))
                continue
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                pass
        if (len(left) == len(found) == CHANCES) if each else _is_json(row):
            return None
        left.append((row.number, row.offset, line))
        found.append(None)
    return found, left


def _is_json(row: Row) -> bool:
    return [one.error for one in decoded(row)] == [None]


def numbered_lines(data: bytes, numbers: list[int]) -> Left:
    """(number, offset, line) of the lines with these 1-based numbers, in order."""
    if not numbers:
        return []
    wanted = set(numbers)
    return [(row.number, row.offset, row.raw or b"") for row in unread_rows(data, 0, 0) if row.number in wanted]


def is_text(data: bytes) -> bool:
    """Whether the bytes are UTF-8."""
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def line_ends(data: bytes) -> Any | None:
    """The place of every line's end, if every line begins with `{` and ends with `}`; else None.

    Between `}` and `{` there is no comma, so that no value goes on over such a line's end.
    """
    if not data:
        return None
    seen = np.frombuffer(data, dtype=np.uint8)
    # by blocks that stay in the processor's cache
    blocks = [np.flatnonzero(seen[at : at + _BLOCK] == 10) + at for at in range(0, len(seen), _BLOCK)]
    ends = np.concatenate(blocks)
    if not len(ends) or ends[-1] != len(data) - 1:
        ends = np.append(ends, len(data))
    if ends[0] == 0 or seen[0] != 123 or (seen[ends[:-1] + 1] != 123).any() or (seen[ends - 1] != 125).any():
        return None
    return ends


# -- columns ---------------------------------------------------------------------------------------------------------


def texts(values: Sequence[str | None]) -> pa.Array:
    """A string column; None is NULL."""
    return pa.array(values, pa.string())


def some(values: Iterable[Any], kind: type) -> bool:
    """Whether one of the values is of exactly this type."""
    return kind in set(map(type, values))


def constant(value: Any, size: int, kind: pa.DataType | None = None) -> pa.Array:
    """A column of `size` times the same value, of type `kind` (a string without it)."""
    return pa.repeat(pa.scalar(value, kind or pa.string()), size)


def counts(values: Sequence[int | None]) -> tuple[Any, Any] | None:
    """(values with 0 for None, which are known); None if some value is no token count."""
    if None in values:
        known = np.fromiter([value is not None for value in values], dtype=bool, count=len(values))
        values = [value or 0 for value in values]
    else:
        known = np.ones(len(values), dtype=bool)
    try:
        array = np.array(values, dtype=np.int64)
    except OverflowError:
        return None
    if len(array) and (int(array.min()) < 0 or int(array.max()) >= TOKEN_LIMIT):
        return None
    return array, known


def integers(values: Any, known: Any, kind: pa.DataType | None = None) -> pa.Array:
    """A column of the `values`, NULL where `known` (a bool array) is False; int64 unless `kind` says otherwise."""
    return pa.array(values, kind or pa.int64(), mask=None if known.all() else ~known)


def times(values: Sequence[str], zone: tzinfo = UTC) -> tuple[Any, Any] | None:
    """(microseconds since 1970 UTC, precision as an object array) of each text; None if one of them is no time."""
    size = len(values)
    stamped = pa.array(values, pa.string())
    lengths = (
        np.diff(np.frombuffer(stamped.buffers()[1], dtype=np.int32)[: size + 1]) if size else np.empty(0, np.int32)
    )
    wide = int(lengths[0]) if size else 0
    if size and (lengths == wide).all() and wide in (20, 24, 27):
        whole = np.frombuffer(stamped.buffers()[2], dtype=np.uint8)[: size * wide].reshape(size, wide)
        micros = _plain_times(stamped, whole, wide)
        if micros is not None:
            return micros, np.full(size, {20: "s", 24: "ms", 27: "us"}[wide], dtype=object)
    known: dict[str, tuple[int, str]] = {}
    for value in set(values):
        try:
            known[value] = time_us(value, "$", zone=zone)
        except BadRecordError:
            return None
    pairs = [known[value] for value in values]
    return (
        np.fromiter([pair[0] for pair in pairs], dtype=np.int64, count=size),
        np.array([pair[1] for pair in pairs], dtype=object),
    )


def _plain_times(stamped: pa.Array, text: Any, wide: int) -> Any | None:
    """Microseconds of `2026-10-01T12:34:56[.123[456]]Z`, given as texts and as rows of bytes; None if one is not so."""
    marks = {10: ord("T"), wide - 1: ord("Z")} | ({19: ord(".")} if wide > 20 else {})
    if any((text[:, place] != mark).any() for place, mark in marks.items()):
        return None
    try:  # ISO 8601 to the letter: it takes no other form with these marks at these places
        micros = pc.cast(stamped, pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy()
    except pa.ArrowInvalid:
        return None
    return micros if int(micros.min()) >= _FIRST_US and int(micros.max()) < _END_US else None
