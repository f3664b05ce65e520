"""Columns of the replayed calls that rules may see, read from the store once and shared by all strategies of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from ingest.errors import StoreError
from ingest.store.database import Store

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]

ORDER = "start_time, source_id, source_row"

# columns of rules that are not columns of `calls`
_DERIVED = {
    "hour": "hour(start_time)",
    "weekday": "isodow(start_time)",
    "day": "strftime(start_time, '%Y-%m-%d')",
    "turn": f"row_number() OVER (PARTITION BY coalesce(conversation_id, call_no::VARCHAR) ORDER BY {ORDER})",
    "text": """(SELECT text FROM contents WHERE content_id = message_ids[-1])""",
}
_MANY = ("conversation_id", "user_id", "text")  # texts with about as many values as calls: read as they are
_UNSHARED = ("text", "tags")  # large or not comparable: neither kept nor grouped by
_LISTED = 64
_FEW = 4  # calls per combination of values, below which deciding per combination saves nothing
_DENSE = 8  # numbers for each call up to which they are placed


def in_order(call_no: Int64, wanted: Int64) -> Int64 | None:
    """The places of the calls `wanted` among those read, None where they came in that order already."""
    if np.array_equal(call_no, wanted):
        return None
    order = ascending(call_no)
    if np.array_equal(call_no[order], wanted):
        return order
    place = order[np.minimum(np.searchsorted(call_no[order], wanted), max(len(order) - 1, 0))]
    if len(call_no) != len(wanted) or not np.array_equal(call_no[place], wanted):
        raise StoreError("the store changed while the replay read it", remedy="Run the replay again.")
    return place


def ascending(call_no: Int64) -> Int64:
    """The places of the calls in order of their numbers, of which no two are equal.

    A scan of a lake goes by buckets, and to sort its dense numbers costs several times as much as to place them.
    """
    first, last = (int(call_no.min()), int(call_no.max())) if len(call_no) else (0, -1)
    if last - first >= _DENSE * len(call_no):
        return np.argsort(call_no, kind="stable")
    place = np.full(last - first + 1, -1, np.int64)
    place[call_no - first] = np.arange(len(call_no))
    found: Int64 = place[place >= 0]
    return found


@dataclass(frozen=True)
class TextCodes:
    """Text columns as SQL of codes: `sql[name]` is a call's position in `values[name]`, with `parameters` bound.

    `types` are statements that a further connection has to run before it can use the SQL.
    """

    values: dict[str, tuple[str | None, ...]]
    sql: dict[str, str]
    parameters: dict[str, list[str]]
    types: list[str]


def text_codes(con: duckdb.DuckDBPyConnection, columns: Mapping[str, str], where: str) -> TextCodes:
    """Codes for names and their SQL: distinct values in sorted order, NULL last.

    A few values are looked up in a list, which DuckDB does once per entry of its own dictionaries; many by a cast to an
    enum. Both keep the order of the rows, as a join does not.
    """
    codes = TextCodes({}, {}, {}, [])
    for name, sql in columns.items():
        distinct = f"SELECT DISTINCT {sql} AS value FROM calls WHERE {where} AND {sql} IS NOT NULL ORDER BY value"
        values = [row[0] for row in con.execute(distinct).fetchall()]
        missing = con.execute(f"SELECT count(*) FROM calls WHERE {where} AND {sql} IS NULL").fetchall()[0][0]
        if 0 < len(values) <= _LISTED:
            codes.parameters[f"values_{name}"] = values
            code = f"list_position($values_{name}, {sql}) - 1"
        else:
            codes.types.append(f"CREATE OR REPLACE TEMP TYPE code_of_{name} AS ENUM ({distinct})")
            con.execute(codes.types[-1])
            code = f"enum_code(CAST({sql} AS code_of_{name}))"
        codes.values[name] = (*values, None) if missing else tuple(values)
        codes.sql[name] = f"coalesce({code}, {len(values):d})::INTEGER"
    return codes


@dataclass
class CallColumns:
    """Lazy columns of the calls `call_no`, which `where` selects. Every column is in the order of `call_no`."""

    store: Store
    where: str
    call_no: Int64
    derived: Mapping[str, Callable[[], pl.Series]] = field(default_factory=dict, repr=False)  # made when asked for
    _series: dict[str, pl.Series] = field(default_factory=dict, repr=False)
    _codes: dict[str, tuple[Int32, int]] = field(default_factory=dict, repr=False)
    _groups: dict[tuple[str, ...], tuple[Int32, Int64] | None] = field(default_factory=dict, repr=False)

    def know(self, name: str, codes: Int32, values: Sequence[str | None]) -> None:
        """A text column that the caller has read: codes into `values`, of which only the last may be None."""
        self._codes[name] = codes, len(values)
        self._series[name] = _enum(codes, values)

    def frame(self, names: Sequence[str]) -> pl.DataFrame:
        """One row a call; a text column with few values is a pl.Enum."""
        missing = [name for name in dict.fromkeys(names) if name not in self._series]
        stored = [name for name in missing if name not in self.derived]
        found = self._read(stored) if stored else {}
        found |= {name: self.derived[name]() for name in missing if name in self.derived}
        self._series |= {name: series for name, series in found.items() if name not in _UNSHARED}
        columns = {name: found[name] if name in found else self._series[name] for name in names}
        # a frame without columns has a height too
        return pl.DataFrame({"call_no": self.call_no, **columns}).drop("call_no")

    def distinct(self, names: Sequence[str]) -> tuple[Int32, pl.DataFrame] | None:
        """(row number of each call, one row per combination of values); None where nearly every call has its own.

        Whatever is decided by these columns alone need only be decided once per combination.
        """
        found = self.groups(names)
        if found is None:
            return None
        number, firsts = found
        self.frame(names)
        columns = {name: self._series[name].gather(firsts) for name in names}
        return number, pl.DataFrame({"call_no": firsts, **columns}).drop("call_no")

    def groups(self, names: Sequence[str]) -> tuple[Int32, Int64] | None:
        """(number of each call's combination of values, a call that has it), or None as for `distinct`."""
        key = tuple(names)
        if key not in self._groups:
            self._groups[key] = self._group(key, (len(self.call_no) + 10_000) // _FEW)
        return self._groups[key]

    def combinations(self, names: Sequence[str]) -> Int32:
        """The number of each call's combination of values, however many there are."""
        found = self._group(tuple(names), len(self.call_no))
        return np.zeros(0, np.int32) if found is None else found[0]

    def _group(self, names: tuple[str, ...], most: int) -> tuple[Int32, Int64] | None:
        from replay.kernels.common.dense_ids import factorise

        if not len(self.call_no) or any(name in _UNSHARED for name in names):
            return None
        combined, size = np.zeros(len(self.call_no), np.int32), 1
        firsts: Int64 = np.zeros(1, np.int64)
        for name in names:
            codes, count = self._coded(name)
            if size == 1:
                wide: NDArray[Any] = codes
            else:
                wide = combined.astype(np.int64) * count + codes
            combined, found = factorise(wide.astype(np.int64, copy=False))
            firsts, size = found.astype(np.int64), len(found)
            if size > most:
                return None
        return combined, firsts

    def _coded(self, name: str) -> tuple[Int32, int]:
        """Dense codes of one column, missing values having one of their own."""
        from replay.kernels.common.dense_ids import factorise

        if name not in self._codes:
            column = self.frame([name])[name]
            if isinstance(column.dtype, pl.Enum):
                physical = column.to_physical().cast(pl.Int64).fill_null(-1).to_numpy()
            elif column.dtype == pl.String:
                physical = column.cast(pl.Categorical).to_physical().cast(pl.Int64).fill_null(-1).to_numpy()
            else:
                known = column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
                physical = np.where(np.isnan(known), np.nan, known + 0.0).view(np.int64)
            codes, found = factorise(physical)
            self._codes[name] = codes, max(len(found), 1)
        return self._codes[name]

    def _read(self, names: Sequence[str]) -> dict[str, pl.Series]:
        sql = {name: _DERIVED.get(name, name) for name in names}
        found: dict[str, pl.Series] = {}
        with self.store.read() as con:
            plain = [name for name in names if name not in _DERIVED]
            counts = con.execute(f"SELECT 1, {', '.join(f'count({name})' for name in plain)} FROM calls").fetchall()[0]
            for name, count in zip(plain, counts[1:], strict=True):
                if not count:  # no call has it, which need not be written down call by call
                    found[name] = pl.repeat(None, len(self.call_no), dtype=pl.Null, eager=True)
            names = [name for name in names if name not in found]
            if not names:
                return found
            listed = ", ".join(f"{sql[name]} AS {name}" for name in names)
            types = con.sql(f"SELECT {listed} FROM calls LIMIT 0").types
            texts = [name for name, kind in zip(names, types, strict=True) if kind == "VARCHAR"]
            few = [name for name in texts if name not in _MANY]
            codes = text_codes(con, {name: sql[name] for name in few}, self.where)
            listed = ", ".join(f"{codes.sql.get(name, sql[name])} AS {name}" for name in names)
            query = f"SELECT call_no, {listed} FROM calls WHERE {self.where}"
            rows = con.sql(query, params=codes.parameters or None).to_arrow_table()
        place = in_order(rows.column("call_no").to_numpy(), self.call_no)
        for name in names:
            if name in few:
                read = rows.column(name).to_numpy()
                self._codes[name] = read if place is None else read[place], len(codes.values[name])
                found[name] = _enum(self._codes[name][0], codes.values[name])
            else:
                series = pl.DataFrame(rows.select([name])).to_series()
                found[name] = series if place is None else series.gather(place)
        return found


def _enum(codes: Int32, values: Sequence[str | None]) -> pl.Series:
    """A text column as pl.Enum."""
    names = [value for value in values if value is not None]
    missing = len(names) < len(values)
    width = np.uint8 if len(values) < 256 else np.uint16 if len(values) < 65_536 else np.uint32
    series = pl.Series(codes.astype(width))
    if missing:
        series = pl.select(pl.when(series != len(names)).then(series)).to_series()
    return series.cat.to(pl.Enum(names))
