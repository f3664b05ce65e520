"""The fast single-cache kernels equal the oracle, and dense ids are what a dictionary would give."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_tiers import drifting

from replay.kernels.common.dense_ids import count, factorise, pick
from replay.response_cache import simulate as tiers
from replay.response_cache.simulate import Requests, Tier, simulate


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


@given(values=st.lists(st.integers(0, 40), max_size=300))
def test_counting_and_picking_by_id_are_numpys(values):
    ids, table = np.array(values, np.int32), np.arange(41) ** 2
    assert count(ids, 41).tolist() == np.bincount(ids, minlength=41).tolist()
    assert pick(table, ids).tolist() == table[ids].tolist()


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    rooms=st.tuples(st.integers(1, 6), st.none() | st.integers(1, 40)),
    ttls=st.tuples(st.none() | st.integers(1, 500), st.none() | st.integers(1, 5000)),
    slow=st.booleans(),
)
def test_slots_serve_as_a_place_per_pair_does(seed, rooms, ttls, slow):
    calls = drifting(seed, 1500, keys=120, processes=3, slow=slow)
    stack = [Tier("memory", "process", ttl_ms=ttls[0], max_entries=rooms[0]), Tier("redis", "shared", ttls[1])]
    stack[1] = replace(stack[1], max_entries=rooms[1])
    expected = oracles.tiers(calls, stack).tolist()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tiers, "MANY_PAIRS", 1)
        assert simulate(calls, stack).tolist() == expected
    assert simulate(calls, stack).tolist() == expected


@pytest.mark.parametrize("policy", ["lru", "fifo", "sieve"])
def test_the_leanest_loops_agree_with_the_general_kernel_on_a_long_log(policy):
    calls = replace(at_once(5, 60_000, keys=5000), storable=np.ones(60_000, bool))
    general = np.empty(60_000, np.int8)
    for room in (1, 63, 64, 700):
        stack = [Tier("t", max_entries=room, policy=policy)]
        tiers._run_general(calls, stack, 5000, calls.start_ms, calls.end_ms, False, None, 0, general)
        assert (simulate(calls, stack) == general).all()
