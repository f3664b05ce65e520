"""The logged calls as columns in time order: what every replay runs over.

Read once per replay from the store; arrays have one element per call, ordered by (start_time, source, row).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis import pricing
from analysis.ledger import read_usage
from ingest.errors import StoreError
from ingest.store import Store

Int8 = NDArray[np.int8]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]

ORDER = "start_time, source_id, source_row"
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

_COLUMNS = """
    call_no,
    epoch_ms(start_time) AS start_ms,
    epoch_ms(start_time) + greatest(coalesce(
        CAST(round(duration_ms) AS BIGINT), epoch_ms(end_time) - epoch_ms(start_time), 0), 0) AS end_ms,
    (duration_ms IS NOT NULL OR end_time IS NOT NULL) AS timed,
    provider_name, model, agent, task, process_id,
    {retry} AS retry,
    status = 'error' AS failed,
    status = 'ok' AND coalesce(finish_reason, 'stop') NOT IN ('length', 'max_tokens', 'content_filter', 'error')
        AND NOT coalesce(pending_tool_calls, false) AS storable,
    coalesce({key}, -1) AS key,
    CAST(coalesce(output_tokens, 0) * {bytes_per_token} AS BIGINT) AS size_bytes,
    CAST(cost_usd * 1000000000000 AS BIGINT) AS cost
"""
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
    size_bytes: Int64
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

    @property
    def weight_micro(self) -> Int64:
        """Calls that each row stands for, x 10^6."""
        weight = self.usage.weight_micro
        return np.full(len(self), 1_000_000, np.int64) if weight is None else weight

    @property
    def tier(self) -> Int8:
        """The logged service tier, an index into pricing.TIERS."""
        return np.zeros(len(self), np.int8) if self.usage.tier is None else self.usage.tier

    def tokens(self, kind: str) -> Int64:
        """A token count of `pricing.Usage` by name, pricing.UNKNOWN where the log has none."""
        column = getattr(self.usage, kind)
        return np.full(len(self), pricing.UNKNOWN, np.int64) if column is None else column

    def rule_frame(self, columns: Sequence[str]) -> pl.DataFrame:
        """Columns that routing rules may see (replay.rules.COLUMNS), in the order of the calls."""
        chosen = ", ".join(f"{_DERIVED.get(name, name)} AS {name}" for name in ("call_no", *columns))
        with self.store.read() as con:
            frame = con.sql(f"SELECT {chosen} FROM calls WHERE {self.where} ORDER BY {ORDER}").pl()
        if not np.array_equal(frame["call_no"].to_numpy(), self.call_no):
            raise StoreError("the store changed while the replay read it", remedy="Run the replay again.")
        return frame.drop("call_no")


# columns of rules that are not columns of `calls`
_DERIVED = {
    "hour": "hour(start_time)",
    "weekday": "isodow(start_time)",
    "day": "strftime(start_time, '%Y-%m-%d')",
    "turn": f"row_number() OVER (PARTITION BY coalesce(conversation_id, call_no::VARCHAR) ORDER BY {ORDER})",
    "online": "CAST(NULL AS BOOLEAN)",
    "text": """(SELECT text FROM contents WHERE content_id = message_ids[-1])""",
}


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
        columns = _COLUMNS.format(retry=retry, key=key, bytes_per_token=BYTES_PER_TOKEN)
        frame = con.sql(f"SELECT {columns} FROM costs WHERE {where} ORDER BY {ORDER}").pl()
        provider, providers = _codes(frame["provider_name"])
        name, names = _codes(frame["model"])
        pairs, model = np.unique(provider.astype(np.int64) * max(len(names), 1) + name, return_inverse=True)
        models = tuple((providers[int(p) // len(names)], names[int(p) % len(names)]) for p in pairs)
        call_no = frame["call_no"].to_numpy()
        numbers, gateway, usage = read_usage(con, models, where)
        place = np.searchsorted(numbers, call_no)
        untimed = con.execute("SELECT count(*) FROM calls WHERE start_time IS NULL").fetchall()[0][0]
        span = con.execute("SELECT epoch_ms(min(start_time)), epoch_ms(max(start_time)) FROM calls").fetchall()[0]
    start_ms = frame["start_ms"].to_numpy()
    first = int(datetime.combine(since, datetime.min.time(), UTC).timestamp() * 1000) if since else None
    agent, agents = _codes(frame["agent"])
    task, tasks = _codes(frame["task"])
    process, processes = _codes(frame["process_id"])
    if None in processes:
        process = np.where(process == processes.index(None), np.int32(-1), process).astype(np.int32)
    return Traffic(
        call_no=call_no,
        start_ms=start_ms,
        end_ms=frame["end_ms"].to_numpy(),
        where=where,
        window=start_ms >= first if first is not None else np.ones(len(frame), np.bool_),
        model=model.astype(np.int32),
        models=models,
        agent=agent,
        agents=agents,
        task=task,
        tasks=tasks,
        process=process,
        usage=take(usage, place),
        retry=frame["retry"].to_numpy(),
        failed=frame["failed"].fill_null(False).to_numpy(),
        gateway_hit=gateway[place],
        storable=frame["storable"].fill_null(False).to_numpy(),
        key=frame["key"].cast(pl.Int32).to_numpy(),
        size_bytes=frame["size_bytes"].to_numpy(),
        cost=frame["cost"].fill_null(pricing.UNPRICED).to_numpy(),
        log_span_ms=(int(span[0] or 0), int(span[1] or 0)),
        key_policy=key_policy,
        has_durations=bool(frame["timed"].all()) if len(frame) else False,
        untimed_calls=int(untimed),
        store=store,
    )


def take(usage: pricing.Usage, rows: NDArray[np.int64]) -> pricing.Usage:
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


def _codes(column: pl.Series) -> tuple[Int32, tuple[str | None, ...]]:
    """Dense numbers for the values of a text column, in sorted order, NULL last."""
    values = sorted(column.drop_nulls().unique().to_list())
    codes = column.cast(pl.Enum(values)).to_physical().cast(pl.Int32)
    names: tuple[str | None, ...] = tuple(values)
    if codes.null_count():
        codes = codes.fill_null(len(values))
        names = (*names, None)
    return codes.to_numpy(), names


def _has_gateway_traces(con: duckdb.DuckDBPyConnection) -> bool:
    return bool(con.execute("SELECT count(*) FROM sources WHERE format LIKE 'litellm%'").fetchall()[0][0])
