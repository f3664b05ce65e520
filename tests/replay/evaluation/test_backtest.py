"""A forecast is worth its interval: it covers held-out days as often as it says, and drift is named in dollars."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builder import build_in_memory

from analysis.ledger import ledger
from benchmarks.trust.forecast_intervals import WORLDS, World, coverage
from ingest.errors import InputError
from ingest.pipeline.run import ingest
from ingest.store.database import Store
from replay.engine.run import run
from replay.evaluation.backtest import backtest
from replay.evaluation.verify import verify
from replay.optimize.search import optimize
from replay.strategy import schema
from sample_logs import generate, strategies

CHEAP = schema.parse(
    "name: cheap\nroute:\n  - {match: {task: summary}, model: gpt-3.5-turbo-16k}\nquality: {floor: 0.9}"
)


def rows_of(days: Sequence[int], seed: int = 0, per_day: int = 80) -> list[dict[str, Any]]:
    """Sessions of two calls; each day has its own size of prompts, a few per cent around the mean."""
    rng = np.random.default_rng(seed)
    rows = []
    for day in days:
        heavy = rng.normal(1.0, 0.05)
        for number in range(per_day):
            rows.append(
                {
                    "start_time": datetime(2024, 3, 1) + timedelta(days=day, minutes=number * 15),
                    "agent": "writer",
                    "task": ("summary", "draft")[number % 2],
                    "conversation_id": f"{day}-{number // 2}",
                    "input_tokens": max(int(rng.gamma(4.0, 400 * heavy)), 1),
                    "output_tokens": int(rng.gamma(3.0, 100)) + 1,
                    "duration_ms": 800.0,
                }
            )
    return rows


def store_of(path: Path, rows: list[dict[str, Any]]) -> Store:
    store = build_in_memory(rows)
    ledger.update(store)
    return store


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_the_interval_covers_the_future_nine_times_in_ten(world: World) -> None:
    covered, _ = coverage(world, runs=150, seed=4)
    assert 0.83 <= covered <= 0.965


def test_a_forecast_from_like_days_lies_inside_its_interval(tmp_path: Path):
    result = backtest(store_of(tmp_path, rows_of(range(14))), CHEAP, split=date(2024, 3, 11))
    assert (result.known_days, result.test_days) == (10, 4)
    assert result.inside
    assert result.error is not None
    assert 0 < abs(result.error) < 0.05
    assert result.low_pico < result.forecast_pico < result.high_pico < result.logged_pico
    assert sum(row[3] for row in result.daily) == result.realised_pico
    assert sum(row[2] for row in result.daily) == pytest.approx(result.forecast_pico, abs=len(result.daily))


def test_the_realised_cost_is_the_replay_of_those_days(tmp_path: Path):
    store = store_of(tmp_path, rows_of(range(8)))
    result = backtest(store, CHEAP, split=date(2024, 3, 6))
    replayed = run(store, [CHEAP], since=date(2024, 3, 6)).strategies[0]
    assert result.realised_pico == replayed.cost_pico
    assert result.logged_pico == replayed.baseline_pico


def test_the_forecast_does_not_see_the_held_out_days(tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    rows = rows_of(range(10))
    other = [dict(row) for row in rows]
    for row in other:
        if row["start_time"] >= datetime(2024, 3, 8):
            row["output_tokens"] *= 3
    one, two = (
        backtest(store_of(tmp_path / name, found), CHEAP, split=date(2024, 3, 8))
        for name, found in (("a", rows), ("b", other))
    )
    assert one.forecast_pico / one.logged_pico == pytest.approx(two.forecast_pico / two.logged_pico, rel=0.05)
    assert one.realised_pico != two.realised_pico


def test_a_split_outside_the_log_is_a_clear_error(tmp_path: Path):
    store = store_of(tmp_path, rows_of(range(3)))
    for day in (date(2024, 2, 1), date(2025, 1, 1)):
        with pytest.raises(InputError, match="no priced calls"):
            backtest(store, CHEAP, split=day)
        with pytest.raises(InputError, match="no priced calls"):
            verify(store, CHEAP, rollout=day)


# -- after the rollout -------------------------------------------------------------------------------------------------


def rolled_out(rows: list[dict[str, Any]], day: datetime, share: float = 1.0) -> list[dict[str, Any]]:
    """The log of a team that moved `share` of the summaries to the small model on that day."""
    changed = []
    moved = 0
    for number, row in enumerate(rows):
        if row["start_time"] >= day and row["task"] == "summary" and (number // 2) % 10 < share * 10:
            row = {**row, "model": "gpt-3.5-turbo-16k"}
            moved += 1
        changed.append(row)
    assert moved
    return changed


def test_a_faithful_rollout_is_as_forecast(tmp_path: Path):
    store = store_of(tmp_path, rolled_out(rows_of(range(16)), datetime(2024, 3, 11)))
    result = verify(store, CHEAP, rollout=date(2024, 3, 11))
    assert result.inside
    assert sum(drift.amount_pico for drift in result.drifts) == result.realised_pico - result.forecast_pico


def test_a_half_hearted_rollout_names_the_models_as_the_drift(tmp_path: Path):
    store = store_of(tmp_path, rolled_out(rows_of(range(16)), datetime(2024, 3, 11), share=0.5))
    result = verify(store, CHEAP, rollout=date(2024, 3, 11))
    assert not result.inside
    assert result.realised_pico > result.high_pico
    assert (result.drifts[0].segment, result.drifts[0].cause) == ("writer / summary", "models")
    assert sum(drift.amount_pico for drift in result.drifts) == result.realised_pico - result.forecast_pico


def test_longer_answers_after_the_rollout_are_named(tmp_path: Path):
    rows = rolled_out(rows_of(range(16)), datetime(2024, 3, 11))
    for row in rows:
        if row["start_time"] >= datetime(2024, 3, 11) and row["task"] == "draft":
            row["output_tokens"] *= 4
    result = verify(store_of(tmp_path, rows), CHEAP, rollout=date(2024, 3, 11))
    assert (result.drifts[0].segment, result.drifts[0].cause) == ("writer / draft", "tokens and prices")
    assert sum(drift.amount_pico for drift in result.drifts) == result.realised_pico - result.forecast_pico


def test_a_cache_that_hits_less_than_forecast_is_named(tmp_path: Path):
    rows = rows_of(range(16))
    for number, row in enumerate(rows):
        row["key_canonical"] = number % 40 if row["task"] == "summary" else 1000 + number
        if row["start_time"] >= datetime(2024, 3, 11) and row["task"] == "summary" and number % 3 == 0:
            row |= {"status": "gateway_cache_hit"}
    cached = schema.parse("name: cached\ncache: {tiers: [{name: shared, ttl: 30d}]}")
    result = verify(store_of(tmp_path, rows), cached, rollout=date(2024, 3, 11))
    assert (result.drifts[0].segment, result.drifts[0].cause) == ("writer / summary", "hit rate")
    assert (result.drifts[0].before or 0) >= 0.9 > 0.5 > (result.drifts[0].after or 0)
    assert sum(drift.amount_pico for drift in result.drifts) == result.realised_pico - result.forecast_pico


# -- the origin story --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The origin story at an eighth of its traffic."""
    folder = tmp_path_factory.mktemp("origin")
    files = generate.generate(folder / "logs", traffic=generate.Traffic(articles=7.0))
    store = Store(folder / "origin.duckdb")
    ingest(store, files)
    ledger.update(store)
    return store


@pytest.mark.slow
def test_the_optimizer_matches_the_hand_written_strategy_and_its_forecast_holds(origin: Store):
    first, split, last = date(2024, 3, 5), date(2024, 3, 8), date(2024, 3, 10)
    hand = schema.load(next(path for path in strategies() if path.stem == "combined"))
    found = optimize(origin, floor=hand.quality.floor, since=first, until=split - timedelta(days=1), base=hand)
    assert found.report.verdict == "passes"
    both = run(origin, [hand, found.strategy], since=first, until=split - timedelta(days=1)).strategies
    assert both[1].cost_pico <= both[0].cost_pico
    assert both[1].quality["verdict"] == "passes"
    result = backtest(origin, found.strategy, split=split, since=first, until=last)
    assert result.inside
    assert abs(result.error or 1) < 0.1
