"""First stage: from a part of a log to its calls with local numbers, their identities, and what was not a call."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from ingest.detect.file_format import recognise
from ingest.errors import InputError, StoreError
from ingest.files.byte_stream import open_file
from ingest.files.line_files import LINE_LIMIT
from ingest.format_contract import Context
from ingest.lake import plan
from ingest.lake.job import Job
from ingest.lake.objects import write_table
from ingest.lake.parquet_logs import write_groups
from ingest.pipeline.parse_rows import Piece, Task
from ingest.pipeline.tasks import run_task
from ingest.places.open_place import open_place
from ingest.records.call import Bucket
from ingest.records.timestamps import zone_named
from ingest.staging import arrow_files
from ingest.staging.printed_runs import is_printed
from ingest.staging.segment import FileCounts, LeftOut, Quarantined, Segment
from ingest.store.lake_parts import SPREAD

SEGMENT_NUMBERS = ("tools", "output", "key_canonical", "key_masked", "key_litellm", "key_helicone", "key_portkey")
# what tells whether rows are of the same call, and which of them is the fuller one
IDENTITY = (
    "hi", "lo", "by_line", "replaces", "start_us", "end_us", "finish_reason", "tokens_source",
)  # fmt: skip


class Counts(msgspec.Struct):
    """`FileCounts` of a file in a task, as plain data."""

    file: int
    rows: int
    calls: int
    duplicates: int
    skipped: dict[str, int]
    left_out: dict[str, LeftOut]
    flagged: dict[str, int]
    quarantined: list[Quarantined]
    lines: int
    end_offset: int | None
    complete: bool
    buckets: list[Bucket]
    problem: str | None

    def told(self) -> FileCounts:
        """As the pipeline counts."""
        fields = {name: getattr(self, name) for name in self.__struct_fields__ if name != "file"}
        return FileCounts(**{**fields, "skipped": Counter(self.skipped), "flagged": Counter(self.flagged)})


class Parsed(msgspec.Struct):
    """What a task's parse made: written beside it when all of it is there."""

    calls: int
    formats: dict[int, str]  # of the files that are logs
    shapes: dict[int, str]
    printed: list[int]  # what tools printed of their runs
    problems: dict[int, list[str]]  # of the files that are none: what, and the remedy
    counts: list[Counts]
    hashed: bool
    contents: bool
    keys: bool


def parse(job: Job, number: int) -> int:
    """Read a task's part of the log, unless that was done before; the number of its calls."""
    task = job.plan.tasks[number]
    done = job.place.size(f"run/parse/{task.token}/done.json")
    if done is not None:
        return result(job, number).calls
    with tempfile.TemporaryDirectory(prefix="hindcast-") as folder:
        parsed = _Parse(job, task, Path(folder)).run()
    job.place.write(f"run/parse/{task.token}/done.json", msgspec.json.encode(parsed))
    return parsed.calls


def result(job: Job, number: int) -> Parsed:
    """What the parse of a task made."""
    return msgspec.json.decode(job.place.read(f"run/parse/{job.plan.tasks[number].token}/done.json"), type=Parsed)


@dataclass
class _Parse:
    job: Job
    task: plan.TaskPlan
    folder: Path
    rows: int | None = None  # of the row groups that are read

    def run(self) -> Parsed:
        parsed = Parsed(0, {}, {}, [], {}, [], False, False, False)
        pieces = []
        for number in self.task.files:
            piece = self._piece(number, self.job.plan.files[number], parsed)
            if piece is not None:
                pieces.append(piece)
        segments: list[Segment] = []
        for _, together in _by_format(pieces, parsed.formats):
            folder = self.folder / f"staged-{len(segments)}"
            folder.mkdir()
            segments += run_task(Task(0, together), self.job.rules(), folder)
        parsed.hashed = any(segment.hashed for segment in segments)
        parsed.counts = [_counts(number, one) for segment in segments for number, one in segment.counts.items()]
        if self.rows is not None and parsed.counts:
            parsed.counts[-1].lines += self.rows
        _Writer(self.job, self.task.token, [one for one in segments if one.calls], parsed).write()
        return parsed

    def _piece(self, number: int, file: plan.LogFile, parsed: Parsed) -> Piece | None:
        rules = self.job.plan.rules
        mapping = None
        if rules.mapping:
            from ingest.mapping_file import parse_mapping

            mapping = parse_mapping(rules.mapping, "the mapping file")
        context_path = Path(file.path)
        body = partial(_fetched, file.logs) if file.logs else None
        context = Context(context_path, zone_named(rules.zone), rules.keep != "none", file.modified_us, mapping, body)
        name, shape, split, compressed, title = file.format, file.shape, file.split, file.compressed, file.title
        ranged = split and not compressed
        if not title:  # small: told here what it is
            path = plan.local_path(file, self.folder / "objects")
            try:
                known = recognise(path, mapping=mapping)
            except (InputError, OSError, ValueError) as error:
                what = error.what if isinstance(error, InputError) else str(error)
                parsed.problems[number] = [what, getattr(error, "remedy", None) or ""]
                return None
            name, shape, title = known.format, known.shape, known.name
            ranged = known.splittable and not known.compressed
            with open_file(path) as handle:
                if is_printed(title, handle.read(1 << 16)):
                    parsed.printed.append(number)
                    return None
        elif file.groups:
            path = self._row_groups(number, file)
        elif not ranged:
            path = plan.local_path(file, self.folder / "objects")
        else:
            path = context_path
        parsed.formats[number], parsed.shapes[number] = title, shape
        base = Piece(number, path, name, shape, context)  # type: ignore[arg-type]
        if file.groups:
            return replace(base, last=self.task.end >= len(file.groups))
        if not ranged:
            return base
        whole = len(self.task.files) > 1 or (self.task.start == 0 and self.task.end >= file.size)
        start, end = (0, file.size) if whole else (self.task.start, self.task.end)
        logs, key = (open_place(file.logs), file.name) if file.logs else (open_place(str(path.parent)), path.name)
        offset, data = plan.whole_lines(logs, key, file.size, start, end, LINE_LIMIT)
        return Piece(
            number, path, name, shape, context,  # type: ignore[arg-type]
            start=offset, end=offset + len(data), data=data, last=end >= file.size,
        )  # fmt: skip

    def _row_groups(self, number: int, file: plan.LogFile) -> Path:
        """The task's row groups of a Parquet log as a file."""
        path = self.folder / f"groups-{number}.parquet"
        logs, key = (file.logs, file.name) if file.logs else (str(Path(file.path).parent), Path(file.path).name)
        self.rows = write_groups(open_place(logs), key, self.task.start, self.task.end, path)
        return path


def _fetched(logs: str, address: str) -> bytes | None:
    """An object that a record names, if it lies below the address that the log was read from."""
    if not address.startswith(logs):
        return None
    try:
        return open_place(logs).read(address.removeprefix(logs))
    except (FileNotFoundError, StoreError):
        return None


def _by_format(pieces: list[Piece], formats: dict[int, str]) -> list[tuple[str, list[Piece]]]:
    """Pieces that follow each other in one format, together."""
    found: list[tuple[str, list[Piece]]] = []
    for piece in pieces:
        name = formats[piece.source]
        if not found or found[-1][0] != name:
            found.append((name, []))
        found[-1][1].append(piece)
    return found


def _counts(number: int, one: FileCounts) -> Counts:
    return Counts(
        number, one.rows, one.calls, one.duplicates, dict(one.skipped), one.left_out, dict(one.flagged),
        one.quarantined, one.lines, one.end_offset, one.complete, one.buckets, one.problem,
    )  # fmt: skip


class _Writer:
    """The tables of a task's segments as one: local numbers count through all of them."""

    def __init__(self, job: Job, token: str, segments: list[Segment], parsed: Parsed) -> None:
        self.job, self.token, self.segments, self.parsed = job, token, segments, parsed

    def write(self) -> None:
        calls = []
        tables: dict[str, list[pa.Table]] = {"contents": [], "keys": [], "scores": [], "content_tokens": []}
        starts = {"contents": 0, "keys": 0, "calls": 0}
        issues: list[tuple[int, str, str]] = []
        for segment in self.segments:
            table = arrow_files.read_table(segment.folder, "calls")
            assert table is not None
            calls.append(_moved(table, starts))
            issues += [(starts["calls"] + at, code, detail[:200]) for at, code, detail in segment.issues]
            for name, column in (("scores", "call"), ("content_tokens", "content")):
                found = arrow_files.read_table(segment.folder, name)
                if found is not None:
                    base = starts["calls" if name == "scores" else "contents"]
                    moved = pa.array(found[column].to_numpy().astype(np.int64) + base)
                    tables[name].append(found.set_column(found.schema.get_field_index(column), column, moved))
            for name in ("contents", "keys"):
                found = arrow_files.read_table(segment.folder, name)
                if found is not None:
                    tables[name].append(found)
                    starts[name] += len(found)
            starts["calls"] += len(table)
        self.parsed.calls = starts["calls"]
        self.parsed.contents, self.parsed.keys = bool(starts["contents"]), bool(starts["keys"])
        if not calls:
            return
        for name, held in tables.items():
            if held:
                self._save(name, arrow_files.concatenated(held))
        if issues:
            names = ("call", "code", "detail")
            self._save("issues", pa.table(dict(zip(names, zip(*issues, strict=True), strict=True))))
        table = arrow_files.concatenated(calls)
        spread = _spread(table, tables["keys"])
        self._save("calls", table.append_column(SPREAD, pa.array(spread)))
        self._save("identities", _identities(table, self.job.plan.buckets), by="slot")

    def _save(self, name: str, table: pa.Table, by: str | None = None) -> None:
        table = table.replace_schema_metadata(None)
        write_table(self.job.place, f"run/parse/{self.token}/{name}.parquet", table, by)


def _moved(table: pa.Table, starts: dict[str, int]) -> pa.Table:
    """Calls whose local numbers go on from those of the segments before."""
    for name in SEGMENT_NUMBERS:
        if name in table.column_names:
            start = starts["keys" if name.startswith("key_") else "contents"]
            number = table[name].fill_null(-1).to_numpy().astype(np.int64)
            moved = pa.array(number + start, pa.int32(), mask=number < 0)
            table = table.set_column(table.schema.get_field_index(name), name, moved)
    if "messages" in table.column_names:
        lists = table["messages"].combine_chunks()
        moved = pa.array(lists.values.to_numpy(zero_copy_only=False).astype(np.int32) + np.int32(starts["contents"]))
        whole = pa.ListArray.from_arrays(lists.offsets, moved, mask=lists.is_null())
        table = table.set_column(table.schema.get_field_index("messages"), "messages", whole)
    return table


def _spread(calls: pa.Table, keys: list[pa.Table]) -> Any:
    """The upper 16 bits by which calls are told apart into buckets: of the request's key, else of the identity.

    The other key policies refine the canonical one, so that equal requests by any of them lie in one bucket.
    """
    high = calls["hi"].to_numpy()
    if keys and "key_canonical" in calls.column_names:
        number = calls["key_canonical"].fill_null(-1).to_numpy()
        of_key = arrow_files.concatenated(keys)["hi"].to_numpy()
        high = np.where(number >= 0, of_key[np.maximum(number, 0)], high)
    return (high.astype(np.uint64) >> np.uint64(48)).astype(np.uint16)


def _identities(calls: pa.Table, slots: int) -> pa.Table:
    """Of every call what `ingest.lake.deduplicate` compares, by the slot that its identity belongs to."""
    from ingest.staging.deduplicate import COUNTS

    names = [name for name in (*IDENTITY, *COUNTS) if name in calls.column_names]
    high = calls["hi"].to_numpy()
    slot = slot_of(high, slots)
    return (
        calls.select(names)
        .append_column("file", calls["source"])
        .append_column("place", pa.array(np.arange(len(calls), dtype=np.int64)))
        .append_column("slot", pa.array(slot))
    )


def slot_of(high: Any, slots: int) -> Any:
    """The slot (int32) of hashes by their upper halves (int64): their first bits."""
    bits = slots.bit_length() - 1
    if not bits:
        return np.zeros(len(high), np.int32)
    return (high.astype(np.uint64) >> np.uint64(64 - bits)).astype(np.int32)
