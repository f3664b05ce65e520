"""Columns of the replayed calls that rules may see, read from the store once and shared by all strategies of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from ingest.errors import StoreError
from ingest.store import Store
from replay.expressions import COLUMNS

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]

ORDER = "start_time, source_id, source_row"

# columns of rules that are not columns of `calls`
_DERIVED = {
    "hour": "hour(start_time)",
    "weekday": "isodow(start_time)",
    "day": "strftime(start_time, '%Y-%m-%d')",
    "turn": f"row_number() OVER (PARTITION BY coalesce(conversation_id, call_no::VARCHAR) ORDER BY {ORDER})",
    "online": "CAST(NULL AS BOOLEAN)",
    "text": """(SELECT text FROM contents WHERE content_id = message_ids[-1])""",
}
_MANY = ("conversation_id", "user_id", "text")  # texts with about as many values as calls: read as they are
_UNSHARED = ("text", "tags")  # large or not comparable: neither kept nor grouped by
_FEW = 4  # calls per combination of values, below which deciding per combination saves nothing


def in_order(call_no: Int64, wanted: Int64) -> Int64 | None:
    """The places of the calls `wanted` among those read, None where they came in that order already."""
    if np.array_equal(call_no, wanted):
        return None
    order = np.argsort(call_no, kind="stable")
    place = order[np.minimum(np.searchsorted(call_no, wanted, sorter=order), max(len(order) - 1, 0))]
    if len(call_no) != len(wanted) or not np.array_equal(call_no[place], wanted):
        raise StoreError("the store changed while the replay read it", remedy="Run the replay again.")
    return place


def text_codes(con: duckdb.DuckDBPyConnection, columns: Sequence[str], where: str) -> dict[str, tuple[str | None, ...]]:
    """The distinct values of text columns (names or SQL of this program) in sorted order, NULL last."""
    found = {}
    for column in columns:
        rows = con.execute(f"SELECT DISTINCT {column} FROM calls WHERE {where}").fetchall()
        values = [row[0] for row in rows]
        found[column] = (*sorted(value for value in values if value is not None), *([None] if None in values else []))
    return found


def code_table(values: Sequence[str | None]) -> pa.Table:
    """Values and their codes as DuckDB joins them: `value`, `code`."""
    return pa.table({"value": pa.array(values, pa.string()), "code": pa.array(range(len(values)), pa.int32())})


@dataclass
class CallColumns:
    """Lazy columns of the calls `call_no`, which `where` selects. Every column is in the order of `call_no`."""

    store: Store
    where: str
    call_no: Int64
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
        found = self._read(missing) if missing else {}
        self._series |= {name: series for name, series in found.items() if name not in _UNSHARED}
        columns = {name: found[name] if name in found else self._series[name] for name in names}
        # a frame without columns has a height too
        return pl.DataFrame({"call_no": self.call_no, **columns}).drop("call_no")

    def groups(self, names: Sequence[str]) -> tuple[Int32, Int64] | None:
        """(number of each call's combination of values, a call that has it); None where nearly every call has its own.

        Whatever is decided by these columns alone need only be decided once per combination.
        """
        key = tuple(names)
        if key not in self._groups:
            self._groups[key] = self._group(key)
        return self._groups[key]

    def _group(self, names: tuple[str, ...]) -> tuple[Int32, Int64] | None:
        from replay.kernels.dense import factorise

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
            if size * _FEW > len(self.call_no) + 10_000:
                return None
        return combined, firsts

    def _coded(self, name: str) -> tuple[Int32, int]:
        """Dense codes of one column, missing values having one of their own."""
        from replay.kernels.dense import factorise

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
        with self.store.read() as con:
            few = [name for name in names if COLUMNS.get(name) == "text" and name not in _MANY]
            values = text_codes(con, [sql[name] for name in few], self.where)
            tables = {f"values_{place}": code_table(values[sql[name]]) for place, name in enumerate(few)}
            for table, rows in tables.items():
                con.register(table, rows)
            chosen = [
                f"values_{few.index(name)}.code AS {name}" if name in few else f"{sql[name]} AS {name}"
                for name in names
            ]
            joins = "".join(
                f" LEFT JOIN values_{place} ON {sql[name]} IS NOT DISTINCT FROM values_{place}.value"
                for place, name in enumerate(few)
            )
            rows = con.sql(
                f"SELECT {', '.join(['call_no', *chosen])} FROM calls{joins} WHERE {self.where}"
            ).to_arrow_table()
        place = in_order(rows.column("call_no").to_numpy(), self.call_no)
        found: dict[str, pl.Series] = {}
        for name in names:
            if name in few:
                codes = rows.column(name).to_numpy().astype(np.int32, copy=False)
                self._codes[name] = codes if place is None else codes[place], len(values[sql[name]])
                found[name] = _enum(self._codes[name][0], values[sql[name]])
            else:
                read = pl.DataFrame(rows.select([name])).to_series()
                found[name] = read if place is None else read.gather(place)
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
