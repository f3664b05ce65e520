"""A segment is read only by the ingest it was written for, and only whole."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from ingest.errors import StoreError
from ingest.staging.arrow_files import read_table, write_table
from ingest.staging.interning import Staged
from ingest.staging.segment import Segment

CALLS = pa.table({"hi": [1, 2, 3]})


def _segment(folder: Path, calls: pa.Table = CALLS) -> Path:
    folder.mkdir(parents=True)
    write_table(calls, folder, "calls")
    return folder


def test_a_table_comes_back_as_it_was_written(tmp_path: Path) -> None:
    folder = _segment(tmp_path / "run" / "000001-0")
    assert read_table(folder, "calls").to_pydict() == CALLS.to_pydict()  # type: ignore[union-attr]
    assert read_table(folder, "contents") is None


@pytest.mark.parametrize("elsewhere", ["other/000001-0", "run/000002-0"])
def test_a_segment_of_another_ingest_or_of_another_task_is_refused(tmp_path: Path, elsewhere: str) -> None:
    shutil.copytree(_segment(tmp_path / "run" / "000001-0"), tmp_path / elsewhere)
    with pytest.raises(StoreError, match="nothing of it was stored"):
        read_table(tmp_path / elsewhere, "calls")


@pytest.mark.parametrize("size", [0, 20, -20])
def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, size: int) -> None:
    folder = _segment(tmp_path / "run" / "000001-0")
    path = folder / "calls.arrow"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(StoreError, match="nothing of it was stored"):
        read_table(folder, "calls")


@pytest.mark.parametrize("counted", [2, 4])
def test_a_segment_with_other_calls_than_its_parser_counted_is_refused(tmp_path: Path, counted: int) -> None:
    folder = _segment(tmp_path / "run" / "000001-0")
    with pytest.raises(StoreError, match="nothing of it was stored"):
        Staged.read([Segment(folder, calls=counted)])
    shutil.rmtree(folder)
    with pytest.raises(StoreError, match="nothing of it was stored"):
        Staged.read([Segment(folder, calls=counted)])
