"""Segments of an ingest that keeps nothing of the messages: columns where a format has a reader of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from ingest.files import line_files
from ingest.files.byte_stream import is_plain, open_file
from ingest.format_contract import Columns, Format
from ingest.formats import format_named
from ingest.pipeline import parse_rows
from ingest.staging.arrow_files import concatenated, write_table
from ingest.staging.batch import Batch
from ingest.staging.segment import ContentRules, FileCounts, Segment

SEGMENT_CALLS = 60_000
WHOLE_BYTES = 64 << 20  # a file that is read in one piece and is larger goes the ordinary way, in bounded memory


def has_columns(task: parse_rows.Task, rules: ContentRules) -> bool:
    """Whether some piece of the task may be read as columns."""
    return rules.keep == "none" and rules.redact is None and any(_format(piece) is not None for piece in task.pieces)


def _format(piece: parse_rows.Piece) -> Format | None:
    if piece.format is None or piece.shape != "jsonl":
        return None
    found = format_named(piece.format)
    return found if found.columns is not None else None


class _NotTogetherError(Exception):
    """Columns of many pieces cannot be made together: the ordinary reader must read one of them."""


def read_task(task: parse_rows.Task, rules: ContentRules, folder: Path) -> Iterator[Segment]:
    """Read the pieces and yield staged segments in order. What columns cannot hold is read call by call."""
    try:
        yield from list(_segments(task, rules, folder, together=True))
    except _NotTogetherError:
        yield from _segments(task, rules, folder, together=False)


def _segments(task: parse_rows.Task, rules: ContentRules, folder: Path, *, together: bool) -> Iterator[Segment]:
    name = f"{task.number:06}-{'columns' if together else 'alone'}"
    held = _Held(folder / f"{name}-0", together)
    for place, piece in enumerate(task.pieces):
        piece = parse_rows.loaded(piece)
        if held.read(piece, rules):
            if held.calls >= SEGMENT_CALLS:
                yield held.write()
                held = _Held(folder / f"{name}-{place + 1}", together)
            continue
        if held.counts:
            yield held.write()
            held = _Held(folder / f"{name}-{place + 1}", together)
        yield from parse_rows.read_task(
            parse_rows.Task(task.number, [piece]), rules, folder, name=f"{name}-rows-{place}"
        )
    if held.counts:
        yield held.write()


class _Held:
    """The columns of the pieces that go into the next segment; with `together` made for many of them at once."""

    def __init__(self, folder: Path, together: bool) -> None:
        self.folder = folder
        self.together = together
        self.counts: dict[int, FileCounts] = {}
        self.calls = 0
        self._unmade: list[tuple[int, Columns]] = []
        self._tables: list[pa.Table] = []
        self._issues: list[tuple[int, str, str]] = []
        self._scores: list[tuple[int, str, float]] = []

    def read(self, piece: parse_rows.Piece, rules: ContentRules) -> bool:
        """Take in a piece; False if it must be read the ordinary way, and then nothing of it is kept."""
        format = _format(piece)
        if format is None or format.columns is None or piece.cut is not None or piece.source in self.counts:
            return False
        data = _bytes(piece)
        if data is None:
            return False
        found = format.columns(piece.context).read(data)
        if found is None:
            return False
        batch = _left_over(piece, found, rules)
        if batch is None or (len(batch) and not format.splittable):
            return False
        waits = self.together and found.unmade is not None and not len(batch)
        if found.unmade is not None and not waits:
            made = found.unmade.columns(())
            if made is None:
                return False
            found.columns = made
        counts = batch.counts_of(piece.source)
        counts.rows += len(found.rows) + found.duplicates + found.skipped.total()
        counts.calls += len(found.rows)
        counts.duplicates += found.duplicates
        counts.skipped.update(found.skipped)
        counts.last_row = int(found.rows[-1]) if len(found.rows) else 0
        parse_rows.finish_counts(counts, piece)
        self.counts[piece.source] = counts
        if waits:
            self._unmade.append((piece.source, found))
            self.calls += len(found.rows)
        else:
            self._make()
            self._take(piece, found, batch)
        return True

    def _make(self) -> None:
        """Make the columns of the pieces that wait."""
        if not self._unmade:
            return
        (_, first), *others = self._unmade
        made = first.unmade.columns([one.unmade for _, one in others])
        if made is None:
            raise _NotTogetherError
        sources = [np.full(len(one.rows), source, dtype=np.int32) for source, one in self._unmade]
        rows = [one.rows for _, one in self._unmade]
        where = {"source": pa.array(np.concatenate(sources)), "source_row": pa.array(np.concatenate(rows))}
        self._tables.append(pa.table({**made, **where}))
        self._unmade = []

    def _take(self, piece: parse_rows.Piece, found: Columns, batch: Batch) -> None:
        tables = []
        if len(found.rows):
            source = pa.array(np.full(len(found.rows), piece.source, dtype=np.int32))
            tables.append(pa.table({**found.columns, "source": source, "source_row": pa.array(found.rows)}))
        if len(batch):
            tables.append(batch.call_table())
        if not tables:
            return
        table = concatenated(tables)
        if len(tables) > 1:  # rows of both readers, in the order of the file
            order = np.argsort(table["source_row"].to_numpy(), kind="stable")
            table = table.take(pa.array(order))
            places = np.empty(len(order), dtype=np.int64)
            places[order] = np.arange(len(order))
        else:
            places = np.arange(len(table))
        first = len(table) - len(batch) if len(tables) > 1 else 0
        for call, code, detail in batch.segment.issues:
            self._issues.append((self.calls + int(places[first + call]), code, detail))
        for call, model, score in batch.scores():
            self._scores.append((self.calls + int(places[first + call]), model, score))
        self._tables.append(table)
        self.calls += len(table)

    def write(self) -> Segment:
        self._make()
        segment = Segment(self.folder, self.calls, counts=self.counts, issues=self._issues)
        if self._tables:
            self.folder.mkdir(mode=0o700)
            write_table(concatenated(self._tables), self.folder, "calls")
        if self._scores:
            calls, models, scores = zip(*self._scores, strict=True)
            write_table(
                pa.table({"call": pa.array(calls, pa.int64()), "model": models, "score": scores}), self.folder, "scores"
            )
        return segment


def _bytes(piece: parse_rows.Piece) -> bytes | None:
    """The piece's lines; None for a file that is too large, or that has to be decompressed, to be read whole."""
    if piece.data is not None:
        return piece.data
    if piece.path.stat().st_size > WHOLE_BYTES:
        return None
    with open_file(piece.path) as handle:
        data: bytes = handle.read()
    return data if is_plain(data[:64]) else None


def _left_over(piece: parse_rows.Piece, found: Columns, rules: ContentRules) -> Batch | None:
    """What the ordinary reader makes of the lines that are left; None if it holds something back."""
    batch = Batch(rules, Path("-"))
    if found.left:
        readers = parse_rows.Readers(piece)
        for number, offset, line in found.left:
            unread = line_files.Row(number, piece.start + offset, line, line_files.UNREAD, None)
            for row in line_files.decoded(unread):
                parse_rows.read_row(row, readers, batch, piece.source, None)
        if any(True for _ in readers.close()):
            return None
    return batch
