"""The price book: dated price rows of every known model, compiled from genai-prices and our own history.

Rows are whole and disjoint: for one model, service tier, time and request size exactly one row holds. Prices are
nano-dollars per million tokens (9 decimals), so the float noise of the catalogue is gone and money stays exact.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterable, Sequence
from datetime import date
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from analysis.price_book.rows import HISTORY, Book, Key, PriceRow, nano_dollars
from analysis.price_book.vocabulary import KINDS
from ingest.errors import PriceError
from ingest.store.database import columns_of, has_tables

if TYPE_CHECKING:
    import pyarrow as pa

COMPILER = "2"  # grows when the same data would compile to other rows


@cache
def book_version() -> str:
    """`genai-prices <version>+<12 hex>`: the hash covers the catalogue's data, our history and the compiler."""
    from importlib.metadata import version  # 20 ms that a report does not need

    spec = importlib.util.find_spec("genai_prices")
    if spec is None or spec.origin is None:
        raise PriceError("the package genai-prices is not installed", remedy="Install llm-hindcast again.")
    digest = hashlib.sha256(COMPILER.encode())
    digest.update((Path(spec.origin).parent / "data.py").read_bytes())
    digest.update(HISTORY.read_bytes())
    return f"genai-prices {version('genai-prices')}+{digest.hexdigest()[:12]}"


@cache
def compile_book() -> Book:
    """The whole book (about a second). Deterministic: the same data gives the same rows in the same order."""
    from analysis.price_book.catalog import catalogue_rows
    from analysis.price_book.history import load_history, merge

    history = load_history(HISTORY)
    rows, windows = catalogue_rows()
    merged = merge(rows, history)
    windows.update(history.windows())
    return Book(version=book_version(), as_of=history.as_of, rows=tuple(sorted(merged, key=_order)), windows=windows)


def _order(row: PriceRow) -> tuple[object, ...]:
    return (
        row.provider, row.model, row.tier, row.effective_from or "", row.tod_from, row.above_tokens or -1,
    )  # fmt: skip


# -- in the store ------------------------------------------------------------------------------------------------------

_PRICE_COLUMNS = ", ".join(f"{kind} DECIMAL(18,9)" for kind in KINDS)
CREATE_PRICES = f"""
    CREATE TABLE IF NOT EXISTS prices (
        price_id INTEGER, provider VARCHAR, model VARCHAR, tier VARCHAR,
        effective_from DATE, effective_to DATE, tod_from SMALLINT, tod_to SMALLINT,
        above_tokens BIGINT, upto_tokens BIGINT, {_PRICE_COLUMNS},
        source VARCHAR, confidence VARCHAR, book_version VARCHAR, is_current BOOLEAN, override_id INTEGER)
"""


def store_book(con: duckdb.DuckDBPyConnection, book: Book) -> None:
    """Put the book into the table `prices`. A row that was there before keeps its id; one that is gone is kept too,
    no longer current, so that a ledger written with it can still be explained."""
    con.execute(CREATE_PRICES)
    con.execute("ALTER TABLE prices ADD COLUMN IF NOT EXISTS override_id INTEGER")
    for kind in KINDS:
        con.execute(f"ALTER TABLE prices ADD COLUMN IF NOT EXISTS {kind} DECIMAL(18,9)")
    stored = {row: price_id for price_id, row in stored_rows(con, "price_id < ?", [FIRST_OVERRIDE_ID])}
    next_id = max(stored.values(), default=-1) + 1
    con.execute("UPDATE prices SET is_current = false WHERE price_id < ?", [FIRST_OVERRIDE_ID])
    kept = [stored[row] for row in book.rows if row in stored]
    if kept:
        con.execute(
            "UPDATE prices SET is_current = true, book_version = ? WHERE price_id IN (SELECT unnest(?))",
            [book.version, kept],
        )
    new = [row for row in book.rows if row not in stored]
    append_rows(con, list(enumerate(new, start=next_id)), book.version)


FIRST_OVERRIDE_ID = 1_000_000_000  # ids from here on are the user's own prices


def append_rows(
    con: duckdb.DuckDBPyConnection,
    rows: Sequence[tuple[int, PriceRow]],
    version: str,
    overrides: Sequence[int | None] | None = None,
) -> None:
    """Insert price rows under the given ids, and the numbers of the overrides that made them."""
    if rows:
        _insert(con, _table(rows, version, overrides))


def _insert(con: duckdb.DuckDBPyConnection, rows: pa.Table) -> None:
    con.execute(CREATE_PRICES)
    new_prices = rows  # noqa: F841  read by DuckDB
    con.execute(
        "INSERT INTO prices BY NAME SELECT * REPLACE (effective_from::DATE AS effective_from, effective_to::DATE AS "
        "effective_to) FROM new_prices ORDER BY price_id"
    )


def _table(
    rows: Sequence[tuple[int, PriceRow]], version: str, overrides: Sequence[int | None] | None = None
) -> pa.Table:
    """Rows of `prices`, their days as texts."""
    import pyarrow as pa

    columns: dict[str, pa.Array] = {
        "price_id": pa.array([i for i, _ in rows], pa.int32()),
        **{
            name: pa.array([getattr(row, name) for _, row in rows], kind)
            for name, kind in (
                ("provider", pa.string()), ("model", pa.string()), ("tier", pa.string()),
                ("effective_from", pa.string()), ("effective_to", pa.string()),
                ("tod_from", pa.int16()), ("tod_to", pa.int16()),
                ("above_tokens", pa.int64()), ("upto_tokens", pa.int64()),
            )
        },
        **{kind: _decimals([row.prices[k] for _, row in rows]) for k, kind in enumerate(KINDS)},
        "source": pa.array([row.source for _, row in rows], pa.string()),
        "confidence": pa.array([row.confidence for _, row in rows], pa.string()),
        "book_version": pa.array([version] * len(rows), pa.string()),
        "is_current": pa.array([True] * len(rows), pa.bool_()),
        "override_id": pa.array(overrides or [None] * len(rows), pa.int32()),
    }  # fmt: skip
    return pa.table(columns)


def stored_version(con: duckdb.DuckDBPyConnection) -> str | None:
    """The version of the book that the store's `prices` were written from, or None if there are none."""
    found = (
        con.execute("SELECT value FROM meta WHERE key = 'price_book_version'").fetchall()
        if has_tables(con, "meta", "prices")
        else []
    )
    return str(found[0][0]) if found else None


def sync_book(con: duckdb.DuckDBPyConnection) -> bool:
    """Bring the store's prices up to this program's book; True if anything was written."""
    if stored_version(con) == book_version():
        return False
    if has_tables(con, "meta", "prices"):
        book = compile_book()
        store_book(con, book)
        as_of = book.as_of.isoformat()
    else:
        rows = first_rows()
        _insert(con, rows)
        as_of = rows.schema.metadata[b"as_of"].decode()
    con.execute("DELETE FROM meta WHERE key IN ('price_book_version', 'price_book_as_of')")
    con.execute(
        "INSERT INTO meta VALUES ('price_book_version', ?), ('price_book_as_of', ?)",
        [book_version(), as_of],
    )
    return True


def first_rows() -> pa.Table:
    """The book as the rows of a store without prices, from this machine's copy or compiled and kept there."""
    from analysis.price_book import local_cache

    rows = local_cache.load_rows(book_version())
    if rows is None:
        book = compile_book()
        rows = _table(list(enumerate(book.rows)), book.version)
        rows = rows.replace_schema_metadata({"as_of": book.as_of.isoformat()})
        local_cache.keep_rows(book.version, rows)
    return rows


def price_rows(
    con: duckdb.DuckDBPyConnection, keys: Iterable[Key]
) -> tuple[dict[Key, list[tuple[int, PriceRow]]], date]:
    """The current price rows of some models with their ids, and the book's own day.

    From the store's `prices` where they are of this program's book, else from the book itself.
    """
    wanted = sorted(set(keys))
    found: dict[Key, list[tuple[int, PriceRow]]] = {key: [] for key in wanted}
    imported = [key for key in wanted if key[0].startswith("list ")]
    if imported:
        where = "price_id >= ? AND (provider, model) IN (SELECT unnest(?), unnest(?))"
        for price_id, row in stored_rows(
            con, where, [FIRST_OVERRIDE_ID, [k[0] for k in imported], [k[1] for k in imported]]
        ):
            found[row.key].append((price_id, row))
        wanted = [key for key in wanted if key not in imported]
    if stored_version(con) == book_version():
        where = "is_current AND price_id < ? AND (provider, model) IN (SELECT unnest(?), unnest(?))"
        for price_id, row in stored_rows(
            con, where, [FIRST_OVERRIDE_ID, [k[0] for k in wanted], [k[1] for k in wanted]]
        ):
            found[row.key].append((price_id, row))
        as_of = con.execute("SELECT value FROM meta WHERE key = 'price_book_as_of'").fetchall()[0][0]
        return found, date.fromisoformat(as_of)
    book = compile_book()
    ids = {row: number for number, row in enumerate(book.rows)}
    for key in wanted:
        found[key] = [(ids[row], row) for row in book.of(key)]
    return found, book.as_of


def kind_columns(con: duckdb.DuckDBPyConnection, table: str) -> str:
    """SQL of the columns KINDS of a table of prices; one of an older schema lacks some, which are NULL."""
    held = set(columns_of(con, table))
    return ", ".join(kind if kind in held else f"NULL::DECIMAL(18,9) AS {kind}" for kind in KINDS)


def stored_rows(con: duckdb.DuckDBPyConnection, where: str, values: list[object]) -> list[tuple[int, PriceRow]]:
    """(price id, row) of the rows of `prices` that `where` selects; SQL of this program, never of a user."""
    rows = con.execute(
        f"""SELECT price_id, provider, model, tier, effective_from::VARCHAR, effective_to::VARCHAR, tod_from, tod_to,
                   above_tokens, upto_tokens, source, confidence, {kind_columns(con, "prices")}
            FROM prices WHERE {where} ORDER BY price_id""",
        values,
    ).fetchall()
    found = []
    for row in rows:
        fields: list[Any] = [*row[1:10], tuple(map(nano_dollars, row[12:])), row[10], row[11]]
        found.append((int(row[0]), PriceRow(*fields)))
    return found


def _decimals(nano: Sequence[int | None]) -> pa.Array:
    """Nano-dollars as DECIMAL(18,9), whose integers they are."""
    import pyarrow as pa

    whole = pa.array(nano, pa.int64())
    return pa.Array.from_buffers(pa.decimal64(18, 9), len(whole), whole.buffers(), whole.null_count)
