"""The ledger: what every call cost, component by component, in exact decimals.

It is rebuilt from `calls` without touching them. A call that cannot be priced has a NULL cost and a status that says
why; rows out = rows in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from itertools import chain
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa

from analysis.calendar_days import DAY_MS, utc_day_ms
from analysis.formatting import usd
from analysis.ledger.costs_view import CREATE_COSTS, CREATE_LEDGER, NULL_STATUSES
from analysis.ledger.inferred_cache_reads import infer
from analysis.ledger.machine_hours import spread
from analysis.ledger.price_calls import priced_rows
from analysis.price_book.book import book_version, stored_version, sync_book
from analysis.pricing.load_rates import load_rates
from analysis.pricing.model_names import forget, remember
from analysis.pricing.rate_table import Usage
from analysis.pricing.stored_overrides import CREATE_OVERRIDES, load_overrides, scope_length
from ingest import threads
from ingest.errors import OlderStoreError, PriceError
from ingest.progress import Progress
from ingest.store.database import Store, has_tables
from ingest.store.schema import SCOPE

_ROW_GROUP: Final = 122_880  # DuckDB's
CHUNK: Final = 2 * _ROW_GROUP  # small enough for the allocator to reuse the memory of the last
PORTION: Final = 16  # chunks in one publish: about four million calls, a second or so


@dataclass(frozen=True)
class LedgerSummary:
    """What an update did: calls written, and what is in the whole ledger."""

    written: int
    calls: int
    cost_usd: Decimal | None  # null when nothing is priced
    logged_cost_usd: Decimal | None
    unpriced_calls: int
    statuses: dict[str, int] = field(default_factory=dict)
    unpriced_models: dict[str, int] = field(default_factory=dict)  # "provider/model" -> calls
    price_book_version: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values: dollars as decimal strings."""
        return {
            "calls": self.calls,
            "cost_usd": usd(self.cost_usd),
            "logged_cost_usd": usd(self.logged_cost_usd),
            "unpriced_calls": self.unpriced_calls,
            "cost_status": self.statuses,
            "unpriced_models": self.unpriced_models,
            "price_book_version": self.price_book_version,
        }


def update(store: Store, *, progress: Progress | None = None, rebuild: bool = False) -> LedgerSummary:
    """Price every call that the ledger does not hold yet; with `rebuild`, all of them from the first.

    New calls are published in portions, so that readers get their turn; a rebuild appears all at once. Where nothing
    is missing, nothing is written.
    """
    if not rebuild and store.exists():
        with suppress(OlderStoreError), store.read() as con:  # an older store is brought up to date by the write
            if _complete(con):
                return summary(con, 0)
    total = 0
    while True:
        with store.write() as con:
            _prepare(con)
            if rebuild:
                forget(con)
                con.execute(CREATE_LEDGER.replace("TABLE IF NOT EXISTS", "OR REPLACE TABLE"))
            written, left = _price_missing(con, progress, None if rebuild else PORTION)
            total += written
            if not left:
                if total:
                    spread(con)
                    infer(con)
                return summary(con, total)


def _complete(con: duckdb.DuckDBPyConnection) -> bool:
    """Whether every call has its row, written by this program's price book."""
    if stored_version(con) != book_version():
        return False
    if not has_tables(con, "ledger", "model_map", "price_overrides"):
        return False
    missing = con.execute(
        """SELECT (SELECT count(*) FROM calls) <> (SELECT count(*) FROM ledger)
                  OR (SELECT max(call_no) FROM calls) IS DISTINCT FROM (SELECT max(call_no) FROM ledger)"""
    ).fetchall()[0][0]
    return not missing


def _prepare(con: duckdb.DuckDBPyConnection) -> None:
    con.execute(CREATE_OVERRIDES)
    if sync_book(con):
        forget(con)
    con.execute(CREATE_LEDGER)
    con.execute(CREATE_COSTS)


def _price_missing(con: duckdb.DuckDBPyConnection, progress: Progress | None, portion: int | None) -> tuple[int, int]:
    """(calls priced now, calls still to price). At most `portion` chunks of calls at a time; None = all."""
    first, last, calls = con.execute("SELECT min(call_no), max(call_no), count(*) FROM calls").fetchall()[0]
    done, newest = con.execute("SELECT count(*), max(call_no) FROM ledger").fetchall()[0]
    known = con.execute("SELECT count(*) FROM calls WHERE call_no <= ?", [newest]).fetchall()[0][0] if done else 0
    anti = ""
    start = first if not done else newest + 1
    if known != done:  # calls went or came among the old ones: look at every one
        con.execute("DELETE FROM ledger WHERE call_no NOT IN (SELECT call_no FROM calls)")
        done = con.execute("SELECT count(*) FROM ledger").fetchall()[0][0]
        anti, start = "AND call_no NOT IN (SELECT call_no FROM ledger)", first
    if done == calls:
        return 0, 0
    if progress:
        progress.total(calls - done)
    end = last if portion is None else min(last, start + portion * CHUNK - 1)
    where = f"call_no >= {start:d} AND call_no <= {end:d} {anti}"
    missing = con.execute(f"SELECT count(*) FROM calls WHERE {where}").fetchall()[0][0]
    if anti and not missing:  # what is missing lies behind this portion
        end, where = last, f"call_no >= {start:d} {anti}"
        missing = con.execute(f"SELECT count(*) FROM calls WHERE {where}").fetchall()[0][0]
    models = distinct_models(con, where)
    remember(con, sorted({(model[0], model[1]) for model in models}, key=str))
    rates = load_rates(con, models, register=True)
    chunks = [
        f"call_no >= {low:d} AND call_no < {min(low + CHUNK, end + 1):d} {anti}" for low in range(start, end + 1, CHUNK)
    ]
    written = _write(con, "ledger", priced_rows(con, models, rates, chunks, where=where), progress)
    if written != missing:
        raise PriceError(f"the ledger wrote {written} rows for {missing} calls")
    return written, calls - done - written


def _write(
    con: duckdb.DuckDBPyConnection, table: str, rows: Iterator[pa.Table], progress: Progress | None = None
) -> int:
    """Insert the rows as they come, in one statement that compresses on all processors; the number of rows.

    One of DuckDB's threads waits for the next rows, so it gets one more than there are processors. The first rows are
    taken before the statement begins, because making them asks the same connection.
    """
    first = next(rows, None)
    if first is None:
        return 0
    written = 0
    failed: list[BaseException] = []

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal written
        try:
            for part in chain((first,), rows):
                yield from part.to_batches(max_chunksize=_ROW_GROUP)
                written += part.num_rows
                if progress:
                    progress.advance(part.num_rows)
        except BaseException as error:
            failed.append(error)
            raise

    new_ledger = pa.RecordBatchReader.from_batches(first.schema, batches())  # noqa: F841  read by DuckDB
    con.execute(f"SET threads = {threads.at_most() + 1:d}")
    try:
        con.execute(f"INSERT INTO {table} SELECT * FROM new_ledger")
    except duckdb.Error:
        if failed:
            raise failed[0] from None
        raise
    return written


def revalue(con: duckdb.DuckDBPyConnection, day: date | None, *, overrides: bool = True) -> str:
    """A temporary ledger: every call priced as if it were made on `day`, at its own time of that day; None = its own.

    Without `overrides` at the list prices of the book. Returns the table's name. It lives with the connection, which
    may be read-only. Hourly machines keep their cost.
    """
    name = "ledger_at_one_day" if overrides else "ledger_at_list_prices"
    con.execute(CREATE_LEDGER.replace("TABLE IF NOT EXISTS ledger", f"OR REPLACE TEMP TABLE {name}"))
    last = con.execute("SELECT max(call_no) FROM calls").fetchall()[0][0]
    if last is None:
        return name
    models = distinct_models(con, "true")
    chunks = [f"call_no >= {low:d} AND call_no < {low + CHUNK:d}" for low in range(0, last + 1, CHUNK)]
    rates = load_rates(con, models, overrides=overrides)
    change = None if day is None else _moved_to(day)
    _write(con, name, priced_rows(con, models, rates, chunks, where="true", change=change))
    if not overrides:
        return name
    con.execute(
        f"""UPDATE {name} AS fresh SET cost_status = old.cost_status, other_usd = old.other_usd,
                   cost_usd = old.cost_usd, uncached_input_usd = 0, cache_read_usd = 0, cache_write_usd = 0,
                   output_usd = 0, reasoning_usd = 0
            FROM ledger old JOIN prices ON prices.price_id = old.price_id
            JOIN price_overrides USING (override_id)
            WHERE old.call_no = fresh.call_no AND price_overrides.kind = 'per_hour'"""
    )
    return name


def _moved_to(day: date) -> Callable[[Usage], Usage]:
    midnight = utc_day_ms(day)

    def moved(usage: Usage) -> Usage:
        return replace(usage, start_ms=midnight + np.maximum(usage.start_ms, 0) % DAY_MS)

    return moved


def price_scope(con: duckdb.DuckDBPyConnection, where: str) -> tuple[str, ...]:
    """What the prices of the calls depend on: provider and model, with as much more of SCOPE as a rule looks at."""
    length = scope_length(load_overrides(con))
    if length == 2 and con.execute(f"SELECT 1 FROM calls WHERE {where} AND region IS NOT NULL LIMIT 1").fetchall():
        length = 3
    return SCOPE[:length]


def distinct_models(con: duckdb.DuckDBPyConnection, where: str) -> list[tuple[str | None, ...]]:
    """Every (provider, model) of the calls, with as much more of SCOPE as their prices depend on."""
    columns = price_scope(con, where)
    return con.execute(f"SELECT DISTINCT {', '.join(columns)} FROM calls WHERE {where} ORDER BY ALL").fetchall()


def summary(con: duckdb.DuckDBPyConnection, written: int) -> LedgerSummary:
    """What is in the ledger, of which `written` calls were just priced."""
    calls, logged = con.execute("SELECT count(*), sum(logged_cost_usd) FROM calls").fetchall()[0]
    found = con.execute(
        "SELECT cost_status, count(*), sum(cost_usd) FROM ledger GROUP BY ALL ORDER BY 2 DESC, 1"
    ).fetchall()
    statuses = {status: count for status, count, _ in found}
    costs = [cost for _, _, cost in found if cost is not None]
    models = []
    if "unknown_model" in statuses:
        models = con.execute(
            """SELECT coalesce(provider_name || '/', '') || coalesce(model, '(no model)'), count(*) FROM costs
               WHERE cost_status = 'unknown_model' GROUP BY ALL ORDER BY 2 DESC, 1"""
        ).fetchall()
    return LedgerSummary(
        written=written,
        calls=calls,
        cost_usd=sum(costs, Decimal(0)) if costs else None,
        logged_cost_usd=logged,
        unpriced_calls=sum(statuses.get(status, 0) for status in NULL_STATUSES),
        statuses=statuses,
        unpriced_models=dict(models),
        price_book_version=stored_version(con) or "",
    )
