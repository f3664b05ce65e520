"""`hindcast store`: what is read of a lake stays the same, and a file that is taken out of it holds the same."""

from __future__ import annotations

import json
import shutil
from decimal import Decimal
from pathlib import Path

import pytest
from terminal import hindcast

from analysis.reports.cost import cost
from ingest.store.address import open_store

BY = ("day", "agent", "model", "task")


def line(number: int) -> str:
    return json.dumps({
        "hindcast": 1, "call_id": f"c{number}", "start_time": f"2026-03-{2 + number % 4:02}T10:00:{number % 60:02}Z",
        "request_model": "gpt-4o", "input_tokens": 100 + number, "output_tokens": 7, "agent": f"agent_{number % 3}",
        "input_messages": [{"role": "user", "content": f"Item {number % 9}"}],
    })  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tmp_path = tmp_path_factory.mktemp("made")
    for name, numbers in (("a", range(40)), ("b", range(30, 70))):
        log = tmp_path / f"{name}.jsonl"
        log.write_text("\n".join(map(line, numbers)) + "\n")
        assert hindcast(tmp_path, "ingest", log.name, "--store", "lake/").returncode == 0
    return tmp_path


@pytest.fixture
def lake(made: Path, tmp_path: Path) -> Path:
    """A lake of two commits, in the folder `lake`."""
    return shutil.copytree(made, tmp_path / "own")


def test_compacting_and_splitting_change_nothing_that_is_read(lake: Path) -> None:
    before = cost(open_store(lake / "lake"), by=BY).to_json()
    done = json.loads(hindcast(lake, "store", "compact", "--store", "lake/", "--json").stdout)
    assert done["parts"] < done["parts_before"]
    assert json.loads(hindcast(lake, "store", "split", "--buckets", "4", "--store", "lake", "--json").stdout) == {
        "buckets_before": 1, "buckets": 4,
    }  # fmt: skip
    assert cost(open_store(lake / "lake"), by=BY).to_json() == before
    found = hindcast(lake, "store", "check", "--store", "lake/", "--json")
    assert (found.returncode, json.loads(found.stdout)["calls"], json.loads(found.stdout)["faults"]) == (0, 70, [])
    next((lake / "lake/calls").glob("*-merged.parquet")).unlink()
    assert hindcast(lake, "store", "check", "--store", "lake/").returncode == 1


def test_a_pulled_file_answers_as_the_lake(lake: Path) -> None:
    assert hindcast(lake, "store", "pull", "--store", "lake/", "-o", "all.duckdb").returncode == 0
    assert cost(open_store(lake / "all.duckdb"), by=BY).to_json() == cost(open_store(lake / "lake"), by=BY).to_json()
    found = hindcast(lake, "store", "pull", "--store", "lake/", "--since", "2026-03-04", "-o", "days.duckdb", "--json")
    assert json.loads(found.stdout)["calls"] == sum(1 for number in range(70) if number % 4 >= 2)
    for store in ("days.duckdb", "lake/"):
        halved = hindcast(lake, "prices", "set", "gpt-4o", "--multiplier", "0.5", "--store", store, "--json")
        told = json.loads(halved.stdout)
        assert Decimal(told["cost_usd"]) * 2 == Decimal(told["before_usd"]) > 0
    hindcast(lake, "store", "pull", "--store", "lake/", "-o", "priced.duckdb")
    assert (
        json.loads(hindcast(lake, "reprice", "--store", "priced.duckdb", "--json").stdout)["cost_usd"]
        == (told["cost_usd"])
    )
    again = hindcast(lake, "store", "pull", "--store", "lake/", "-o", "days.duckdb")
    assert again.returncode == 2
    assert "already" in again.stderr


def test_what_a_lake_does_not_do_is_said_in_one_line(lake: Path) -> None:
    for arguments, words in (
        (("ingest", "a.jsonl", "--follow", "--store", "lake/"), "--follow reads into a DuckDB file"),
        (("ingest", "s3://bucket/logs/", "--store", "file.duckdb"), "into a lake"),
        (("store", "check", "--store", "none.duckdb"), "there is no store"),
        (("store", "split", "--buckets", "3", "--store", "lake/"), "power of two"),
    ):
        found = hindcast(lake, *arguments)
        assert found.returncode == 2, arguments
        assert words in found.stderr
        assert "Traceback" not in found.stderr
