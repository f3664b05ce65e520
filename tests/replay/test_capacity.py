"""A limit that is said not to bind does not: with it the same calls are served as without it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from replay.outcomes import EXPIRED, MISS
from replay.response_cache.capacity import Held, held, without_limits
from replay.response_cache.simulate import POLICIES, Requests, Tier, simulate

MINUTE = 60_000


def asked(seed: int, calls: int) -> Requests:
    """Requests over some hours, with favourites, of two processes; some fail, some are never looked up."""
    rng = np.random.default_rng(seed)
    start = np.sort(rng.integers(0, 600 * MINUTE, calls))
    return Requests(
        key=((rng.random(calls) ** 3) * 60).astype(np.int32),
        start_ms=start,
        end_ms=start + rng.choice([0, 1000, 15 * MINUTE], calls),
        storable=rng.random(calls) < 0.9,
        lookup=rng.random(calls) < 0.95,
        process=rng.integers(0, 2, calls).astype(np.int32),
        size_bytes=rng.integers(1, 3000, calls),
    )


def some(requests: Requests, rows: np.ndarray) -> Requests:
    return Requests(
        requests.key[rows], requests.start_ms[rows], requests.end_ms[rows], requests.storable[rows],
        requests.lookup[rows], requests.process[rows], requests.size_bytes[rows],
    )  # fmt: skip


TIERS = st.builds(
    Tier,
    name=st.just("a"),
    scope=st.sampled_from(["process", "shared"]),
    ttl_ms=st.sampled_from([None, 3 * MINUTE, 40 * MINUTE, 300 * MINUTE]),
    sliding=st.booleans(),
    max_entries=st.sampled_from([None, 3, 10, 25, 100]),
    max_bytes=st.sampled_from([None, 10_000, 60_000, 1_000_000]),
    policy=st.sampled_from(POLICIES),
)


@given(st.integers(0, 10_000), st.lists(TIERS, min_size=1, max_size=2), st.sampled_from(["duplicate", "coalesced"]))
@settings(max_examples=80, deadline=None)
def test_where_all_limits_fit_the_same_calls_are_served(seed: int, tiers: list[Tier], in_flight: str) -> None:
    requests = asked(seed, 150)
    told = held(requests, tiers, span_ms=600 * MINUTE)
    if all(one.fits for one in told):
        limited = simulate(requests, tiers, in_flight=in_flight)  # type: ignore[arg-type]
        free = simulate(requests, without_limits(tiers), in_flight=in_flight)  # type: ignore[arg-type]
        served = [np.where(one == EXPIRED, MISS, one).tolist() for one in (limited, free)]
        assert served[0] == served[1]
        if all(one.fits_all for one in told):  # nothing is ever pushed out, dead or alive
            assert limited.tolist() == free.tolist()


def test_limits_that_only_the_bound_by_lives_clears_are_found() -> None:
    requests = asked(1, 2000)
    tier = Tier("a", ttl_ms=3 * MINUTE, max_entries=55)
    (found,) = held(requests, [tier], span_ms=600 * MINUTE)
    assert found.keys > 55 >= int(found.live_keys.max())
    assert found.fits
    assert not replace(found, tier=replace(tier, max_entries=20)).fits
    (sieve,) = held(requests, [replace(tier, policy="sieve")], span_ms=600 * MINUTE)
    assert not sieve.fits


@given(st.integers(0, 10_000), TIERS, st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_the_counts_of_parts_add_up_to_those_of_the_whole(seed: int, tier: Tier, parts: int) -> None:
    requests = asked(seed, 120)
    rows = [np.flatnonzero(requests.key % parts == part) for part in range(parts)]
    merged = Held.merged(
        one for part in reversed(rows) for one in held(some(requests, part), [tier], span_ms=600 * MINUTE)
    )
    whole = held(requests, [tier], span_ms=600 * MINUTE)
    assert [(one.process, one.keys, one.bytes) for one in merged] == [(w.process, w.keys, w.bytes) for w in whole]
    for one, other in zip(merged, whole, strict=True):
        assert one.fits == other.fits
        assert np.trim_zeros(one.live_keys).tolist() == np.trim_zeros(other.live_keys).tolist()
