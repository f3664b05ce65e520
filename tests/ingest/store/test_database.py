"""The store: who may read and write when, and what a foreign file is told."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

import duckdb
import pytest
from builder import build_store

from ingest.errors import StoreError
from ingest.store.database import Store
from ingest.store.ingest_lock import IngestLock


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
    store = Store(path)
    with store.write() as con:
        con.execute("INSERT INTO calls (call_no) VALUES (0)")
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


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.skipif(os.name != "posix", reason="file modes")
def test_a_store_and_all_that_lies_beside_it_are_their_owners_only(tmp_path: Path) -> None:
    store = build_store(tmp_path / "s.duckdb", [{}])
    with store.write() as con:
        con.execute("DELETE FROM calls")
        assert _mode(tmp_path / "s.duckdb.wal") == 0o600
    with IngestLock(store.path) as lock:
        assert _mode(lock.folder) == _mode(lock.folder.parent) == 0o700
    modes = {path.name: _mode(path) for path in tmp_path.iterdir()}
    assert modes == {"s.duckdb": 0o600, "s.duckdb.lock": 0o600, "s.duckdb.ingest.lock": 0o600}


@pytest.mark.skipif(os.name != "posix", reason="file modes")
def test_a_store_that_its_owner_shares_stays_shared(tmp_path: Path) -> None:
    store = build_store(tmp_path / "s.duckdb", [{}])
    store.path.chmod(0o640)
    with store.write() as con:
        con.execute("DELETE FROM calls")
        assert _mode(tmp_path / "s.duckdb.wal") & 0o007 == 0
    assert _mode(store.path) == 0o640
    with store.write():  # nothing is written: no log is left
        pass
    assert not (tmp_path / "s.duckdb.wal").exists()


def test_what_pricing_makes_and_is_not_there_yet_is_told(tmp_path: Path) -> None:
    store = build_store(tmp_path / "s.duckdb", [{}])
    with pytest.raises(StoreError, match=r"(?s)no cost yet.*hindcast reprice"), store.read() as con:
        con.execute("SELECT * FROM costs")
    with pytest.raises(duckdb.BinderException), store.read() as con:  # a mistake of ours stays one
        con.execute("SELECT no_such_column FROM calls")


def test_a_damaged_block_is_told_where_it_is_met(tmp_path: Path) -> None:
    path = tmp_path / "s.duckdb"
    build_store(path, [{"input_tokens": n, "model": f"model-{n}"} for n in range(5000)])
    whole = path.read_bytes()
    for place in range(3 * 4096, len(whole), 1 << 15):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with suppress(StoreError), Store(path).read() as con:
            found = con.execute("SELECT count(*), sum(input_tokens) FROM calls").fetchall()
            assert found == [(5000, sum(range(5000)))]
    for size in (0, 1, 4096, 12288, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(StoreError), Store(path).read() as con:
            con.execute("SELECT * FROM calls").fetchall()
