"""The tasks of an ingest: small files share one, large files that can be split make several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import tzinfo
from pathlib import Path
from typing import Any

from ingest.detect.file_format import Recognised
from ingest.files import line_files
from ingest.files.byte_stream import BLOCK, StreamCutError, open_file
from ingest.format_contract import Context
from ingest.pipeline.parse_rows import RANGE_BYTES, Piece, Task
from ingest.staging.segment import ContentRules
from ingest.staging.source_files import SourceFile

TASK_BYTES = RANGE_BYTES


def plan(
    found: Sequence[tuple[SourceFile, Recognised]], rules: ContentRules, zone: tzinfo, mapping: Any
) -> Iterator[Task]:
    """The tasks in the order of the files. All files of a task are of one format, and printed or not."""
    task = Task(0)
    held = 0
    kind: tuple[str, bool] | None = None  # of the task's files
    for source, known in found:
        if source.mode == "unchanged":
            continue
        if source.start:
            source.replay_lines(rules.hash_key if rules.keep == "hashes" else None)
        context = Context(source.path, zone, rules.keep != "none", source.mtime_ns // 1000, mapping)
        for piece, size in _pieces(source, known, context):
            mixed = bool(task.pieces) and kind != (source.format, source.printed)
            if mixed or (held and held + size > TASK_BYTES):
                yield task
                task, held = Task(task.number + 1), 0
            task.pieces.append(piece)
            held += size
            kind = source.format, source.printed
    if task.pieces:
        yield task


def bytes_of(task: Task) -> int:
    """How much of the log a task reads."""
    total = 0
    for piece in task.pieces:
        whole = piece.path.stat().st_size if piece.data is None and piece.end is None else 0
        total += whole or len(piece.data or b"") or (piece.end or 0) - piece.start
    return total


def _pieces(source: SourceFile, known: Recognised, context: Context) -> Iterator[tuple[Piece, int]]:
    """The pieces of a file, and how many bytes each holds."""
    base = Piece(source.number, source.path, known.format, known.shape, context, start=source.start)
    if not known.splittable:
        yield base, source.size - source.start
    elif not known.compressed:
        for start, end in _ranges(source.path, source.start, source.size):
            yield replace(base, start=start, end=end, last=end >= source.size), end - start
    else:
        yield from _compressed_pieces(base, source)


def _compressed_pieces(base: Piece, source: SourceFile) -> Iterator[tuple[Piece, int]]:
    """Decompression happens here, once; the lines go to the workers."""
    previous: Piece | None = None
    try:
        for offset, data, end in line_files.line_chunks(source.path, TASK_BYTES, source.start):
            if previous is not None:
                yield previous, len(previous.data or b"")
            previous = replace(base, start=offset, end=end, data=data, last=False)
        cut = None
    except StreamCutError as error:
        cut = str(error)
    if previous is None:
        previous = replace(base, start=source.start, data=b"")
    yield replace(previous, last=True, cut=cut), len(previous.data or b"")


def _ranges(path: Path, start: int, size: int) -> Iterator[tuple[int, int]]:
    """Byte ranges of whole lines, about TASK_BYTES each, that together cover start..size."""
    if start >= size:
        yield size, size
        return
    with open_file(path) as handle:
        while start < size:
            end = min(start + TASK_BYTES, size)
            if end < size:
                handle.seek(end)
                while end < size and (block := handle.read(BLOCK)):
                    line_end = block.find(b"\n") + 1
                    end = min(size, end + (line_end or len(block)))
                    if line_end:
                        break
            yield start, end
            start = end
