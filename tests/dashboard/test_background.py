"""Long work runs in a process of its own: it can be stopped at once, fails in words, and never writes to the store."""

from __future__ import annotations

import hashlib
import os
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import spiky as made
from builder import build_store
from processes import children

import sample_logs
from analysis.ledger import ledger
from dashboard.data import job_process
from dashboard.data.jobs import CopyOnWriteStore
from ingest.errors import StoreError, StrategyError
from ingest.store.database import Store
from replay.engine.run import run
from replay.strategy.schema import Strategy, load


class StoppedError(Exception):
    """What a click on Stop raises."""


def arguments(*strategies: Strategy) -> dict[str, Any]:
    documents = [strategy.document() for strategy in strategies]
    return {"strategies": documents, "since": None, "until": None, "cold": False}


def ignore(_finished: list[str]) -> None:
    pass


@pytest.fixture
def own(tmp_path: Path) -> Store:
    """A store with texts whose tokens were never counted."""
    return made.make(tmp_path / "own.duckdb")


def test_a_replay_in_a_process_of_its_own_is_the_replay_and_leaves_the_store_as_it_is(
    own: Store, tmp_path: Path
) -> None:
    before = hashlib.sha256(own.path.read_bytes()).hexdigest()
    chosen = [load(path) for path in sample_logs.strategies()[1:3]]
    steps: list[str] = []
    copy = tmp_path / "copy.duckdb"
    found = job_process.run(
        "replay", own.path, copy, arguments(*chosen), lambda finished: steps.extend(finished[len(steps) :])
    )
    assert hashlib.sha256(own.path.read_bytes()).hexdigest() == before
    with Store(copy).read() as con:  # the texts were counted there
        assert con.execute("SELECT count(DISTINCT content_id) FROM content_tokens").fetchall() == [(2,)]
    assert found == run(own, chosen)
    assert steps == [strategy.name for strategy in chosen]


def test_what_the_page_raises_ends_the_work(own: Store, tmp_path: Path) -> None:
    running: list[int] = []

    def stop(_finished: list[str]) -> None:
        running.extend(children(os.getpid(), "dashboard.data.job_process"))
        raise StoppedError

    with pytest.raises(StoppedError):
        job_process.run("replay", own.path, tmp_path / "copy", arguments(load(sample_logs.strategies()[1])), stop)
    assert len(running) == 1
    assert not children(os.getpid(), "dashboard.data.job_process")


def test_an_error_comes_back_as_it_was_raised(tmp_path: Path) -> None:
    store = build_store(tmp_path / "weighted.duckdb", [{**row, "weight": 10} for row in made.rows()[:20]])
    ledger.update(store)
    asked = {"since": None, "until": None, "key": "canonical", "temperature": "always"}
    with pytest.raises(StrategyError) as raised:
        job_process.run("caches", store.path, tmp_path / "copy", asked, ignore)
    assert raised.value.remedy


def test_work_that_dies_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store"):
        job_process.run("duplicates", tmp_path / "none", tmp_path / "copy", {"since": None, "until": None}, ignore)


def test_the_copy_holds_what_the_store_held_when_it_was_made(own: Store, tmp_path: Path) -> None:
    written = CopyOnWriteStore(own.path, tmp_path / "copy.duckdb")
    with written.write() as con:
        con.execute("DELETE FROM calls")
    with own.read() as con:
        assert con.execute("SELECT count(*) FROM calls").fetchall()[0][0] == len(made.rows())
    with written.read() as con:
        assert con.execute("SELECT count(*) FROM calls").fetchall() == [(0,)]
    assert CopyOnWriteStore(own.path, tmp_path / "copy.duckdb").path == tmp_path / "copy.duckdb"


def test_ranges_of_days_sum_to_the_range_of_the_strategy(own: Store) -> None:
    """The bands of the picture are those of the JSON."""
    from decimal import Decimal

    from dashboard.documents import strategy_tables

    found = run(own, [load(path) for path in sample_logs.strategies()[1:]], since=date(2024, 3, 5))
    for entry in found.to_json()["strategies"]:
        for end in ("low", "high"):
            assert sum(Decimal(row[f"cost_{end}_usd"]) for row in entry["daily"]) == Decimal(entry[f"cost_{end}_usd"])
    lines = strategy_tables.trajectories({}, [], found, strategy_tables.strategy_colours(found))
    for line, entry in zip(lines[1:], found.to_json()["strategies"], strict=True):
        wide = entry["cost_low_usd"] != entry["cost_high_usd"]
        assert (line.low is not None) == (line.high is not None) == wide
        if line.low is not None and line.high is not None:
            assert sum(line.low) == Decimal(entry["cost_low_usd"])
            assert sum(line.high) == Decimal(entry["cost_high_usd"])
