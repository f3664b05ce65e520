"""What an hourly price makes of each call: the dollars of a machine's time, spread over the calls that used it.

Self-hosted models have no price per token. With `busy` the machine is billed while at least one call runs, and calls
that run together share each moment equally. With `hours` every UTC clock hour that has a call is billed in full and
shared by tokens. Both are exact: the calls' costs sum to the bill to the pico-dollar.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pyarrow as pa

from analysis.array_types import Int64Array
from analysis.pricing.stored_overrides import load_overrides

if TYPE_CHECKING:
    from analysis.pricing.overrides import Override

_HOUR_MS = 3_600_000


def spread(con: duckdb.DuckDBPyConnection) -> int:
    """Write the cost of every call under an hourly override into the ledger; the number of calls so priced.

    A call without a start time cannot be placed and stays unpriced; one without a duration counts a millisecond.
    """
    done = 0
    for number, item in load_overrides(con):
        if item.kind != "per_hour" or item.per_hour is None:
            continue
        calls = con.sql(
            f"""
            SELECT ledger.call_no, epoch_ms(start_time) AS start_ms,
                   greatest(coalesce(round(duration_ms)::BIGINT, epoch_ms(end_time) - epoch_ms(start_time)), 1) AS ms,
                   coalesce(input_tokens, 0) + coalesce(output_tokens, 0) AS tokens
            FROM ledger JOIN calls ON calls.call_no = ledger.call_no
            JOIN prices ON prices.price_id = ledger.price_id
            WHERE override_id = {number:d} AND start_time IS NOT NULL AND cost_status <> 'gateway_hit'
            ORDER BY ledger.call_no
            """
        ).to_arrow_table()
        if not calls.num_rows:
            continue
        start, length, tokens = (calls.column(name).to_numpy() for name in ("start_ms", "ms", "tokens"))
        pico = shares(item, start, length, tokens)
        hourly = pa.table(  # noqa: F841  read by DuckDB
            {
                "call_no": calls.column("call_no"),
                "usd": pa.Array.from_buffers(pa.decimal64(18, 12), len(pico), [None, pa.py_buffer(pico)]),
            }
        )
        con.execute(
            """UPDATE ledger SET cost_status = 'priced', uncached_input_usd = 0, cache_read_usd = 0,
                      cache_write_usd = 0, output_usd = 0, reasoning_usd = 0, other_usd = usd, cost_usd = usd
               FROM hourly WHERE ledger.call_no = hourly.call_no"""
        )
        done += len(pico)
    return done


def shares(item: Override, start_ms: Int64Array, length_ms: Int64Array, tokens: Int64Array) -> Int64Array:
    """Pico-dollars per call under one hourly override."""
    per_hour = int((item.per_hour or Decimal(0)).scaleb(12))
    return (
        busy_shares(per_hour, start_ms, length_ms) if item.basis == "busy" else hour_shares(per_hour, start_ms, tokens)
    )


def busy_shares(pico_per_hour: int, start_ms: Int64Array, length_ms: Int64Array) -> Int64Array:
    """Each moment's price divided equally over the calls that run in it.

    What integer division leaves over, less than a pico-dollar per call and moment, goes to the last call.
    """
    end_ms = start_ms + length_ms
    moments = np.unique(np.concatenate([start_ms, end_ms]))
    begin, finish = np.searchsorted(moments, start_ms), np.searchsorted(moments, end_ms)
    steps = np.zeros(len(moments), np.int64)
    np.add.at(steps, begin, 1)
    np.add.at(steps, finish, -1)
    running = np.cumsum(steps)[:-1]
    spans = np.diff(moments)
    busy = running > 0
    # the price of the first t busy milliseconds, so that the spans sum exactly
    elapsed = np.concatenate([[0], np.cumsum(np.where(busy, spans, 0))])
    bill = np.array([int(t) * pico_per_hour // _HOUR_MS for t in elapsed.tolist()], np.int64)
    each = np.where(busy, np.diff(bill) // np.maximum(running, 1), 0)
    paid = np.concatenate([[0], np.cumsum(each)])
    cost = paid[finish] - paid[begin]
    cost[np.argmax(end_ms)] += int(bill[-1]) - int(cost.sum())
    return cost


def hour_shares(pico_per_hour: int, start_ms: Int64Array, tokens: Int64Array) -> Int64Array:
    """Each clock hour's price divided by tokens over the calls that began in it; equally where none has tokens."""
    cost = np.zeros(len(start_ms), np.int64)
    hours = start_ms // _HOUR_MS
    order = np.argsort(hours, kind="stable")
    edges = np.flatnonzero(np.diff(hours[order], prepend=hours[order][0] - 1))
    for low, high in zip(edges, [*edges[1:], len(order)], strict=True):
        rows = order[low:high]
        cost[rows] = _divide(pico_per_hour, tokens[rows].tolist())
    return cost


def _divide(amount: int, weights: Sequence[int]) -> list[int]:
    """Integer parts of `amount` in proportion to the weights, by largest remainder; they sum to it exactly."""
    if not any(weights):
        weights = [1] * len(weights)
    total = sum(weights)
    parts: list[Any] = [divmod(amount * weight, total) for weight in weights]
    missing = amount - sum(whole for whole, _ in parts)
    order = sorted(range(len(parts)), key=lambda i: (-parts[i][1], i))
    result = [whole for whole, _ in parts]
    for i in order[:missing]:
        result[i] += 1
    return result
