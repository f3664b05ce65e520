"""The ledger's table, the view `costs` and quick ways to read them. Light to import, so that a report starts at once.

A ledger is written in the order of the calls, so row i of one belongs to row i of the other unless calls were
replaced. That is checked on every row, which costs a tenth of the hash join it saves (10 M calls: 0.06 s, not 0.8 s).

DuckDB reads two tables side by side with one thread. A long store is therefore read in pieces, a UNION ALL of ranges
of `call_no`, which run on all threads; and only the ranges that a question is about are read at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import time
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import duckdb

from analysis import time_zone
from ingest.store.database import Store, has_tables

if TYPE_CHECKING:
    from analysis.array_types import Int64Array

COMPONENTS: Final = ("uncached_input", "cache_read", "cache_write", "output", "reasoning", "other")
NULL_STATUSES: Final = (
    "unknown_model", "unknown_tier", "unknown_kind", "no_usage", "too_large", "ambiguous_usage", "partial_usage",
)  # fmt: skip
# a call that failed and names no usage did no work that a total could miss
FAILED: Final = "(cost_usd IS NULL AND status = 'error' AND input_tokens IS NULL AND output_tokens IS NULL)"
_MONEY = ", ".join(f"{name}_usd DECIMAL(18,12)" for name in COMPONENTS)
CREATE_LEDGER = f"""
    CREATE TABLE IF NOT EXISTS ledger (
        call_no BIGINT, price_id INTEGER, cost_status VARCHAR, {_MONEY}, cost_usd DECIMAL(18,12))
"""
CREATE_COSTS = """
    CREATE OR REPLACE VIEW costs AS
    SELECT calls.*, ledger.* EXCLUDE (call_no) FROM calls LEFT JOIN ledger ON calls.call_no = ledger.call_no
"""
Range = tuple[int, int]  # first and last call_no, both inside

_SIDE_BY_SIDE = """
    SELECT * FROM (SELECT * FROM calls{where}) POSITIONAL JOIN (SELECT * EXCLUDE (call_no) FROM {ledger}{where})
"""
_ALIGNED = """
    SELECT (SELECT count(*) FROM calls) = (SELECT count(*) FROM {ledger})
       AND NOT EXISTS (SELECT 1 FROM calls POSITIONAL JOIN (SELECT call_no AS priced_no FROM {ledger})
                       WHERE call_no IS DISTINCT FROM priced_no)
"""
ROW_GROUP = 122_880  # rows that DuckDB stores and skips together
PIECE = ROW_GROUP  # calls worth a thread of their own; planning a piece takes about a millisecond
MOST_PIECES = 16


def total_cost(store: Store) -> Decimal | None:
    """The sum of the ledger as it stands; None where nothing is priced or there is no ledger yet."""
    with store.read() as con:
        if not has_tables(con, "ledger"):
            return None
        total: Decimal | None = con.execute("SELECT sum(cost_usd) FROM ledger").fetchall()[0][0]
        return total


def unpriced_calls(store: Store) -> Int64Array:
    """The numbers of the calls without a price in the ledger as it stands; all calls where there is none yet."""
    with store.read() as con:
        rows = "ledger WHERE cost_usd IS NULL" if has_tables(con, "ledger") else "calls"
        return con.execute(f"SELECT call_no FROM {rows}").fetchnumpy()["call_no"]


def costs_relation(con: duckdb.DuckDBPyConnection, ledger: str = "ledger") -> str:
    """The name of a relation equal to the view `costs`: the fast one where the tables are aligned.

    With the name of another table of the ledger's shape (`analysis.ledger.ledger.revalue`) its costs take the place of
    the ledger's. Views that are made for it are temporary: they end with the connection, which may be read-only.
    """
    if not has_tables(con, "calls", ledger):
        return "costs"
    if in_lake(con):
        return "costs" if ledger == "ledger" else _joined(con, ledger)
    if not con.execute(_ALIGNED.format(ledger=ledger)).fetchall()[0][0]:
        if ledger == "ledger":
            return "costs"
        return _joined(con, ledger)
    first, last = con.execute("SELECT min(call_no), max(call_no) FROM calls").fetchall()[0]
    _view(con, "aligned_costs", [] if first is None else [(first, last)], ledger)
    return "aligned_costs"


def in_lake(con: duckdb.DuckDBPyConnection) -> bool:
    """Whether calls and their costs are read from one relation, of which `calls`, `ledger` and `costs` are views."""
    return bool(con.execute("SELECT 1 FROM duckdb_views() WHERE view_name = 'ledger'").fetchall())


def _joined(con: duckdb.DuckDBPyConnection, ledger: str) -> str:
    con.execute(f"CREATE OR REPLACE TEMP VIEW joined_costs AS SELECT * FROM calls LEFT JOIN {ledger} USING (call_no)")
    return "joined_costs"


def ranges_relation(con: duckdb.DuckDBPyConnection, relation: str, ranges: Sequence[Range]) -> str:
    """The name of a relation with at least the rows of `relation` whose `call_no` is in one of `ranges`.

    `relation` is what `costs_relation` gave on this connection; a condition of the question itself is still needed.
    """
    if relation != "aligned_costs" or not ranges:
        return relation
    _view(con, "ranges_of_costs", _merged(ranges))
    return "ranges_of_costs"


def on_wall_clock(con: duckdb.DuckDBPyConnection, relation: str, until: time | None = None) -> str:
    """The name of a relation like `relation` whose `start_time` is the wall clock of the days' zone, for questions
    about days; with `until` only its calls up to that time of each day. `relation` itself where that is all the same.
    """
    clock = time_zone.local_sql()
    if clock == "start_time" and until is None:
        return relation
    name = f"{relation}_on_wall_clock"
    keep = "" if until is None else f" WHERE ({clock})::TIME <= TIME '{until.isoformat()}'"
    changed = "" if clock == "start_time" else f" REPLACE ({clock} AS start_time)"
    con.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS SELECT *{changed} FROM {relation}{keep}")
    return name


def _merged(ranges: Sequence[Range]) -> list[Range]:
    """Ranges in order, joined where what lies between them is cheaper to read than to skip."""
    found: list[Range] = []
    for first, last in sorted(ranges):
        if found and first - found[-1][1] <= 2 * ROW_GROUP:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return found


def _view(con: duckdb.DuckDBPyConnection, name: str, ranges: Sequence[Range], ledger: str = "ledger") -> None:
    wheres = [f" WHERE call_no BETWEEN {first:d} AND {last:d}" for first, last in _pieces(con, ranges)] or [""]
    parts = [_SIDE_BY_SIDE.format(where=where, ledger=ledger) for where in wheres]
    con.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {' UNION ALL '.join(parts)}")


def _pieces(con: duckdb.DuckDBPyConnection, ranges: Sequence[Range]) -> list[Range]:
    """Ranges cut at row groups, so that twice as many pieces as threads come out where there is work for them."""
    total = sum(last - first + 1 for first, last in ranges)
    threads = int(con.execute("SELECT current_setting('threads')").fetchall()[0][0])
    size = max(-(-total // min(2 * threads, MOST_PIECES)), PIECE)
    size = -(-size // ROW_GROUP) * ROW_GROUP
    found: list[Range] = []
    for first, last in ranges:
        while last - first + 1 > size + size // 4:
            cut = (first + size) // ROW_GROUP * ROW_GROUP
            found.append((first, cut - 1))
            first = cut
        found.append((first, last))
    return found
