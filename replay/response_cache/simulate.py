"""Caches of whole answers in front of the provider: tiers with a time to live, a capacity and an eviction policy.

A lookup at `t` hits iff `t <= insert + ttl`, the very millisecond of expiry included, as Redis 7 does. An answer enters
at its call's end. A hit in a lower tier fills the tiers above it, for the smaller of their own time to live and what
remains below. Expired entries keep their place until they are looked up or evicted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
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
FEW_SLOTS = 4  # how many times fewer entries than pairs make slots worth their look-ups
MANY_PAIRS = 4_000_000  # whose nodes no longer fit the processor's caches
MOST_CODES, MOST_SLOTS = 1 << 30, 1 << 27  # pairs that a bit each is kept for, and slots for them, of one tier
REDIS_OVERHEAD_BYTES = 200
"""What Redis 7 keeps for an entry beside its value: measured with a time to live, keys of 64 hexadecimal digits and
values of 500 to 2,000 bytes (193 to 229)."""


@dataclass(frozen=True)
class Tier:
    """One cache. `scope` 'process': every process has its own, and capacities are per process.

    `ttl_ms` None: no expiry. `sliding`: a hit renews the life. `max_bytes` counts each answer plus `overhead_bytes`.
    `policy` matters only with a capacity (S3-FIFO sizes its queues by `max_entries`, or with `max_bytes` by what it
    holds at the time); `samples` only for the two sampled policies of Redis (maxmemory-samples).
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
    size_bytes: Int64  # of the answer; may be empty where no tier counts bytes

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
    keys = int(requests.key.max(initial=-1)) + 1
    tiers = _binding(requests, tiers, keys)
    start = np.ascontiguousarray(requests.start_ms, np.int64)
    end = np.ascontiguousarray(requests.end_ms, np.int64)
    if bool((end < start).any()):
        end = np.maximum(end, start)
    outcomes = np.empty(len(requests), np.int8)
    entries_only = events is None and not any(tier.max_bytes for tier in tiers)
    plain = entries_only and not bool((end > start).any())
    only_lru = entries_only and all(tier.policy == "lru" or not tier.limited for tier in tiers)
    if plain and len(tiers) == 1 and _is_single(requests, tiers[0]):
        _run_single(requests, tiers[0], keys, start, outcomes)
    elif only_lru:
        _run_lru(requests, tiers, keys, start, end, in_flight == "coalesced", outcomes)
    else:
        _run_general(requests, tiers, keys, start, end, in_flight == "coalesced", events, seed, outcomes)
    return outcomes


def _binding(requests: Requests, tiers: Sequence[Tier], keys: int) -> list[Tier]:
    """The tiers without the limits that cannot bind, because everything that is ever asked for would fit: no eviction
    can happen then, whatever the policy, and the faster kernels apply."""
    largest: Int64 | None = None
    result = []
    for tier in tiers:
        if tier.max_bytes is not None:
            if largest is None:
                largest = np.zeros(keys, np.int64)
                known = requests.key >= 0
                np.maximum.at(largest, requests.key[known], requests.size_bytes[known])
            follows = tier.policy == "s3fifo" and tier.max_entries is not None  # its queues, not its victims alone
            if not follows and int(largest.sum()) + keys * tier.overhead_bytes <= tier.max_bytes:
                tier = replace(tier, max_bytes=None)
        if tier.max_entries is not None and tier.max_entries >= keys:
            tier = replace(tier, max_entries=None)
        result.append(tier)
    return result


def _is_single(requests: Requests, tier: Tier) -> bool:
    shared = tier.scope == "shared" or int(requests.process.max(initial=0)) == 0
    return shared and (not tier.limited or tier.policy in ("lru", "fifo", "sieve"))


def _run_single(requests: Requests, tier: Tier, keys: int, start: Int64, outcomes: Int8) -> None:
    from replay.kernels.response_cache import lru_fifo_sieve

    key = np.ascontiguousarray(requests.key, np.int32)
    if not requests.lookup.all():
        key = np.where(requests.lookup, key, np.int32(-1)).astype(np.int32)
    storable = np.ascontiguousarray(requests.storable, np.bool_)
    if storable.all():
        storable = np.empty(0, np.bool_)
        if tier.ttl_ms is None and tier.max_entries is not None:
            _run_plain(key, tier.policy, min(tier.max_entries, keys + 1), keys, outcomes)
            return
    expiry = np.full(keys, lru_fifo_sieve.NEVER_STORED, np.int64)
    ttl = -1 if tier.ttl_ms is None else tier.ttl_ms
    if tier.max_entries is None:
        lru_fifo_sieve.unlimited(key, start, storable, ttl, tier.sliding, expiry, outcomes)
        return
    room = min(tier.max_entries, keys + 1)
    if tier.policy == "fifo":
        queue, spare, place = (np.empty(size, np.int32) for size in (2 * room + 2, 2 * room + 2, keys))
        lru_fifo_sieve.fifo(key, start, storable, ttl, tier.sliding, room, expiry, queue, spare, place, outcomes)
        return
    link = np.empty((keys + 1, 2), np.int32)
    if tier.policy == "sieve":
        lru_fifo_sieve.sieve(
            key, start, storable, ttl, tier.sliding, room, expiry, link, np.empty(keys, np.bool_), outcomes
        )
    else:
        lru_fifo_sieve.lru(key, start, storable, ttl, tier.sliding, room, expiry, link, outcomes)


def _run_plain(key: Int32, policy: str, room: int, keys: int, outcomes: Int8) -> None:
    from replay.kernels.response_cache import plain

    if policy == "fifo":
        plain.fifo(key, room, np.full(keys, -room, np.int32), outcomes)
    elif policy == "sieve":
        places = min(plain.LONGER * room, len(key) + 1)  # no more entries come than there are calls
        queue, live, seen = np.empty(places, np.int32), plain.words(places), plain.words(places)
        plain.sieve(key, room, np.zeros(keys, np.int32), queue, live, seen, outcomes)
    else:
        plain.lru(key, room, np.zeros(keys, np.int32), plain.words(len(key)), outcomes)


def _run_lru(
    requests: Requests, tiers: Sequence[Tier], keys: int, start: Int64, end: Int64, coalesce: bool, outcomes: Int8
) -> None:
    from replay.kernels.response_cache import cache_tiers, lru_flights
    from replay.kernels.response_cache.slots import empty_slots

    processes = int(requests.process.max(initial=0)) + 1
    rooms = [_slots(tier, processes, keys) for tier in tiers]
    alone = [tier for tier, room in zip(tiers, rooms, strict=True) if not room]
    pair, pairs = _pairs(requests, keys, alone)
    columns, nodes, _ = _columns(requests, tiers, keys, pairs, rooms)
    timed = bool((end > start).any())
    linked = any(tier.limited and not room for tier, room in zip(tiers, rooms, strict=True))
    lru_flights.run(
        np.ascontiguousarray(requests.key, np.int32),
        pair,
        np.ascontiguousarray(requests.process, np.int32),
        keys,
        start,
        np.ascontiguousarray(end, np.int64),
        np.ascontiguousarray(requests.storable, np.bool_),
        np.ascontiguousarray(requests.lookup, np.bool_),
        columns,
        np.full(nodes, cache_tiers.NEVER_STORED, np.int64),
        np.full(nodes if linked else sum(rooms), lru_flights.NOWHERE, np.int32),
        *lru_flights.logs(*_limits(requests, tiers)),
        *empty_slots(sum(rooms), int((columns[:, cache_tiers.SLOTTED] > 0).sum()) * processes * keys),
        np.empty(len(requests) if timed else 0, np.int64),
        np.empty(len(requests) if timed else 0, np.int32),
        np.full(keys if coalesce else 0, np.iinfo(np.int64).min, np.int64),
        outcomes,
    )


def _limits(requests: Requests, tiers: Sequence[Tier]) -> tuple[Int64, Int64]:
    """The most entries of each instance, 0 for no limit, and the most uses: a call looks up once and stores once."""
    from replay.kernels.common.dense_ids import count

    limits: list[int] = []
    uses: list[int] = []
    calls = count(requests.process, int(requests.process.max(initial=0)) + 1)
    for tier in tiers:
        own = [2 * len(requests)] if tier.scope == "shared" else (2 * calls).tolist()
        limits += [tier.max_entries or 0] * len(own)
        uses += own
    return np.array(limits, np.int64), np.array(uses, np.int64)


def _slots(tier: Tier, processes: int, keys: int) -> int:
    """How many slots a tier gets, 0 where each pair of process and key has a node of its own."""
    if tier.scope != "process" or tier.max_entries is None or not MANY_PAIRS <= processes * keys <= MOST_CODES:
        return 0
    room = processes * tier.max_entries
    return room if FEW_SLOTS * room <= processes * keys and room < MOST_SLOTS else 0


def _run_general(
    requests: Requests,
    tiers: Sequence[Tier],
    keys: int,
    start: Int64,
    end: Int64,
    coalesce: bool,
    events: Events | None,
    seed: int,
    outcomes: Int8,
) -> None:
    from replay.kernels.response_cache import cache_tiers

    pair, pairs = _pairs(requests, keys, tiers)
    sized = any(tier.max_bytes is not None for tier in tiers)
    calls = cache_tiers.Calls(
        key=np.ascontiguousarray(requests.key, np.int32),
        pair=pair,
        process=np.ascontiguousarray(requests.process, np.int32),
        start=start,
        end=end,
        storable=np.ascontiguousarray(requests.storable, np.bool_),
        lookup=np.ascontiguousarray(requests.lookup, np.bool_),
        size=np.ascontiguousarray(requests.size_bytes if sized else np.zeros(len(requests), np.int64), np.int64),
    )
    columns, nodes, instances = _columns(requests, tiers, keys, pairs)
    entries = cache_tiers.Entries(
        expiry=np.full(nodes, cache_tiers.NEVER_STORED, np.int64),
        bytes=np.zeros(nodes if sized else 0, np.int64),
        used=np.zeros(instances, np.int64),
    )
    happens = events or Events(np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.int32))
    known = np.asarray(happens.key) < keys  # a key that is never asked for needs no invalidation
    cache_tiers.run(
        _state(requests, tiers, columns, nodes, keys, pairs, seed),
        calls,
        columns,
        entries,
        coalesce,
        np.asarray(happens.time_ms, np.int64)[known],
        np.asarray(happens.key, np.int32)[known],
        np.asarray(happens.process, np.int32)[known],
        _owners(requests, pair, pairs, keys, events),
        np.empty(len(requests) if bool((end > start).any()) else 0, np.int32),
        np.full(keys if coalesce else 0, np.iinfo(np.int64).min, np.int64),
        outcomes,
    )


def _pairs(requests: Requests, keys: int, tiers: Sequence[Tier]) -> tuple[Int32, int]:
    """The id of each call's (process, key), and how many ids there are: process * keys + key while that stays small."""
    if not any(tier.scope == "process" for tier in tiers):
        return np.full(0, -1, np.int32), 0
    processes = int(requests.process.max(initial=0)) + 1
    if processes == 1:
        return np.ascontiguousarray(requests.key, np.int32), keys
    whole = requests.process * np.int64(keys) + requests.key
    whole[requests.key < 0] = -1
    if processes * keys <= max(4 * len(requests), 1_000_000):
        return whole.astype(np.int32), processes * keys
    from replay.kernels.common.dense_ids import factorise

    pair, firsts = factorise(whole, skip=-1)
    return pair, len(firsts)


def _owners(requests: Requests, pair: Int32, pairs: int, keys: int, events: Events | None) -> Any:
    """Who asks for which pair (replay.kernels.response_cache.cache_tiers); only events need to know."""
    from replay.kernels.response_cache.cache_tiers import Owners

    process, key = np.full((2, pairs if events else 0), -1, np.int32)
    if events and len(pair):
        asked = pair >= 0
        process[pair[asked]], key[pair[asked]] = requests.process[asked], requests.key[asked]
    used = np.flatnonzero(key >= 0).astype(np.int32)
    lists = []
    for owner, count in ((key, keys), (process, int(requests.process.max(initial=0)) + 1)):
        order = np.argsort(owner[used], kind="stable")
        lists += [np.searchsorted(owner[used][order], np.arange(count + 1)), used[order]]
    return Owners(process, *lists)


def _columns(
    requests: Requests, tiers: Sequence[Tier], keys: int, pairs: int, slots: Sequence[int] = ()
) -> tuple[Int64, int, int]:
    """The kernel's table of tiers, and how many nodes and instances they have together.

    `slots` of each tier: those numbers come before all nodes, and codes count from one tier to the next.
    """
    from replay.kernels.response_cache.eviction_policies import POLICIES, UNLIMITED

    processes = int(requests.process.max(initial=0)) + 1
    slots = slots or [0] * len(tiers)
    rows, nodes, instances, code = [], sum(slots), 0, 1
    for tier, room in zip(tiers, slots, strict=True):
        own = tier.scope == "process"
        rows.append(
            [
                nodes,
                instances,
                own,
                -1 if tier.ttl_ms is None else tier.ttl_ms,
                tier.sliding,
                POLICIES[tier.policy] if tier.limited else UNLIMITED,
                tier.max_entries or 0,
                tier.max_bytes or 0,
                tier.fill_on_lower_hit,
                tier.overhead_bytes,
                code if room else 0,
            ]
        )
        nodes += 0 if room else pairs if own else keys
        code += processes * keys if room else 0
        instances += processes if own else 1
    return np.array(rows, np.int64).reshape(len(tiers), 11), nodes, instances


def _state(
    requests: Requests, tiers: Sequence[Tier], columns: Int64, nodes: int, keys: int, pairs: int, seed: int
) -> Any:
    """The policies' empty arrays, no larger than those at hand need."""
    from replay.kernels.response_cache import cache_tiers, eviction_policies

    own = columns[:, cache_tiers.PER_PROCESS] == 1
    policy = columns[:, cache_tiers.POLICY]
    each = np.where(own, int(requests.process.max(initial=0)) + 1, 1)
    # with a limit in bytes, s3fifo sizes its queues by what it holds, whatever the limit in entries
    by_bytes = (policy == eviction_policies.S3FIFO) & (columns[:, cache_tiers.MAX_BYTES] > 0)
    room = np.repeat(np.where(by_bytes, 0, columns[:, cache_tiers.MAX_ENTRIES]), each)
    samples = np.repeat(np.array([tier.samples for tier in tiers], np.int64), each)
    # places for the residents of each sampled instance: its capacity, at most the keys it can ever see
    held = np.repeat(np.where(own, pairs, keys), each)
    held = np.where(room > 0, np.minimum(room, held), held)
    held = np.where(
        np.repeat(np.isin(policy, (eviction_policies.REDIS_LRU, eviction_policies.REDIS_LFU)), each), held, 0
    )
    return eviction_policies.empty_state(nodes, set(policy.tolist()), room, samples, held, seed)
