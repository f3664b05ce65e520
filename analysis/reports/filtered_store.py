"""A store of which only the calls that a filter keeps are read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import duckdb
import numpy as np

from analysis.dimensions import Filter, Where, as_filter
from analysis.ledger.costs_view import in_lake
from analysis.reports.call_labels import labelled
from ingest.errors import InputError
from ingest.store.database import Store


def select_calls(con: duckdb.DuckDBPyConnection, store: Store, chosen: Filter) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The numbers of the calls that a filter keeps, rising."""
    condition, values = chosen.sql()
    table = "costs" if any(one.ledger for one in chosen.dimensions) else "calls AS costs"
    source = labelled(con, store, table, chosen.dimensions)
    found = con.execute(f"SELECT call_no FROM {source} WHERE {condition} ORDER BY call_no", values).fetchnumpy()
    return np.ascontiguousarray(np.ma.getdata(found["call_no"]), np.int64)


class FilteredStore(Store):
    """A store of which only the calls that a filter keeps are read, by whatever asks for `calls` or `costs`.

    Each connection gets a temporary view `calls` before the table of that name. The calls are chosen at the first
    reading. Writing is not restricted.
    """

    def __init__(self, store: Store, chosen: Filter) -> None:
        super().__init__(store.path)
        self.chosen = chosen
        self._whole = store
        self._kept: np.ndarray[Any, np.dtype[np.int64]] | None = None

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

    @property
    def restriction(self) -> str:
        return str(self.chosen)

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

    def restrict(self, con: duckdb.DuckDBPyConnection) -> None:
        if self._kept is None:
            self._kept = select_calls(con, self, self.chosen)
        if not len(self._kept):
            known = self.chosen.dimensions[0].name
            raise InputError(f"no call has {self.chosen}", remedy=f"What there is: hindcast cost --by {known}")
        if con.execute("SELECT count(*) FROM calls").fetchall()[0][0] == len(self._kept):
            return  # all calls: read as fast as ever
        con.register("kept_numbers", {"call_no": self._kept})
        con.execute("CREATE OR REPLACE TEMP TABLE kept_calls AS SELECT call_no FROM kept_numbers")
        con.unregister("kept_numbers")
        catalog = con.execute("SELECT current_database()").fetchall()[0][0].replace('"', '""')
        for name in ("calls", "costs") if in_lake(con) else ("calls",):  # in a file `costs` is a view of `calls`
            con.execute(
                f"""CREATE OR REPLACE TEMP VIEW {name} AS SELECT * FROM "{catalog}".main.{name}
                    WHERE call_no IN (SELECT call_no FROM kept_calls)"""
            )


def filtered(store: Store, where: Where) -> Store:
    """The store, restricted where there is a condition. Raises InputError for an unknown dimension."""
    chosen = as_filter(where)
    return FilteredStore(store, chosen) if chosen else store
