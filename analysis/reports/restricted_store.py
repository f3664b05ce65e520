"""A store of which a part of the calls is read, by whatever asks for its tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import duckdb
import numpy as np
from numpy.typing import NDArray

from ingest.store.database import Store


class RestrictedStore(Store):
    """A store whose connections read through temporary views before its tables, which `restrict` makes. Writing is not
    restricted."""

    def __init__(self, store: Store) -> None:
        super().__init__(store.path)
        self._whole = store

    @property
    def whole(self) -> Store:
        return self._whole

    @property
    def address(self) -> str:
        return self._whole.address

    def exists(self) -> bool:
        return self._whole.exists()

    def publish_number(self) -> int:
        return self._whole.publish_number()

    def upgrade(self) -> None:
        self._whole.upgrade()

    def require_rewritable(self, what: str) -> None:
        self._whole.require_rewritable(what)

    @contextmanager
    def read(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with self._whole.read() as con:
            self.restrict(con)
            yield con

    @contextmanager
    def write(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with self._whole.write() as con:
            yield con

    def cursor(self, con: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
        own = self._whole.cursor(con)
        self.restrict(own)
        return own


def main_table(con: duckdb.DuckDBPyConnection, name: str) -> str:
    """SQL of the store's own table or view of that name, whatever temporary view comes before it."""
    catalog = con.execute("SELECT current_database()").fetchall()[0][0].replace('"', '""')
    return f'"{catalog}".main.{name}'


def keep_calls(con: duckdb.DuckDBPyConnection, numbers: NDArray[np.int64], tables: Sequence[str] = ("calls",)) -> None:
    """Leave the calls of these numbers in the tables, for this connection."""
    con.register("kept_numbers", {"call_no": numbers})
    con.execute("CREATE OR REPLACE TEMP TABLE kept_calls AS SELECT call_no FROM kept_numbers")
    con.unregister("kept_numbers")
    for name in tables:
        con.execute(
            f"""CREATE OR REPLACE TEMP VIEW {name} AS SELECT * FROM {main_table(con, name)}
                WHERE call_no IN (SELECT call_no FROM kept_calls)"""
        )
