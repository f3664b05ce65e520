"""Parts of calls that are written anew with other costs: the same calls in the same order and row groups."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ingest.lake.executors import Executor
from ingest.lake.job import Job
from ingest.lake.objects import read_table, write_table
from ingest.lake.prices import load_prices
from ingest.places.place import Place
from ingest.store.lake_commits import Part
from ingest.store.lake_parts import LEDGER_COLUMNS
from ingest.store.memory import MemoryStore
from ingest.store.schema import CALL_COLUMNS, HASH


class _Parts(msgspec.Struct):
    """What a stage writes anew; written once to the run, so that no task carries it."""

    parts: list[Part]


def price_parts(
    job: Job, parts: Sequence[Part], executor: Executor, done: Callable[[int], object] | None = None
) -> list[Part]:
    """The parts with every call priced by the prices of the run, in their order; `done` is told the calls of each."""
    return _rewritten(job, "priced", parts, _price, executor, done)


def share_costs(job: Job, con: duckdb.DuckDBPyConnection, parts: Sequence[Part], executor: Executor) -> dict[str, Part]:
    """Parts whose calls have costs that depend on calls of other parts, by the names of those they replace.

    `con` reads all calls as they would be with `parts`.
    """
    costs = job.pricing().shared(con)
    if costs is None or not len(costs):
        return {}
    write_table(job.place, f"run/{job.run}/shared.parquet", costs)
    number = costs["call_no"].to_numpy()
    touched = [
        part for part in parts if np.isin(read_table(job.place, part.name, ["call_no"])["call_no"], number).any()
    ]
    made = _rewritten(job, "shared", touched, _share, executor, None)
    return {old.name: new for old, new in zip(touched, made, strict=True)}


def _rewritten(
    job: Job,
    stage: str,
    parts: Sequence[Part],
    work: Callable[[Job, int], tuple[int, Part]],
    executor: Executor,
    done: Callable[[int], object] | None,
) -> list[Part]:
    job.place.write(f"run/{job.run}/{stage}.json", msgspec.json.encode(_Parts(list(parts))))
    found: dict[int, Part] = {}
    for number, part in executor.map(partial(work, job), range(len(parts))):
        found[number] = part
        if done is not None:
            done(part.rows)
    return [found[number] for number in range(len(parts))]


def _part(job: Job, stage: str, number: int) -> Part:
    return msgspec.json.decode(job.place.read(f"run/{job.run}/{stage}.json"), type=_Parts).parts[number]


def _price(job: Job, number: int) -> tuple[int, Part]:
    part = _part(job, "priced", number)
    columns = [f"{HASH} AS call_key" if name == "call_key" else f'"{name}"' for name in CALL_COLUMNS]
    with tempfile.TemporaryDirectory(prefix="hindcast-") as folder, _here(job.place, part.name, Path(folder)) as path:
        store = MemoryStore(Path(folder) / "part.duckdb")
        with store.write() as con:
            load_prices(job, con, Path(folder))
            con.execute("DROP TABLE calls")
            quoted = str(path).replace("'", "''")
            con.execute(f"CREATE VIEW calls AS SELECT {', '.join(columns)} FROM read_parquet('{quoted}')")
        job.pricing().update(store)
        with store.read() as con:
            costs = con.sql("SELECT * FROM ledger ORDER BY call_no").to_arrow_table()
        return number, _with_costs(job, path, f"calls/{job.run}-{number:06}.parquet", costs)


def _share(job: Job, number: int) -> tuple[int, Part]:
    part = _part(job, "shared", number)
    costs = read_table(job.place, f"run/{job.run}/shared.parquet")
    with tempfile.TemporaryDirectory(prefix="hindcast-") as folder, _here(job.place, part.name, Path(folder)) as path:
        return number, _with_costs(job, path, f"calls/{job.run}-{number:06}-shared.parquet", costs)


@contextmanager
def _here(place: Place, name: str, folder: Path) -> Iterator[Path]:
    """An object as a file of this machine."""
    path = place.file(name)
    if path is None:
        path = folder / "part.parquet"
        path.write_bytes(place.read(name))
    yield path


def _with_costs(job: Job, path: Path, name: str, costs: pa.Table) -> Part:
    """Write a part of calls with the costs (rows of the ledger, by rising `call_no`) of those that have some there."""
    priced = costs["call_no"].to_numpy()
    sink = io.BytesIO()
    rows = 0
    with (
        pq.ParquetFile(path) as source,
        pq.ParquetWriter(sink, source.schema_arrow, compression="zstd", compression_level=1) as out,
    ):
        for group in range(source.metadata.num_row_groups):
            table = source.read_row_group(group)
            wanted = table["call_no"].to_numpy()
            at = np.minimum(np.searchsorted(priced, wanted), len(priced) - 1)
            has = priced[at] == wanted
            for column in LEDGER_COLUMNS:
                table = _replaced(table, column, costs[column], at, has)
            rows += len(table)
            out.write_table(table, row_group_size=max(len(table), 1))
    data = sink.getvalue()
    job.place.write(name, data)
    return Part("calls", name, rows, len(data))


def _replaced(table: pa.Table, column: str, costs: Any, at: Any, has: Any) -> pa.Table:
    old = table[column].combine_chunks()
    new = costs.combine_chunks().cast(old.type)
    both = pa.concat_arrays([old, new])
    order = np.where(has, len(old) + at, np.arange(len(old)))
    return table.set_column(
        table.schema.get_field_index(column), table.schema.field(column), both.take(pa.array(order))
    )
