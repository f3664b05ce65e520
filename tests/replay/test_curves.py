"""Curves agree with one simulation per point, in hits and in dollars, and keep the laws of caches."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_tiers import drifting

from replay.outcomes import HIT
from replay.provider_cache import simulate as prompt_cache
from replay.provider_cache.simulate import PromptCacheRule
from replay.response_cache import curves
from replay.response_cache.simulate import Requests, Tier, simulate
from replay.traffic.prompts import KINDS, Contents, Prompts


def traffic(seed: int, n: int, keys: int = 60) -> tuple[Requests, np.ndarray]:
    calls = drifting(seed, n, keys=keys, slow=False)
    return calls, np.random.default_rng(seed).integers(0, 10**12, n)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(0, 600), stored=st.booleans())
def test_each_point_of_the_ttl_curve_is_a_simulation_of_its_own(seed, n, stored):
    calls, worth = traffic(seed, n)
    if stored:
        calls = replace(calls, storable=np.ones(n, bool))
    ttls = (1, 7, 40, 300, 5000)
    for sliding in (False, True) if stored else (False,):
        curve = curves.ttl_curve(calls, worth, ttls, sliding=sliding)
        for number, ttl in enumerate(ttls):
            hit = simulate(calls, [Tier("t", ttl_ms=ttl, sliding=sliding)]) == HIT
            assert curve.hits[number] == hit.sum()
            assert curve.saved[number] == worth[hit].sum()
        assert curve.hits.tolist() == sorted(curve.hits.tolist())


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(0, 600))
def test_each_point_of_the_capacity_curve_is_an_lru_cache_of_that_size(seed, n):
    calls, worth = traffic(seed, n)
    calls = replace(calls, storable=np.ones(n, bool))
    curve = curves.capacity_curve(calls, worth)
    for number in range(0, len(curve.at), 7):
        hit = simulate(calls, [Tier("t", max_entries=int(curve.at[number]))]) == HIT
        assert curve.hits[number] == hit.sum()
        assert curve.saved[number] == worth[hit].sum()


def test_distances_survive_the_closing_up_of_the_window():
    """With more calls than the window has places, every capacity still agrees with a direct run."""
    rng = np.random.default_rng(1)
    n = 3 * curves.WINDOW
    key = np.minimum(rng.zipf(1.2, n), 50_000).astype(np.int32) - 1
    key = (key + np.arange(n) // 100) % 60_000
    start, yes = np.arange(n, dtype=np.int64), np.ones(n, bool)
    calls = Requests(key.astype(np.int32), start, start, yes, yes, np.zeros(n, np.int32), np.ones(n, np.int64))
    curve = curves.capacity_curve(calls, np.ones(n, np.int64))
    for room in (10, 1000, 20_000, 50_000):
        hit = int((simulate(calls, [Tier("t", max_entries=room)]) == HIT).sum())
        assert curve.hits[room - 1] == curve.saved[room - 1] == hit


def test_a_sampled_curve_is_near_the_exact_one_and_says_how_near():
    rng = np.random.default_rng(2)
    n, keys = 1_000_000, 100_000
    weight = np.cumsum(1 / np.arange(1, keys + 1))
    key = np.searchsorted(weight / weight[-1], rng.random(n)).astype(np.int32)
    key = rng.permutation(keys).astype(np.int32)[key]
    start, yes = np.arange(n, dtype=np.int64), np.ones(n, bool)
    calls = Requests(key, start, start, yes, yes, np.zeros(n, np.int32), np.ones(n, np.int64))
    exact = curves.capacity_curve(calls, np.ones(n, np.int64))
    sampled = curves.sampled_capacity_curve(calls, np.ones(n, np.int64), rate=0.05)
    large = sampled.at >= 1000
    difference = np.abs(sampled.hits - exact.hits[sampled.at - 1])[large] / n
    assert difference.max() < 0.02
    assert (difference <= 5 * sampled.error[large] + 0.005).all()


def blocks(data) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The public trace as one sequence of blocks: their numbers, their tokens, and where each request begins."""
    path = data / "mooncake_synthetic.jsonl"
    if not path.exists():
        pytest.skip("the public trace is absent")
    ids, tokens, offsets = [], [], [0]
    for line in path.read_text().splitlines():
        row = json.loads(line)
        length = row["input_length"]
        for number, block in enumerate(row["hash_ids"]):
            ids.append(block)
            tokens.append(min(512, length - 512 * number))
        offsets.append(len(ids))
    _, dense = np.unique(ids, return_inverse=True)
    return dense.astype(np.int32), np.array(tokens), np.array(offsets)


@pytest.mark.data
def test_the_prompt_cache_finds_the_public_trace_s_prefixes(data):
    """Blocks of the trace as texts of their own: without limits, every block seen before is a cached prefix."""
    key, tokens, offsets = blocks(data)
    size = np.zeros(int(key.max()) + 1, np.int32)
    np.maximum.at(size, key, tokens)
    contents = Contents(
        content_id=np.arange(len(size), dtype=np.int32),
        kind=np.full(len(size), KINDS.index("user"), np.int8),
        words=np.zeros(len(size), np.int32),
        tokens={"o200k_base": size},
        block_offsets=np.zeros(len(size) + 1, np.int64),
        block_hashes=np.empty(0, np.int64),
        texts={},
    )
    n = len(offsets) - 1
    rule = PromptCacheRule(
        name="all", provider="p", models=("*",), since=date(2024, 1, 1), minimum=0, ttl_ms=10**12, source="a test"
    )
    found = prompt_cache.simulate(
        prompt_cache.block_chains(Prompts(offsets, key, contents)),
        scope=np.zeros(n, np.int32),
        start_ms=np.arange(n),
        alive=np.ones(n, bool),
        rule=np.zeros(n, np.int32),
        rules=[rule],
    )
    assert round(int(found.cached_tokens.sum()) / int(tokens.sum()), 4) == 0.6512


@pytest.mark.data
def test_a_public_trace_of_prefix_blocks_gives_its_golden_figures(data):
    key, tokens, _ = blocks(data)
    n = len(key)
    assert (n, len(np.unique(key))) == (121_877, 43_924)
    start, yes = np.arange(n, dtype=np.int64), np.ones(n, bool)
    calls = Requests(key, start, start, yes, yes, np.zeros(n, np.int32), np.ones(n, np.int64))
    curve = curves.capacity_curve(calls, tokens)
    assert round(curve.hits[-1] / n, 4) == 0.6396
    assert round(curve.saved[-1] / tokens.sum(), 4) == 0.6512
    for room, expected in ((50_000, 0.6396), (30_000, 0.6242), (10_000, 0.4235), (1_000, 0.0825)):
        assert round(curve.hits[min(room, len(curve.hits)) - 1] / n, 4) == expected
        assert round(int((simulate(calls, [Tier("t", max_entries=room)]) == HIT).sum()) / n, 4) == expected
