"""Files that are read as a whole or by rows of their own: one JSON document, CSV, Parquet, event streams, cassettes."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from ingest.errors import InputError
from ingest.files import archives, damaged_lines, databases, otlp_protobuf
from ingest.files.byte_stream import StreamCutError, blocks
from ingest.files.damaged_lines import BOM
from ingest.files.line_files import LINE_LIMIT, UNREAD, Row, Shape, decode, decoded, is_object
from ingest.records.call import BadRecordError

DOCUMENT_LIMIT = 256 << 20
_INDENTED = re.compile(rb"\n([ \t]*\{)")
_BETWEEN = b"\x1e \t\r\n,"  # what stands between records, and no more
csv.field_size_limit(LINE_LIMIT)  # prompts in a cell are longer than Python's default


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
    body = bytes(data).removeprefix(BOM).strip(_BETWEEN)
    try:
        document = decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # documents one after another, as jq prints them, or a damaged one whose records can be saved one by one
        yield from _one_by_one(body)
        if cut:
            raise cut from None
        return
    for number, element in enumerate(_elements(document), 1):
        yield Row(number, 0, None, element, None)


def _elements(document: Any) -> list[Any]:
    """The records of a document: the elements of a list, or of the list that it wraps in `data`, else itself."""
    if isinstance(document, dict) and isinstance(document.get("data"), list) and "trace" not in document:
        document = document["data"]
    return document if isinstance(document, list) else [document]


def _one_by_one(body: bytes) -> Iterator[Row]:
    """The records of documents that follow each other, or of a damaged list, each from the beginning of a line on.

    What is no record is a row with its error.
    """
    start: bytes | None = body[:1]
    if body[:1] == b"[" and not _is_json(body.split(b"\n", 1)[0]):
        body = body[1:].removesuffix(b"]")
        found = _INDENTED.search(body)
        head = body[: found.start()].strip(_BETWEEN) if found else body
        start = found[1] if found and (not head or is_object(head)) else None
    for number, piece in damaged_lines.records_between(body, start) if start else [(1, body)]:
        text = piece.strip(_BETWEEN)
        if not text:
            continue
        for row in decoded(Row(number, 0, text, UNREAD, None)):
            if row.error is not None:
                yield row._replace(error=BadRecordError(f"the document breaks off or is damaged: {row.error.reason}"))
                continue
            for element in _elements(row.record):
                yield Row(number, 0, None, element, None)


def _is_json(text: bytes) -> bool:
    try:
        decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


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
    """The column names in the first line of a CSV file, whichever its delimiter."""
    first = next(iter(head.removeprefix(BOM).split(b"\n", 1)[0].decode("utf-8", "replace").splitlines()), "")
    delimiter = max(",\t;|", key=first.count)
    return [name.strip() for name in next(csv.reader([first], delimiter=delimiter), [])]


def parquet_rows(path: Path) -> Iterator[Row]:
    """The rows of a Parquet file as records."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"not a readable Parquet file: {str(error)[:120]}", where=str(path)) from None
    number = 0
    with file:
        for batch in file.iter_batches(batch_size=8192):
            for record in batch.to_pylist(maps_as_pydicts="lossy"):
                number += 1
                yield Row(number, 0, None, record, None)


def export_rows(path: Path) -> Iterator[Row]:
    """The one record of a file that is an OTLP export in protobuf. Raises InputError where it is none."""
    try:
        document = otlp_protobuf.decode_any(b"".join(_bounded(path)))
    except ImportError:
        raise InputError(
            "an OTLP export in protobuf, which cannot be read here",
            where=str(path),
            remedy="Install: pip install 'llm-hindcast[watch]', or let the exporter write otlp_json",
        ) from None
    except otlp_protobuf.NotOtlpError as error:
        raise InputError(str(error), where=str(path)) from None
    yield Row(1, 0, None, document, None)


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


def aider_rows(path: Path) -> Iterator[Row]:
    """The lines of Aider's chat history that tell when a session began, its model, and what a reply used."""
    text = b"".join(_bounded(path)).decode("utf-8", "replace")
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith(("# aider chat started at ", "> Tokens: ", "> Main model: ", "> Model: ")):
            yield Row(number, 0, line.encode(), {"aider": line}, None)


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
    if shape == "eval":
        return archives.evaluation_rows(path)
    if shape == "aider":
        return aider_rows(path)
    if shape == "otlp":
        return export_rows(path)
    if shape == "sqlite":
        return databases.database_rows(path)
    raise InputError(f"this layout ({shape}) cannot be read", where=str(path))
