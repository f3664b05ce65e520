"""What a cache is asked for: keys by policy, by tenant and by temperature; and the grid over it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from builder import build_in_memory

from analysis.ledger.ledger import update
from replay.engine.engine import Engine
from replay.outcomes import HIT
from replay.response_cache import grid
from replay.response_cache.lookups import demand
from replay.response_cache.simulate import simulate
from replay.strategy.schema import parse
from replay.traffic import load_traffic
from replay.traffic.traffic import Traffic


def load(folder: Path, **columns: list[object]) -> Traffic:
    """One call a second of gpt-4o; `columns` are lists of equal length."""
    count = len(next(iter(columns.values())))
    rows = [
        {
            "start_time": f"2024-11-05 10:{number // 60:02}:{number % 60:02}",
            "model": "gpt-4o",
            "input_tokens": 1000,
            "output_tokens": 10,
            "key_canonical": 1,
            **{name: values[number] for name, values in columns.items()},
        }
        for number in range(count)
    ]
    store = build_in_memory(rows)
    update(store)
    return load_traffic.load(store)


def test_the_model_and_the_tenant_are_part_of_the_key(tmp_path):
    log = load(tmp_path, model=["gpt-4o", "gpt-4o-mini", "gpt-4o"], user_id=["ann", "ann", "bo"])
    assert demand(log).requests.key.tolist() == [0, 1, 0]
    assert demand(log, tenant="user_id").requests.key.tolist() == [0, 1, 2]


def test_hot_calls_are_cached_kept_out_or_given_a_pool_of_answers(tmp_path):
    log = load(tmp_path, temperature=[0.0, 0.7, None, 0.7, 0.7, 0.0])
    assert demand(log, temperature="always").requests.key.tolist() == [0] * 6
    assert demand(log, temperature="zero").requests.key.tolist() == [0, -1, -1, -1, -1, 0]  # the default is 1
    pooled = demand(log, temperature="pool", pool=2).requests.key
    assert pooled[0] == pooled[5]
    assert len(set(pooled[1:5].tolist())) == 2


def test_calls_without_a_key_and_retries_are_never_looked_up(tmp_path):
    log = load(tmp_path, key_canonical=[None, 3, 3], attempt=[1, 1, 2])
    asks = demand(log)
    assert asks.requests.key.tolist() == [-1, 0, 0]
    assert asks.asked.tolist() == [False, True, False]


def test_a_hit_is_worth_its_own_call_and_an_unpriced_one_nothing(tmp_path):
    log = load(tmp_path, model=["gpt-4o", "no-such-model"])
    assert demand(log).worth.tolist() == [1000 * 2_500_000 + 10 * 10_000_000, 0]


@pytest.mark.parametrize("threads", [1, 3])
def test_each_cell_of_the_grid_is_a_simulation_of_its_own_in_the_order_asked(tmp_path, threads):
    rng = np.random.default_rng(1)
    keys = (rng.zipf(1.3, 400) % 50).tolist()
    log = load(tmp_path, key_canonical=keys, process_id=[f"p{n % 3}" for n in range(400)])
    asks = demand(log)
    chosen = grid.settings([5000, None], [3, 20, None], ["lru", "sieve", "allkeys-lfu"], ["shared", "two", "process"])
    assert len(chosen) == 3 * 2 * (2 * 3 + 1)
    cells = grid.sweep(asks, chosen, threads=threads)
    assert [cell.setting for cell in cells] == chosen
    for cell in cells:
        outcomes = simulate(asks.requests, cell.setting.tiers())
        hit = (outcomes >= HIT) & (outcomes < HIT + 6)
        assert (cell.hits, cell.saved) == (hit.sum(), asks.worth[hit].sum())
        assert sum(cell.hits_by_tier) == cell.hits
    best = grid.best(cells, days=1)
    assert best is not None
    assert all(best.net_usd_per_day(1, grid.MEMORY_USD) >= one.net_usd_per_day(1, grid.MEMORY_USD) for one in cells)


def test_what_a_gateway_answered_is_demand_of_our_cache_and_fills_it(tmp_path: Path) -> None:
    log = load(tmp_path, status=["gateway_cache_hit", "ok", "error"], finish_reason=["stop", "stop", None])
    spec = parse("{name: c, cache: {tiers: [{name: r, ttl: 24h}]}}")
    outcome = Engine(log, spec).evaluate(frozenset({"cache"}))
    assert outcome.hits.tolist() == [False, True, True]
    assert log.cost[0] == 0
    assert outcome.cost_pico.tolist() == [log.cost[1], 0, 0]
