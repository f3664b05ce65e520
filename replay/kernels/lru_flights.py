"""Tiers that evict by LRU or not at all, counted in entries: the usual two-tier cache, with or without durations.

The same semantics as the general kernel, call by call, at several times its speed. An entry's expiry and its place in
the list of its instance lie side by side, so that a look-up touches one line of memory. A tier whose processes can hold
only a few of the pairs that they are asked for has slots (replay.kernels.slots) in place of a node per pair.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from replay.kernels import slots
from replay.kernels.lean import lean
from replay.kernels.single import EVICTED, FOREVER, NEVER_STORED, RAN_OUT
from replay.kernels.tiered import BASE, FILL, INSTANCE, MAX_ENTRIES, PER_PROCESS, SLIDING, SLOTTED, TTL
from replay.outcomes import BYPASSED, COALESCED, EXPIRED, HIT, MISS

Int8 = NDArray[np.int8]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]
Bits = NDArray[np.uint8]

EXPIRY: Final = 0
LINKS: Final = 1  # older << 32 | newer
AHEAD: Final = 8  # calls


@lean()
def empty(entries: Int64, nodes: int) -> None:
    """Nothing stored in `entries`, (nodes + instances) x 2; instance i's list closes at row nodes + i."""
    for node in range(len(entries)):
        entries[node, EXPIRY] = NEVER_STORED
    for node in range(nodes, len(entries)):
        entries[node, LINKS] = (np.int64(node) << 32) | node


@lean(forceinline=True)
def _unlink(entries: Int64, node: Any) -> None:
    links = entries[node, LINKS]
    older, newer = links >> 32, links & 0xFFFFFFFF
    entries[newer, LINKS] = (older << 32) | (entries[newer, LINKS] & 0xFFFFFFFF)
    entries[older, LINKS] = (entries[older, LINKS] & ~np.int64(0xFFFFFFFF)) | newer


@lean(forceinline=True)
def _to_front(entries: Int64, head: Any, node: Any) -> None:
    """Newest of its instance: `head`'s older neighbour is the newest entry, its newer one the oldest."""
    newest = entries[head, LINKS] >> 32
    entries[node, LINKS] = (newest << 32) | head
    entries[newest, LINKS] = (entries[newest, LINKS] & ~np.int64(0xFFFFFFFF)) | node
    entries[head, LINKS] = (np.int64(node) << 32) | (entries[head, LINKS] & 0xFFFFFFFF)


@lean(forceinline=True)
def _store(
    entries: Int64, held: Int64, table: Int32, owner: Int64, free: Int32, ended: Bits, tiers: Int64, tier: Any,
    key: Any, pair: Any, process: Any, keys: Any, expiry: Any,
) -> None:  # fmt: skip
    """SET: replaces the entry's life, or admits it after the oldest entry has gone."""
    own = tiers[tier, PER_PROCESS] == 1
    limit = tiers[tier, MAX_ENTRIES]
    instance = tiers[tier, INSTANCE] + (process if own else 0)
    head = len(entries) - held.size + instance
    slotted = tiers[tier, SLOTTED] > 0
    if slotted:
        code = tiers[tier, SLOTTED] - 1 + process * keys + key
        node = slots.find(table, owner, code)
        present = node >= 0
    else:
        code = np.int64(0)
        node = tiers[tier, BASE] + (pair if own else key)
        present = entries[node, EXPIRY] > RAN_OUT
    if limit > 0:
        if present:
            if entries[head, LINKS] >> 32 != node:
                _unlink(entries, node)
                _to_front(entries, head, node)
        else:
            if held[instance] >= limit:
                oldest = entries[head, LINKS] & 0xFFFFFFFF
                _unlink(entries, oldest)
                if slotted:
                    slots.remove(table, owner, free, oldest)
                else:
                    entries[oldest, EXPIRY] = EVICTED
            else:
                held[instance] += 1
            if slotted:
                node = slots.insert(table, owner, free, ended, code)
            _to_front(entries, head, node)
    entries[node, EXPIRY] = expiry


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
    entries: Int64,
    table: Int32,
    owner: Int64,
    free: Int32,
    ended: Bits,
    held: Int64,
    heap_end: Int64,
    heap_row: Int32,
    landing: Int64,
    outcomes: Int8,
) -> Any:
    """`tiers` and `landing` as in the general kernel, `entries` as `empty` makes them; `held` counts an instance's
    entries. The heap has room for as many calls as can be in flight at once. From `table` to `ended`: the slots of the
    tiers that are SLOTTED, whose numbers are the first nodes; `pair` is empty where no other tier is of a process.
    Returns a sum without meaning, which keeps the reads that bring the lowest tier's entries near in time.
    """
    count = len(tiers)
    first = len(entries) - held.size
    coalesce = landing.size > 0
    paired = pair.size > 0
    waiting = 0
    lowest, last, near = tiers[count - 1, BASE], key.size - 1, np.int64(0)
    ahead = AHEAD if tiers[count - 1, PER_PROCESS] == 0 else key.size
    for row in range(key.size):
        now = start[row]
        if row + ahead <= last:
            near += entries[lowest + max(key[row + ahead], 0), EXPIRY]
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
                    entries,
                    held,
                    table,
                    owner,
                    free,
                    ended,
                    tiers,
                    tier,
                    key[landed],
                    mine,
                    process[landed],
                    keys,
                    life,
                )
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
                node = slots.find(table, owner, code)
                if node >= 0:
                    until = entries[node, EXPIRY]
                else:
                    until = RAN_OUT if slots.has_ended(ended, code) else EVICTED
            else:
                node = tiers[tier, BASE] + (mine if own else x)
                until = entries[node, EXPIRY]
            if now <= until:
                if tiers[tier, SLIDING] == 1 and tiers[tier, TTL] >= 0:
                    until = now + tiers[tier, TTL]
                    entries[node, EXPIRY] = until
                if tiers[tier, MAX_ENTRIES] > 0:
                    head = first + tiers[tier, INSTANCE] + (process[row] if own else 0)
                    if entries[head, LINKS] >> 32 != node:
                        _unlink(entries, node)
                        _to_front(entries, head, node)
                outcome = HIT + tier
                served = tier
                for upper in range(tier):
                    if tiers[upper, FILL] == 1:
                        life = until if tiers[upper, TTL] < 0 else min(until, now + tiers[upper, TTL])
                        _store(
                            entries, held, table, owner, free, ended, tiers, upper, x, mine, process[row], keys, life
                        )
                break
            if until >= RAN_OUT:
                outcome = EXPIRED
                if until > RAN_OUT:
                    if tiers[tier, MAX_ENTRIES] > 0:
                        _unlink(entries, node)
                        held[tiers[tier, INSTANCE] + (process[row] if own else 0)] -= 1
                    if slotted:
                        slots.end(table, owner, free, ended, node)
                    else:
                        entries[node, EXPIRY] = RAN_OUT
        if served == count:
            if coalesce and landing[x] > now:
                outcome = COALESCED
            elif storable[row]:
                due = end[row]
                if due <= now:
                    for tier in range(count):
                        life = FOREVER if tiers[tier, TTL] < 0 else now + tiers[tier, TTL]
                        _store(entries, held, table, owner, free, ended, tiers, tier, x, mine, process[row], keys, life)
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
    return near
