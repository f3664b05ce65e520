"""The cells of a lake: those of each part are summed once and kept beside it, by quarters of an hour, so that they are
the cells of every zone's days. A page reads them in place of the calls."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import chain
from pathlib import PurePosixPath
from typing import Any, Final

import duckdb
import msgspec

from analysis import time_zone
from analysis.dimensions import dimensions
from analysis.ledger.inferred_cache_reads import study
from analysis.log_days import LogDays
from analysis.reports import cost_cells
from analysis.reports.cost import MEASURES, UNPRICED, measured
from analysis.reports.cost_cells import BASE, MORE, ROWS, CostCells
from ingest.lake.executors import Executor, Here, Processes
from ingest.lake.objects import write_table
from ingest.pipeline.workers import count
from ingest.store import lake_commits
from ingest.store.database import Store, connect
from ingest.store.lake import LakeStore
from ingest.store.lake_commits import LakeState, Part
from ingest.store.lake_parts import define_views, scan

CELLS: Final = "rollups"  # kinds of parts
UNPRICED_CELLS: Final = "unpriced_rollups"
_HERE: Final = 1_000_000  # calls that this process sums sooner than it starts others
FEW: Final = 4  # calls in a cell on average, below which a part is not worth its cells
_SLOT: Final = "time_bucket(INTERVAL 15 MINUTES, start_time) AS slot"
_KEPT: Final = (*BASE, *MORE)
_COLUMNS: Final = ", ".join(one.sql for one in dimensions(_KEPT))
_LEAST, _MOST = ("first_call", "start_time", "opens"), ("last_time", "closes")


class _Parts(msgspec.Struct):
    parts: list[Part]


def add_rollups(store: LakeStore, executor: Executor) -> int:
    """Sum the parts of calls that have no cells yet; how many. Nothing is done where another writer comes first."""
    state = store.state()
    if state is None:
        return 0
    calls = {_stem(part): part for part in state.of("calls")}
    have = {_stem(part) for part in state.of(CELLS)}
    gone = [part.name for kind in (CELLS, UNPRICED_CELLS) for part in state.of(kind) if _stem(part) not in calls]
    missing = [part for stem, part in calls.items() if stem not in have]
    if not missing and not gone:
        return 0
    number = state.commit.number
    store.place.write(f"run/rollups-{number}.json", msgspec.json.encode(_Parts(missing)))
    found = dict(executor.map(partial(_sum_part, store.address, state.commit, number), range(len(missing))))
    added = list(chain.from_iterable(found[one] for one in range(len(missing))))
    made = lake_commits.add(store.place, state, lake_commits.following(state, parts=added, removed=gone))
    return len(missing) if made else 0


def keep_rollups(store: Store) -> None:
    """Sum what a lake's parts have no cells of, on the processes of this machine; nothing for a file."""
    if not isinstance(store.whole, LakeStore):
        return
    state = store.whole.state()
    calls = sum(part.rows for part in state.of("calls")) if state else 0
    add_rollups(store.whole, Here() if calls < _HERE else Processes(count(None)))


def _sum_part(address: str, commit: lake_commits.Commit, run: int, number: int) -> tuple[int, list[Part]]:
    """The cells of a part; an empty one where they are not worth it or its rows stand for several calls."""
    store = LakeStore(address)
    listed = msgspec.json.decode(store.place.read(f"run/rollups-{run}.json"), type=_Parts)
    part = listed.parts[number]
    with store.at(LakeState(commit, {part.name: part})) as con:
        source, measures = measured(con, "costs", [], {})
        sums = ", ".join(f"{sql} AS {name}" for name, sql in (measures | ROWS).items())
        cells = con.sql(f"SELECT {_SLOT}, {_COLUMNS}, {sums} FROM {source} GROUP BY ALL ORDER BY ALL").to_arrow_table()
        reasons = ", ".join(f"{sql} AS unpriced_{name}" for name, sql in UNPRICED.items())
        unpriced = con.sql(
            f"""SELECT {_SLOT}, {_COLUMNS}, {reasons}, min(start_time) AS start_time FROM {source}
                 WHERE cost_usd IS NULL GROUP BY ALL ORDER BY ALL"""
        ).to_arrow_table()
        weighted = con.execute("SELECT coalesce(bool_or(weight <> 1), false) FROM calls").fetchall()[0][0]
    if weighted or len(cells) * FEW > part.rows:
        cells, unpriced = cells.slice(0, 0), unpriced.slice(0, 0)
    made = []
    for kind, table in ((CELLS, cells), (UNPRICED_CELLS, unpriced)):
        if kind == CELLS or len(table):
            name = f"{kind}/{_stem(part)}.parquet"
            made.append(Part(kind, name, len(table), write_table(store.place, name, table)))
    return number, made


def read_cells(store: Store, most: int = cost_cells.MOST) -> CostCells | None:
    """As cost_cells.read_cells, from the cells beside a lake's parts where it has them."""
    kept = _read_lake_cells(store, most) if isinstance(store, LakeStore) else None
    return kept if kept is not None else cost_cells.read_cells(store, most)


def _read_lake_cells(store: LakeStore, most: int) -> CostCells | None:
    """The cells of all calls by the days of this thread's zone; None where the calls must be asked."""
    state = store.state()
    if state is None:
        return None
    calls = {_stem(part): part for part in state.of("calls")}
    rolled = [part for part in state.of(CELLS) if part.rows and _stem(part) in calls]
    if not rolled:
        return None
    stems = {_stem(part) for part in rolled}
    unpriced = [part for part in state.of(UNPRICED_CELLS) if _stem(part) in stems]
    rest = {part.name: part for stem, part in calls.items() if stem not in stems}
    with store.at(state) as con:
        hidden = study(con)
        if any(found.accepted for found in hidden):
            return None
        version = con.execute("SELECT value FROM meta WHERE key = 'price_book_version'").fetchall()
        names = [*MEASURES, *ROWS, "opens", "closes"]
        clock, last = time_zone.local_sql(), time_zone.local_sql("last_time")
        memory = connect()
        merged = ", ".join(_merge(name) for name in names if name not in ("opens", "closes"))
        spans = f"min({clock}) AS opens, max({last}) AS closes"
        _take(
            con, memory, "cells", f"SELECT {_day()}, {_COLUMNS}, {merged}, {spans} FROM", scan(con, store.place, rolled)
        )
        reasons = ", ".join(f"unpriced_{name}" for name in UNPRICED if name not in ("calls", "tokens"))
        sums = "sum(unpriced_calls) AS unpriced_calls, sum(unpriced_tokens) AS unpriced_tokens"
        least = f"{sums}, min(start_time) AS start_time"
        if unpriced:
            question = f"SELECT {_day()}, {_COLUMNS}, {reasons}, {least} FROM"
            _take(con, memory, "unpriced_cells", question, scan(con, store.place, unpriced))
        if rest or not unpriced:
            define_views(con, store.place, LakeState(state.commit, rest or {rolled[0].name: calls[_stem(rolled[0])]}))
            _, measures = measured(con, "costs", [], {})
            where = "" if rest else " WHERE false"
            further = {**ROWS, "opens": f"min({clock})", "closes": f"max({clock})"}
            found = ", ".join(f"{sql} AS {name}" for name, sql in (measures | further).items())
            _take(con, memory, "cells", f"SELECT {_day()}, {_COLUMNS}, {found} FROM", f"costs{where}")
            told = ", ".join(f"{sql} AS unpriced_{name}" for name, sql in UNPRICED.items())
            question = f"SELECT {_day()}, {_COLUMNS}, {told}, min(start_time) AS start_time FROM"
            _take(con, memory, "unpriced_cells", question, f"costs{where or ' WHERE cost_usd IS NULL'}")
    kept = _worth(memory, most)
    if not kept:
        return None
    columns = ", ".join(one.sql for one in dimensions(kept))
    memory.execute(
        f"""CREATE OR REPLACE TABLE cells AS
            SELECT cell_day, {columns}, {", ".join(map(_merge, names))} FROM cells GROUP BY ALL"""
    )
    memory.execute(
        f"""CREATE OR REPLACE TABLE unpriced_cells AS
            SELECT cell_day, {columns}, {reasons}, {least} FROM unpriced_cells GROUP BY ALL"""
    )
    days = memory.execute(
        "SELECT cell_day, min(opens), max(closes) FROM cells WHERE cell_day IS NOT NULL GROUP BY cell_day"
    ).fetchall()
    log = LogDays({day: (opens, closes) for day, opens, closes in days})
    return CostCells(memory, kept, time_zone.label(), log, hidden, version[0][0] if version else "")


def _day() -> str:
    return f"{time_zone.day_sql()} AS cell_day"


def _merge(name: str) -> str:
    how = "min" if name in _LEAST else "max" if name in _MOST else "sum"
    return f"{how}({name}) AS {name}"


def _take(
    con: duckdb.DuckDBPyConnection, memory: duckdb.DuckDBPyConnection, table: str, question: str, source: str
) -> None:
    """Add the rows of a question to a table of the cells in memory, which is made where there is none."""
    given: Any = con.sql(f"{question} {source} GROUP BY ALL").to_arrow_table()
    memory.register("given", given)
    there = memory.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = $name", {"name": table}).fetchall()
    memory.execute(
        f"INSERT INTO {table} BY NAME SELECT * FROM given" if there else f"CREATE TABLE {table} AS FROM given"
    )
    memory.unregister("given")


def _worth(memory: duckdb.DuckDBPyConnection, most: int) -> tuple[str, ...]:
    """BASE, and those of MORE that take several values and leave few cells; empty where BASE alone makes too many."""

    def cells(names: Sequence[str]) -> int:
        columns = ", ".join(one.sql for one in dimensions(names))
        return int(memory.execute(f"SELECT count(*) FROM (SELECT DISTINCT {columns} FROM cells)").fetchall()[0][0])

    kept: tuple[str, ...] = BASE if cells([*BASE, "day"]) <= most else ()
    for name in MORE if kept else ():
        if cells([name]) > 1 and cells([*kept, name, "day"]) <= most:
            kept = (*kept, name)
    return kept


def _stem(part: Part) -> str:
    return PurePosixPath(part.name).stem
