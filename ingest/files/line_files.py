"""Files as lines, and how a file is laid out (the other layouts: `ingest.files.containers`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np

from ingest.errors import InputError
from ingest.files import damaged_lines
from ingest.files.byte_stream import BLOCK, Packing, StreamCutError, blocks, open_file, packing, wide_encoding
from ingest.files.damaged_lines import BOM as BOM
from ingest.records.call import BadRecordError

Shape = Literal["jsonl", "json", "csv", "parquet", "sse", "vcr", "sqlite", "eval", "aider", "otlp", "binary", "empty"]
HEAD_BYTES = 1 << 20
_MAGIC = 64  # bytes that tell a packing or an encoding
LINE_LIMIT = 64 << 20  # of a longer line nothing is read
_ENDS_BLOCK, _END = 1 << 18, ord("\n")  # stays in a processor's cache
SQLITE = b"SQLite format 3\x00"
_PROTOBUF = {".binpb", ".pb"}  # ends the names of exports in protobuf, whose first byte is the tag of a group
UNREAD = object()  # the record of a row whose bytes are not decoded yet
decode = msgspec.json.Decoder().decode


class Row(NamedTuple):
    """One logged row: its 1-based number, byte offset, bytes (None where it has none of its own), and its content."""

    number: int
    offset: int
    raw: bytes | None
    record: Any
    error: BadRecordError | None


class Chunk(NamedTuple):
    """Whole lines, from the decompressed byte `offset` to `end`."""

    offset: int
    data: bytes
    end: int


@dataclass(frozen=True)
class FileKind:
    """How a file is packed and laid out."""

    compression: Packing
    encoding: str | None  # of a text in UTF-16 or UTF-32
    shape: Shape
    head: bytes  # the first bytes, decompressed

    @property
    def plain(self) -> bool:
        """Whether the file's own bytes are its text."""
        return not self.compression and self.encoding is None


def file_kind(path: Path, size: int = HEAD_BYTES) -> FileKind:
    """What the first `size` bytes tell. Raises InputError for a compressed file of which nothing can be read."""
    with open_file(path) as handle:
        magic = handle.read(_MAGIC)
    head = b""
    try:
        for block in blocks(path, min(size, BLOCK)):
            head += block
            if len(head) >= size:
                break
    except StreamCutError as cut:
        if not head:
            raise InputError(f"nothing can be read from it: {cut}", where=str(path)) from None
    return FileKind(packing(magic), wide_encoding(magic), _shape(head, path, len(head) >= size), head)


def _shape(head: bytes, path: Path, cut: bool) -> Shape:
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(SQLITE):
        return "sqlite"
    if head.startswith(b"\n") and _PROTOBUF & {suffix.lower() for suffix in path.suffixes}:
        return "otlp"
    if head.startswith(b"PK\x03\x04") and path.suffix.lower() == ".eval":
        return "eval"
    body = head.removeprefix(BOM).lstrip(b"\x1e \t\r\n")
    if not body:
        return "empty"
    if b"\x00" in head[:4096]:  # one damaged line does not make a log binary
        return "jsonl" if any(is_object(line.strip(b"\x00")) for line in body.split(b"\n")[:50]) else "binary"
    if body[:1] in b"{[":
        return _json_shape(body, cut)
    first = body.split(b"\n", 1)[0]
    if first.startswith((b"event:", b"data:")):
        return "sse"
    if body.startswith(b"# aider chat started at "):
        return "aider"
    if any(line.startswith(b"interactions:") for line in body.split(b"\n", 9)[:9]):
        return "vcr"
    suffixes = {suffix.lower() for suffix in path.suffixes}
    lines = [line for line in body.split(b"\n")[:50] if line.strip()]
    if any(is_object(line) for line in lines):
        return "jsonl"  # a damaged first line
    if suffixes & {".csv", ".tsv"} or (len(lines) > 1 and any(first.count(mark) >= 2 for mark in (b",", b"\t", b";"))):
        return "csv"
    return "jsonl" if suffixes & {".jsonl", ".ndjson"} else "binary"


def _json_shape(body: bytes, cut: bool) -> Shape:
    lines = body.split(b"\n", 50)
    if cut and len(lines) > 1:
        lines = lines[:-1]
    if body[:1] == b"[":
        return "json"
    if is_object(lines[0]):
        return "jsonl"
    if any(line[:1] == b"{" and is_object(line) for line in lines[1:50]):
        return "jsonl"
    # a pretty-printed document goes on indented; a cut line of JSONL stands alone
    indented = len(lines) > 1 and lines[1][:1] in b' \t}\r"'
    return "json" if indented or lines[0].strip() in (b"{", b"[") else "jsonl"


def is_object(line: bytes) -> bool:
    """Whether the line is a JSON object."""
    try:
        return isinstance(decode(line), dict)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def line_chunks(path: Path, size: int, start: int = 0, stop: int | None = None) -> Iterator[Chunk]:
    """Whole lines of about `size` bytes each, between the decompressed bytes `start` and `stop`.

    Both are beginnings of lines. Of a line above LINE_LIMIT the beginning alone is kept, with its line end. Raises
    StreamCutError after the last whole piece of a damaged file.
    """
    pending: list[bytes] = []
    held = 0
    place = 0  # behind the last block
    offset = start  # of what is pending
    dropping = False  # what is pending is the beginning of a line too long to be kept
    cut: StreamCutError | None = None
    source = blocks(path)
    while stop is None or place < stop:
        try:
            block = next(source)
        except StopIteration:
            break
        except StreamCutError as error:
            cut = error
            break
        before, place = place, place + len(block)
        block = block[max(0, start - before) : None if stop is None else stop - before]
        place = before + len(block) if stop is not None and place > stop else place
        if dropping:
            end = block.find(b"\n") + 1
            if not end:
                continue
            behind = place - len(block) + end
            yield Chunk(offset, b"".join(pending) + b"\n", behind)
            offset, block = behind, block[end:]
            pending, held, dropping = [], 0, False
        pending.append(block)
        held += len(block)
        if held >= size and (b"\n" in block or held > LINE_LIMIT + size):
            data = b"".join(pending)
            end = data.rfind(b"\n") + 1
            if end:
                yield Chunk(offset, data[:end], offset + end)
            offset += end
            dropping = len(data) - end > LINE_LIMIT
            rest = data[end : end + LINE_LIMIT + 1]
            pending, held = [rest], len(rest)
    if held:
        yield Chunk(offset, b"".join(pending), max(place, offset))
    if cut:
        raise cut


def line_ends(data: bytes) -> int:
    """data.count(b"\\n"), many bytes at a time."""
    seen = np.frombuffer(data, dtype=np.uint8)
    return sum(int(np.count_nonzero(seen[at : at + _ENDS_BLOCK] == _END)) for at in range(0, len(seen), _ENDS_BLOCK))


def line_rows(data: bytes, offset: int, first_row: int) -> Iterator[Row]:
    """The records of the non-blank lines of `data`; what is no JSON comes with its error."""
    for row in unread_rows(data, offset, first_row):
        yield from decoded(row)


def file_rows(path: Path, start: int = 0, first_row: int = 0, size: int = HEAD_BYTES) -> Iterator[Row]:
    """The records of a file of lines from byte `start` on, before which stand `first_row` lines."""
    for chunk in line_chunks(path, size, start):
        yield from line_rows(chunk.data, chunk.offset, first_row)
        first_row += line_ends(chunk.data)


def unread_rows(data: bytes, offset: int, first_row: int, *, block: int = BLOCK) -> Iterator[Row]:
    """The non-blank lines of `data`, not decoded yet: their record is UNREAD.

    `data` begins at byte `offset` and after `first_row` lines of its file; about `block` bytes are copied at a time.
    """
    number = first_row
    start = 0
    while start <= len(data):
        end = data.find(b"\n", start + block)
        if data[start : start + 2] == b"\n\n" and (piece := data[start : end if end >= 0 else len(data)]).isspace():
            number += piece.count(b"\n") + 1
            offset += len(piece) + 1
            start = end + 1 if end >= 0 else len(data) + 1
            continue
        for line in data[start : end if end >= 0 else len(data)].split(b"\n"):
            number += 1
            size = len(line) + 1
            if number == 1:
                line = line.removeprefix(BOM)
            if line and not line.isspace():
                yield Row(number, offset, line, UNREAD, None)
            offset += size
        start = end + 1 if end >= 0 else len(data) + 1


def decoded(row: Row) -> Iterable[Row]:
    """An unread row with its record; of a damaged line the whole records in it, and an error for what is lost."""
    number, offset, line, *_ = row
    assert line is not None
    try:
        return (Row(number, offset, line, decode(line), None),)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        return _saved(row, error)


def _saved(row: Row, error: Exception) -> Iterator[Row]:
    line = row.raw or b""
    if len(line) > LINE_LIMIT:
        yield row._replace(record=None, error=BadRecordError(f"a line of more than {LINE_LIMIT >> 20} MB"))
        return
    text = damaged_lines.readable(line)
    try:
        if "\x00" not in text:
            yield row._replace(record=damaged_lines.whole_value(text))
            return
    except RecursionError as deep:
        error = deep
    except ValueError:
        pass
    found, lost = damaged_lines.whole_records(text)
    for piece, record in found:
        yield Row(row.number, row.offset, piece.encode(), record, None)
    if not found:
        yield row._replace(record=None, error=BadRecordError(json_reason(error)))
    elif lost:
        kind = "NUL bytes" if not lost.strip("\x00") else "characters of a cut or overwritten record"
        raw = lost.encode("utf-8", "replace")
        reason = f"{len(lost):,} {kind} beside {len(found)} whole on the same line"
        yield Row(row.number, row.offset, raw, None, BadRecordError(reason))


def json_reason(error: Exception) -> str:
    """Why a line is no JSON, as its quarantine row says it: at most 200 characters."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    text = str(error)
    if "truncated" in text.lower():
        return "the line is cut off: it is no whole JSON value"
    return f"not JSON: {text}"[:200]
