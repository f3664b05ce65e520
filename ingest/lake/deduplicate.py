"""Second stage: of the calls whose identity belongs to one slot, which are repeats, and which rows are fuller.

A slot is published as any ingest is, into a store in memory that holds what earlier commits know of the same slot. So
equal lines, ids that are used again and rows that replace others are judged by the code that judges them in a file.
"""

from __future__ import annotations

import tempfile
from itertools import groupby
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import numpy as np
import pyarrow as pa

from ingest.lake.job import Job
from ingest.lake.objects import read_group, read_table, write_table
from ingest.lake.parse import slot_of
from ingest.staging import arrow_files
from ingest.staging.deduplicate import BESIDE, COUNTS, ID_USED_AGAIN
from ingest.staging.publish import publish
from ingest.staging.segment import FileCounts, Segment
from ingest.staging.source_files import SourceFile
from ingest.store.lake_commits import Part
from ingest.store.memory import MemoryStore
from ingest.store.schema import CALL_COLUMNS

_TASK = 1 << 32  # a row is told by its task times this, and its place there
_PATCHED = (*COUNTS, *BESIDE)
_KNOWN = ("start_time", "end_time", *COUNTS, *BESIDE)  # columns of a known call that a row is compared with


class Staged(msgspec.Struct):
    """What the driver tells of all tasks once they are parsed, written once to the lake."""

    formats: dict[int, str]  # of the files that are read
    slots: list[list[int]]  # of every slot the tasks that have calls in it
    known: list[Part]  # identities of earlier commits
    bases: list[dict[int, int]]  # of every task, by file: the lines before its part of the file


class Judged(msgspec.Struct):
    """What a slot's publish found."""

    calls: int
    overtaken: int  # calls of earlier commits of which a row here is fuller
    known: Part | None  # what later commits compare with


def deduplicate(job: Job, slot: int) -> Judged:
    """Judge the calls of a slot; what is gone, renamed and patched lies in the lake, by task."""
    staged = staged_of(job)
    with tempfile.TemporaryDirectory(prefix="hindcast-") as folder:
        store = MemoryStore(Path(folder) / "slot.duckdb")
        with store.write() as con:
            known = _known(job, staged, slot, con)
        segments, files, rows = _segments(job, staged, slot, Path(folder))
        if not segments:
            return Judged(0, 0, None)
        with store.write() as con:
            publish(con, segments, files, match_formats=False)
        with store.read() as con:
            return _judge(job, slot, con, known, rows)


def staged_of(job: Job) -> Staged:
    """What the driver told of all tasks."""
    return msgspec.json.decode(job.place.read(f"run/{job.run}/staged.json"), type=Staged)


def _known(job: Job, staged: Staged, slot: int, con: duckdb.DuckDBPyConnection) -> int:
    """Put what earlier commits know of the slot into the store; how many calls."""
    slots = len(staged.slots)
    formats: dict[str, int] = {}
    count = 0
    for part in staged.known:
        first, last = _range(part.slot, part.slots)
        mine, end = _range(slot, slots)
        if last <= mine or end <= first:
            continue
        table = read_table(job.place, part.name)
        if part.slots < slots:
            table = table.filter(pa.array(slot_of(table["origin"].to_numpy(), slots) == slot))
        if not len(table):
            continue
        ids = [formats.setdefault(name, -1 - len(formats)) for name in table["format"].to_pylist()]
        numbers = pa.array(np.arange(count, count + len(table)))
        con.register("known", table.append_column("source_id", pa.array(ids, pa.int32())).append_column("n", numbers))
        names = [name for name in _KNOWN if name in table.column_names]
        con.execute(
            f"""INSERT INTO calls (call_no, call_key, source_id, {", ".join(names)})
                SELECT n, hi::HUGEINT * 18446744073709551616 + lo::HUGEINT, source_id, {", ".join(names)} FROM known"""
        )
        con.unregister("known")
        count += len(table)
    for name, number in formats.items():
        con.execute("INSERT INTO sources (source_id, path, format, calls) VALUES (?, ?, ?, 1)", [number, name, name])
    con.execute(f"CREATE TABLE known_calls AS SELECT call_no, {', '.join(_PATCHED)} FROM calls")
    return count


def _range(slot: int, slots: int) -> tuple[float, float]:
    return slot / slots, (slot + 1) / slots


def _segments(
    job: Job, staged: Staged, slot: int, folder: Path
) -> tuple[list[Segment], list[SourceFile], dict[int, pa.Table]]:
    """The slot's rows as segments of a file store, one for each task, and the files they are of."""
    place = folder / "segments"
    place.mkdir()
    files: dict[int, SourceFile] = {}
    segments, rows = [], {}
    for task in staged.slots[slot]:
        table = read_group(job.place, f"run/parse/{job.plan.tasks[task].token}/identities.parquet", "slot", slot)
        if table is None:
            continue
        for number in np.unique(table["file"].to_numpy()).tolist():
            if number not in files:
                told = job.plan.files[number]
                files[number] = SourceFile(len(files), Path(told.path), staged.formats[number], told.size, 0, "")
        formats = [staged.formats[number] for number in table["file"].to_pylist()]
        local = pa.array([files[number].number for number in table["file"].to_pylist()], pa.int32())
        at = pa.array(table["place"].to_numpy() + task * _TASK)
        table = table.drop_columns(["file", "slot", "place"]).append_column("source", local)
        rows[task] = table = table.append_column("source_row", at)
        start = 0
        for _, run in groupby(formats):  # a segment is of one format
            count = sum(1 for _ in run)
            segments.append(_segment(place / f"{task}-{start}", table.slice(start, count)))
            start += count
    return segments, list(files.values()), rows


def _segment(folder: Path, table: pa.Table) -> Segment:
    segment = Segment(folder, len(table))
    sources, counts = np.unique(table["source"].to_numpy(), return_counts=True)
    for number, count in zip(sources.tolist(), counts.tolist(), strict=True):
        segment.counts[number] = FileCounts(rows=count, calls=count)
    folder.mkdir()
    arrow_files.write_table(table, folder, "calls")
    return segment


def _judge(job: Job, slot: int, con: duckdb.DuckDBPyConnection, known: int, rows: dict[int, pa.Table]) -> Judged:
    both = arrow_files.concatenated(list(rows.values()))
    con.register("staged", both)
    present = [name for name in _PATCHED if name in both.column_names]
    differ = " OR ".join(f'c."{name}" IS DISTINCT FROM s."{name}"' for name in present) or "false"
    con.execute(
        f"""CREATE TEMP TABLE judged AS
            SELECT s.source_row // {_TASK} AS task, s.source_row % {_TASK} AS place, s.hi AS origin,
                   c.call_no IS NULL AS gone, ({_LOW})::UBIGINT AS lo,
                   ((c.call_key - ({_LOW})) // 18446744073709551616)::BIGINT AS hi,
                   coalesce({differ}, false) AS patched, c.call_no
              FROM staged s LEFT JOIN calls c ON c.source_row = s.source_row AND c.call_no >= {known:d}"""
    )
    con.execute(
        "CREATE TEMP TABLE renamed AS SELECT j.task, j.place, j.hi, j.lo FROM judged j "
        f"JOIN staged s ON s.source_row = j.task * {_TASK} + j.place WHERE NOT gone AND (s.hi, s.lo) <> (j.hi, j.lo)"
    )
    again = "call_no IN (SELECT call_no FROM import_issues WHERE code = $code)"
    tables = {
        "gone": ("SELECT task, place FROM judged WHERE gone ORDER BY ALL", {}),
        "renamed": ("SELECT * FROM renamed ORDER BY task, place", {}),
        "again": (f"SELECT task, place FROM judged WHERE {again} ORDER BY ALL", {"code": ID_USED_AGAIN}),
        "patched": (
            f"""SELECT j.task, j.place, {", ".join(f'c."{name}"' for name in _PATCHED)}
                  FROM judged j JOIN calls c USING (call_no) WHERE patched AND NOT gone ORDER BY j.task, j.place""",
            {},
        ),
    }
    for name, (query, values) in tables.items():
        found = con.sql(query, params=values).to_arrow_table()
        write_table(job.place, f"run/{job.run}/slots/{slot}-{name}.parquet", found, by="task")
    overtaken = con.execute(
        f"""SELECT count(*) FROM known_calls k JOIN calls c USING (call_no)
             WHERE ({", ".join(f'k."{name}"' for name in _PATCHED)})
                   IS DISTINCT FROM ({", ".join(f'c."{name}"' for name in _PATCHED)})"""
    ).fetchall()[0][0]
    kept = con.sql(
        f"""SELECT j.hi, j.lo, j.origin, o.format, {", ".join(f"c.{name}" for name in _KNOWN)}
              FROM judged j JOIN calls c USING (call_no) JOIN sources o ON o.source_id = c.source_id
             WHERE NOT gone ORDER BY j.task, j.place"""
    ).to_arrow_table()
    part = None
    if len(kept):
        name = f"identities/{job.run}-{slot}.parquet"
        size = write_table(job.place, name, kept)
        part = Part("identities", name, len(kept), size, slot, job.plan.buckets)
    return Judged(len(both), overtaken, part)


_LOW = "c.call_key & 18446744073709551615::HUGEINT"


def verdicts(job: Job, task: int, name: str) -> pa.Table | None:
    """What all slots say of a task's rows: gone, renamed, again or patched; None where nothing."""
    found: list[Any] = []
    for slot in range(job.plan.buckets):
        table = read_group(job.place, f"run/{job.run}/slots/{slot}-{name}.parquet", "task", task)
        if table is not None:
            found.append(table)
    return arrow_files.concatenated(found) if found else None


def columns_of_patches() -> tuple[str, ...]:
    """The columns that a fuller row gives."""
    return tuple(name for name in _PATCHED if name in CALL_COLUMNS)
