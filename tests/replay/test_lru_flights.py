"""LRU tiers with answers that take time: the fast kernel equals plain Python and the general kernel, call by call."""

from __future__ import annotations

import numpy as np
import oracles
from hypothesis import given, settings
from hypothesis import strategies as st
from test_tiers import drifting

from replay.response_cache import simulate as tiers
from replay.response_cache.simulate import Tier, simulate

lru = st.builds(
    Tier,
    name=st.just("t"),
    scope=st.sampled_from(["process", "shared"]),
    ttl_ms=st.none() | st.integers(1, 400),
    sliding=st.booleans(),
    max_entries=st.none() | st.integers(1, 12),
    fill_on_lower_hit=st.booleans(),
)


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(1, 400),
    stack=st.lists(lru, min_size=1, max_size=6),
    coalesce=st.booleans(),
)
def test_flights_land_as_in_plain_python(seed: int, n: int, stack: list[Tier], coalesce: bool) -> None:
    calls = drifting(seed, n)
    in_flight: tiers.InFlight = "coalesced" if coalesce else "duplicate"
    found = simulate(calls, stack, in_flight=in_flight)
    assert found.tolist() == oracles.tiers(calls, stack, in_flight=in_flight).tolist()


def test_both_kernels_agree_on_a_long_log_with_a_deep_queue_of_answers() -> None:
    calls = drifting(3, 60_000, keys=900)
    calls = tiers.Requests(
        **{**vars(calls), "end_ms": calls.start_ms + np.random.default_rng(1).integers(0, 9000, 60_000)}
    )
    stack = [Tier("memory", scope="process", ttl_ms=4000, max_entries=50), Tier("redis", ttl_ms=60_000, sliding=True)]
    fast = simulate(calls, stack)
    general = np.empty(len(calls), np.int8)
    tiers._run_general(calls, stack, int(calls.key.max()) + 1, calls.start_ms, calls.end_ms, False, None, 0, general)
    assert (fast == general).all()
