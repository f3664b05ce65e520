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


_AGENT: Final = "coalesce(nullif(agent, ''), '(no agent)')"


def day_rows(con: duckdb.DuckDBPyConnection, first: date, end: date, table: str = "activity") -> list[tuple[Any, ...]]:
    """Per day from `first` up to but without `end`, after `activity`: the day, dollars, calls (weighted), input, output
    and cached tokens, rows without a price, rows, retries; in order of days. Calls that failed without usage are in
    the rows and retries alone."""
    return con.execute(
        f"""SELECT hour::DATE AS day, coalesce(sum(usd), 0)::DOUBLE, coalesce(sum(worked), 0)::DOUBLE,
                  coalesce(sum(input), 0)::DOUBLE, coalesce(sum(output), 0)::DOUBLE, coalesce(sum(read), 0)::DOUBLE,
                  sum(calls) - sum(priced) - sum(failed), sum(calls), sum(retries)
           FROM {table} WHERE hour >= $first AND hour < $end GROUP BY day ORDER BY day""",
        {"first": first, "end": end},
    ).fetchall()


def dearest_agents(
    con: duckdb.DuckDBPyConnection, first: date, end: date, most: int, table: str = "activity"
) -> dict[str, dict[date, float]]:
    """Dollars per day with calls, from `first` up to but without `end`, of the `most` agents that cost most in that
    time; the dearest first. After `activity`."""
    rows = con.execute(
        f"""WITH agents AS (
                SELECT {_AGENT} AS name, hour::DATE AS day, coalesce(usd, 0) AS usd
                FROM {table} WHERE hour >= $first AND hour < $end),
            dearest AS (
                SELECT name, sum(usd) AS whole FROM agents GROUP BY name ORDER BY whole DESC, name LIMIT $most)
            SELECT name, day, sum(usd)::DOUBLE FROM agents JOIN dearest USING (name)
            GROUP BY name, day, whole ORDER BY whole DESC, name, day""",
        {"first": first, "end": end, "most": most},
    ).fetchall()
    found: dict[str, dict[date, float]] = {}
    for name, day, usd in rows:
        found.setdefault(name, {})[day] = usd
    return found


def new_agents(
    con: duckdb.DuckDBPyConnection, first: date, day: date, least: float, table: str = "activity"
) -> list[tuple[str, float]]:
    """Agents of `day` that had no call from `first` until then, by name, with their dollars where these are `least` or
    more. None where there is no earlier call. After `activity`."""
    return con.execute(
        f"""WITH agents AS (
                SELECT {_AGENT} AS name, hour::DATE = $day AS new, coalesce(usd, 0) AS usd
                FROM {table} WHERE hour >= $first AND hour < $day + INTERVAL 1 DAY)
            SELECT name, sum(usd)::DOUBLE AS cost FROM agents GROUP BY name
            HAVING bool_and(new) AND cost >= $least AND EXISTS (FROM agents WHERE NOT new) ORDER BY name""",
        {"first": first, "day": day, "least": least},
    ).fetchall()


def hours(con: duckdb.DuckDBPyConnection, first: date, end: date, table: str = "activity") -> dict[datetime, float]:
    """Dollars per hour with calls from `first` up to but without `end`, after `activity`."""
    rows = con.execute(
        f"""SELECT hour, coalesce(sum(usd), 0)::DOUBLE FROM {table} WHERE hour >= $first AND hour < $end
           GROUP BY hour ORDER BY hour""",
        {"first": first, "end": end},
    ).fetchall()
    return dict(rows)
