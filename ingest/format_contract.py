"""What a log format is to the pipeline: the `Format` that every module of `ingest.formats` defines."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import msgspec

from ingest.records.call import BadRecordError, Bucket, Call, Skip
from ingest.records.claimed_usage import claimed_usage, flag_unread

if TYPE_CHECKING:  # Arrow and numpy are nothing for a program that only captures its calls
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from ingest.files.line_files import Row

Outcome = Call | Skip | Bucket | BadRecordError


@dataclass(frozen=True)
class Context:
    """What a reader knows beside the record: the file, and how the user wants to read it."""

    path: Path = field(default_factory=lambda: Path("-"))
    zone: tzinfo = UTC
    want_text: bool = True  # False where no content is kept, so readers may leave it out
    mtime_us: int | None = None  # for formats whose records carry no time
    mapping: Any = None  # ingest.mapping_file.Mapping for the formats that need one
    body: Callable[[str], bytes | None] | None = None  # reads an object that a record names; None: a file's neighbour


# what recognising, reading or storing a record of an unsupported shape raises
READER_ERRORS = (
    LookupError, TypeError, ValueError, AttributeError, ArithmeticError, AssertionError, RecursionError,
    msgspec.MsgspecError,
)  # fmt: skip


def as_bad_record(error: Exception) -> BadRecordError:
    """The error of a record whose shape a reader does not support, by which its row is set aside."""
    if isinstance(error, RecursionError):
        return BadRecordError("nested too deeply")
    return BadRecordError(f"unexpected shape ({type(error).__name__}: {error})"[:200])


def catch_reader_errors(read: Callable[..., list[Outcome]], *arguments: Any, item: Any = None) -> list[Outcome]:
    """`read(*arguments)` for one of several items of a record; an error of that item becomes its outcome.

    What an `item` (by default the first argument) that becomes no call used is what it says itself.
    """
    item = arguments[0] if item is None else item
    try:
        found = read(*arguments)
    except BadRecordError as error:
        bad = error
    except READER_ERRORS as error:
        bad = as_bad_record(error)
    else:
        if len(found) == 1 and isinstance(found[0], Call):
            flag_unread(found[0], item)
        return [_with_claims(outcome, item) for outcome in found]
    bad.claims = claimed_usage(item)
    return [bad]


def _with_claims(outcome: Outcome, item: Any) -> Outcome:
    if isinstance(outcome, Skip) and outcome.claims is None:
        return dataclasses.replace(outcome, claims=claimed_usage(item))
    return outcome


class Reader(Protocol):
    """Turns the records of one file into outcomes, one per row it accounts for."""

    def read(self, record: Any, row: int) -> Outcome | list[Outcome]:
        """Outcomes that this record completes. Raises BadRecordError if it cannot be used."""
        ...

    def close(self) -> Iterable[Outcome]:
        """Calls still held back at the end of the file."""
        ...


class TextReader(Protocol):
    """Reads pieces of a log whose plain calls become columns with their contents."""

    def read(self, data: bytes, batch: Any, source: int, other: Callable[[Row], None]) -> Any | None:
        """Take the plain lines into the `batch` and hand over each `other` one in its turn; the numbers of those taken.

        None if all must be read row by row.
        """
        ...


class Unmade(Protocol):
    """Calls of one piece that are no columns yet: for many small pieces they are made together."""

    def columns(self, others: Sequence[Self]) -> dict[str, pa.Array] | None:
        """Of these calls and then the `others`; None if the ordinary reader must read one of the pieces."""
        ...


@dataclass
class Columns:
    """The calls of one piece in their order: Arrow columns named as staged ones, and what the other lines were.

    `rows` are 1-based numbers within the piece. `left` are (number, offset, line) that the ordinary reader must see.
    `unmade` stands for the columns where there are calls and `columns` is empty.
    """

    columns: dict[str, pa.Array]
    rows: npt.NDArray[np.int64]
    duplicates: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    left: list[tuple[int, int, bytes]] = field(default_factory=list)
    unmade: Any = None  # an Unmade


class ColumnReader(Protocol):
    """Reads one piece of a log."""

    def read(self, data: bytes) -> Columns | None:
        """The calls of whole lines of JSONL; None if the ordinary reader must read all of it."""
        ...


@dataclass(frozen=True)
class Format:
    """One log format. `fingerprints`: alternative sets of keys, any one of which marks a record as this format's.

    `matches` decides; the fingerprints serve the explanation and the nearest-candidate message. `rank` orders the
    tests (lower first, most specific first). `splittable` formats read each record by itself, so that ranges of one
    file can be read in parallel and an interrupted file can go on in its middle.
    """

    name: str
    title: str
    fingerprints: tuple[frozenset[str], ...]
    matches: Callable[[Any], bool]
    open: Callable[[Context], Reader]
    rank: int = 50
    splittable: bool = True
    strict: bool = False  # `read` itself refuses every record that `matches` would not take
    fields: tuple[tuple[str, str], ...] = ()  # (our column, where it comes from), for --explain
    csv_columns: frozenset[str] = frozenset()  # header names that mark a CSV of this format
    # a reader of whole pieces as columns, for an ingest that keeps no message; the calls are those of `open`
    columns: Callable[[Context], ColumnReader] | None = None
    # the same for an ingest that keeps them
    texts: Callable[[Context], TextReader] | None = None

    def recognises(self, record: Any) -> bool:
        """Whether `matches` takes the record; one whose shape it does not expect is not of this format."""
        try:
            return self.matches(record)
        except READER_ERRORS:
            return False


class Stateless:
    """A reader that is one function of the record."""

    def __init__(self, read: Callable[[Any, Context], Outcome | list[Outcome]], context: Context) -> None:
        self._read = read
        self._context = context

    def read(self, record: Any, row: int) -> Outcome | list[Outcome]:  # noqa: ARG002
        """The outcomes of this record alone."""
        return self._read(record, self._context)

    def close(self) -> Iterable[Outcome]:
        """Nothing: no call is held back."""
        return ()


def stateless(read: Callable[[Any, Context], Outcome | list[Outcome]]) -> Callable[[Context], Reader]:
    """An `open` of `Format` for a reader that is one function of the record."""
    return functools.partial(Stateless, read)
