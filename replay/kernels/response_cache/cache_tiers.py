"""The general cache kernel: up to six tiers, time to live, capacity, any policy, calls in flight.

One pass over the calls in order. A tier's entry is a node: `base + key` in a shared tier, `base + pair` in a tier that
each process owns, where `pair` is the dense id of (process, key). `expiry[node]` is the last millisecond at which the
entry is alive, or one of the three reasons why there is none.
"""

from __future__ import annotations

from collections import namedtuple
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from replay.kernels.common.jit import lean
from replay.kernels.response_cache.eviction_policies import COUNT, UNLIMITED, admit, leave, touch, victim
from replay.outcomes import BYPASSED, COALESCED, EXPIRED, HIT, MISS

Int8 = NDArray[np.int8]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]

FOREVER: Final = np.iinfo(np.int64).max
NEVER_STORED: Final = np.iinfo(np.int64).min
EVICTED: Final = NEVER_STORED + 1
RAN_OUT: Final = NEVER_STORED + 2  # removed because its time to live had passed

# Columns over calls, in order. `pair` is -1 where `key` is.
Calls = namedtuple("Calls", "key pair process start end storable lookup size")
# `tiers` is (tiers x 11) int64. TTL -1: none. MAX_ENTRIES, MAX_BYTES 0: no limit. BASE and INSTANCE: the tier's first
# node and its first instance. The rest are flags, the policy's number, bytes an entry costs beside its answer, and one
# more than the first code of a tier that has slots (only in replay.kernels.response_cache.lru_flights).
BASE, INSTANCE, PER_PROCESS, TTL, SLIDING, POLICY, MAX_ENTRIES, MAX_BYTES, FILL, OVERHEAD, SLOTTED = range(11)
# Mutable: expiry and bytes over nodes (bytes is empty when no tier counts bytes), used over instances.
Entries = namedtuple("Entries", "expiry bytes used")
# Who asks for which pair: the process of each pair, and the pairs of each key and of each process, one list after the
# other from `first_of_...`.
Owners = namedtuple("Owners", "process first_of_key of_key first_of_process of_process")


@lean(forceinline=True)
def _remove(s: Any, tiers: Int64, entries: Any, tier: int, instance: Any, node: Any, why: int) -> None:
    if tiers[tier, POLICY] != UNLIMITED:
        leave(s, tiers[tier, POLICY], instance, node)
        if tiers[tier, MAX_BYTES] > 0:
            entries.used[instance] -= entries.bytes[node] + tiers[tier, OVERHEAD]
    entries.expiry[node] = why


@lean(forceinline=True)
def _store(
    s: Any, tiers: Int64, entries: Any, tier: int, instance: Any, node: Any, now: int, expiry: Any, size: Any
) -> None:
    """SET: replaces the entry and its life, or admits it after evicting what must go."""
    policy = tiers[tier, POLICY]
    if policy == UNLIMITED:
        entries.expiry[node] = expiry
        if entries.bytes.size > 0:
            entries.bytes[node] = size
        return
    present = entries.expiry[node] > RAN_OUT
    limit = tiers[tier, MAX_BYTES]
    whole = size + tiers[tier, OVERHEAD]
    if limit > 0:
        if whole > limit:  # it can never fit; an older answer for the same key is stale
            if present:
                _remove(s, tiers, entries, tier, instance, node, EVICTED)
            entries.expiry[node] = EVICTED
            return
        if present:
            entries.used[instance] += size - entries.bytes[node]
    if present:
        touch(s, policy, instance, node, now)
    else:
        while s.instance[instance, COUNT] > 0 and (
            (tiers[tier, MAX_ENTRIES] > 0 and s.instance[instance, COUNT] >= tiers[tier, MAX_ENTRIES])
            or (limit > 0 and entries.used[instance] + whole > limit)
        ):
            _remove(s, tiers, entries, tier, instance, victim(s, policy, instance, now), EVICTED)
        admit(s, policy, instance, node, now)
        if limit > 0:
            entries.used[instance] += whole
    if entries.bytes.size > 0:
        entries.bytes[node] = size
    entries.expiry[node] = expiry
    if present and limit > 0:
        while entries.used[instance] > limit:
            _remove(s, tiers, entries, tier, instance, victim(s, policy, instance, now), EVICTED)


@lean()
def _fill_all(s: Any, calls: Any, tiers: Int64, entries: Any, row: Any, now: Any) -> None:
    for tier in range(len(tiers)):
        own = tiers[tier, PER_PROCESS]
        node = tiers[tier, BASE] + (calls.pair[row] if own else calls.key[row])
        instance = tiers[tier, INSTANCE] + (calls.process[row] if own else 0)
        expiry = FOREVER if tiers[tier, TTL] < 0 else now + tiers[tier, TTL]
        _store(s, tiers, entries, tier, instance, node, now, expiry, calls.size[row])


@lean(forceinline=True)
def _sooner(end: Int64, left: int, right: int) -> bool:
    return end[left] < end[right] or (end[left] == end[right] and left < right)


@lean()
def _push(heap: Int32, size: int, end: Int64, row: int) -> None:
    at = size
    while at > 0 and _sooner(end, row, heap[(at - 1) >> 1]):
        heap[at] = heap[(at - 1) >> 1]
        at = (at - 1) >> 1
    heap[at] = row


@lean()
def _pop(heap: Int32, size: int, end: Int64) -> np.int64:
    """The row whose answer came first; the heap shrinks to `size - 1`."""
    first, row = heap[0], heap[size - 1]
    at = 0
    while True:
        child = 2 * at + 1
        if child >= size - 1:
            break
        if child + 1 < size - 1 and _sooner(end, heap[child + 1], heap[child]):
            child += 1
        if _sooner(end, row, heap[child]):
            break
        heap[at] = heap[child]
        at = child
    heap[at] = row
    return np.int64(first)


@lean()
def _forget(s: Any, tiers: Int64, entries: Any, owners: Any, key: int, process: int) -> None:
    """Event: a key is invalidated everywhere (key >= 0), or a process restarts and its memory is empty."""
    for tier in range(len(tiers)):
        if tiers[tier, PER_PROCESS] == 0:
            if key >= 0:
                node = tiers[tier, BASE] + key
                if entries.expiry[node] > RAN_OUT:
                    _remove(s, tiers, entries, tier, tiers[tier, INSTANCE], node, EVICTED)
        elif key >= 0:
            for at in range(owners.first_of_key[key], owners.first_of_key[key + 1]):
                _drop_pair(s, tiers, entries, tier, owners.process[owners.of_key[at]], owners.of_key[at])
        else:
            for at in range(owners.first_of_process[process], owners.first_of_process[process + 1]):
                _drop_pair(s, tiers, entries, tier, process, owners.of_process[at])


@lean()
def _drop_pair(s: Any, tiers: Int64, entries: Any, tier: int, process: Any, pair: Any) -> None:
    node = tiers[tier, BASE] + pair
    if entries.expiry[node] > RAN_OUT:
        _remove(s, tiers, entries, tier, tiers[tier, INSTANCE] + process, node, EVICTED)


@lean()
def run(
    s: Any,
    calls: Any,
    tiers: Int64,
    entries: Any,
    coalesce: bool,
    event_time: Int64,
    event_key: Int32,
    event_process: Int32,
    owners: Any,
    heap: Int32,
    landing: Int64,
    outcomes: Int8,
) -> None:
    """Fill `outcomes`. `heap` has room for every call where some call takes time, else none; `landing` (over keys, only
    when coalescing) is when the flight that equal calls may join ends. Events happen before a call of the same time.
    `owners` need only hold something where there are events.
    """
    waiting = 0
    event = 0
    for row in range(calls.key.size):
        now = calls.start[row]
        while True:
            due = waiting > 0 and calls.end[heap[0]] <= now
            until = calls.end[heap[0]] if due else now
            if event < event_time.size and event_time[event] <= until:
                _forget(s, tiers, entries, owners, event_key[event], event_process[event])
                event += 1
                continue
            if not due:
                break
            first = _pop(heap, waiting, calls.end)
            waiting -= 1
            _fill_all(s, calls, tiers, entries, first, calls.end[first])
        key = calls.key[row]
        if key < 0 or not calls.lookup[row]:
            outcomes[row] = BYPASSED
            continue
        outcome = MISS
        for tier in range(len(tiers)):
            own = tiers[tier, PER_PROCESS]
            node = tiers[tier, BASE] + (calls.pair[row] if own else key)
            expiry = entries.expiry[node]
            if expiry >= now:
                instance = tiers[tier, INSTANCE] + (calls.process[row] if own else 0)
                if tiers[tier, POLICY] != UNLIMITED:
                    touch(s, tiers[tier, POLICY], instance, node, now)
                if tiers[tier, SLIDING] and tiers[tier, TTL] >= 0:
                    expiry = now + tiers[tier, TTL]
                    entries.expiry[node] = expiry
                outcome = HIT + tier
                size = entries.bytes[node] if entries.bytes.size > 0 else np.int64(0)
                for upper in range(tier):
                    if tiers[upper, FILL]:
                        own = tiers[upper, PER_PROCESS]
                        place = tiers[upper, BASE] + (calls.pair[row] if own else key)
                        instance = tiers[upper, INSTANCE] + (calls.process[row] if own else 0)
                        life = expiry if tiers[upper, TTL] < 0 else min(expiry, now + tiers[upper, TTL])
                        _store(s, tiers, entries, upper, instance, place, now, life, size)
                break
            if expiry >= RAN_OUT:
                outcome = EXPIRED
                if expiry > RAN_OUT:
                    instance = tiers[tier, INSTANCE] + (calls.process[row] if own else 0)
                    _remove(s, tiers, entries, tier, instance, node, RAN_OUT)
        if outcome in (MISS, EXPIRED):
            if coalesce and landing[key] > now:
                outcome = COALESCED
            elif calls.storable[row]:
                if calls.end[row] <= now:
                    _fill_all(s, calls, tiers, entries, row, now)
                else:
                    _push(heap, waiting, calls.end, row)
                    waiting += 1
                    if coalesce:
                        landing[key] = calls.end[row]
        outcomes[row] = outcome
