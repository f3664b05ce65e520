"""The tier kernel equals plain Python call by call, and keeps the laws of caches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.errors import StrategyError
from replay.outcomes import BYPASSED, COALESCED, EXPIRED, HIT, MISS
from replay.response_cache.simulate import POLICIES, REDIS_OVERHEAD_BYTES, Events, Requests, Tier, simulate


def requests(rows: list[tuple[int, int, int]], **columns: object) -> Requests:
    """Rows of (key, start, end); everything is storable demand of process 0 and ten bytes, unless columns say else."""
    n = len(rows)
    plain = {
        "key": np.array([row[0] for row in rows], np.int32),
        "start_ms": np.array([row[1] for row in rows], np.int64),
        "end_ms": np.array([row[2] for row in rows], np.int64),
        "storable": np.ones(n, bool),
        "lookup": np.ones(n, bool),
        "process": np.zeros(n, np.int32),
        "size_bytes": np.full(n, 10, np.int64),
    }
    return Requests(**{**plain, **{name: np.asarray(value) for name, value in columns.items()}})


def drifting(seed: int, n: int, *, keys: int = 40, slow: bool = True, processes: int = 3) -> Requests:
    """Traffic whose popular keys move, with scans, bursts of one millisecond, errors, retries and missing keys."""
    rng = np.random.default_rng(seed)
    drift = np.arange(n) * keys // (2 * max(1, n))
    key = (rng.zipf(1.4, n) + drift) % keys
    scan = rng.random(n) < 0.1
    key[scan] = (np.arange(n)[scan] * 7) % keys
    start = np.cumsum(rng.choice([0, 0, 1, 5, 40], n))
    return Requests(
        key=np.where(rng.random(n) < 0.03, -1, key).astype(np.int32),
        start_ms=start.astype(np.int64),
        end_ms=start + (rng.choice([0, 1, 10, 60], n) if slow else 0),
        storable=rng.random(n) < 0.9,
        lookup=rng.random(n) < 0.95,
        process=rng.integers(0, processes, n).astype(np.int32),
        size_bytes=rng.integers(1, 60, n),
    )


tier = st.builds(
    Tier,
    name=st.just("t"),
    scope=st.sampled_from(["process", "shared"]),
    ttl_ms=st.none() | st.integers(1, 400),
    sliding=st.booleans(),
    max_entries=st.none() | st.integers(1, 12) | st.integers(30, 50),  # 40 keys: some limits never bind
    max_bytes=st.none() | st.integers(20, 900) | st.integers(1500, 3000),
    policy=st.sampled_from(["lru", "fifo", "sieve", "lfu", "s3fifo"]),
    fill_on_lower_hit=st.booleans(),
    overhead_bytes=st.sampled_from([0, 7]),
)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(0, 400),
    stack=st.lists(tier, min_size=1, max_size=6),
    coalesce=st.booleans(),
    slow=st.booleans(),
)
def test_the_kernel_equals_the_oracle_call_by_call(seed, n, stack, coalesce, slow):
    calls = drifting(seed, n, slow=slow)
    in_flight = "coalesced" if coalesce else "duplicate"
    assert (
        simulate(calls, stack, in_flight=in_flight).tolist()
        == oracles.tiers(calls, stack, in_flight=in_flight).tolist()
    )


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), stack=st.lists(tier, min_size=1, max_size=3), count=st.integers(1, 30))
def test_invalidations_and_restarts_equal_the_oracle(seed, stack, count):
    calls = drifting(seed, 300)
    rng = np.random.default_rng(seed)
    events = Events(
        time_ms=np.sort(rng.integers(0, int(calls.start_ms[-1]) + 1, count)),
        key=np.where(rng.random(count) < 0.7, rng.integers(0, 40, count), -1).astype(np.int32),
        process=rng.integers(0, 3, count).astype(np.int32),
    )
    assert simulate(calls, stack, events=events).tolist() == oracles.tiers(calls, stack, events=events).tolist()


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-lfu"])
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), room=st.integers(1, 30), samples=st.integers(1, 10))
def test_the_sampled_policies_draw_the_same_numbers_as_the_oracle(policy, seed, room, samples):
    calls = drifting(seed, 500, keys=90)
    stack = [Tier("redis", ttl_ms=900, max_entries=room, policy=policy, samples=samples)]
    assert simulate(calls, stack).tolist() == oracles.tiers(calls, stack).tolist()


def test_an_entry_is_alive_at_the_very_millisecond_of_its_expiry_and_not_after():
    calls = requests([(0, 0, 0), (0, 100, 100), (0, 101, 101)])
    assert simulate(calls, [Tier("t", ttl_ms=100)]).tolist() == [MISS, HIT, EXPIRED]


def test_an_answer_is_visible_from_its_end_to_later_calls_of_the_same_millisecond():
    calls = requests([(0, 0, 50), (0, 49, 60), (0, 50, 70)])
    assert simulate(calls, [Tier("t")]).tolist() == [MISS, MISS, HIT]
    assert simulate(calls, [Tier("t")], in_flight="coalesced").tolist() == [MISS, COALESCED, HIT]
    same = requests([(0, 5, 5), (0, 5, 5)])
    assert simulate(same, [Tier("t")]).tolist() == [MISS, HIT]


def test_errors_and_retries_never_fill_a_cache():
    calls = requests(
        [(0, 0, 0), (0, 1, 1), (0, 2, 2), (0, 3, 3)],
        storable=[False, True, True, True],
        lookup=[True, False, True, True],
    )
    assert simulate(calls, [Tier("t")]).tolist() == [MISS, BYPASSED, MISS, HIT]


def test_nobody_waits_for_a_call_that_will_fail():
    calls = requests([(0, 0, 50), (0, 10, 60)], storable=[False, True])
    assert simulate(calls, [Tier("t")], in_flight="coalesced").tolist() == [MISS, MISS]


def test_memory_filled_from_below_dies_with_the_entry_below():
    stack = [Tier("memory", "process", ttl_ms=300), Tier("redis", ttl_ms=400)]
    calls = requests([(0, 0, 0), (0, 350, 350), (0, 400, 400), (0, 401, 401)], process=np.array([0, 1, 1, 1], np.int32))
    assert simulate(calls, stack).tolist() == [MISS, HIT + 1, HIT, EXPIRED]


def test_an_infinite_cache_misses_once_per_key():
    calls = drifting(5, 3000, slow=False)
    plain = Requests(
        calls.key,
        calls.start_ms,
        calls.start_ms,
        np.ones(3000, bool),
        np.ones(3000, bool),
        calls.process,
        calls.size_bytes,
    )
    outcomes = simulate(plain, [Tier("t")])
    assert (outcomes == MISS).sum() == len(np.unique(calls.key[calls.key >= 0]))
    assert (outcomes == BYPASSED).sum() == (calls.key < 0).sum()


def test_a_bigger_lru_serves_every_call_that_a_smaller_one_serves():
    calls = drifting(9, 4000, keys=300, slow=False)
    calls = Requests(
        calls.key, calls.start_ms, calls.start_ms, np.ones(4000, bool), calls.lookup, calls.process, calls.size_bytes
    )
    small, large = (simulate(calls, [Tier("t", max_entries=room)]) == HIT for room in (20, 60))
    assert not (small & ~large).any()


def test_a_longer_time_to_live_never_has_fewer_hits():
    calls = drifting(11, 4000, keys=300, slow=False)
    hits = [(simulate(calls, [Tier("t", ttl_ms=ttl)]) == HIT).sum() for ttl in (1, 5, 30, 100, 1000, 10_000)]
    assert hits == sorted(hits)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_limit_in_bytes_is_a_limit_in_entries_where_all_answers_are_alike(policy):
    """With room for every key nothing is evicted, and the same room in bytes behaves the same."""
    calls = requests([(i % 50, i, i) for i in range(500)])
    assert (simulate(calls, [Tier("t", max_entries=50, policy=policy)]) == MISS).sum() == 50
    for room in (1, 17, 50):
        by_entries = simulate(calls, [Tier("t", max_entries=room, policy=policy)])
        by_bytes = simulate(calls, [Tier("t", max_bytes=room * (10 + REDIS_OVERHEAD_BYTES), policy=policy)])
        assert (by_bytes == by_entries).all() or policy == "s3fifo"  # its queues are sized by the limit in entries


def test_every_call_has_one_outcome_and_dollars_saved_and_spent_are_the_baseline():
    calls = drifting(21, 3000, keys=200)
    worth = np.random.default_rng(21).integers(0, 10**12, 3000)
    stack = [Tier("memory", "process", ttl_ms=100, max_entries=5), Tier("redis", ttl_ms=900, max_bytes=9000)]
    outcomes = simulate(calls, stack, in_flight="coalesced")
    counts = np.bincount(outcomes, minlength=11)
    assert counts[[MISS, HIT, HIT + 1, COALESCED, EXPIRED, BYPASSED]].sum() == 3000
    assert counts[[HIT, HIT + 1, COALESCED, EXPIRED]].all()
    saved = int(worth[(outcomes >= HIT) & (outcomes <= COALESCED)].sum())
    spent = int(worth[np.isin(outcomes, (MISS, EXPIRED, BYPASSED))].sum())
    assert saved + spent == int(worth.sum())


def test_without_its_memory_tier_a_stack_is_the_shared_cache_alone():
    """Memory that forgets at once serves nothing: what it would have served, the tier below does."""
    calls = drifting(22, 2000, keys=100, slow=False)
    spread = replace(calls, start_ms=np.arange(2000) * 10, end_ms=np.arange(2000) * 10)
    alone = simulate(spread, [Tier("redis", ttl_ms=900)])
    both = simulate(spread, [Tier("memory", "process", ttl_ms=1), Tier("redis", ttl_ms=900)])
    assert (both == np.where(alone == HIT, HIT + 1, alone)).all()


def test_a_tier_says_what_is_wrong_with_it():
    with pytest.raises(StrategyError, match="Did you mean 'sieve'"):
        Tier("t", policy="seive")
    with pytest.raises(StrategyError, match="must be positive"):
        Tier("t", max_entries=0)
    with pytest.raises(StrategyError, match="at most 6"):
        simulate(requests([(0, 0, 0)]), [Tier("t")] * 7)
