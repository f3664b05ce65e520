"""What happened hour by hour: one pass over all calls, from which every question about the history is answered.

Diagnosis asks the history for daily totals, for agents and ratios per day, for hours, and for where in the store a day
lies. Each is a sum over the hours, so the calls are read once. Sums stay exact: decimals and integers throughout.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

import duckdb

from analysis.ledger.costs_view import FAILED, Range

# sums per hour and agent: column -> expression; `{n}` is what a call counts for, `{x}` multiplies by it
_SUMS: Final = {
    "usd": "sum(cost_usd)",
    "weight": "sum({n})",
    "input": "sum(input_tokens{x})",
    "output": "sum(output_tokens{x})",
    "read": "sum(cache_read_input_tokens{x})",
    "calls": "count(*)",
    "priced": "count(cost_usd)",
    "worked": f"sum(CASE WHEN NOT coalesce({FAILED}, false) THEN {{n}} END)",
    "failed": f"count(CASE WHEN {FAILED} THEN 1 END)",
    "retries": "count(CASE WHEN attempt > 1 OR retry_of IS NOT NULL THEN 1 END)",
    "first_no": "min(call_no)",
    "last_no": "max(call_no)",
}
_VALUES: Final = {
    "cost": "sum(usd)",
    "calls": "sum(weight)",
    "tokens": "coalesce(sum(input), 0) + coalesce(sum(output), 0)",
}


@dataclass(frozen=True)
class Activity:
    """The metric per active day: a day with calls, priced or not."""

    totals: dict[date, float]
    unknown: dict[date, tuple[int, int]]  # calls without a price, and all, of days that are mostly such: of what did
    # not simply fail, for a failed call without usage is no work that the total misses
    numbers: dict[date, Range]  # first and last `call_no` of each day

    def ranges(self, days: Iterable[date]) -> list[Range]:
        """Where in the store the calls of `days` lie."""
        return [self.numbers[day] for day in sorted(set(days)) if day in self.numbers]


def unweighted(con: duckdb.DuckDBPyConnection) -> bool:
    """Whether every row of `calls` stands for one call."""
    least, most, all_known = con.execute(
        "SELECT min(weight), max(weight), count(weight) = count(*) FROM calls"
    ).fetchall()[0]
    return bool(least == 1 and most == 1 and all_known)


def activity(con: duckdb.DuckDBPyConnection, metric: str, relation: str = "costs", table: str = "activity") -> Activity:
    """The activity of every day of a relation whose `start_time` is the wall clock that days are of. Leaves the hours
    of each agent in the temporary table `table`.

    Where all weights are 1 they are left out of the sums, which halves their cost and changes none.
    """
    plain = unweighted(con)
    sums = ", ".join(
        f"{expression.format(n='1' if plain else 'weight', x='' if plain else ' * weight')} AS {name}"
        for name, expression in _SUMS.items()
    )
    con.execute(
        f"""CREATE OR REPLACE TEMP TABLE {table} AS
            SELECT date_trunc('hour', start_time) AS hour, agent, {sums}
            FROM {relation} WHERE start_time IS NOT NULL GROUP BY hour, agent"""
    )
    rows = con.execute(
        f"""SELECT hour::DATE AS day, coalesce({_VALUES[metric]}, 0)::DOUBLE, sum(calls), sum(priced), min(first_no),
                   max(last_no), sum(failed)
            FROM {table} GROUP BY day ORDER BY day"""
    ).fetchall()
    unknown = {
        row[0]: (int(row[2] - row[3]), int(row[2]))
        for row in rows
        if metric == "cost" and row[3] < 0.5 * (row[2] - (row[6] if row[3] else 0))
    }
    return Activity(
        {row[0]: row[1] for row in rows},
        unknown,
        {row[0]: (row[4], row[5]) for row in rows},
    )


def agent_days(
    con: duckdb.DuckDBPyConnection, first: date, end: date, table: str = "activity"
) -> list[tuple[Any, ...]]:
    """Per day from `first` up to but without `end`, and agent, after `activity`: dollars, calls (weighted), input,
    output and cached tokens, rows without a price, rows, retries; in order of day and agent. Calls that failed without
    usage are in the rows and retries alone."""
    return con.execute(
        f"""SELECT hour::DATE AS day, agent, coalesce(sum(usd), 0)::DOUBLE, coalesce(sum(worked), 0)::DOUBLE,
                  sum(input)::DOUBLE, sum(output)::DOUBLE, sum(read)::DOUBLE, sum(calls) - sum(priced) - sum(failed),
                  sum(calls), sum(retries)
           FROM {table} WHERE hour >= $first AND hour < $end GROUP BY day, agent ORDER BY day, agent""",
        {"first": first, "end": end},
    ).fetchall()


def hours(con: duckdb.DuckDBPyConnection, first: date, end: date, table: str = "activity") -> dict[datetime, float]:
    """Dollars per hour with calls from `first` up to but without `end`, after `activity`."""
    rows = con.execute(
        f"""SELECT hour, coalesce(sum(usd), 0)::DOUBLE FROM {table} WHERE hour >= $first AND hour < $end
           GROUP BY hour ORDER BY hour""",
        {"first": first, "end": end},
    ).fetchall()
    return dict(rows)
