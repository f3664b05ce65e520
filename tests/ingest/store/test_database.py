"""The store: who may read and write when, and what a foreign file is told."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from builder import build_store

from ingest.errors import StoreError
from ingest.store.database import Store


def test_a_missing_store_names_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="hindcast ingest"), Store(tmp_path / "none.duckdb").read():
        pass


def test_every_write_grows_the_publish_number(tmp_path: Path) -> None:
    store = build_store(tmp_path / "s.duckdb", [{}])
    first = store.publish_number()
    with store.write():
        pass
    assert store.publish_number() == first + 1


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    store = build_store(tmp_path / "s.duckdb", [{}])
    before = store.publish_number()
    with pytest.raises(RuntimeError), store.write() as con:
        con.execute("DELETE FROM calls")
        raise RuntimeError
    with store.read() as con:
        assert con.execute("SELECT count(*) FROM calls").fetchall() == [(1,)]
    assert store.publish_number() == before


def test_what_a_killed_creation_left_beside_a_store_is_in_nobodys_way(tmp_path: Path) -> None:
    path = tmp_path / "s.duckdb"
    half = path.with_name("s.duckdb.new")
    duckdb.connect(str(half)).close()  # a database without a table: the kill came before the first commit
    half.with_name("s.duckdb.new.wal").write_bytes(b"cut off")
    assert not Store(path).exists()
    store = build_store(path, [{}])
    with store.read() as con:
        assert con.execute("SELECT count(*) FROM calls").fetchall() == [(1,)]
    assert not half.exists()
    assert not half.with_name("s.duckdb.new.wal").exists()


def test_a_store_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    store = build_store(tmp_path / "s.duckdb", [])
    with store.write() as con:
        con.execute("UPDATE meta SET value = '99' WHERE key = 'schema_version'")
    with pytest.raises(StoreError, match="newer version"), store.read():
        pass
    with pytest.raises(StoreError, match="newer version"), store.write():
        pass


@pytest.mark.parametrize("content", [b"not a database at all", b""])
def test_a_foreign_file_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "s.duckdb"
    path.write_bytes(content)
    with pytest.raises(StoreError), Store(path).read():
        pass
    assert path.read_bytes() == content


def test_a_foreign_duckdb_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.duckdb"
    with duckdb.connect(str(path)) as con:
        con.execute("CREATE TABLE t AS SELECT 1 AS x")
    with pytest.raises(StoreError, match="not a Hindcast store"), Store(path).write():
        pass
