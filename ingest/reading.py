"""Files as records: plain, .gz or .zst; JSON lines, one JSON document, CSV, Parquet, event streams, recorded HTTP.

What a file is is told from its first bytes, never from its name. Everything is streamed in bounded pieces.
"""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import zstandard

from ingest.calls import BadRecordError
from ingest.errors import InputError

Shape = Literal["jsonl", "json", "csv", "parquet", "sse", "vcr", "binary", "empty"]
HEAD_BYTES = 1 << 20
DOCUMENT_LIMIT = 256 << 20
_BLOCK = 1 << 20
_BOM = b"\xef\xbb\xbf"
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


def file_kind(path: Path) -> FileKind:
    with open_file(path) as handle:
        magic = handle.read(4)
    compression: Literal["", "gz", "zst"] = ""
    if magic[:2] == b"\x1f\x8b":
        compression = "gz"
    elif magic == b"\x28\xb5\x2f\xfd":
        compression = "zst"
    head = b""
    try:
        for block in blocks(path):
            head += block
            if len(head) >= HEAD_BYTES:
                break
    except StreamCutError as cut:
        if not head:
            raise InputError(f"nothing can be read from it: {cut}", where=str(path)) from None
    return FileKind(compression, _shape(head, path), head)


def _shape(head: bytes, path: Path) -> Shape:
    if head.startswith(b"PAR1"):
        return "parquet"
    body = head.removeprefix(_BOM).lstrip()
    if not body:
        return "empty"
    if b"\x00" in head[:4096]:  # one damaged line does not make a log binary
        return "jsonl" if any(_is_object(line) for line in body.split(b"\n")[:50]) else "binary"
    if body[:1] in b"{[":
        return _json_shape(body, len(head) >= HEAD_BYTES)
    first = body.split(b"\n", 1)[0]
    if first.startswith((b"event:", b"data:")):
        return "sse"
    if first.startswith(b"interactions:"):
        return "vcr"
    suffixes = {suffix.lower() for suffix in path.suffixes}
    lines = [line for line in body.split(b"\n")[:50] if line.strip()]
    if any(_is_object(line) for line in lines):
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
    if _is_object(lines[0]):
        return "jsonl"
    if any(line[:1] == b"{" and _is_object(line) for line in lines[1:50]):
        return "jsonl"
    # a pretty-printed document goes on indented; a cut line of JSONL stands alone
    indented = len(lines) > 1 and lines[1][:1] in b' \t}\r"'
    return "json" if indented or lines[0].strip() in (b"{", b"[") else "jsonl"


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(decode(line), dict)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def blocks(path: Path) -> Iterator[bytes]:
    """The file's decompressed bytes in pieces. Raises StreamCutError after the last whole piece of a damaged file."""
    with open_file(path) as handle:
        magic = handle.read(4)
        handle.seek(0)
        if magic[:2] == b"\x1f\x8b":
            yield from _inflate(handle, lambda: zlib.decompressobj(wbits=31))
        elif magic == b"\x28\xb5\x2f\xfd":
            yield from _inflate(handle, lambda: zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj())
        else:
            while block := handle.read(_BLOCK):
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


def line_rows(data: bytes, offset: int, first_row: int) -> Iterator[Row]:
    """The non-blank lines of `data` as decoded rows; a line that is no JSON comes with its error."""
    number = first_row
    for line in data.split(b"\n"):
        number += 1
        size = len(line) + 1
        if number == 1:
            line = line.removeprefix(_BOM)
        if not line or line.isspace():
            offset += size
            continue
        try:
            yield Row(number, offset, line, decode(line), None)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            yield Row(number, offset, line, None, BadRecordError(_json_reason(error)))
        offset += size


def _json_reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    text = str(error)
    if "truncated" in text.lower():
        return "the line is cut off: it is no whole JSON value"
    return f"not JSON: {text}"[:200]


def document_rows(path: Path) -> Iterator[Row]:
    """The records of one JSON document: its elements if it is a list or wraps one in `data`, else itself."""
    data = bytearray()
    cut: StreamCutError | None = None
    try:
        for block in blocks(path):
            data += block
            if len(data) > DOCUMENT_LIMIT:
                raise InputError(
                    f"one JSON document of more than {DOCUMENT_LIMIT >> 20} MB",
                    where=str(path),
                    remedy="Turn it into JSON lines first: jq -c '.[]' FILE > FILE.jsonl",
                )
    except StreamCutError as error:
        cut = error
    body = bytes(data).removeprefix(_BOM)
    try:
        document = decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        # elements on lines of their own can still be saved one by one
        yield from _salvaged(body, error)
        if cut:
            raise cut from None
        return
    if isinstance(document, dict) and isinstance(document.get("data"), list) and "trace" not in document:
        document = document["data"]
    elements = document if isinstance(document, list) else [document]
    for number, element in enumerate(elements, 1):
        yield Row(number, 0, None, element, None)


def _salvaged(body: bytes, error: Exception) -> Iterator[Row]:
    found = []
    for number, line in enumerate(body.split(b"\n"), 1):
        text = line.strip().rstrip(b",")
        if text[:1] == b"{" and _is_object(text):
            found.append(Row(number, 0, text, decode(text), None))
    yield from found
    last = found[-1].number + 1 if found else 1
    yield Row(last, 0, body[:4096], None, BadRecordError(f"the document breaks off or is {_json_reason(error)}"))


def csv_rows(path: Path) -> Iterator[Row]:
    """The rows of a CSV as dicts of strings, empty cells as None."""

    def text() -> Iterator[str]:
        pending = b""
        for block in blocks(path):
            whole, mark, rest = (pending + block).rpartition(b"\n")
            pending = rest
            if mark:
                yield from io.StringIO((whole + mark).decode("utf-8-sig", "replace"), newline="")
        if pending:
            yield pending.decode("utf-8-sig", "replace")

    with io.BytesIO() as buffer:
        for block in blocks(path):
            buffer.write(block)
            break
        first = buffer.getvalue().split(b"\n", 1)[0].decode("utf-8-sig", "replace")
    delimiter = max(",\t;|", key=first.count)
    reader = csv.reader(text(), delimiter=delimiter)
    header = [name.strip() for name in next(reader, [])]
    number = 1
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            number = reader.line_num
            yield Row(number, 0, None, None, BadRecordError(f"not CSV: {error}"))
            continue
        number = reader.line_num
        if not cells:
            continue
        raw = delimiter.join(cells).encode()
        if len(cells) != len(header):
            yield Row(number, 0, raw, None, BadRecordError(f"{len(cells)} cells under {len(header)} columns"))
            continue
        yield Row(number, 0, raw, {name: cell or None for name, cell in zip(header, cells, strict=True)}, None)


def csv_header(head: bytes) -> list[str]:
    first = head.removeprefix(_BOM).split(b"\n", 1)[0].decode("utf-8", "replace").rstrip("\r")
    delimiter = max(",\t;|", key=first.count)
    return [name.strip() for name in next(csv.reader([first], delimiter=delimiter), [])]


def parquet_rows(path: Path) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"not a readable Parquet file: {str(error)[:120]}", where=str(path)) from None
    number = 0
    with file:
        for batch in file.iter_batches(batch_size=8192):
            for record in batch.to_pylist():
                number += 1
                yield Row(number, 0, None, record, None)


def stream_rows(path: Path) -> Iterator[Row]:
    """The answers of a saved event stream: a record `{"sse": text}` for each, numbered by its first line."""
    text = b"".join(_bounded(path)).decode("utf-8", "replace")
    start: list[str] = []
    first = 1
    for number, line in enumerate(text.splitlines(), 1):
        begins = ('"message_start"' in line and line.startswith("data:")) or '"response.created"' in line
        if begins and any(part.startswith("data:") for part in start):
            yield Row(first, 0, "\n".join(start).encode(), {"sse": "\n".join(start)}, None)
            start, first = [], number
        start.append(line)
    if start:
        yield Row(first, 0, "\n".join(start).encode(), {"sse": "\n".join(start)}, None)


def cassette_rows(path: Path) -> Iterator[Row]:
    """The interactions of a VCR cassette (YAML)."""
    import yaml

    try:
        document = yaml.safe_load(b"".join(_bounded(path)))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"not a readable cassette: {str(error).splitlines()[0]}", where=str(path)) from None
    found = document.get("interactions") if isinstance(document, dict) else None
    for number, interaction in enumerate(found if isinstance(found, list) else (), 1):
        yield Row(number, 0, None, {"interaction": interaction if isinstance(interaction, dict) else {}}, None)


def _bounded(path: Path) -> Iterator[bytes]:
    size = 0
    for block in blocks(path):
        size += len(block)
        if size > DOCUMENT_LIMIT:
            raise InputError(f"one document of more than {DOCUMENT_LIMIT >> 20} MB", where=str(path))
        yield block


def rows_of_shape(path: Path, shape: Shape) -> Iterator[Row]:
    """Rows of a file that is read as a whole."""
    if shape == "json":
        return document_rows(path)
    if shape == "csv":
        return csv_rows(path)
    if shape == "parquet":
        return parquet_rows(path)
    if shape == "sse":
        return stream_rows(path)
    if shape == "vcr":
        return cassette_rows(path)
    raise InputError(f"this layout ({shape}) cannot be read", where=str(path))
