"""The replay: the identity gives the ledger back, savings add up, and the baseline is what was logged."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builder import build_in_memory
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis.ledger import ledger
from analysis.money import exact_sum
from analysis.price_book import vocabulary
from ingest.errors import StrategyError
from ingest.store.database import Store
from replay.engine.engine import Engine
from replay.engine.run import run
from replay.outcomes import BYPASSED, HIT, MISS
from replay.strategy.schema import parse
from replay.traffic.load_traffic import load

START = datetime(2024, 3, 5)
COMBINED = """
name: combined
route:
  - {match: {task: summary}, model: gpt-3.5-turbo}
cache:
  tiers:
    - {name: memory, scope: process, ttl: 5m, max_entries: 3}
    - {name: redis, ttl: 24h}
quality: {floor: 0.9}
"""


def calls(count: int = 120) -> list[dict[str, Any]]:
    """Two tasks, seven keys, a call every 17 minutes."""
    return [
        {
            "start_time": START + timedelta(minutes=17 * number),
            "duration_ms": 900.0,
            "agent": "writer",
            "task": ("summary", "draft")[number % 2],
            "input_tokens": 1000 + 37 * number,
            "output_tokens": 200 + number,
            "key_canonical": number % 7,
            "process_id": f"p{number % 2}",
        }
        for number in range(count)
    ]


def store_of(path: Path, rows: list[dict[str, Any]]) -> Store:
    store = build_in_memory(rows)
    ledger.update(store)
    return store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return store_of(tmp_path, calls())


def test_the_identity_strategy_gives_the_ledger_back_call_by_call(store: Store) -> None:
    traffic = load(store)
    outcome = Engine(traffic, parse("name: logged")).evaluate(frozenset())
    assert (outcome.cost_pico == traffic.cost).all()
    assert outcome.as_logged.all()


def test_the_pricing_function_agrees_with_the_ledger_on_unchanged_calls(store: Store) -> None:
    engine = Engine(load(store), parse("name: logged"))
    assert (engine.rates.price(engine.traffic.usage).total == engine.traffic.cost).all()


def test_savings_by_stage_sum_to_the_saving(store: Store) -> None:
    result = run(store, [parse(COMBINED)]).strategies[0]
    assert sum(result.savings_pico.values()) == result.baseline_pico - result.cost_pico
    assert sum(result.tier_savings_pico.values()) == result.savings_pico["cache"]
    assert sum(row.cost_pico for row in result.daily) == result.cost_pico
    assert result.hits > 0


def test_the_baseline_is_what_was_logged(store: Store) -> None:
    replayed = run(store, [parse(COMBINED)])
    with store.read() as con:
        logged = con.execute("SELECT sum(cost_usd) FROM ledger").fetchall()[0][0]
    assert replayed.to_json()["baseline"]["cost_usd"].rstrip("0") == f"{logged:f}".rstrip("0")


def test_equal_input_gives_equal_bytes(store: Store) -> None:
    first, second = (run(store, [parse(COMBINED)]).to_json() for _ in range(2))
    assert first == second
    assert first["strategies"][0]["run_id"] != run(store, [parse(COMBINED)], until=START.date()).strategies[0].run_id


def test_a_routed_call_is_priced_at_its_new_model(store: Store) -> None:
    engine = Engine(load(store), parse("{name: r, route: [{match: {task: summary}, model: gpt-3.5-turbo}]}"))
    traffic, outcome = engine.traffic, engine.evaluate(engine.everything)
    moved = outcome.model != traffic.model
    assert moved.sum() == 60
    expected = traffic.tokens("input")[moved] * 500_000 + traffic.tokens("output")[moved] * 1_500_000
    assert (outcome.cost_pico[moved] == expected).all()
    assert (outcome.cost_pico[~moved] == traffic.cost[~moved]).all()


def test_a_call_beyond_the_target_window_stays_and_is_counted(tmp_path: Path) -> None:
    rows = calls(10)
    rows[3]["input_tokens"] = 20_000
    store = store_of(tmp_path, rows)
    result = run(store, [parse("{name: r, route: [{default: gpt-3.5-turbo}]}")]).strategies[0]
    assert sum(result.stayed.values()) == 1
    engine = Engine(load(store), parse("{name: r, route: [{default: gpt-3.5-turbo}]}"))
    assert engine.evaluate(engine.everything).cost_pico[3] == engine.traffic.cost[3]


def test_a_retry_is_paid_but_never_asks_a_cache(tmp_path: Path) -> None:
    rows = calls(4)
    for row in rows:
        row.update(key_canonical=0, task="draft", process_id="p0")
    rows[1].update(attempt=2)
    engine = Engine(load(store_of(tmp_path, rows)), parse(COMBINED))
    outcome = engine.evaluate(engine.everything)
    assert outcome.codes.tolist() == [MISS, BYPASSED, HIT + 1, HIT + 1]
    assert outcome.cost_pico[1] == engine.traffic.cost[1]


def test_a_gateway_hit_stays_free_unless_the_strategy_brings_its_own_cache(tmp_path: Path) -> None:
    rows = calls(3)
    for row in rows:  # when batches had a price
        row["start_time"] += timedelta(days=90)
    rows[0].update(status="gateway_cache_hit")
    store = store_of(tmp_path, rows)
    for stage in (
        "route: [{default: gpt-3.5-turbo}]",
        "route: [{default: gpt-3.5-turbo}], classifier: {model: gpt-3.5-turbo, placed: after_cache}",
        "batch: [{match: {task: '*'}}]",
    ):
        engine = Engine(load(store), parse(f"{{name: r, {stage}}}"))
        outcome = engine.evaluate(engine.everything)
        assert outcome.cost_pico[0] == 0
        assert (outcome.model[0], outcome.tier[0]) == (engine.traffic.model[0], engine.traffic.tier[0])
        assert (outcome.cost_pico[1:] != engine.traffic.cost[1:]).all()
    cached = Engine(load(store), parse("{name: c, cache: {tiers: [{name: m, ttl: 1h}]}}"))
    assert cached.evaluate(cached.everything).cost_pico[0] > 0
    assert cached.evaluate(frozenset()).cost_pico[0] == 0


def test_an_unpriced_call_leaves_both_sides_and_is_counted(tmp_path: Path) -> None:
    rows = calls(6)
    rows[2].update(model="in-house-7b", provider_name=None)
    store = store_of(tmp_path, rows)
    result = run(store, [parse(COMBINED)])
    assert result.unpriced_calls == 1
    assert result.strategies[0].unpriced_calls == 1
    assert result.strategies[0].baseline_pico == result.baseline_pico


def test_earlier_calls_warm_the_cache_and_cold_does_not(store: Store) -> None:
    second = (START + timedelta(days=1)).date()
    inside = [row for row in calls() if row["start_time"].date() >= second]
    strategy = parse("{name: c, cache: {tiers: [{name: m}]}}")
    warm = run(store, [strategy], since=second).strategies[0]
    assert (warm.demand, warm.hits) == (len(inside), len(inside))
    cold = run(store, [strategy], since=second, cold=True).strategies[0]
    assert (cold.demand, cold.hits) == (len(inside), len(inside) - 7)


def test_weighted_rows_refuse_a_cache_with_the_reason(tmp_path: Path) -> None:
    rows = calls(3)
    rows[0].update(weight=5)
    store = store_of(tmp_path, rows)
    with pytest.raises(StrategyError, match="weight"):
        run(store, [parse(COMBINED)])


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.integers(0, 3_000), st.integers(0, 5), st.sampled_from(["summary", "draft"]), st.integers(0, 30_000)
        ),
        min_size=1,
        max_size=40,
    )
)
def test_every_coalition_is_exact_on_random_traffic(tmp_path_factory: pytest.TempPathFactory, rows: Any) -> None:
    made = [
        {
            "start_time": START + timedelta(minutes=minute),
            "task": task,
            "key_canonical": key,
            "input_tokens": tokens,
            "output_tokens": tokens // 7,
        }
        for minute, key, task, tokens in rows
    ]
    store = store_of(tmp_path_factory.mktemp("s"), made)
    result = run(store, [parse(COMBINED)]).strategies[0]
    assert sum(result.savings_pico.values()) == result.baseline_pico - result.cost_pico
    traffic = load(store)
    assert exact_sum(traffic.cost[traffic.cost != vocabulary.UNPRICED]) == result.baseline_pico
    assert np.all(np.diff(traffic.start_ms) >= 0)
