"""The price rows of the models in some traffic, ready for the kernel."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import duckdb

from analysis.book import price_rows, to_rates
from analysis.pricing import RateTable
from analysis.resolve import Name, resolve_all


def load_rates(con: duckdb.DuckDBPyConnection, models: Sequence[Name]) -> RateTable:
    """Rates of (provider_name, model) pairs as logged; the position in `models` is the model index."""
    resolved = resolve_all(con, models)
    rows, as_of = price_rows(con, [found.key for found in resolved if found.key is not None])
    as_of_ms = int(datetime(as_of.year, as_of.month, as_of.day, tzinfo=UTC).timestamp()) * 1000
    return RateTable.build([to_rates(rows[found.key]) if found.key else [] for found in resolved], as_of_ms=as_of_ms)
