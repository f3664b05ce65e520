"""Which strategy is named first, and what is said of one that asks models without a price."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from builder import build_in_memory

from analysis.ledger import ledger
from dashboard.documents import story
from ingest.store.database import Store
from replay.advice.recommend import recommended
from replay.advice.result_in_words import sentence
from replay.engine.run import Replay, run
from replay.strategy.schema import parse

START = datetime(2024, 6, 3)
KNOWN = "{name: known, route: [{match: {task: b}, model: gpt-4o-mini}]}"
PARTLY = "{name: partly, route: [{match: {task: b}, model: nobody-7b}, {default: gpt-4o-mini}]}"
UNKNOWN = "{name: all of them, route: [{default: nobody-7b}]}"
DEARER = "{name: dearer, route: [{default: gpt-4-turbo}]}"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Three days of calls at $0.0125, every second of task b."""
    rows: list[dict[str, Any]] = [
        {"start_time": START + timedelta(hours=6 * n), "model": "gpt-4o", "task": "ab"[n % 2], "agent": "x",
         "input_tokens": 1000, "output_tokens": 500, "score": 0.9}
        for n in range(12)
    ]  # fmt: skip
    made = build_in_memory(rows)
    with made.write() as con:  # every model answers as well as the logged one
        for model in ("gpt-4o", "gpt-4o-mini", "nobody-7b", "gpt-4-turbo"):
            con.execute("INSERT INTO scores SELECT call_no, ?, 0.9, 'test' FROM calls", [model])
    ledger.update(made)
    return made


def replayed(store: Store, *texts: str) -> Replay:
    return run(store, [parse(text) for text in texts])


def test_what_has_no_price_costs_nothing_known_rather_than_nothing(store: Store) -> None:
    entry = replayed(store, UNKNOWN).to_json()["strategies"][0]
    for name in ("cost_usd", "baseline_cost_usd", "cost_low_usd", "usd_per_day", "baseline_usd_per_day", "saved_share"):
        assert entry[name] is None
    assert entry["savings"] == {"route": None}
    assert {row["cost_usd"] for row in entry["daily"]} == {None}
    assert entry["newly_unpriced_calls"] == 12


def test_a_strategy_is_compared_with_the_very_calls_that_its_cost_is_of(store: Store) -> None:
    result = replayed(store, PARTLY)
    entry = result.to_json()["strategies"][0]
    assert (entry["unpriced_calls"], entry["newly_unpriced_calls"]) == (6, 6)
    assert (result.to_json()["baseline"]["usd_per_day"], entry["baseline_usd_per_day"]) == ("0.05", "0.025")
    assert "instead of $0.0250" in sentence(result.strategies[0])
    assert "without the 6 calls that would have no price" in sentence(result.strategies[0])


def test_one_that_leaves_calls_without_a_price_is_never_recommended_before_one_that_does_not(store: Store) -> None:
    result = replayed(store, UNKNOWN, PARTLY, KNOWN)
    assert [entry.quality["verdict"] for entry in result.strategies] == ["passes"] * 3
    best = recommended(result.strategies)
    assert best is not None
    assert best.name == "known"
    assert result.strategies[1].cost_pico < best.cost_pico


def test_where_nothing_has_a_price_the_answer_says_so(store: Store) -> None:
    result = replayed(store, UNKNOWN)
    best = recommended(result.strategies)
    assert best is not None
    assert "cannot be said" in sentence(best)
    told = story.gather(store, [parse(UNKNOWN)])
    assert "have no price" in story.recommendation(told)
    assert "$0.00" not in story.recommendation(told)


def test_a_dearer_policy_that_passes_is_not_advised(store: Store) -> None:
    told = story.gather(store, [parse(DEARER)])
    assert story.recommendation(told).startswith("Keep what you have")
    assert story.numbers(told)[1][2].endswith("more")


def test_a_window_without_calls_has_no_cost_and_no_verdict(store: Store) -> None:
    entry = run(store, [parse(KNOWN)], since=datetime(2031, 1, 1).date()).to_json()["strategies"][0]
    assert (entry["cost_usd"], entry["quality"]["verdict"], entry["daily"]) == (None, "unknown", [])


def test_a_row_that_stands_for_several_calls_counts_as_many(tmp_path: Path) -> None:
    rows = [{"start_time": START + timedelta(hours=n), "model": "gpt-4o", "input_tokens": 10, "output_tokens": 1,
             "weight": 3} for n in range(4)]  # fmt: skip
    weighted = build_in_memory(rows)
    ledger.update(weighted)
    result = replayed(weighted, KNOWN).to_json()
    assert [row["calls"] for row in result["baseline"]["daily"]] == [12]
    assert result["strategies"][0]["demand_calls"] == 12
