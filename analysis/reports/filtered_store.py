"""A store of which only the calls that a filter keeps are read."""

from __future__ import annotations

from typing import Any

import duckdb
import numpy as np

from analysis.dimensions import Filter, Where, as_filter
from analysis.ledger.costs_view import in_lake
from analysis.reports.call_labels import labelled
from analysis.reports.restricted_store import RestrictedStore, keep_calls
from ingest.errors import InputError
from ingest.store.database import Store


def select_calls(con: duckdb.DuckDBPyConnection, store: Store, chosen: Filter) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The numbers of the calls that a filter keeps, rising."""
    condition, values = chosen.sql()
    table = "costs" if any(one.ledger for one in chosen.dimensions) else "calls AS costs"
    source = labelled(con, store, table, chosen.dimensions)
    found = con.execute(f"SELECT call_no FROM {source} WHERE {condition} ORDER BY call_no", values).fetchnumpy()
    return np.ascontiguousarray(np.ma.getdata(found["call_no"]), np.int64)


class FilteredStore(RestrictedStore):
    """A store of which only the calls that a filter keeps are read. They are chosen at the first reading."""

    def __init__(self, store: Store, chosen: Filter) -> None:
        super().__init__(store)
        self.chosen = chosen
        self._kept: np.ndarray[Any, np.dtype[np.int64]] | None = None

    @property
    def restriction(self) -> str:
        """The conditions in words, for results and messages."""
        return str(self.chosen)

    def restrict(self, con: duckdb.DuckDBPyConnection) -> None:
        if self._kept is None:
            self._kept = select_calls(con, self, self.chosen)
        if not len(self._kept):
            raise none_has(self.chosen)
        if con.execute("SELECT count(*) FROM calls").fetchall()[0][0] == len(self._kept):
            return  # all calls: read as fast as ever
        # in a file `costs` is a view of `calls`
        keep_calls(con, self._kept, ("calls", "costs") if in_lake(con) else ("calls",))


def none_has(chosen: Filter) -> InputError:
    """What to raise where no call meets these conditions."""
    return InputError(f"no call has {chosen}", remedy=f"What there is: hindcast cost --by {chosen.dimensions[0].name}")


def filtered(store: Store, where: Where) -> Store:
    """The store, restricted where there is a condition. Raises InputError for an unknown dimension."""
    chosen = as_filter(where)
    return FilteredStore(store, chosen) if chosen else store
