"""A store of an older schema: told in words when it is read, brought up to date by the next write."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest
from builder import build_store

from analysis.ledger.costs_view import CREATE_COSTS
from analysis.ledger.ledger import update
from ingest.errors import OlderStoreError, StoreError
from ingest.pipeline.run import ingest
from ingest.store.database import Store
from ingest.store.schema import CALL_COLUMNS, SCHEMA_VERSION, TABLES

LATER_COLUMNS = ("score", "key_portkey", "region")
CALLS = [{"input_tokens": 10 * n, "output_tokens": 1, "model": "gpt-4o"} for n in range(1, 6)]


@pytest.fixture
def old(tmp_path: Path) -> Store:
    """A priced store as an older program would have left it."""
    store = build_store(tmp_path / "s.duckdb", CALLS)
    update(store)
    with duckdb.connect(str(store.path)) as con:
        con.execute("DROP VIEW costs")
        for name in LATER_COLUMNS:
            con.execute(f"ALTER TABLE calls DROP COLUMN {name}")
        con.execute("DROP TABLE call_aliases")
        con.execute(CREATE_COSTS)
        con.execute("UPDATE meta SET value = '1' WHERE key = 'schema_version'")
    return store


def _assert_whole(store: Store, calls: int) -> None:
    with store.read() as con:
        assert con.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchall() == [(str(SCHEMA_VERSION),)]
        tables = {name for (name,) in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        assert set(TABLES) <= tables
        columns = {name for name, *_ in con.execute("DESCRIBE calls").fetchall()}
        assert columns == set(CALL_COLUMNS)
        assert con.execute("SELECT count(*), count(cost_usd), count(region) FROM costs").fetchall() == [
            (calls, calls, 0)
        ]


def test_reading_an_older_store_names_the_command_that_brings_it_up_to_date(old: Store) -> None:
    before = old.path.read_bytes()
    with pytest.raises(OlderStoreError, match=r"(?s)store schema 1.*hindcast reprice"), old.read():
        pass
    assert old.path.read_bytes() == before


def test_repricing_brings_an_older_store_up_to_date_and_prices_every_call(old: Store) -> None:
    assert update(old, rebuild=True).calls == len(CALLS)
    _assert_whole(old, len(CALLS))


def test_an_ingest_brings_an_older_store_up_to_date(old: Store, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    row = {"hindcast": 1, "call_id": "x", "start_time": "2026-03-02T10:00:00Z", "request_model": "gpt-4o"}
    log.write_text(json.dumps({**row, "input_tokens": 3, "output_tokens": 1}))
    assert ingest(old, [log]).calls == 1
    update(old)
    _assert_whole(old, len(CALLS) + 1)


def test_an_upgrade_that_fails_leaves_the_older_store(old: Store) -> None:
    with duckdb.connect(str(old.path)) as con:
        con.execute("DROP TABLE calls")
        con.execute("CREATE VIEW calls AS SELECT 1 AS call_no")  # what is to be altered is not a table
    with pytest.raises(StoreError), old.write():
        pass
    with duckdb.connect(str(old.path), read_only=True) as con:
        assert con.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchall() == [("1",)]
        tables = {name for (name,) in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        assert "ledger" in tables
        assert "call_aliases" not in tables


@pytest.mark.parametrize("said", [None, "", "two", "-1", "1.5", "9" * 30])
def test_a_schema_version_that_is_no_number_is_told(tmp_path: Path, said: str | None) -> None:
    store = build_store(tmp_path / "s.duckdb", CALLS)
    with duckdb.connect(str(store.path)) as con:
        con.execute("UPDATE meta SET value = ? WHERE key = 'schema_version'", [said])
    with pytest.raises(StoreError), store.read():
        pass
    with pytest.raises(StoreError), store.write():
        pass
