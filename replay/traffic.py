"""The logged calls as columns in time order: what every replay runs over.

Read once per replay from the store; arrays have one element per call, ordered by (start_time, source, row).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from analysis import pricing
from analysis.usage import read_usage, used_kinds
from ingest.store import Store
from replay.call_columns import ORDER as ORDER
from replay.call_columns import CallColumns, in_order, text_codes
from replay.online import online

Int8 = NDArray[np.int8]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]

EPOCH = date(1970, 1, 1)
KEY_POLICIES = {
    "canonical": "key_canonical",
    "canonical+mask": "key_masked",
    "litellm": "key_litellm",
    "helicone": "key_helicone",
    "portkey": "key_portkey",
}

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
        + 4 * coalesce(status = 'ok' AND coalesce(finish_reason, 'stop') NOT IN
            ('length', 'max_tokens', 'content_filter', 'error')
            AND NOT coalesce(pending_tool_calls, false), false)::UTINYINT
        + 8 * (duration_ms IS NULL AND end_time IS NULL)::UTINYINT AS flags,
        coalesce({key}, -1)::INTEGER AS key, {codes}
    FROM calls WHERE {where}
"""
_RETRIED, _FAILED, _STORABLE, _UNTIMED = 1, 2, 4, 8
_CODES = {"agent": "agent", "task": "task", "process": "process_id"}
_CHUNK = 1_000_000  # rows of usage read at once
_ONE = 1_000_000  # the weight of a plain call, in millionths
BYTES_PER_TOKEN = 4  # an answer's size where only its tokens are known: 3.95 characters per o200k token of English


@dataclass(frozen=True)
class Traffic:
    """The calls of a store up to the end of a window, oldest first. `window` marks those that are reported.

    Earlier calls warm the caches. Money is in pico-dollars, `cost` being the ledger's, pricing.UNPRICED where unknown.
    """

    call_no: Int64
    start_ms: Int64
    end_ms: Int64
    where: str  # SQL of this program that selects the calls
    window: Bool
    model: Int32  # index into `models`
    models: tuple[tuple[str | None, str | None], ...]  # (provider, model)
    agent: Int32
    agents: tuple[str | None, ...]
    task: Int32
    tasks: tuple[str | None, ...]
    process: Int32  # -1 where the log names no process
    usage: pricing.Usage
    retry: Bool
    failed: Bool
    gateway_hit: Bool
    storable: Bool  # an ok, complete answer without tool calls pending: it may fill a cache
    key: Int32  # dense request id without the model, -1 where the log has no text and no hash
    cost: Int64
    log_span_ms: tuple[int, int]  # first and last start of the whole log, not of the window
    key_policy: str
    has_durations: bool
    untimed_calls: int
    store: Store = field(repr=False)

    def __len__(self) -> int:
        return len(self.call_no)

    @cached_property
    def day(self) -> Int32:
        """Days since 1970-01-01, UTC."""
        return (self.start_ms // 86_400_000).astype(np.int32)

    @cached_property
    def days(self) -> list[date]:
        """The days of the window that have calls, in order."""
        return [EPOCH + timedelta(days=int(number)) for number in np.unique(self.day[self.window])]

    @cached_property
    def demand(self) -> Bool:
        """Calls that somebody asked for: all but retries."""
        return ~self.retry

    @cached_property
    def size_bytes(self) -> Int64:
        """The size of each answer, from its tokens."""
        return np.maximum(self.usage.output, 0) * BYTES_PER_TOKEN

    @cached_property
    def weight_micro(self) -> Int64:
        """Calls that each row stands for, x 10^6."""
        weight = self.usage.weight_micro
        return np.full(len(self), 1_000_000, np.int64) if weight is None else weight

    @cached_property
    def tier(self) -> Int8:
        """The logged service tier, an index into pricing.TIERS."""
        return np.zeros(len(self), np.int8) if self.usage.tier is None else self.usage.tier

    def tokens(self, kind: str) -> Int64:
        """A token count of `pricing.Usage` by name, pricing.UNKNOWN where the log has none."""
        column = getattr(self.usage, kind)
        return np.full(len(self), pricing.UNKNOWN, np.int64) if column is None else column

    @cached_property
    def columns(self) -> CallColumns:
        """What rules may see of the calls, read when first asked for and shared by all strategies."""
        columns = CallColumns(self.store, self.where, self.call_no, {"online": lambda: online(self)})
        columns.know("agent", self.agent, self.agents)
        columns.know("task", self.task, self.tasks)
        return columns

    def rule_frame(self, columns: Sequence[str]) -> pl.DataFrame:
        """Columns that routing rules may see (replay.rules.COLUMNS), in the order of the calls."""
        return self.columns.frame(columns)


def load(
    store: Store,
    *,
    since: date | None = None,
    until: date | None = None,
    key_policy: str = "canonical",
    cold: bool = False,
) -> Traffic:
    """Read the calls up to the end of day `until`; the window begins with day `since`. Both are UTC and inclusive.

    Earlier calls come along to warm the caches, unless `cold`.
    """
    key = KEY_POLICIES[key_policy]
    where = _until(until) + (f" AND start_time >= TIMESTAMP '{since}'" if cold and since else "")
    with store.read() as con:
        retry = _RETRY.format(after_error=_AFTER_ERROR if _has_gateway_traces(con) else "")
        pairs = con.execute(f"SELECT DISTINCT provider_name, model FROM calls WHERE {where}").fetchall()
        models = tuple(sorted(pairs, key=lambda pair: [(name is None, name or "") for name in pair]))
        codes = text_codes(con, _CODES, where)
        names, listed = codes.values, ", ".join(f"{sql} AS {name}" for name, sql in codes.sql.items())
        with ThreadPoolExecutor(1) as pool:
            pending = pool.submit(_usage, con.cursor(), models, where)
            query = _COLUMNS.format(retry=retry, key=key, where=where, codes=listed)
            read = con.sql(query, params=codes.parameters or None).to_arrow_table()
            found = {name: read.column(name).to_numpy() for name in read.column_names}
            del read
            order = _time_order(con, where, found["call_no"], found["start_ms"])
            if order is not None:
                found = {name: column[order] for name, column in found.items()}
            call_no, start_ms, flags = found["call_no"], found["start_ms"], found["flags"]
            cost = _ledger(con, call_no)
            numbers, gateway, usage = pending.result()
        place = in_order(numbers, call_no)
        del numbers
        usage = usage if place is None else take(usage, place)
        gateway = gateway if place is None else gateway[place]
        untimed = con.execute("SELECT count(*) FROM calls WHERE start_time IS NULL").fetchall()[0][0]
        span = con.execute("SELECT epoch_ms(min(start_time)), epoch_ms(max(start_time)) FROM calls").fetchall()[0]
    first = int(datetime.combine(since, datetime.min.time(), UTC).timestamp() * 1000) if since else None
    process = found["process"]
    if None in names["process"]:
        process = np.where(process == len(names["process"]) - 1, np.int32(-1), process).astype(np.int32)
    return Traffic(
        call_no=call_no,
        start_ms=start_ms,
        end_ms=start_ms + found.pop("duration_ms"),
        where=where,
        window=start_ms >= first if first is not None else np.ones(len(call_no), np.bool_),
        model=usage.model,
        models=models,
        agent=found["agent"],
        agents=names["agent"],
        task=found["task"],
        tasks=names["task"],
        process=process,
        usage=replace(usage, start_ms=start_ms),
        retry=(flags & _RETRIED) > 0,
        failed=(flags & _FAILED) > 0,
        gateway_hit=gateway,
        storable=(flags & _STORABLE) > 0,
        key=found["key"],
        cost=cost,
        log_span_ms=(int(span[0] or 0), int(span[1] or 0)),
        key_policy=key_policy,
        has_durations=bool(len(call_no)) and not (flags & _UNTIMED).any(),
        untimed_calls=int(untimed),
        store=store,
    )


def _usage(con: duckdb.DuckDBPyConnection, models: tuple[Any, ...], where: str) -> tuple[Int64, Bool, pricing.Usage]:
    """(call_no, gateway hit or not, usage) in order of call_no, read in pieces that are sorted one by one."""
    kinds = used_kinds(con, where)
    span = f"SELECT min(call_no), max(call_no), count(*) FROM calls WHERE {where}"
    first, last, count = con.execute(span).fetchall()[0]
    if first is None:
        return read_usage(con, models, where, kinds)
    numbers, gateway = np.empty(count, np.int64), np.zeros(count, np.bool_)
    columns: dict[str, Any] = {}
    start = 0
    for low in range(first, last + 1, _CHUNK):
        piece = f"{where} AND call_no >= {low:d} AND call_no < {low + _CHUNK:d}"
        some, hit, usage = read_usage(con, models, piece, kinds)
        here = slice(start, start + len(some))
        numbers[here], gateway[here] = some, hit
        for column in fields(pricing.Usage):
            values = getattr(usage, column.name)
            if values is None or column.name == "start_ms":
                continue
            if column.name not in columns:
                if column.name == "weight_micro" and bool((values == _ONE).all()):
                    continue  # so far no row stands for more or less than itself
                columns[column.name] = (
                    np.full(count, _ONE) if column.name == "weight_micro" else np.empty(count, values.dtype)
                )
            columns[column.name][here] = values
        start = here.stop
    # the caller has the times
    return numbers, gateway, pricing.Usage(start_ms=numbers, **columns)


def _time_order(con: duckdb.DuckDBPyConnection, where: str, call_no: Int64, start_ms: Int64) -> Int64 | None:
    """The permutation that sorts by (start, source, row); None where the rows stand so already."""
    if bool((start_ms[1:] > start_ms[:-1]).all()):
        return None
    rows = con.sql(
        f"SELECT call_no, epoch_us(start_time) AS start_us, source_id, source_row FROM calls WHERE {where}"
    ).to_arrow_table()
    columns = [rows.column(name).to_numpy() for name in rows.column_names]
    place = in_order(columns[0], call_no)
    start, source, row = columns[1:] if place is None else [column[place] for column in columns[1:]]
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
        return np.full(len(call_no), pricing.UNPRICED)
    order = np.argsort(numbers, kind="stable")
    place = order[np.minimum(np.searchsorted(numbers, call_no, sorter=order), len(order) - 1)]
    return np.where(numbers[place] == call_no, cost[place], pricing.UNPRICED)


def _pico(amounts: pa.Array) -> Int64:
    """DECIMAL(18,12) as pico-dollars: the low half of each little-endian 128-bit number (Arrow columnar format 1.4)."""
    data = amounts.buffers()[1]
    halves = np.frombuffer(data, np.int64)[2 * amounts.offset : 2 * (amounts.offset + len(amounts))]
    low = np.ascontiguousarray(halves[::2])
    return np.where(amounts.is_null().to_numpy(False), pricing.UNPRICED, low) if amounts.null_count else low


def take(usage: pricing.Usage, rows: NDArray[np.int64] | slice) -> pricing.Usage:
    """The usage of the calls at `rows`."""
    taken: dict[str, Any] = {}
    for column in fields(usage):
        values = getattr(usage, column.name)
        taken[column.name] = None if values is None else values[rows]
    return pricing.Usage(**taken)


def _until(until: date | None) -> str:
    """SQL for the calls that a replay reads; the date is typed, so nothing foreign enters the text."""
    known = "start_time IS NOT NULL"
    return known if until is None else f"{known} AND start_time < TIMESTAMP '{until + timedelta(days=1)}'"


def _has_gateway_traces(con: duckdb.DuckDBPyConnection) -> bool:
    return bool(con.execute("SELECT count(*) FROM sources WHERE format LIKE 'litellm%'").fetchall()[0][0])
