"""Files as bytes and lines: plain, .gz or .zst, and how they are laid out (the other layouts:
`ingest.files.containers`).

What a file is is told from its first bytes, never from its name. Everything is streamed in bounded pieces.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
import zstandard

from ingest.errors import InputError
from ingest.records.call import BadRecordError

Shape = Literal["jsonl", "json", "csv", "parquet", "sse", "vcr", "sqlite", "binary", "empty"]
HEAD_BYTES = 1 << 20
_BLOCK = 1 << 20
_ENDS_BLOCK, _END = 1 << 18, ord("\n")  # stays in a processor's cache
BOM = b"\xef\xbb\xbf"
SQLITE = b"SQLite format 3\x00"
UNREAD = object()  # the record of a row whose bytes are not decoded yet
decode = msgspec.json.Decoder().decode


class StreamCutError(Exception):
    """A compressed stream that ends early or is damaged; what came before it has been yielded."""


class Row(NamedTuple):
    """One logged row: its 1-based number, byte offset, bytes (None where it has none of its own), and its content."""

    number: int
    offset: int
    raw: bytes | None
    record: Any
    error: BadRecordError | None


@dataclass(frozen=True)
class FileKind:
    """How a file is packed and laid out."""

    compression: Literal["", "gz", "zst"]
    shape: Shape
    head: bytes  # the first bytes, decompressed


def open_file(path: Path) -> Any:
    """The file's raw bytes. Raises InputError naming what is wrong and what to do."""
    try:
        if path.is_dir():
            raise InputError("is a folder", where=str(path))
        return path.open("rb")
    except FileNotFoundError:
        raise InputError("there is no such file", where=str(path), remedy="Check the path.") from None
    except PermissionError:
        raise InputError("cannot be read: permission denied", where=str(path)) from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from error


def file_kind(path: Path, size: int = HEAD_BYTES) -> FileKind:
    """What the first `size` bytes tell. Raises InputError for a compressed file of which nothing can be read."""
    with open_file(path) as handle:
        magic = handle.read(4)
    compression: Literal["", "gz", "zst"] = ""
    if magic[:2] == b"\x1f\x8b":
        compression = "gz"
    elif magic == b"\x28\xb5\x2f\xfd":
        compression = "zst"
    head = b""
    try:
        for block in blocks(path, min(size, _BLOCK)):
            head += block
            if len(head) >= size:
                break
    except StreamCutError as cut:
        if not head:
            raise InputError(f"nothing can be read from it: {cut}", where=str(path)) from None
    return FileKind(compression, _shape(head, path, len(head) >= size), head)


def _shape(head: bytes, path: Path, cut: bool) -> Shape:
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(SQLITE):
        return "sqlite"
    body = head.removeprefix(BOM).lstrip()
    if not body:
        return "empty"
    if b"\x00" in head[:4096]:  # one damaged line does not make a log binary
        return "jsonl" if any(is_object(line) for line in body.split(b"\n")[:50]) else "binary"
    if body[:1] in b"{[":
        return _json_shape(body, cut)
    first = body.split(b"\n", 1)[0]
    if first.startswith((b"event:", b"data:")):
        return "sse"
    if first.startswith(b"interactions:"):
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


def blocks(path: Path, size: int = _BLOCK) -> Iterator[bytes]:
    """The file's decompressed bytes in pieces. Raises StreamCutError after the last whole piece of a damaged file."""
    with open_file(path) as handle:
        magic = handle.read(4)
        handle.seek(0)
        if magic[:2] == b"\x1f\x8b":
            yield from _inflate(handle, lambda: zlib.decompressobj(wbits=31))
        elif magic == b"\x28\xb5\x2f\xfd":
            yield from _inflate(handle, lambda: zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj())
        else:
            while block := handle.read(size):
                yield block


def _inflate(handle: Any, new: Any) -> Iterator[bytes]:
    state = None
    read = 0
    while packed := handle.read(_BLOCK // 8):
        read += len(packed)
        while packed:
            if state is None:
                packed = packed.lstrip(b"\x00")  # padding between members
                if not packed:
                    break
                state = new()
            try:
                block = state.decompress(packed)
            except (zlib.error, zstandard.ZstdError) as error:
                raise StreamCutError(f"the compressed stream is damaged near byte {read}: {error}") from None
            if block:
                yield block
            if not state.eof:
                break
            packed, state = state.unused_data, None
    if state is not None:
        raise StreamCutError(f"the compressed stream ends early, at byte {read}")


def line_chunks(path: Path, size: int, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, bytes]]:
    """(offset, whole lines) of about `size` bytes each, between the decompressed bytes `start` and `stop`.

    Both are beginnings of lines. Raises StreamCutError after the last whole piece of a damaged file.
    """
    pending: list[bytes] = []
    held = 0
    offset = 0
    cut: StreamCutError | None = None
    source = blocks(path)
    while True:
        try:
            block = next(source)
        except StopIteration:
            break
        except StreamCutError as error:
            cut = error
            break
        if offset < start:
            skipped = min(start - offset, len(block))
            offset += skipped
            block = block[skipped:]
        if stop is not None and offset + held + len(block) >= stop:
            pending.append(block[: stop - offset - held])
            held = stop - offset
            break
        pending.append(block)
        held += len(block)
        if held >= size:
            data = b"".join(pending)
            end = data.rfind(b"\n") + 1
            if end:
                yield offset, data[:end]
                offset += end
                pending, held = [data[end:]], len(data) - end
    if held:
        yield offset, b"".join(pending)
    if cut:
        raise cut


def line_ends(data: bytes) -> int:
    """data.count(b"\\n"), many bytes at a time."""
    seen = np.frombuffer(data, dtype=np.uint8)
    return sum(int(np.count_nonzero(seen[at : at + _ENDS_BLOCK] == _END)) for at in range(0, len(seen), _ENDS_BLOCK))


def line_rows(data: bytes, offset: int, first_row: int) -> Iterator[Row]:
    """The non-blank lines of `data` as decoded rows; a line that is no JSON comes with its error."""
    return map(decoded, unread_rows(data, offset, first_row))


def unread_rows(data: bytes, offset: int, first_row: int, *, block: int = _BLOCK) -> Iterator[Row]:
    """The non-blank lines of `data`, not decoded yet: their record is UNREAD.

    `data` begins at byte `offset` and after `first_row` lines of its file; about `block` bytes are copied at a time.
    """
    number = first_row
    start = 0
    while start <= len(data):
        end = data.find(b"\n", start + block)
        for line in data[start : end if end >= 0 else len(data)].split(b"\n"):
            number += 1
            size = len(line) + 1
            if number == 1:
                line = line.removeprefix(BOM)
            if line and not line.isspace():
                yield Row(number, offset, line, UNREAD, None)
            offset += size
        start = end + 1 if end >= 0 else len(data) + 1


def decoded(row: Row) -> Row:
    """An unread row with its record, or with the error of a line that is no JSON."""
    number, offset, line, *_ = row
    assert line is not None
    try:
        try:
            return Row(number, offset, line, decode(line), None)
        except msgspec.ValidationError:  # a number beyond a double, which need not be one of ours
            return Row(number, offset, line, _decode_wide(line), None)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        return Row(number, offset, line, None, BadRecordError(json_reason(error)))


def _decode_wide(line: bytes) -> Any:
    """JSON whose numbers may be of any size: infinite beyond a double. Raises ValueError for what is no JSON."""
    return json.loads(line, parse_int=lambda digits: int(digits) if len(digits) < 300 else float(digits))


def json_reason(error: Exception) -> str:
    """Why a line is no JSON, as its quarantine row says it: at most 200 characters."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    text = str(error)
    if "truncated" in text.lower():
        return "the line is cut off: it is no whole JSON value"
    return f"not JSON: {text}"[:200]
