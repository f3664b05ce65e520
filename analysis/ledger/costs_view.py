"""The ledger's table and view, and quick ways to read them. Light to import, so that a report starts at once."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import duckdb

from ingest.store.database import Store

if TYPE_CHECKING:
    import numpy as np

COMPONENTS: Final = ("uncached_input", "cache_read", "cache_write", "output", "reasoning", "other")
NULL_STATUSES: Final = ("unknown_model", "unknown_tier", "unknown_kind", "no_usage", "too_large")
_MONEY = ", ".join(f"{name}_usd DECIMAL(18,12)" for name in COMPONENTS)
CREATE_LEDGER = f"""
    CREATE TABLE IF NOT EXISTS ledger (
        call_no BIGINT, price_id INTEGER, cost_status VARCHAR, {_MONEY}, cost_usd DECIMAL(18,12))
"""
CREATE_COSTS = """
    CREATE OR REPLACE VIEW costs AS
    SELECT calls.*, ledger.* EXCLUDE (call_no) FROM calls LEFT JOIN ledger ON calls.call_no = ledger.call_no
"""


def total_cost(store: Store) -> Decimal | None:
    """The sum of the ledger as it stands; None where nothing is priced or there is no ledger yet."""
    with store.read() as con:
        tables = {name for (name,) in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        if "ledger" not in tables:
            return None
        total: Decimal | None = con.execute("SELECT sum(cost_usd) FROM ledger").fetchall()[0][0]
        return total


def unpriced_calls(store: Store) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The numbers of the calls without a price in the ledger as it stands; all calls where there is none yet."""
    with store.read() as con:
        tables = {name for (name,) in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        rows = "ledger WHERE cost_usd IS NULL" if "ledger" in tables else "calls"
        return con.execute(f"SELECT call_no FROM {rows}").fetchnumpy()["call_no"]


def costs_source(con: duckdb.DuckDBPyConnection, table: str = "ledger") -> str:
    """What to select costs FROM: the rows of the view `costs`, side by side where that is right, and then faster.

    Side by side is right only while `calls` and `ledger` lie in the same order, which is looked up each time
    (70 ms for 10 M calls).
    """
    joined = f"(SELECT * FROM calls LEFT JOIN {table} USING (call_no)) costs"
    calls, rows = con.execute(f"SELECT (SELECT count(*) FROM calls), (SELECT count(*) FROM {table})").fetchall()[0]
    if calls != rows:
        return joined
    astray = con.execute(
        f"""SELECT count(*) FROM calls POSITIONAL JOIN (SELECT call_no AS entry FROM {table})
            WHERE call_no IS DISTINCT FROM entry"""
    ).fetchall()[0][0]
    beside = f"(SELECT * FROM calls POSITIONAL JOIN (SELECT * EXCLUDE (call_no) FROM {table})) costs"
    return joined if astray else beside
