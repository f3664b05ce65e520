"""A lake that somebody else made: the names in its commits lead nowhere but into its own folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from builder import build_store

from ingest.errors import StoreError
from ingest.places.folder import Folder
from ingest.store.lake import LakeStore

OUTSIDE = ("../outside", "parts/../../outside", "/etc/hostname", "..", "a\0b")


@pytest.mark.parametrize("name", OUTSIDE)
def test_no_name_of_an_object_leads_out_of_its_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "outside").write_bytes(b"kept")
    place = Folder(str(tmp_path / "lake"))
    for act in (place.read, place.size, place.remove, place.file, lambda name: place.write(name, b"x"),
                lambda name: place.create(name, b"x")):  # fmt: skip
        with pytest.raises(StoreError):
            act(name)
    assert (tmp_path / "outside").read_bytes() == b"kept"
    assert [path.name for path in tmp_path.iterdir()] == ["outside"]


def test_a_commit_that_names_a_file_outside_is_refused_in_words(tmp_path: Path) -> None:
    mine = build_store(tmp_path / "mine.duckdb", [{"agent": "a"}])
    lake = LakeStore(f"{tmp_path}/lake/")
    lake.make()
    (first,) = (tmp_path / "lake/commits").glob("*.json")
    commit = json.loads(first.read_bytes())
    for change in ({"side": "../mine.duckdb"}, {"parts": [{"kind": "calls", "name": str(mine.path), "rows": 1}]}):
        first.write_text(json.dumps({**commit, **change}))
        with pytest.raises(StoreError, match="no name of an object"), LakeStore(f"{tmp_path}/lake/").read() as con:
            con.execute("SELECT count(*) FROM calls").fetchall()
    assert mine.path.exists()
