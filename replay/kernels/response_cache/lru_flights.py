"""Tiers that evict by LRU or not at all, counted in entries: the usual two-tier cache, with or without durations.

The same semantics as the general kernel, call by call, at several times its speed. Instead of a list of links, each
instance has a log of the entries in the order of their use, and a bit for each place of it: set where the entry was
last used. So a use writes at the end of the log, and the lowest bit is the entry that goes next. A tier whose processes
can hold only a few of the pairs that they are asked for has slots (replay.kernels.response_cache.slots) in place of a
node per pair.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from replay.kernels.common.intrinsics import fetch, lowest_bit
from replay.kernels.common.jit import lean
from replay.kernels.response_cache import slots
from replay.kernels.response_cache.cache_tiers import (
    BASE,
    FILL,
    INSTANCE,
    MAX_ENTRIES,
    PER_PROCESS,
    SLIDING,
    SLOTTED,
    TTL,
)
from replay.kernels.response_cache.lru_fifo_sieve import EVICTED, FOREVER, RAN_OUT
from replay.outcomes import BYPASSED, COALESCED, EXPIRED, HIT, MISS

Int8 = NDArray[np.int8]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]
Bits = NDArray[np.uint8]
Words = NDArray[np.uint64]

AHEAD: Final = 8  # calls
LONGER: Final = 4  # how many times the entries of an instance its log is
NOWHERE: Final = -1  # the place of what is not held
FIRST, OLDEST, TOP, END, HELD = range(5)  # columns of `spans`, over instances; OLDEST is a word, the others are places


def logs(rooms: Int64, uses: Int64) -> tuple[Int32, Words, Int64]:
    """Empty logs of instances with room for so many entries (0: no limit, so no log), their bits, and `spans`.

    `uses`: how many there can be of each instance, which a log need not be longer than.
    """
    places = np.minimum(LONGER * rooms, uses)
    ends = np.concatenate([[0], np.cumsum(-(-places // 64) * 64)])
    spans = np.zeros((rooms.size, 5), np.int64)
    spans[:, FIRST] = spans[:, TOP] = ends[:-1]
    spans[:, OLDEST], spans[:, END] = ends[:-1] >> 6, ends[1:]
    return np.empty(int(ends[-1]), np.int32), np.zeros(int(ends[-1]) >> 6, np.uint64), spans


@lean(forceinline=True)
def _bit(at: Any) -> Any:
    return np.uint64(1) << np.uint64(at & 63)


@lean(forceinline=True)
def _forget(place: Int32, live: Words, node: Any) -> None:
    """Take an entry out of its log."""
    at = np.int64(place[node])
    live[at >> 6] &= ~_bit(at)
    place[node] = NOWHERE


@lean(forceinline=True)
def _use(place: Int32, log: Int32, live: Words, spans: Int64, instance: Any, node: Any) -> None:
    """Make an entry the newest of its instance."""
    top, before = spans[instance, TOP], np.int64(place[node])
    if before == top - 1 and before != NOWHERE:
        return
    if before != NOWHERE:
        live[before >> 6] &= ~_bit(before)
    if top == spans[instance, END]:
        top = _close_up(place, log, live, spans, instance)
    log[top] = node
    live[top >> 6] |= _bit(top)
    place[node] = top
    spans[instance, TOP] = top + 1


@lean()
def _close_up(place: Int32, log: Int32, live: Words, spans: Int64, instance: Any) -> Any:
    """Move the entries of a full log to its start, in order; returns its new top."""
    top = spans[instance, FIRST]
    for word in range(spans[instance, OLDEST], spans[instance, END] >> 6):
        found = live[word]
        live[word] = 0
        while found != 0:
            at = (np.int64(word) << 6) + lowest_bit(found)
            found &= found - np.uint64(1)
            log[top] = log[at]
            place[log[at]] = top
            live[top >> 6] |= _bit(top)
            top += 1
    spans[instance, OLDEST] = spans[instance, FIRST] >> 6
    return top


@lean(forceinline=True)
def _take_oldest(place: Int32, log: Int32, live: Words, spans: Int64, instance: Any, owner: Int64) -> Any:
    """Take the entry that was used longest ago, of which there is one, out of its log."""
    word = spans[instance, OLDEST]
    while live[word] == 0:
        word += 1
    spans[instance, OLDEST] = word
    at = (word << 6) + lowest_bit(live[word])
    live[word] &= live[word] - np.uint64(1)
    node = np.int64(log[at])
    place[node] = NOWHERE
    fetch(owner, log[min(at + 1, log.size - 1)])  # of the next one, where it has a slot
    return node


@lean(forceinline=True)
def _store(
    expiries: Int64, place: Int32, log: Int32, live: Words, spans: Int64, table: Int64, owner: Int64, free: Int32,
    ended: Bits, tiers: Int64, tier: Any, key: Any, pair: Any, process: Any, keys: Any, absent: Any, expiry: Any,
) -> None:  # fmt: skip
    """SET: replaces the entry's life, or admits it after the oldest entry has gone. `absent`: it is known to be out."""
    own = tiers[tier, PER_PROCESS] == 1
    limit = tiers[tier, MAX_ENTRIES]
    instance = tiers[tier, INSTANCE] + (process if own else 0)
    slotted = tiers[tier, SLOTTED] > 0
    if slotted:
        code = tiers[tier, SLOTTED] - 1 + process * keys + key
        node = np.int64(-1) if absent else slots.find(table, code)
        present = node >= 0
    else:
        code = np.int64(0)
        node = tiers[tier, BASE] + (pair if own else key)
        present = expiries[node] > RAN_OUT
    if limit > 0:
        if not present:
            if spans[instance, HELD] >= limit:
                oldest = _take_oldest(place, log, live, spans, instance, owner)
                if slotted:
                    slots.remove(table, owner, free, oldest)
                else:
                    expiries[oldest] = EVICTED
            else:
                spans[instance, HELD] += 1
            if slotted:
                node = slots.insert(table, owner, free, ended, code)
        _use(place, log, live, spans, instance, node)
    expiries[node] = expiry


@lean()
def run(
    key: Int32,
    pair: Int32,
    process: Int32,
    keys: Any,
    start: Int64,
    end: Int64,
    storable: Bool,
    lookup: Bool,
    tiers: Int64,
    expiries: Int64,
    place: Int32,
    log: Int32,
    live: Words,
    spans: Int64,
    table: Int64,
    owner: Int64,
    free: Int32,
    ended: Bits,
    heap_end: Int64,
    heap_row: Int32,
    landing: Int64,
    outcomes: Int8,
) -> None:
    """`tiers` and `landing` as in the general kernel; `log`, `live` and `spans` as `logs` makes them. Over nodes:
    `expiries`, all NEVER_STORED, and `place`, all NOWHERE, which may be empty where no tier has a limit. The heap has
    room for as many calls as can be in flight at once. From `table` to `ended`: the slots of the tiers that are
    SLOTTED, whose numbers are the first nodes; `pair` is empty where no other tier is of a process.
    """
    count = len(tiers)
    coalesce = landing.size > 0
    paired = pair.size > 0
    waiting = 0
    last = key.size - 1
    for row in range(key.size):
        now = start[row]
        later = min(row + AHEAD, last)
        for tier in range(count):
            if tiers[tier, SLOTTED] > 0:
                slots.fetch_place(table, ended, tiers[tier, SLOTTED] - 1 + process[later] * keys + key[later])
            elif tiers[tier, PER_PROCESS] == 0:
                fetch(expiries, tiers[tier, BASE] + key[later])
                fetch(place, tiers[tier, BASE] + key[later])
            else:
                fetch(expiries, tiers[tier, BASE] + pair[later])
                fetch(place, tiers[tier, BASE] + pair[later])
        while waiting > 0 and heap_end[0] <= now:
            landed, done = heap_row[0], heap_end[0]
            waiting -= 1
            moved_end, moved_row = heap_end[waiting], heap_row[waiting]
            at = 0
            while True:
                child = 2 * at + 1
                if child >= waiting:
                    break
                right = child + 1
                if right < waiting and (
                    heap_end[right] < heap_end[child]
                    or (heap_end[right] == heap_end[child] and heap_row[right] < heap_row[child])
                ):
                    child = right
                if moved_end < heap_end[child] or (moved_end == heap_end[child] and moved_row < heap_row[child]):
                    break
                heap_end[at], heap_row[at] = heap_end[child], heap_row[child]
                at = child
            heap_end[at], heap_row[at] = moved_end, moved_row
            mine = pair[landed] if paired else 0
            for tier in range(count):
                life = FOREVER if tiers[tier, TTL] < 0 else done + tiers[tier, TTL]
                _store(
                    expiries, place, log, live, spans, table, owner, free, ended, tiers, tier, key[landed], mine,
                    process[landed], keys, False, life,
                )  # fmt: skip
        x = key[row]
        if x < 0 or not lookup[row]:
            outcomes[row] = BYPASSED
            continue
        mine = pair[row] if paired else 0
        outcome = MISS
        served = count
        for tier in range(count):
            own = tiers[tier, PER_PROCESS] == 1
            slotted = tiers[tier, SLOTTED] > 0
            if slotted:
                code = tiers[tier, SLOTTED] - 1 + process[row] * keys + x
                node = slots.find(table, code)
                if node >= 0:
                    until = expiries[node]
                else:
                    until = RAN_OUT if slots.has_ended(ended, code) else EVICTED
            else:
                node = tiers[tier, BASE] + (mine if own else x)
                until = expiries[node]
            if now <= until:
                if tiers[tier, SLIDING] == 1 and tiers[tier, TTL] >= 0:
                    until = now + tiers[tier, TTL]
                    expiries[node] = until
                if tiers[tier, MAX_ENTRIES] > 0:
                    _use(place, log, live, spans, tiers[tier, INSTANCE] + (process[row] if own else 0), node)
                outcome = HIT + tier
                served = tier
                for upper in range(tier):
                    if tiers[upper, FILL] == 1:
                        life = until if tiers[upper, TTL] < 0 else min(until, now + tiers[upper, TTL])
                        _store(
                            expiries, place, log, live, spans, table, owner, free, ended, tiers, upper, x, mine,
                            process[row], keys, True, life,
                        )  # fmt: skip
                break
            if until >= RAN_OUT:
                outcome = EXPIRED
                if until > RAN_OUT:
                    if tiers[tier, MAX_ENTRIES] > 0:
                        _forget(place, live, node)
                        spans[tiers[tier, INSTANCE] + (process[row] if own else 0), HELD] -= 1
                    if slotted:
                        slots.end(table, owner, free, ended, node)
                    else:
                        expiries[node] = RAN_OUT
        if served == count:
            if coalesce and landing[x] > now:
                outcome = COALESCED
            elif storable[row]:
                due = end[row]
                if due <= now:
                    for tier in range(count):
                        life = FOREVER if tiers[tier, TTL] < 0 else now + tiers[tier, TTL]
                        _store(
                            expiries, place, log, live, spans, table, owner, free, ended, tiers, tier, x, mine,
                            process[row], keys, True, life,
                        )  # fmt: skip
                else:
                    at = waiting
                    waiting += 1
                    while at > 0:
                        up = (at - 1) >> 1
                        # rows come in order, so an equal end above stays above
                        if heap_end[up] <= due:
                            break
                        heap_end[at], heap_row[at] = heap_end[up], heap_row[up]
                        at = up
                    heap_end[at], heap_row[at] = due, row
                    if coalesce:
                        landing[x] = due
        outcomes[row] = outcome
