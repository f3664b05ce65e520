"""Hits and dollars of a cache as functions of its time to live and of its capacity, each from one pass over the calls.

A hit is worth its own call's cost, so the dollar curve is not the hit curve times an average. Answers come at once
here; `replay.response_cache.simulate.simulate` and the grid take the calls' durations into account.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from replay.response_cache.simulate import Requests

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]
Float = NDArray[np.float64]

SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000
TTLS = (
    *(10 * SECOND, 30 * SECOND, MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE),
    *(HOUR, 2 * HOUR, 4 * HOUR, 8 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY),
)
WINDOW = 1 << 18
MANY_CALLS = 100_000_000  # above which the capacity curve is sampled
SAMPLE = 0.01


@dataclass(frozen=True)
class Curve:
    """Point i: with `at[i]` (ms to live, or entries) `hits[i]` calls are served and `saved[i]` pico-dollars kept."""

    at: Int64
    hits: Int64
    saved: Int64
    asked: int  # calls that were looked up
    error: Float | None = None  # of the hit rate at each point, where the curve is sampled: one standard deviation


def ttl_curve(requests: Requests, worth: Int64, ttls: Sequence[int] = TTLS, *, sliding: bool = False) -> Curve:
    """An unlimited shared cache for each of `ttls` (ms): life from insertion, or from the last use when `sliding`."""
    from replay.kernels.response_cache import cache_curves, lru_fifo_sieve

    key, storable = _asked(requests)
    keys, lives = int(key.max(initial=-1)) + 1, np.array(ttls, np.int64)
    worth = np.ascontiguousarray(worth, np.int64)
    hits, saved = np.zeros(len(lives), np.int64), np.zeros(len(lives), np.int64)
    if sliding:
        gap = np.empty(len(key), np.int64)
        cache_curves.gaps(key, requests.start_ms, storable, np.full(keys, -1, np.int64), gap)
        order = np.argsort(gap, kind="stable")
        place = np.searchsorted(gap[order], lives, side="right")
        none = int((gap < 0).sum())
        total = np.concatenate([[0], np.cumsum(worth[order])])
        hits, saved = place - none, total[place] - total[none]
    else:
        until = np.full((keys, len(lives)), lru_fifo_sieve.NEVER_STORED, np.int64)
        cache_curves.ttl_from_insert(key, requests.start_ms, storable, worth, lives, until, hits, saved)
    return Curve(lives, hits, saved, int((key >= 0).sum()))


def capacity_curve(requests: Requests, worth: Int64) -> Curve:
    """A shared LRU cache without expiry, of every capacity from one entry to all keys: exact (Mattson, 1970)."""
    from replay.kernels.response_cache import cache_curves

    key, storable = _asked(requests)
    keys = int(key.max(initial=-1)) + 1
    distance = _distances(key, storable, keys)
    hits, saved = np.zeros(keys, np.int64), np.zeros(keys, np.int64)
    cache_curves.by_distance(distance, np.ascontiguousarray(worth, np.int64), hits, saved)
    return Curve(np.arange(1, keys + 1), np.cumsum(hits), np.cumsum(saved), int((key >= 0).sum()))


def sampled_capacity_curve(
    requests: Requests, worth: Int64, *, rate: float = 0.01, points: int = 200, samples: int = 4, seed: int = 0
) -> Curve:
    """The capacity curve from a share of the keys: SHARDS with its adjustment (Waldspurger et al., FAST 2015).

    For over MANY_CALLS. `samples` disjoint sets of keys, each `rate` of all, are drawn by hash; the calls that a set
    has too many or too few count at the smallest distance, which corrects for hot keys; the curve is their mean, and
    `error` their standard deviation over the square root of their number. Dollars follow the hits of the sample.
    """
    from replay.kernels.response_cache import cache_curves

    key, storable = _asked(requests)
    keys = int(key.max(initial=-1)) + 1
    worth = np.ascontiguousarray(worth, np.int64)
    asked = int((key >= 0).sum())
    round_ones = [10**power for power in range(len(str(keys)))]  # those that tables show
    at = np.unique(np.append(np.geomspace(1, max(keys, 1), points).astype(np.int64), round_ones))
    mixed = (np.arange(keys, dtype=np.uint64) + np.uint64(seed + 1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(31)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    bucket = (mixed >> np.uint64(40)).astype(np.float64) / float(1 << 24)
    rates, dollars = [], []
    for number in range(samples):
        mine = (bucket >= number * rate) & (bucket < (number + 1) * rate)
        chosen = np.flatnonzero((key >= 0) & mine[key])
        dense = np.cumsum(mine, dtype=np.int32) - 1
        small = dense[key[chosen]]
        kept = int(mine.sum())
        distance = _distances(small, storable[chosen] if len(storable) else storable, kept)
        hits, saved = np.zeros(max(kept, 1), np.int64), np.zeros(max(kept, 1), np.int64)
        cache_curves.by_distance(distance, worth[chosen], hits, saved)
        missing = asked * rate - len(chosen)
        place = np.minimum((at * rate).astype(np.int64), kept)
        total_hits = np.concatenate([[0], np.cumsum(hits)])[place] + np.where(place > 0, missing, 0)
        total_saved = np.concatenate([[0], np.cumsum(saved)])[place]
        rates.append(np.clip(total_hits / max(asked * rate, 1), 0, 1))
        dollars.append(total_saved / rate)
    mean = np.mean(rates, axis=0)
    return Curve(
        at,
        np.asarray(np.round(mean * asked), np.int64),
        np.asarray(np.round(np.mean(dollars, axis=0)), np.int64),
        asked,
        np.std(rates, axis=0, ddof=1) / np.sqrt(samples) if samples > 1 else None,
    )


def _asked(requests: Requests) -> tuple[Int32, Bool]:
    """The keys with -1 for what is never looked up, and which answers may be stored (empty: all)."""
    key = np.where(requests.lookup, requests.key, -1).astype(np.int32)
    storable = np.ascontiguousarray(requests.storable, np.bool_)
    return key, np.empty(0, np.bool_) if storable.all() else storable


def _distances(key: Int32, storable: Bool, keys: int) -> Int32:
    from replay.kernels.response_cache import cache_curves

    window = -(-2 * max(keys, 1) // WINDOW) * WINDOW
    distance = np.empty(len(key), np.int32)
    cache_curves.stack_distances(
        key,
        storable,
        np.full(keys, -1, np.int64),
        np.empty(window, np.int32),
        np.zeros(window >> 6, np.uint64),
        np.zeros(window >> 12, np.int32),
        np.zeros(window >> 18, np.int32),
        distance,
    )
    return distance
