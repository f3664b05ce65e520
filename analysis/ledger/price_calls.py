"""Calls through the one pricing function, as rows of the ledger: one chunk after another, the next ones made ahead.

Reading, pricing and the writing of whoever takes the rows run at the same time: the kernel and DuckDB both work without
Python's lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from queue import SimpleQueue
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa

from analysis.array_types import BoolArray, Int64Array
from analysis.ledger.costs_view import COMPONENTS
from analysis.ledger.token_estimates import estimated_calls
from analysis.ledger.usage_arrays import Scope, read_usage, unbilled_calls, used_kinds
from analysis.price_book.vocabulary import (
    AMBIGUOUS_USAGE,
    GATEWAY_HIT,
    NO_USAGE,
    NOT_BILLED,
    PARTIAL_USAGE,
    PRICED,
    PRICED_ESTIMATED,
    PRICED_FALLBACK,
    STATUSES,
    UNPRICED,
)
from analysis.pricing.rate_table import Priced, RateTable, Usage
from ingest.errors import PriceError
from ingest.records.call import SUM_OF_CALLS
from ingest.threads import at_most

_UNSURE: Final = {"ambiguous": AMBIGUOUS_USAGE, "partial": PARTIAL_USAGE}  # by `tokens_source`
WORKERS: Final = 2
AHEAD: Final = 3  # chunks under way or waiting to be taken
FEW: Final = 4  # chunks that are priced before compiled code is loaded


def priced_rows(
    con: duckdb.DuckDBPyConnection,
    models: Sequence[Scope],
    rates: RateTable,
    chunks: Sequence[str],
    *,
    where: str,
    change: Callable[[Usage], Usage] | None = None,
) -> Iterator[pa.Table]:
    """The ledger's rows of each chunk of calls, in order; empty chunks are left out.

    `chunks` are SQL of this program, each a part of `where`. They are read by a cursor of their own, which sees what is
    committed: `calls`, and the ledger as it was before this update. `change` alters the usage before it is priced.
    Raises PriceError where costs and calls differ in number or a component is negative.
    """
    kinds = used_kinds(con, where)
    guessed = estimated_calls(con)
    unsure = {status: _calls_of(con, source) for source, status in _UNSURE.items()}
    sums = _calls_of(con, SUM_OF_CALLS)
    few = len(chunks) <= FEW

    def rows(free: SimpleQueue[duckdb.DuckDBPyConnection], chunk: str) -> pa.Table | None:
        reader = free.get()
        try:
            call_no, gateway, usage = read_usage(reader, models, chunk, kinds)
            unbilled = unbilled_calls(reader, chunk)
        finally:
            free.put(reader)
        if not len(call_no):
            return None
        priced = rates.price(change(usage) if change else usage, once=few)
        _set_free(priced, np.isin(call_no, unbilled), NOT_BILLED)
        _set_free(priced, gateway, GATEWAY_HIT)
        _mark_estimated(priced, call_no, guessed)
        _mark_unsure(priced, call_no, unsure)
        _mark_sums(priced, call_no, sums, rates)
        _guard(usage, priced)
        return ledger_table(call_no, priced)

    workers = at_most(WORKERS)
    with ExitStack() as stack:
        readers = [stack.enter_context(con.cursor()) for _ in range(workers)]
        for reader in readers:
            reader.execute("SET TimeZone='UTC'")
        free = SimpleQueue[duckdb.DuckDBPyConnection]()
        for reader in readers:
            free.put(reader)
        pool = stack.enter_context(ThreadPoolExecutor(workers))
        under_way: deque[Future[pa.Table | None]] = deque()
        for chunk in [*chunks, *[None] * AHEAD]:
            if chunk is not None:
                under_way.append(pool.submit(rows, free, chunk))
            if len(under_way) > AHEAD or (chunk is None and under_way):
                table = under_way.popleft().result()
                if table is not None:
                    yield table


def _set_free(priced: Priced, calls: BoolArray, status: int) -> None:
    """Calls that cost nothing whatever their tokens."""
    for name in ("total", *COMPONENTS):
        getattr(priced, name)[calls] = 0
    priced.status[calls] = status
    priced.price_id[calls] = -1


def _mark_estimated(priced: Priced, call_no: Int64Array, guessed: Int64Array) -> None:
    """A cost that rests on our own token counts never looks like one that rests on the provider's."""
    if not len(guessed):
        return
    rows = np.isin(call_no, guessed, assume_unique=True) & np.isin(priced.status, (PRICED, PRICED_FALLBACK))
    priced.status[rows] = PRICED_ESTIMATED


def _calls_of(con: duckdb.DuckDBPyConnection, source: str) -> Int64Array:
    """The calls whose token counts come from that `tokens_source`, ascending."""
    rows = con.execute("SELECT call_no FROM calls WHERE tokens_source = ? ORDER BY call_no", [source]).fetchnumpy()
    return np.asarray(rows["call_no"], np.int64)


def _mark_unsure(priced: Priced, call_no: Int64Array, unsure: dict[int, Int64Array]) -> None:
    """A call whose count is unknown although something was logged says so, until the count is estimated."""
    for status, calls in unsure.items():
        if len(calls):
            priced.status[np.isin(call_no, calls, assume_unique=True) & (priced.status == NO_USAGE)] = status


def _mark_sums(priced: Priced, call_no: Int64Array, sums: Int64Array, rates: RateTable) -> None:
    """A sum of several calls tells no call's own length, so a price for long prompts may hold for none of them."""
    if not len(sums):
        return
    long = rates.price_id[rates.above_tokens >= 0]
    rows = np.isin(call_no, sums, assume_unique=True) & np.isin(priced.price_id, long)
    for name in COMPONENTS:
        getattr(priced, name)[rows] = 0
    priced.total[rows] = UNPRICED
    priced.status[rows] = AMBIGUOUS_USAGE


def _guard(usage: Usage, priced: Priced) -> None:
    """Rows out = rows in, and no component below zero."""
    if len(priced) != len(usage):
        raise PriceError(f"{len(usage)} calls became {len(priced)} costs")
    for name in COMPONENTS:
        if len(priced) and getattr(priced, name).min() < 0:
            raise PriceError(f"a negative {name} cost")


def ledger_table(call_no: Int64Array, priced: Priced) -> pa.Table:
    """Arrow rows of `ledger`: pico-dollars are the integers of DECIMAL(18,12), NULL where unpriced."""
    money = pa.decimal64(18, 12)
    unpriced = priced.total == UNPRICED
    valid = pa.py_buffer(np.packbits(~unpriced, bitorder="little")) if unpriced.any() else None
    n = len(call_no)

    def dollars(pico: Int64Array) -> pa.Array:
        return pa.Array.from_buffers(money, n, [valid, pa.py_buffer(np.ascontiguousarray(pico))])

    status = pa.DictionaryArray.from_arrays(pa.array(priced.status, pa.int8()), pa.array(STATUSES, pa.string()))
    return pa.table(
        {
            "call_no": pa.array(call_no, pa.int64()),
            "price_id": pa.array(priced.price_id, pa.int32(), mask=priced.price_id < 0),
            "cost_status": status,
            **{f"{name}_usd": dollars(getattr(priced, name)) for name in COMPONENTS},
            "cost_usd": dollars(priced.total),
        }
    )
