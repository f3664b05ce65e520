"""From a piece of a log to a staged segment, record by record."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from ingest.contents.messages import Contents
from ingest.errors import InputError
from ingest.files import containers, line_files
from ingest.files.byte_stream import StreamCutError, open_file
from ingest.files.line_files import Row, Shape
from ingest.format_contract import READER_ERRORS, Context, Format, Outcome, Reader, as_bad_record
from ingest.formats import detect_record, format_named, rows_inside
from ingest.records.call import NOTHING, BadRecordError, Bucket, Call, Claimed, Skip
from ingest.records.call_identity import key_of_id, key_of_line
from ingest.records.claimed_usage import claimed_in_bytes, claimed_usage, flag_unread, may_claim
from ingest.staging.batch import Batch
from ingest.staging.segment import ContentRules, FileCounts, Quarantined, Segment

RANGE_BYTES = 16 << 20  # of a range of a file, which goes on to the end of the line that stands there
SEGMENT_CALLS = 40_000
SEGMENT_BYTES = 48 << 20
PLAIN_BYTES = 1 << 18  # making columns of less costs more than it spares
_EXCERPT = 4000  # bytes that are searched for secrets before the excerpt is cut from them
_LAST: dict[tuple[Any, ...], Contents] = {}  # of this process's last segment, by the rules that it was read by
_encode = msgspec.json.Encoder(order="sorted").encode


@dataclass(frozen=True)
class Piece:
    """A piece of one file: a range of a plain file, lines already read, or (both None) the whole file."""

    source: int  # the file's number in this run
    path: Path
    format: str | None  # None: every record is recognised by itself
    shape: Shape
    context: Context
    start: int = 0
    end: int | None = None  # behind the piece's last byte in the file
    data: bytes | None = None
    first_row: int = 0
    last: bool = True  # the piece ends the file
    cut: str | None = None  # the compressed stream broke off after this piece, and why


@dataclass
class Task:
    """Pieces that one worker reads into one or more segments."""

    number: int
    pieces: list[Piece] = field(default_factory=list)


def read_task(task: Task, rules: ContentRules, folder: Path, *, name: str | None = None) -> Iterator[Segment]:
    """Read the pieces call by call, into segments whose folders' names begin with `name`, else the task's number."""
    name = name or f"{task.number:06}"
    key = rules.hash_key, rules.keep, rules.redact and rules.redact.extra
    number = itertools.count()

    def fresh() -> Batch:
        batch = Batch(rules, folder / f"{name}-{next(number)}", _LAST.get(key))
        _LAST.clear()
        _LAST[key] = batch.contents
        return batch

    batch = fresh()
    for piece in task.pieces:
        piece = loaded(piece)
        readers = Readers(piece)
        if _read_plain(piece, readers, batch, rules):
            if len(batch) >= SEGMENT_CALLS:
                yield batch.write()
                batch = fresh()
            continue
        rows = _told(rows_of(piece))  # held over its segments: a generator that goes on cannot be wrapped anew
        while _read_some(piece, rows, readers, batch, rules):
            yield batch.write()
            last_row = batch.counts_of(piece.source).last_row
            batch = fresh()
            batch.counts_of(piece.source).last_row = last_row
    yield batch.write()


class UnknownRecordError(BadRecordError):
    """A record that no format recognises."""


class Readers:
    """The reader of the piece's format, and of any other format whose records turn up in the same file."""

    def __init__(self, piece: Piece) -> None:
        self.context = piece.context
        self.main: Format | None = format_named(piece.format) if piece.format else None
        self._open: dict[str, Reader] = {}

    def reader(self, format: Format) -> Reader:
        """The reader of this format, opened when it is first needed."""
        found = self._open.get(format.name)
        if found is None:
            found = self._open[format.name] = format.open(self.context)
        return found

    def read(self, record: Any, row: int) -> Outcome | list[Outcome]:
        """The outcomes of a record, by the reader of the file's format or of the format that recognises it.

        Raises UnknownRecordError if no format does, and what the reader raises.
        """
        main = self.main
        if main is not None:
            if main.strict:  # ask what else a record may be only when its own reader refuses it
                try:
                    return self.reader(main).read(record, row)
                except BadRecordError:
                    if main.recognises(record):
                        raise
            elif main.rank >= 100 or main.recognises(record):
                return self.reader(main).read(record, row)
        found = detect_record(record)
        if found is None:
            raise UnknownRecordError("no known kind of record" if main is None else f"not a record of {main.title}")
        return self.reader(found).read(record, row)

    def close(self) -> Iterable[Outcome]:
        """What the readers held back."""
        for reader in self._open.values():
            try:
                yield from reader.close()
            except BadRecordError as bad:
                yield bad
            except READER_ERRORS as error:
                yield as_bad_record(error)


def _read_plain(piece: Piece, readers: Readers, batch: Batch, rules: ContentRules) -> bool:
    """Read a whole piece, its plain calls as columns; False if it must be read row by row."""
    format = readers.main
    if format is None or format.texts is None or piece.data is None or len(piece.data) < PLAIN_BYTES:
        return False
    if piece.shape != "jsonl" or piece.cut is not None or rules.keep == "none" or rules.redact is not None:
        return False
    key = rules.hash_key if rules.keep == "hashes" else None
    counts = batch.counts_of(piece.source)

    def other(row: Row) -> None:
        row = row._replace(offset=piece.start + row.offset)
        counts.last_row = row.number
        for one in line_files.decoded(row):
            read_row(one, readers, batch, piece.source, key)

    rows = format.texts(piece.context).read(piece.data, batch, piece.source, other)
    if rows is None:
        return False
    counts.rows += len(rows)
    counts.calls += len(rows)
    counts.last_row = max(counts.last_row, int(rows[-1]) if len(rows) else 0)
    _close(piece, readers, batch, key)
    return True


def _read_some(piece: Piece, rows: Iterator[Row], readers: Readers, batch: Batch, rules: ContentRules) -> bool:
    """Read rows of a piece until the batch is full (True) or the piece ends (False)."""
    key = rules.hash_key if rules.keep == "hashes" else None
    weight = 0
    counts = batch.counts_of(piece.source)
    try:
        for row in rows:
            weight += len(row.raw) if row.raw is not None else 500
            counts.last_row = row.number
            read_row(row, readers, batch, piece.source, key)
            if len(batch) >= SEGMENT_CALLS or weight >= SEGMENT_BYTES:
                return True
        cut = piece.cut
    except StreamCutError as error:
        cut = str(error)
    if cut is not None:
        batch.quarantine(piece.source, Quarantined(counts.last_row + 1, 0, cut, "$", "", None))
        counts.problem = cut
    _close(piece, readers, batch, key)
    return False


def _told(rows: Iterator[Row]) -> Iterator[Row]:
    """The rows, with whatever ends them early as a StreamCutError that says why."""
    try:
        yield from rows
    except InputError as error:
        raise StreamCutError(error.what) from error
    except (OSError, *READER_ERRORS) as error:
        first = str(error).splitlines() or [type(error).__name__]
        raise StreamCutError(f"cannot be read further: {first[0]}"[:200]) from error


def _close(piece: Piece, readers: Readers, batch: Batch, key: bytes | None) -> None:
    """Take in what the readers held back, at the end of a piece."""
    counts = batch.counts_of(piece.source)
    for outcome in readers.close():
        end = Row(outcome.row or counts.last_row if isinstance(outcome, Call) else counts.last_row, 0, b"", None, None)
        try:
            if isinstance(outcome, BadRecordError):
                raise outcome
            _take(outcome, batch, piece.source, end.number, b"", 0, key)
        except BadRecordError as bad:
            _quarantine(bad, end, batch, piece.source, key)
        except READER_ERRORS as error:
            _quarantine(as_bad_record(error), end, batch, piece.source, key)
    finish_counts(counts, piece)


def finish_counts(counts: FileCounts, piece: Piece) -> None:
    """Say how far the file was read, at the end of a piece."""
    counts.complete = piece.last
    counts.end_offset = 0
    if piece.data is not None:
        counts.lines = line_files.line_ends(piece.data)
        # a last line without its end may still be being written: it is read again when the file has grown
        whole = piece.data.rfind(b"\n") + 1 if piece.last else len(piece.data)
        # of a line that is too long its beginning alone is held
        ended = piece.end is not None and whole == len(piece.data)
        counts.end_offset = piece.end if ended and piece.end is not None else piece.start + whole


def loaded(piece: Piece) -> Piece:
    """The piece with its bytes, if it is a range of a file."""
    if piece.data is not None or piece.end is None:
        return piece
    with open_file(piece.path) as handle:
        handle.seek(piece.start)
        data = handle.read(min(piece.end - piece.start, RANGE_BYTES + line_files.LINE_LIMIT + 1))
        if piece.start + len(data) < piece.end:
            handle.seek(piece.end - 1)
            data += b"\n" if handle.read(1) == b"\n" else b""
        return dataclasses.replace(piece, data=data)


def rows_of(piece: Piece) -> Iterator[Row]:
    """The rows of a piece, decoded."""
    if piece.data is not None:
        yield from line_files.line_rows(piece.data, piece.start, piece.first_row)
    elif piece.shape == "jsonl":
        yield from line_files.file_rows(piece.path, piece.start, piece.first_row, 8 << 20)
    else:
        yield from containers.rows_of_shape(piece.path, piece.shape)


def read_row(row: Row, readers: Readers, batch: Batch, source: int, key: bytes | None) -> None:
    """Read a row into the batch; one that cannot be used goes to its quarantine."""
    try:
        if row.error is not None:
            raise row.error
        outcomes = readers.read(row.record, row.number)
    except UnknownRecordError as bad:
        inside = rows_inside(row.record)
        if inside is None:
            _quarantine(bad, row, batch, source, key)
        for record in inside or ():
            read_row(row._replace(raw=None, record=record), readers, batch, source, key)
        return
    except BadRecordError as bad:
        _quarantine(bad, row, batch, source, key)
        return
    except READER_ERRORS as error:
        _quarantine(as_bad_record(error), row, batch, source, key)
        return
    raw = row.raw
    if isinstance(outcomes, Call) and (raw is None or may_claim(raw)):
        flag_unread(outcomes, row.record)
    for index, outcome in enumerate(outcomes if isinstance(outcomes, list) else (outcomes,)):
        try:
            if isinstance(outcome, BadRecordError):
                raise outcome
            if raw is None and isinstance(outcome, Call) and outcome.identity is None:
                raw = _encode(row.record)
            if isinstance(outcome, Skip):
                batch.skip(source, outcome, _claims(outcome, row))
            else:
                _take(outcome, batch, source, row.number, raw or b"", index, key)
        except BadRecordError as bad:
            _quarantine(bad, row, batch, source, key)
        except READER_ERRORS as error:
            _quarantine(as_bad_record(error), row, batch, source, key)


def _take(
    outcome: Call | Skip | Bucket, batch: Batch, source: int, row: int, raw: bytes, index: int, key: bytes | None
) -> None:
    if isinstance(outcome, Skip):
        batch.skip(source, outcome, outcome.claims or NOTHING)
        return
    if isinstance(outcome, Bucket):
        batch.bucket(source, outcome)
        return
    at = outcome.row if outcome.row is not None else row
    if outcome.identity is not None:
        batch.call(outcome, source, at, key_of_id(outcome.identity), by_line=False)
        return
    batch.call(outcome, source, at, key_of_line(raw, index, key), by_line=True)


def _claims(outcome: Skip | BadRecordError, row: Row) -> Claimed:
    """What is lost with a row that becomes no call."""
    if outcome.claims is not None:
        return outcome.claims
    if isinstance(outcome, Skip) and outcome.duplicate:
        return NOTHING
    if row.raw is not None and not may_claim(row.raw):
        return NOTHING
    if isinstance(row.record, dict | list):
        return claimed_usage(row.record)
    return NOTHING if row.raw is None else claimed_in_bytes(row.raw)


def _quarantine(bad: BadRecordError, row: Row, batch: Batch, source: int, key: bytes | None) -> None:
    try:
        raw = row.raw if row.raw is not None else _encode(row.record)
    except (TypeError, ValueError, RecursionError):
        raw = repr(row.record)[:4096].encode("utf-8", "replace")
    digest = hmac.new(key, raw, "sha256") if key is not None else hashlib.sha256(raw)
    excerpt = raw[:_EXCERPT].decode("utf-8", "replace")
    lost = _claims(bad, row)
    batch.quarantine(
        source, Quarantined(row.number, row.offset, bad.reason, bad.path, digest.hexdigest(), excerpt, lost)
    )
