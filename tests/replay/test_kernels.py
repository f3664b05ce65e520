"""The fast single-cache kernels equal the oracle, and dense ids are what a dictionary would give."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_tiers import drifting

from replay.kernels.dense import factorise
from replay.tiers import Requests, Tier, simulate


def at_once(seed: int, n: int, *, keys: int, processes: int = 1) -> Requests:
    return drifting(seed, n, keys=keys, slow=False, processes=processes)


@pytest.mark.parametrize("policy", ["lru", "fifo", "sieve"])
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(0, 900),
    room=st.none() | st.integers(1, 40),
    ttl=st.none() | st.integers(1, 3000),
    sliding=st.booleans(),
)
def test_one_cache_equals_the_oracle_on_drifting_traffic(policy, seed, n, room, ttl, sliding):
    calls = at_once(seed, n, keys=80)
    tier = Tier("t", ttl_ms=ttl, sliding=sliding, max_entries=room, policy=policy)
    assert simulate(calls, [tier]).tolist() == oracles.tiers(calls, [tier]).tolist()
    stored = replace(calls, storable=np.ones(n, bool))  # the leanest loops, where nothing expires
    assert simulate(stored, [tier]).tolist() == oracles.tiers(stored, [tier]).tolist()


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    rooms=st.tuples(st.none() | st.integers(1, 10), st.none() | st.integers(1, 40)),
    ttls=st.tuples(st.none() | st.integers(1, 500), st.none() | st.integers(1, 5000)),
    fill=st.booleans(),
)
def test_memory_before_redis_equals_the_oracle_on_drifting_traffic(seed, rooms, ttls, fill):
    calls = at_once(seed, 900, keys=80, processes=4)
    stack = [
        Tier("memory", "process", ttl_ms=ttls[0], max_entries=rooms[0], fill_on_lower_hit=fill),
        Tier("redis", ttl_ms=ttls[1], max_entries=rooms[1]),
    ]
    assert simulate(calls, stack).tolist() == oracles.tiers(calls, stack).tolist()


def test_many_keys_and_processes_get_dense_pairs_and_the_same_outcomes():
    rng = np.random.default_rng(3)
    n = 2000
    start = np.cumsum(rng.integers(0, 50, n))
    yes = np.ones(n, bool)
    key, process = rng.integers(0, 20_000, n) // 100 * 100, rng.integers(0, 200, n) // 20
    calls = Requests(key.astype(np.int32), start, start, yes, yes, process.astype(np.int32), np.ones(n, np.int64))
    sparse = Requests(
        key.astype(np.int32), start, start, yes, yes, (process * 20).astype(np.int32), np.ones(n, np.int64)
    )
    stack = [Tier("memory", "process", max_entries=5), Tier("redis", ttl_ms=9000)]
    assert simulate(calls, stack).tolist() == simulate(sparse, stack).tolist() == oracles.tiers(calls, stack).tolist()


@given(values=st.lists(st.integers(-(2**63) + 1, 2**63 - 1) | st.integers(-3, 3), max_size=200))
def test_dense_ids_count_up_in_order_of_first_appearance(values):
    ids, firsts = factorise(np.array(values, np.int64), skip=-1)
    known: dict[int, int] = {}
    expected = [-1 if value == -1 else known.setdefault(value, len(known)) for value in values]
    assert ids.tolist() == expected
    assert [values[row] for row in firsts] == list(known)
