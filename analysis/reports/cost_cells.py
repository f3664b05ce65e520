"""The ledger summed once by day, agent, task, model and whatever else takes few values: what many questions share.

A report made of these cells is the report made of the calls: sums of sums of decimals and whole numbers are exact.
Cells live in memory, and are those of one state of a store and of one time zone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

import duckdb

from analysis import time_zone
from analysis.dimensions import Dimension, Where, as_filter, dimension, dimensions
from analysis.ledger.costs_view import costs_relation
from analysis.ledger.inferred_cache_reads import HiddenReads, study
from analysis.log_days import LogDays
from analysis.reports.cost import EFFECTIVE, MEASURES, UNPRICED, CostReport, condition, measured, require_ledger, summed
from ingest.store.database import Store, connect

BASE: Final = ("agent", "task", "model")
MORE: Final = ("provider", "status", "environment", "team")
TIMES: Final = ("day", "week", "month", "weekday")
MOST: Final = 200_000  # cells; beyond, asking the calls is hardly slower
SAMPLE: Final = 300_000  # calls at either end of the log by which the number of cells is guessed
ROWS: Final = {
    "first_call": "min(call_no)",
    "start_time": "min(start_time)",  # of a cell, all on one day
    "last_time": "max(start_time)",
    "rows": "count(*)",
    "priced_rows": "count(cost_usd)",
    "guessed_rows": "count(*) FILTER (tokens_source IN ('estimated', 'recovered_from_total'))",
    "fallback_rows": "count(*) FILTER (cost_status = 'priced_fallback')",
    "untimed_rows": "count(*) FILTER (start_time IS NULL)",
}
COUNTED: Final = ("rows", "priced_rows", "guessed_rows", "fallback_rows", "untimed_rows")


@dataclass(frozen=True)
class CostCells:
    """Sums of the ledger by `kept` dimensions and day, in tables `cells` and `unpriced_cells` of `con`."""

    con: duckdb.DuckDBPyConnection
    kept: tuple[str, ...]
    zone: str
    log: LogDays
    hidden_cache: list[HiddenReads]
    price_book_version: str

    def answers(self, by: Iterable[str] = (), where: Where = None) -> bool:
        """Whether a question by these dimensions and conditions, in this thread's time zone, needs no call."""
        asked = {one.name for one in (*dimensions(by), *as_filter(where).dimensions)}
        return time_zone.label() == self.zone and asked <= {*self.kept, *TIMES}

    def cost(
        self, by: Sequence[str] = (), since: date | None = None, until: date | None = None, where: Where = None
    ) -> CostReport:
        """As `analysis.reports.cost.cost`, of what `answers` holds for."""
        groups, (keep, values) = dimensions(by), condition(as_filter(where), since, until)
        names = [*MEASURES, *(EFFECTIVE if any(found.accepted for found in self.hidden_cache) else ())]
        with self.con.cursor() as con:
            measures = {name: f"sum({name})" for name in names}
            rows, total = summed(con, "cells AS costs", groups, measures, keep, values)
            unpriced: list[tuple[Any, ...]] = []
            if total["unpriced_calls"]:
                reasons = ", ".join(f"unpriced_{name}" for name in UNPRICED if name not in ("calls", "tokens"))
                unpriced = con.execute(
                    f"""SELECT {reasons}, sum(unpriced_calls)::BIGINT, sum(unpriced_tokens)::HUGEINT
                        FROM unpriced_cells AS costs WHERE {keep} GROUP BY ALL ORDER BY 5 DESC, 1, 2, 3, 4""",
                    values,
                ).fetchall()
        return CostReport(
            by=tuple(one.name for one in groups),
            rows=rows,
            total=total,
            unpriced=[dict(zip(UNPRICED, row, strict=True)) for row in unpriced],
            hidden_cache=self.hidden_cache,
            prices_of=None,
            extended=[],
            price_book_version=self.price_book_version,
        )

    def counts(self, where: Where = None) -> tuple[dict[str, int], datetime | None, datetime | None]:
        """Rows of the store by COUNTED, and the first and last time (UTC)."""
        keep, values = condition(as_filter(where), None, None)
        with self.con.cursor() as con:
            *found, first, last = con.execute(
                f"""SELECT {", ".join(f"coalesce(sum({name}), 0)::BIGINT" for name in COUNTED)}, min(start_time),
                           max(last_time) FROM cells AS costs WHERE {keep}""",
                values,
            ).fetchall()[0]
        return dict(zip(COUNTED, found, strict=True)), first, last

    def dearest(self, name: str) -> list[tuple[str | None, int]]:
        """As `dearest`, of all cells."""
        with self.con.cursor() as con:
            return dearest(con, "cells AS costs", dimension(name), "first_call")


def dearest(
    con: duckdb.DuckDBPyConnection, source: str, asked: Dimension, call_no: str
) -> list[tuple[str | None, int]]:
    """The values of a dimension as text, dearest first, each with the number of its first call."""
    return con.execute(
        f"""SELECT {asked.text}, min({call_no}) AS first FROM {source}
            GROUP BY 1 ORDER BY sum(cost_usd) DESC NULLS LAST, first"""
    ).fetchall()


def read_cells(store: Store, most: int = MOST) -> CostCells | None:
    """The cells of all calls by the days of this thread's zone; None where there would be more than `most`,
    by a guess.

    Raises InputError where the calls were not priced yet.
    """
    with store.read() as con:
        require_ledger(con, store)
        kept = _kept(con, most)
        if not kept:
            return None
        hidden = study(con)
        source, measures = measured(con, f"{costs_relation(con)} AS costs", hidden, {})
        clock = time_zone.local_sql()
        further = {**ROWS, "opens": f"min({clock})", "closes": f"max({clock})"}
        cells = f"{time_zone.day_sql()} AS cell_day, {', '.join(one.sql for one in dimensions(kept))}"
        found = ", ".join(f"{sql} AS {name}" for name, sql in (measures | further).items())
        reasons = ", ".join(f"{sql} AS unpriced_{name}" for name, sql in UNPRICED.items())
        questions = {
            "cells": f"SELECT {cells}, {found} FROM {source} GROUP BY ALL",
            "unpriced_cells": f"""SELECT {cells}, {reasons}, min(start_time) AS start_time FROM {source}
                WHERE cost_usd IS NULL GROUP BY ALL""",
        }
        memory = connect()
        for name, question in questions.items():
            memory.register("given", con.sql(question).to_arrow_table())
            memory.execute(f"CREATE TABLE {name} AS SELECT * FROM given")
            memory.unregister("given")
        version = con.execute("SELECT value FROM meta WHERE key = 'price_book_version'").fetchall()
    spans = memory.execute(
        "SELECT cell_day, min(opens), max(closes) FROM cells WHERE cell_day IS NOT NULL GROUP BY cell_day"
    ).fetchall()
    log = LogDays({day: (opens, closes) for day, opens, closes in spans})
    return CostCells(memory, kept, time_zone.label(), log, hidden, version[0][0] if version else "")


def _kept(con: duckdb.DuckDBPyConnection, most: int) -> tuple[str, ...]:
    """BASE, and those of MORE that take several values and leave few cells; empty where BASE alone makes too many."""
    calls, days = con.execute(
        "SELECT count(*), coalesce(max(start_time)::DATE - min(start_time)::DATE, 0) + 2 FROM calls"
    ).fetchall()[0]
    first, last = con.execute("SELECT min(call_no), max(call_no) FROM calls").fetchall()[0]
    if not calls:
        return ()
    seen = f"FROM calls AS costs WHERE call_no < {first + SAMPLE:d} OR call_no > {last - SAMPLE:d}"

    def combinations(names: Sequence[str]) -> int:
        columns = ", ".join(one.sql for one in dimensions(names))
        return int(con.execute(f"SELECT count(*) FROM (SELECT DISTINCT {columns} {seen})").fetchall()[0][0])

    def few(names: Sequence[str]) -> bool:
        return calls <= most or combinations(names) * days <= most

    kept: tuple[str, ...] = BASE if few(BASE) else ()
    for name in MORE if kept else ():
        if combinations([name]) > 1 and few([*kept, name]):
            kept = (*kept, name)
    return kept
