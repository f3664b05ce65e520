"""What DuckDB spills holds texts: the folder is its owner's only, whatever the process's umask is, and goes again."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from builder import build_store

from ingest.store.database import Store, connect


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.skipif(os.name == "nt", reason="modes are POSIX")
def test_the_folder_of_spilled_rows_is_its_owner_s(tmp_path: Path) -> None:
    store = build_store(tmp_path / "s.duckdb", [{"agent": "a"}])
    for opened in (store.read, store.write):
        with opened() as con:
            place = con.execute("SELECT current_setting('temp_directory')").fetchall()[0][0]
            assert Path(place) == tmp_path / "s.duckdb.tmp"
            assert mode(Path(place)) == 0o700
            with Store(store.path).read() if opened == store.read else connect():
                pass
        assert not Path(place).exists()


@pytest.mark.skipif(os.name == "nt", reason="modes are POSIX")
def test_a_database_in_memory_spills_to_no_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with connect() as con:
        place = Path(con.execute("SELECT current_setting('temp_directory')").fetchall()[0][0])
        con.execute("SET memory_limit = '30MB'; SET threads = 1")
        con.execute(
            "CREATE TABLE t AS SELECT md5(range::VARCHAR) AS a, md5((range * 7)::VARCHAR) AS b FROM range(600000)"
        )
        assert any(place.iterdir())
        assert mode(place) == 0o700
    assert not any(tmp_path.iterdir())
