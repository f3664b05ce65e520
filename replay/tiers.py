"""Caches of whole answers in front of the provider: tiers with a time to live, a capacity and an eviction policy.

A lookup at `t` hits iff `t <= insert + ttl`, the very millisecond of expiry included, as Redis 7 does. An answer enters
at its call's end. A hit in a lower tier fills the tiers above it, for the smaller of their own time to live and what
remains below. Expired entries keep their place until they are looked up or evicted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ingest.errors import StrategyError, did_you_mean
from replay.outcomes import MAX_TIERS

Int8 = NDArray[np.int8]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]
InFlight = Literal["duplicate", "coalesced"]

POLICIES = ("lru", "fifo", "sieve", "lfu", "s3fifo", "allkeys-lru", "allkeys-lfu")
REDIS_OVERHEAD_BYTES = 104
"""What Redis 7 keeps for an entry beside its value: measured with keys of 10 and values of 1,000 bytes."""


@dataclass(frozen=True)
class Tier:
    """One cache. `scope` 'process': every process has its own, and capacities are per process.

    `ttl_ms` None: no expiry. `sliding`: a hit renews the life. `max_bytes` counts each answer plus `overhead_bytes`.
    `policy` matters only with a capacity; `samples` only for the two sampled policies of Redis (maxmemory-samples).
    `fill_on_lower_hit`: whether a hit in a lower tier stores the answer here.
    """

    name: str
    scope: Literal["process", "shared"] = "shared"
    ttl_ms: int | None = None
    sliding: bool = False
    max_entries: int | None = None
    max_bytes: int | None = None
    policy: str = "lru"
    fill_on_lower_hit: bool = True
    overhead_bytes: int = REDIS_OVERHEAD_BYTES
    samples: int = 5

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise StrategyError(
                f"tier {self.name}: unknown policy '{self.policy}'", remedy=did_you_mean(self.policy, POLICIES)
            )
        if self.scope not in ("process", "shared"):
            raise StrategyError(f"tier {self.name}: unknown scope '{self.scope}'", remedy="Use 'process' or 'shared'.")
        for what in ("ttl_ms", "max_entries", "max_bytes"):
            value = getattr(self, what)
            if value is not None and value <= 0:
                raise StrategyError(
                    f"tier {self.name}: {what} is {value}; it must be positive", remedy="Leave it out for no limit."
                )

    @property
    def limited(self) -> bool:
        return self.max_entries is not None or self.max_bytes is not None


@dataclass(frozen=True)
class Requests:
    """n calls in (start_time, source, row) order, as equal-length columns. Times are UTC epoch milliseconds."""

    key: Int32  # dense ids of the whole request; -1: no key, so never cached
    start_ms: Int64
    end_ms: Int64  # an end before its start counts as the start
    storable: Bool  # its answer may fill a cache: no error, not cut off, no tool call pending
    lookup: Bool  # False: not demand (a retry), neither looked up nor stored: BYPASSED
    process: Int32  # 0..: the process that held the memory cache
    size_bytes: Int64  # of the answer

    def __len__(self) -> int:
        return len(self.key)


@dataclass(frozen=True)
class Events:
    """What empties caches from outside, in time order: `key` >= 0 is deleted everywhere, else `process` restarts."""

    time_ms: Int64
    key: Int32
    process: Int32


def simulate(
    requests: Requests,
    tiers: Sequence[Tier],
    *,
    in_flight: InFlight = "duplicate",
    events: Events | None = None,
    seed: int = 0,
) -> Int8:
    """One outcome code (replay/outcomes.py) per call.

    `in_flight`: between start and end of a call that will be stored, an equal call is a second call ('duplicate') or
    waits for the first ('coalesced'). `seed` feeds the sampled policies only. Raises StrategyError for over six tiers.
    """
    if len(tiers) > MAX_TIERS:
        raise StrategyError(f"{len(tiers)} cache tiers; at most {MAX_TIERS} are simulated")
    from replay.kernels import tiered

    keys = int(requests.key.max(initial=-1)) + 1
    pair, pairs = _pairs(requests, keys, tiers)
    start = np.ascontiguousarray(requests.start_ms, np.int64)
    end = np.maximum(np.asarray(requests.end_ms, np.int64), start)
    calls = tiered.Calls(
        key=np.ascontiguousarray(requests.key, np.int32),
        pair=pair,
        process=np.ascontiguousarray(requests.process, np.int32),
        start=start,
        end=end,
        storable=np.ascontiguousarray(requests.storable, np.bool_),
        lookup=np.ascontiguousarray(requests.lookup, np.bool_),
        size=np.ascontiguousarray(requests.size_bytes, np.int64),
    )
    columns, entries, state = _allocate(requests, tiers, keys, pairs, seed)
    happens = events or Events(np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.int32))
    known = np.asarray(happens.key) < keys  # a key that is never asked for needs no invalidation
    coalesce = in_flight == "coalesced"
    outcomes = np.empty(len(requests), np.int8)
    tiered.run(
        state,
        calls,
        columns,
        entries,
        coalesce,
        np.asarray(happens.time_ms, np.int64)[known],
        np.asarray(happens.key, np.int32)[known],
        np.asarray(happens.process, np.int32)[known],
        pairs,
        np.empty(len(requests) if bool((end > start).any()) else 0, np.int32),
        np.full(keys if coalesce else 0, np.iinfo(np.int64).min, np.int64),
        outcomes,
    )
    return outcomes


def _pairs(requests: Requests, keys: int, tiers: Sequence[Tier]) -> tuple[Int32, Int32]:
    """The dense id of each call's (process, key), and the process and key of each id as a (2 x ids) array."""
    if not any(tier.scope == "process" for tier in tiers):
        return np.full(0, -1, np.int32), np.empty((2, 0), np.int32)
    if int(requests.process.max(initial=0)) == 0:
        everyone = np.arange(keys, dtype=np.int32)
        return np.ascontiguousarray(requests.key, np.int32), np.stack([np.zeros_like(everyone), everyone])
    from replay.kernels.dense import factorise

    whole = np.where(requests.key < 0, -1, requests.process.astype(np.int64) * keys + requests.key)
    pair, firsts = factorise(whole, skip=-1)
    return pair, np.stack([requests.process[firsts], requests.key[firsts]]).astype(np.int32)


def _allocate(requests: Requests, tiers: Sequence[Tier], keys: int, pairs: Int32, seed: int) -> tuple[Any, Any, Any]:
    """Empty arrays for the kernel, no larger than the policies at hand need."""
    from replay.kernels import eviction, tiered

    own = np.array([tier.scope == "process" for tier in tiers], np.bool_)
    processes = int(requests.process.max(initial=0)) + 1
    cells = np.where(own, pairs.shape[1], keys).astype(np.int64)
    each = np.where(own, processes, 1).astype(np.int64)
    base = np.concatenate([[0], np.cumsum(cells)]).astype(np.int64)
    first = np.concatenate([[0], np.cumsum(each)]).astype(np.int64)
    nodes, instances = int(base[-1]), int(first[-1])
    policy = np.array([eviction.POLICIES[t.policy] if t.limited else eviction.UNLIMITED for t in tiers], np.int8)
    columns = np.array(
        [
            [
                base[number],
                first[number],
                tier.scope == "process",
                -1 if tier.ttl_ms is None else tier.ttl_ms,
                tier.sliding,
                policy[number],
                tier.max_entries or 0,
                tier.max_bytes or 0,
                tier.fill_on_lower_hit,
                tier.overhead_bytes,
            ]
            for number, tier in enumerate(tiers)
        ],
        np.int64,
    ).reshape(len(tiers), 10)
    sized = any(tier.max_bytes is not None for tier in tiers)
    entries = tiered.Entries(
        expiry=np.full(nodes, tiered.NEVER_STORED, np.int64),
        bytes=np.zeros(nodes if sized else 0, np.int64),
        used=np.zeros(instances, np.int64),
    )
    room = np.repeat([t.max_entries or 0 for t in tiers], each).astype(np.int64)
    samples = np.repeat([t.samples for t in tiers], each).astype(np.int64)
    # room for the residents of each instance of a sampled tier: its capacity, at most the keys it can ever see
    held = np.repeat(cells, each)
    held = np.where(room > 0, np.minimum(room, held), held)
    held = np.where(np.repeat(np.isin(policy, (eviction.REDIS_LRU, eviction.REDIS_LFU)), each), held, 0)
    return columns, entries, eviction.empty_state(nodes, set(policy.tolist()), room, samples, held, seed)
