"""Calls of objects that were written anew: they are taken out, and what the objects hold now takes their place."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import duckdb
import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ingest.lake.executors import Executor
from ingest.lake.job import Job
from ingest.lake.objects import open_table, read_table, write_table
from ingest.store.database import has_tables
from ingest.store.lake import LakeStore
from ingest.store.lake_commits import LakeState, Part

_OF_CALLS = ("scores", "import_issues", "call_aliases", "inferred_cache_reads", "estimated_usage")
_LOW = "(call_key & 18446744073709551615::HUGEINT)"


@dataclass
class Replaced:
    """What was taken out of a state: by source how many calls, and the parts that hold the others of theirs."""

    state: LakeState
    calls: dict[int, int] = field(default_factory=dict)
    numbers: Any = None  # of those calls (int64)
    added: list[Part] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)


class _Touched(msgspec.Struct):
    parts: list[Part]


def take_out(job: Job, store: LakeStore, state: LakeState, sources: Sequence[int], executor: Executor) -> Replaced:
    """The state without the calls of some sources; nothing is committed."""
    if not sources:
        return Replaced(state)
    with store.at(state) as con:
        gone = con.sql(
            f"""SELECT call_no, source_id, ((call_key - {_LOW}) // 18446744073709551616)::BIGINT AS hi,
                       {_LOW}::UBIGINT AS lo
                  FROM calls WHERE source_id IN (SELECT unnest($sources)) ORDER BY call_no""",
            params={"sources": list(sources)},
        ).to_arrow_table()
    if not len(gone):
        return Replaced(state)
    write_table(job.place, f"run/{job.run}/replaced.parquet", gone)
    numbers, keys = gone["call_no"].to_numpy(), _keys(gone)
    touched = [
        part for part in state.of("calls")
        if np.isin(read_table(job.place, part.name, ["call_no"])["call_no"].to_numpy(), numbers).any()
    ]  # fmt: skip
    touched += [
        part for part in state.of("identities")
        if np.isin(_keys(read_table(job.place, part.name, ["hi", "lo"])), keys).any()
    ]  # fmt: skip
    job.place.write(f"run/{job.run}/touched.json", msgspec.json.encode(_Touched(touched)))
    left = dict(executor.map(partial(_leave, job), range(len(touched))))
    kept = {name: part for name, part in state.parts.items() if part not in touched}
    added = [part for number in range(len(touched)) if (part := left[number]) is not None]
    found, counts = np.unique(gone["source_id"].to_numpy(), return_counts=True)
    return Replaced(
        LakeState(state.commit, kept | {part.name: part for part in added}),
        dict(zip(found.tolist(), counts.tolist(), strict=True)),
        numbers,
        added,
        [part.name for part in touched],
    )


def forget_calls(con: duckdb.DuckDBPyConnection, replaced: Replaced) -> None:
    """Remove what small tables hold of the calls that were taken out."""
    if replaced.numbers is None:
        return
    con.register("gone", pa.table({"call_no": replaced.numbers}))
    for name in _OF_CALLS:
        if has_tables(con, name):
            con.execute(f"DELETE FROM {name} WHERE call_no IN (SELECT call_no FROM gone)")
    con.unregister("gone")


def _keys(table: pa.Table) -> Any:
    found = np.empty(len(table), [("hi", np.int64), ("lo", np.uint64)])
    found["hi"], found["lo"] = table["hi"].to_numpy(), table["lo"].to_numpy()
    return found


def _leave(job: Job, number: int) -> tuple[int, Part | None]:
    """Write a part without the calls that are taken out; None where none is left."""
    part = msgspec.json.decode(job.place.read(f"run/{job.run}/touched.json"), type=_Touched).parts[number]
    gone = read_table(job.place, f"run/{job.run}/replaced.parquet")
    by_number = part.kind == "calls"
    out_of = gone["call_no"].to_numpy() if by_number else _keys(gone)
    sink = io.BytesIO()
    rows = 0
    with (
        open_table(job.place, part.name) as source,
        pq.ParquetWriter(sink, source.schema_arrow, compression="zstd", compression_level=1) as out,
    ):
        for group in range(source.metadata.num_row_groups):
            table = source.read_row_group(group)
            stays = ~np.isin(table["call_no"].to_numpy() if by_number else _keys(table), out_of)
            table = table.filter(pa.array(stays))
            rows += len(table)
            if len(table):
                out.write_table(table, row_group_size=len(table))
    if not rows:
        return number, None
    name = f"{part.kind}/{job.run}-{number:06}-left.parquet"
    job.place.write(name, sink.getvalue())
    return number, msgspec.structs.replace(part, name=name, rows=rows, bytes=len(sink.getvalue()))
