"""Polars frames of results: dollars as Decimal(38, 12), counts as Int64, days as Date, the unknown as null."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

import polars as pl

USD: Final = pl.Decimal(38, 12)
_TYPES: Final = {bool: pl.Boolean(), int: pl.Int64(), float: pl.Float64(), Decimal: USD, date: pl.Date(),
                 datetime: pl.Datetime("us")}  # fmt: skip


def frame(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, Any]) -> pl.DataFrame:
    """A frame of the named columns of `rows`; `columns` gives each its dtype, None where the values tell it.

    A column whose values tell nothing (all null, or text) is String. The frame has its columns without rows, too.
    """
    held = list(rows)
    made = []
    for name, dtype in columns.items():
        values = [row.get(name) for row in held]
        made.append(pl.Series(name, values, dtype=dtype or _type_of(values), strict=dtype is not USD))
    return pl.DataFrame(made)


def _type_of(values: Sequence[Any]) -> Any:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return pl.Float64()
    return _TYPES.get(next(iter(kinds)), pl.String()) if len(kinds) == 1 else pl.String()
