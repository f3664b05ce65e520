"""Reads calls beside their ledger rows without a join, where both tables stand in the same order.

A ledger is written in the order of the calls, so row i of one belongs to row i of the other unless calls were
replaced. That is checked on every row, which costs a tenth of the hash join it saves (10 M calls: 0.06 s, not 0.8 s).

DuckDB reads two tables side by side with one thread. A long store is therefore read in pieces, a UNION ALL of ranges
of `call_no`, which run on all threads; and only the ranges that a question is about are read at all.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

Range = tuple[int, int]  # first and last call_no, both inside

_SIDES = """
    SELECT * FROM (SELECT * FROM calls{where}) POSITIONAL JOIN (SELECT * EXCLUDE (call_no) FROM ledger{where})
"""
_CHECK = """
    SELECT (SELECT count(*) FROM calls) = (SELECT count(*) FROM ledger)
       AND NOT EXISTS (SELECT 1 FROM calls POSITIONAL JOIN ledger WHERE calls.call_no IS DISTINCT FROM ledger.call_no)
"""
ROW_GROUP = 122_880  # rows that DuckDB stores and skips together
PIECE = ROW_GROUP  # calls worth a thread of their own; planning a piece takes about a millisecond
MOST_PIECES = 16


def costs_relation(con: duckdb.DuckDBPyConnection) -> str:
    """The name of a relation equal to the view `costs`: the fast one where the tables are aligned."""
    tables = {name for (name,) in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    if not {"calls", "ledger"} <= tables or not con.execute(_CHECK).fetchall()[0][0]:
        return "costs"
    first, last = con.execute("SELECT min(call_no), max(call_no) FROM calls").fetchall()[0]
    _view(con, "aligned_costs", [] if first is None else [(first, last)])
    return "aligned_costs"


def ranges_relation(con: duckdb.DuckDBPyConnection, relation: str, ranges: Sequence[Range]) -> str:
    """The name of a relation with at least the rows of `relation` whose `call_no` is in one of `ranges`.

    `relation` is what `costs_relation` gave on this connection; a condition of the question itself is still needed.
    """
    if relation != "aligned_costs" or not ranges:
        return relation
    _view(con, "ranges_of_costs", _merged(ranges))
    return "ranges_of_costs"


def _merged(ranges: Sequence[Range]) -> list[Range]:
    """Ranges in order, joined where what lies between them is cheaper to read than to skip."""
    found: list[Range] = []
    for first, last in sorted(ranges):
        if found and first - found[-1][1] <= 2 * ROW_GROUP:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return found


def _view(con: duckdb.DuckDBPyConnection, name: str, ranges: Sequence[Range]) -> None:
    parts = [_SIDES.format(where=f" WHERE call_no BETWEEN {a:d} AND {b:d}") for a, b in _pieces(con, ranges)]
    con.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {' UNION ALL '.join(parts) or _SIDES.format(where='')}")


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
