"""The price book: the same data gives the same rows; rows keep their ids when the book changes under a store."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import numpy as np
import pytest

from analysis.price_book.book import compile_book, price_rows, store_book, sync_book
from analysis.price_book.history import load_history
from analysis.price_book.rows import HISTORY, Book
from analysis.pricing.load_rates import load_rates
from analysis.pricing.rate_table import Usage
from ingest.errors import PriceError

DIGEST = """
import hashlib
from analysis.price_book.book import compile_book
print(hashlib.sha256(repr(compile_book().rows).encode()).hexdigest())
"""
HEAD = "as_of: 2026-01-01\nmodels:\n  - {provider: x, model: y, ids: [y], rows: [{from: 2024-01-01, source: s, "


@pytest.fixture
def con() -> duckdb.DuckDBPyConnection:
    memory = duckdb.connect()
    memory.execute("CREATE TABLE meta (key VARCHAR, value VARCHAR)")
    return memory


def test_two_processes_compile_the_same_book() -> None:
    runs = [subprocess.run([sys.executable, "-c", DIGEST], capture_output=True, check=True).stdout for _ in range(2)]
    assert runs[0] == runs[1]


def test_rows_come_back_from_the_store_as_they_went_in(con: duckdb.DuckDBPyConnection) -> None:
    assert sync_book(con) is True
    assert sync_book(con) is False
    book = compile_book()
    keys = sorted({row.key for row in book.rows})
    found, as_of = price_rows(con, keys)
    assert as_of == book.as_of
    assert [row for key in keys for _, row in found[key]] == [row for key in keys for row in book.of(key)]


def test_a_changed_price_gets_a_new_id_and_the_old_row_stays_to_explain_old_costs(
    con: duckdb.DuckDBPyConnection,
) -> None:
    book = compile_book()
    store_book(con, book)
    first = book.rows[100]
    prices = tuple(None if price is None else price + 1 for price in first.prices)
    changed = Book("next", book.as_of, (*book.rows[:100], replace(first, prices=prices), *book.rows[101:]), {})
    store_book(con, changed)
    total, current, old = con.execute(
        "SELECT count(*), count(*) FILTER (is_current), count(*) FILTER (price_id = 100 AND NOT is_current) FROM prices"
    ).fetchall()[0]
    assert (total, current, old) == (len(book.rows) + 1, len(book.rows), 1)
    same = con.execute("SELECT min(price_id), max(price_id) FROM prices WHERE is_current").fetchall()
    assert same == [(0, len(book.rows))]


def cost_at(model: str, provider: str, moment: datetime, tokens: int, answer: int) -> Decimal:
    with duckdb.connect() as memory:
        rates = load_rates(memory, [(provider, model)])
    at = np.array([int(moment.replace(tzinfo=UTC).timestamp() * 1000)])
    usage = Usage(np.zeros(1, np.int32), at, input=np.array([tokens]), output=np.array([answer]))
    return Decimal(int(rates.price(usage).total[0])).scaleb(-12)


def test_sonnet_4_costs_more_for_the_whole_request_above_200k_tokens_from_august_2025() -> None:
    model = "claude-sonnet-4-20250514"
    for day, tokens, expected in (
        (datetime(2025, 8, 11), 300_000, "0.915"),
        (datetime(2025, 8, 12), 200_000, "0.615"),
        (datetime(2025, 8, 12), 200_001, "1.222506"),
        (datetime(2025, 8, 12), 300_000, "1.8225"),
    ):
        assert cost_at(model, "anthropic", day, tokens, 1000) == Decimal(expected)


def test_deepseek_was_cheaper_at_night_only_between_february_and_september_2025() -> None:
    night, day = 17, 12
    for moment, expected in (
        (datetime(2024, 6, 1, night), "0.42"),
        (datetime(2025, 6, 1, day), "1.37"),
        (datetime(2025, 6, 1, night), "0.685"),
        (datetime(2025, 6, 1, 0, 29), "0.685"),
        (datetime(2025, 6, 1, 0, 30), "1.37"),
        (datetime(2025, 10, 1, night), "0.7"),
    ):
        assert cost_at("deepseek-chat", "deepseek", moment, 1_000_000, 1_000_000) == Decimal(expected)


def test_every_history_row_names_its_source_and_starts_on_a_day() -> None:
    history = load_history(HISTORY)
    assert all(row.source and row.start <= history.as_of for model in history.models for row in model.rows)
    assert all(model.ids for model in history.models)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("models: [", "not readable as YAML"),
        (HEAD + "inptu: 1}]}", "inptu"),
        (HEAD + "input: -1}]}", "greater than"),
    ],
)  # fmt: skip
def test_a_wrong_history_names_the_field(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "history.yaml"
    path.write_text(text)
    with pytest.raises(PriceError, match=message):
        load_history(path)
