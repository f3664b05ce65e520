"""One part of a store's calls: those whose requests fall into a bucket."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from ingest.store.database import Store


class BucketStore(Store):
    """A store of which only the calls of one of `of` buckets are read, by whatever asks for `calls`.

    Calls with one canonical request are in one bucket, so the calls that share an answer in a cache are together. Each
    connection gets a temporary view `calls` before the table of that name.
    """

    def __init__(self, store: Store, bucket: int, of: int) -> None:
        super().__init__(store.path)
        self.bucket = bucket
        self.of = of
        self._whole = store

    @property
    def whole(self) -> Store:
        return self._whole

    @contextmanager
    def read(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with self._whole.read() as con:
            self.restrict(con)
            yield con

    def cursor(self, con: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
        own = self._whole.cursor(con)
        self.restrict(own)
        return own

    def restrict(self, con: duckdb.DuckDBPyConnection) -> None:
        catalog = con.execute("SELECT current_database()").fetchall()[0][0].replace('"', '""')
        con.execute(
            f"""CREATE OR REPLACE TEMP VIEW calls AS SELECT * FROM "{catalog}".main.calls
                WHERE coalesce(key_canonical, call_no) % {self.of:d} = {self.bucket:d}"""
        )
