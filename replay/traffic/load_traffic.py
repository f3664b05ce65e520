"""Reads the logged calls of a store into `Traffic`: in pieces, two at a time, then in time order."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from datetime import date, timedelta
from threading import Lock
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from analysis import log_days, time_zone
from analysis.ledger.usage_arrays import read_usage, used_kinds
from analysis.price_book import vocabulary
from analysis.pricing import rate_table
from ingest.records.call import INCOMPLETE
from ingest.store.database import Store, has_tables
from ingest.store.lake_parts import SPREAD_COSTS
from ingest.threads import at_most
from replay.traffic.rule_columns import TextCodes, ascending, in_order, text_codes
from replay.traffic.template_column import template
from replay.traffic.traffic import KEY_POLICIES, MICRO, Int32, Int64, Traffic
from replay.traffic.user_waiting import online

# A retry is demand already counted: it never asks a cache and never fills one.
_RETRY = "(coalesce(attempt, 1) > 1 OR retry_of IS NOT NULL{after_error})"
_AFTER_ERROR = """ OR (trace_id IS NOT NULL
    AND source_id IN (SELECT source_id FROM sources WHERE format LIKE 'litellm%')
    AND coalesce(max(CAST(status = 'error' AS TINYINT)) OVER (
        PARTITION BY trace_id ORDER BY start_time, source_id, source_row
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) = 1)"""

# in the order of the table: sorting ten million rows of arrays is cheaper than sorting rows of SQL
_COLUMNS = """
    SELECT call_no, epoch_ms(start_time) AS start_ms,
        greatest(coalesce(
            CAST(round(duration_ms) AS BIGINT), epoch_ms(end_time) - epoch_ms(start_time), 0), 0) AS duration_ms,
        {retry}::UTINYINT
        + 2 * coalesce(status = 'error', false)::UTINYINT
        + 4 * coalesce(status IN ('ok', 'gateway_cache_hit') AND coalesce(finish_reason, 'stop') NOT IN
            ({incomplete})
            AND NOT coalesce(pending_tool_calls, false), false)::UTINYINT
        + 8 * (duration_ms IS NULL AND end_time IS NULL)::UTINYINT AS flags,
        coalesce({key}, -1)::INTEGER AS key, {codes}
    FROM calls WHERE {{where}}
"""
_INCOMPLETE = ", ".join(f"'{reason}'" for reason in sorted(INCOMPLETE))
_RETRIED, _FAILED, _STORABLE, _UNTIMED = 1, 2, 4, 8
_CODES = {"agent": "agent", "task": "task", "process": "process_id"}
_CHUNK = 500_000  # call numbers read at once
_CHUNK_OF_LAKE = 1_000_000  # a part of a lake is sorted by buckets, so each piece of its numbers reads all of it
_READERS = 2
_NO_KIND = ("model", "tier", "weight_micro")  # of Usage: what is no count of tokens or tools
_USAGE = tuple(column.name for column in fields(rate_table.Usage) if column.name != "start_ms")


@dataclass(frozen=True)
class LogNames:
    """What the calls of a whole log have: names, token kinds, times. A part of it is read with the same numbers."""

    models: tuple[tuple[str | None, str | None], ...]
    agents: tuple[str | None, ...]
    tasks: tuple[str | None, ...]
    processes: tuple[str, ...]
    kinds: tuple[str, ...]
    log: log_days.LogDays
    has_durations: bool
    untimed_calls: int

    @classmethod
    def of(cls, traffic: Traffic) -> LogNames:
        kinds = tuple(name for name in _USAGE if name not in _NO_KIND and getattr(traffic.usage, name) is not None)
        log, timed = traffic.log, traffic.has_durations
        return cls(
            traffic.models, traffic.agents, traffic.tasks, traffic.processes, kinds, log, timed, traffic.untimed_calls
        )


def load(
    store: Store,
    *,
    since: date | None = None,
    until: date | None = None,
    key_policy: str = "canonical",
    cold: bool = False,
    whole: LogNames | None = None,
) -> Traffic:
    """Read the calls up to the end of day `until`; the window begins with day `since`. Both are UTC and inclusive.

    Earlier calls come along to warm the caches, unless `cold`. `whole` is of the log that the store holds a part of.
    """
    key = KEY_POLICIES[key_policy]
    where = _until(until) + (f" AND start_time >= TIMESTAMP '{time_zone.day_start(since)}'" if cold and since else "")
    with store.read() as con:
        traces = _has_gateway_traces(con)
        retry = _RETRY.format(after_error=_AFTER_ERROR if traces else "")
        models = _models(con, where) if whole is None else whole.models
        codes = text_codes(con, _CODES, where)
        names, listed = codes.values, ", ".join(f"{sql} AS {name}" for name, sql in codes.sql.items())
        query = _COLUMNS.format(retry=retry, key=key, codes=listed, incomplete=_INCOMPLETE)
        # a retry is told by the calls before it, so such a log is read whole
        kinds = used_kinds(con, where) if whole is None else whole.kinds
        size = _CHUNK_OF_LAKE if has_tables(con, SPREAD_COSTS) else _CHUNK
        found = _read(store, con, query, codes, models, kinds, where, None if traces else size)
        order = _time_order(con, where, found["call_no"], found["start_ms"])
        if order is not None:
            for name in list(found):
                found[name] = found[name][order]
        untimed = con.execute("SELECT count(*) FROM calls WHERE start_time IS NULL").fetchall()[0][0]
    if whole is not None:
        untimed = whole.untimed_calls
        every = {"agent": whole.agents, "task": whole.tasks, "process": (*whole.processes, None)}
        for name, values in every.items():
            found[name] = _placed(found[name], names[name], values)
        names = every
    call_no, start_ms, flags = found["call_no"], found["start_ms"], found["flags"]
    columns: dict[str, Any] = {name: found.get(name) for name in _USAGE}
    usage = rate_table.Usage(start_ms=start_ms, **columns)
    first = time_zone.day_start_ms(since) if since else None
    process = found["process"]
    if None in names["process"]:
        process = np.where(process == len(names["process"]) - 1, np.int32(-1), process).astype(np.int32)
    return Traffic(
        call_no=call_no,
        start_ms=start_ms,
        end_ms=found["end_ms"],
        where=where,
        window=start_ms >= first if first is not None else np.ones(len(call_no), np.bool_),
        model=usage.model,
        models=models,
        agent=found["agent"],
        agents=names["agent"],
        task=found["task"],
        tasks=names["task"],
        process=process,
        usage=usage,
        retry=(flags & _RETRIED) > 0,
        failed=(flags & _FAILED) > 0,
        gateway_hit=found["gateway"],
        storable=(flags & _STORABLE) > 0,
        key=found["key"],
        cost=found["cost"],
        log=log_days.of(store) if whole is None else whole.log,
        key_policy=key_policy,
        has_durations=whole.has_durations if whole else bool(len(call_no)) and not (flags & _UNTIMED).any(),
        untimed_calls=int(untimed),
        store=store,
        processes=tuple(name for name in names["process"] if name is not None),
        derived_columns={"online": online, "template": template},
    )


def _models(con: duckdb.DuckDBPyConnection, where: str) -> tuple[tuple[str | None, str | None], ...]:
    """The logged (provider, model) pairs in order of their names, missing ones last."""
    pairs = con.execute(f"SELECT DISTINCT provider_name, model FROM calls WHERE {where}").fetchall()
    return tuple(sorted(pairs, key=lambda pair: [(name is None, name or "") for name in pair]))


def _placed(codes: Int32, own: Sequence[str | None], whole: Sequence[str | None]) -> Int32:
    """Codes into `own` as codes into `whole`, which has the same values and more."""
    place = {value: number for number, value in enumerate(whole)}
    return np.array([place[value] for value in own], np.int32)[codes] if len(codes) else codes


def _read(
    store: Store,
    con: duckdb.DuckDBPyConnection,
    query: str,
    codes: TextCodes,
    models: tuple[Any, ...],
    kinds: tuple[str, ...],
    where: str,
    size: int | None,
) -> dict[str, Any]:
    """All columns in order of call_no: what `query` selects, the usage, the ledger's `cost`, `gateway` hits.

    Read in pieces of `size` numbers, two at a time, straight into arrays of the whole: what DuckDB hands over is never
    held at once. Token kinds that no call has, and weights that are all one, are left out.
    """
    span = f"SELECT min(call_no), max(call_no), count(*) FROM calls WHERE {where}"
    first, last, count = con.execute(span).fetchall()[0]
    if first is None:
        first, last = 0, -1
    size = size or max(last - first + 1, 1)
    counts = f"SELECT (call_no - {first:d}) // {size:d}, count(*) FROM calls WHERE {where} GROUP BY 1"
    rows = dict(con.execute(counts).fetchall())
    starts = np.cumsum([0, *(rows.get(number, 0) for number in range(max(rows, default=0)))]).tolist()
    columns: dict[str, Any] = {}
    lock = Lock()
    readers = at_most(_READERS)

    def column(name: str, like: NDArray[Any]) -> NDArray[Any] | None:
        with lock:
            if name not in columns:
                if name == "weight_micro" and bool((like == MICRO).all()):
                    return None  # so far no row stands for more or less than itself
                made = np.full(count, MICRO) if name == "weight_micro" else np.empty(count, like.dtype)
                columns[name] = made
            found: NDArray[Any] = columns[name]
            return found

    def some(reader: int) -> None:
        own = store.cursor(con)
        for statement in codes.types:
            own.execute(statement)
        for number in range(reader, len(starts), readers):
            low = first + number * size
            here = slice(starts[number], starts[number] + rows.get(number, 0))
            part = f"{where} AND call_no >= {low:d} AND call_no < {low + size:d}"
            for name, values in _piece(own, query, codes.parameters, models, kinds, part).items():
                target = column(name, values)
                if target is not None:
                    target[here] = values

    with ThreadPoolExecutor(readers) as pool:
        list(pool.map(some, range(readers)))
    return columns


def _piece(
    con: duckdb.DuckDBPyConnection,
    query: str,
    parameters: dict[str, list[str]],
    models: tuple[Any, ...],
    kinds: tuple[str, ...],
    where: str,
) -> dict[str, Any]:
    """The columns of a part of the calls, in order of call_no."""
    table = con.sql(query.format(where=where), params=parameters or None).to_arrow_table()
    found = {name: table.column(name).to_numpy() for name in table.column_names}
    del table
    call_no = found["call_no"]
    numbers, gateway, usage = read_usage(con, models, where, kinds, as_stored=True)
    given = {"gateway": gateway, **{name: values for name in _USAGE if (values := getattr(usage, name)) is not None}}
    place = in_order(numbers, call_no)
    if place is not None:
        given = {name: column[place] for name, column in given.items()}
    found["end_ms"] = found["start_ms"] + found.pop("duration_ms")
    found |= given | {"cost": _ledger(con, call_no)}
    if not bool((call_no[1:] > call_no[:-1]).all()):
        order = ascending(call_no)
        found = {name: column[order] for name, column in found.items()}
    return found


def _time_order(con: duckdb.DuckDBPyConnection, where: str, call_no: Int64, start_ms: Int64) -> Int64 | None:
    """The permutation that sorts by (start, file, row); None where the rows stand so already.

    Files of calls of the same microsecond go by name, so that it does not matter which was ingested first.
    """
    if bool((start_ms[1:] > start_ms[:-1]).all()):
        return None
    rows = con.sql(
        f"SELECT call_no, epoch_us(start_time) AS start_us, source_id, source_row FROM calls WHERE {where}"
    ).to_arrow_table()
    columns = [rows.column(name).to_numpy() for name in rows.column_names]
    place = in_order(columns[0], call_no)
    start, source, row = columns[1:] if place is None else [column[place] for column in columns[1:]]
    by_name = con.execute("SELECT source_id FROM sources ORDER BY path, source_id").fetchnumpy()["source_id"]
    if len(by_name):
        rank = np.zeros(max(int(by_name.max()), int(source.max())) + 1, np.int32)
        rank[by_name] = np.arange(len(by_name))
        source = rank[source]
    behind = np.flatnonzero(start[1:] <= start[:-1])
    tied = start[behind] == start[behind + 1]
    later = (source[behind] < source[behind + 1]) | (
        (source[behind] == source[behind + 1]) & (row[behind] < row[behind + 1])
    )
    return None if bool((tied & later).all()) else np.lexsort((row, source, start))


def _ledger(con: duckdb.DuckDBPyConnection, call_no: Int64) -> Int64:
    """The ledger's cost of each call in pico-dollars, pricing.UNPRICED where it has none."""
    first, last = (int(call_no.min()), int(call_no.max())) if len(call_no) else (0, -1)
    rows = con.sql(
        f"SELECT call_no, cost_usd FROM ledger WHERE call_no BETWEEN {first:d} AND {last:d}"
    ).to_arrow_table()
    numbers = rows.column("call_no").to_numpy()
    cost = np.concatenate([np.zeros(0, np.int64), *(_pico(chunk) for chunk in rows.column("cost_usd").chunks)])
    if np.array_equal(numbers, call_no):
        return cost
    if not len(numbers):
        return np.full(len(call_no), vocabulary.UNPRICED)
    order = np.argsort(numbers, kind="stable")
    place = order[np.minimum(np.searchsorted(numbers, call_no, sorter=order), len(order) - 1)]
    return np.where(numbers[place] == call_no, cost[place], vocabulary.UNPRICED)


def _pico(amounts: pa.Array) -> Int64:
    """DECIMAL(18,12) as pico-dollars: the low half of each little-endian 128-bit number (Arrow columnar format 1.4)."""
    data = amounts.buffers()[1]
    halves = np.frombuffer(data, np.int64)[2 * amounts.offset : 2 * (amounts.offset + len(amounts))]
    low = np.ascontiguousarray(halves[::2])
    return np.where(amounts.is_null().to_numpy(False), vocabulary.UNPRICED, low) if amounts.null_count else low


def _until(until: date | None) -> str:
    """SQL for the calls that a replay reads; the date is typed, so nothing foreign enters the text."""
    known = "start_time IS NOT NULL"
    return (
        known
        if until is None
        else f"{known} AND start_time < TIMESTAMP '{time_zone.day_start(until + timedelta(days=1))}'"
    )


def _has_gateway_traces(con: duckdb.DuckDBPyConnection) -> bool:
    return bool(con.execute("SELECT count(*) FROM sources WHERE format LIKE 'litellm%'").fetchall()[0][0])
