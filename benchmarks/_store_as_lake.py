"""A lake with the calls of a file store, for measurements: parts as an ingest would write them, without its stages."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ingest.store import lake_commits
from ingest.store.database import Store, connect
from ingest.store.lake import LakeStore
from ingest.store.lake_commits import LAYOUT, Commit, Part
from ingest.store.lake_parts import COLUMNS, SPREAD

PART: Final = 1_000_000  # calls
ROWS: Final = 122_880  # of a row group
SIDE: Final = "side/000000000000-copied.duckdb"
_LOW: Final = f"{2**64 - 1}::HUGEINT"
_OF: Final = {"contents": ("contents", "content_id"), "keys": ("request_keys", "key_id")}


def store_as_lake(path: Path, folder: Path, buckets: int) -> LakeStore:
    """Make a lake with the calls, costs, texts and small tables of the store at `path`, under the same numbers."""
    parts: list[Part] = []
    for name in ("calls", "contents", "keys", "side"):
        (folder / name).mkdir(parents=True)
    with Store(path).read() as con:
        con.execute("SET enable_progress_bar = false")
        (count,) = con.execute("SELECT coalesce(max(call_no) + 1, 0) FROM calls").fetchall()[0]

        def write(kind: str, query: str, order: str) -> None:
            name = f"{kind}/{len(parts):06}.parquet"
            listed = ", ".join(f'"{column}"::{of} AS "{column}"' for column, of in COLUMNS[kind].items())
            options = f"FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, ROW_GROUP_SIZE {ROWS:d}"
            copied = f"COPY (SELECT {listed} FROM ({query}) ORDER BY {order}) TO '{folder / name}' ({options})"
            rows = int(con.execute(copied).fetchall()[0][0])
            parts.append(Part(kind, name, rows, (folder / name).stat().st_size))

        for first in range(0, count, PART):
            write(
                "calls",
                f"""SELECT *, (call_key >> 64)::BIGINT AS hi, (call_key & {_LOW})::UBIGINT AS lo,
                    (hash(coalesce(key_canonical, call_no)) >> 48)::USMALLINT AS {SPREAD}
                    FROM costs WHERE call_no >= {first:d} AND call_no < {first + PART:d}""",
                f"{SPREAD} // {65536 // buckets:d}, call_no",
            )
        for kind, (table, number) in _OF.items():
            halves = f"(hash >> 64)::BIGINT AS hi, (hash & {_LOW})::UBIGINT AS lo"
            bare = ", text IS NULL AS bare" if kind == "contents" else ""
            write(kind, f"SELECT *, {halves}{bare} FROM {table}", number)
        names = con.execute("SELECT table_name FROM duckdb_tables()").fetchall()
        small = [name for (name,) in names if name not in ("calls", "ledger", "contents", "request_keys")]
        with connect(folder / SIDE) as side:
            for name in small:
                side.register("given", con.sql(f'SELECT * FROM "{name}"').to_arrow_table())
                side.execute(f'CREATE TABLE "{name}" AS SELECT * FROM given')
                side.unregister("given")
    made = LakeStore(f"{folder}/")
    known = Commit(LAYOUT, 0, 0, buckets, SIDE, keep="text", calls=count, parts=parts)
    lake_commits.add(made.place, None, known)
    return made
