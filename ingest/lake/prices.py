"""The tables of prices that all tasks of a run share, so that each gives a price the same number."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from ingest.lake.job import Job
from ingest.store.database import connect
from ingest.store.memory import MemoryStore
from ingest.store.schema import SCOPE, TABLES

_META = "key LIKE 'price_book%'"
_OF_CALLS = ("ledger", "inferred_cache_reads", "hidden_cache")


def settle_prices(job: Job, con: Any, scopes: Sequence[Sequence[str | None]]) -> None:
    """Give whatever calls of these SCOPE can be priced by a number in the tables of prices of a connection, and write
    those to the run."""
    with tempfile.TemporaryDirectory(prefix="hindcast-") as folder:
        scratch = MemoryStore(Path(folder) / "prices.duckdb")
        with scratch.write() as priced:
            _copy_prices(con, priced)
            _insert_scopes(priced, scopes)
        job.pricing().update(scratch)
        with scratch.read() as priced:
            _save_prices(job, priced, Path(folder))
        load_prices(job, con, Path(folder))


def load_prices(job: Job, con: Any, folder: Path) -> None:
    """Replace the tables of prices of a connection by those of the run."""
    path = folder / "prices-in.duckdb"
    path.write_bytes(job.place.read(f"run/{job.run}/prices.duckdb"))
    con.execute(f"DELETE FROM meta WHERE {_META}")
    with connect(path, read_only=True) as given:
        for (name,) in given.execute("SELECT table_name FROM duckdb_tables()").fetchall():
            con.register("given", given.sql(f'SELECT * FROM "{name}"').to_arrow_table())
            made = "INSERT INTO meta" if name == "meta" else f'CREATE OR REPLACE TABLE "{name}" AS'
            con.execute(f"{made} SELECT * FROM given")
            con.unregister("given")


def _insert_scopes(con: Any, scopes: Sequence[Sequence[str | None]]) -> None:
    columns = list(zip(*scopes, strict=True)) if scopes else [()] * len(SCOPE)
    table = pa.table({name: pa.array(values, pa.string()) for name, values in zip(SCOPE, columns, strict=True)})
    con.register("scopes", table)
    con.execute(
        f"""INSERT INTO calls (call_no, {", ".join(SCOPE)})
            SELECT row_number() OVER (ORDER BY {", ".join(SCOPE)}) - 1, * FROM scopes"""
    )
    con.unregister("scopes")


def _copy_prices(side: Any, con: Any) -> None:
    for name in _tables(side):
        con.register("given", side.sql(f'SELECT * FROM "{name}"').to_arrow_table())
        con.execute(f'CREATE TABLE "{name}" AS SELECT * FROM given')
        con.unregister("given")
    rows = side.execute(f"SELECT key, value FROM meta WHERE {_META}").fetchall()
    if rows:
        con.executemany("INSERT INTO meta VALUES (?, ?)", rows)


def _tables(con: Any) -> list[str]:
    """The tables of prices and what models mean: those that no ingest makes and that are of no call."""
    rows = con.execute("SELECT table_name FROM duckdb_tables() WHERE NOT temporary ORDER BY table_oid").fetchall()
    return [name for (name,) in rows if name not in TABLES and name not in _OF_CALLS]


def _save_prices(job: Job, con: Any, folder: Path) -> None:
    path = folder / "prices-out.duckdb"
    con.execute(f"ATTACH '{path}' AS prices_out (BLOCK_SIZE 16384)")
    for name in _tables(con):
        con.execute(f'CREATE TABLE prices_out.main."{name}" AS SELECT * FROM "{name}"')
    con.execute(f"CREATE TABLE prices_out.main.meta AS SELECT * FROM meta WHERE {_META}")
    con.execute("DETACH prices_out")
    job.place.write(f"run/{job.run}/prices.duckdb", path.read_bytes())
