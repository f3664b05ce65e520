"""One shared cache of entries, with answers that come at once: the fast twins of the general kernel.

Each fills one outcome per call and returns the hits. `key` is -1 for calls that are never looked up; `storable` is
empty where every answer may be stored. `expiry` (over keys) starts as NEVER_STORED; `ttl` -1 means no expiry. An entry
that is found expired leaves at once, as in the general kernel, so both give the same outcomes.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from replay.kernels.common.jit import lean
from replay.outcomes import BYPASSED, EXPIRED, HIT, MISS

Int8 = NDArray[np.int8]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]

FOREVER: Final = np.iinfo(np.int64).max
NEVER_STORED: Final = np.iinfo(np.int64).min
EVICTED: Final = NEVER_STORED + 1
RAN_OUT: Final = NEVER_STORED + 2


@lean()
def unlimited(key: Int32, start: Int64, storable: Bool, ttl: Any, sliding: bool, expiry: Int64, outcomes: Int8) -> int:
    """No capacity: only time ends an entry."""
    hits = 0
    for row in range(key.size):
        x = key[row]
        if x < 0:
            outcomes[row] = BYPASSED
            continue
        now = start[row]
        until = expiry[x]
        if now <= until:
            outcomes[row] = HIT
            hits += 1
            if sliding and ttl >= 0:
                expiry[x] = now + ttl
        else:
            outcomes[row] = EXPIRED if until > NEVER_STORED else MISS
            if storable.size == 0 or storable[row]:
                expiry[x] = now + ttl if ttl >= 0 else FOREVER
    return hits


@lean()
def lru(
    key: Int32,
    start: Int64,
    storable: Bool,
    ttl: Any,
    sliding: bool,
    room: int,
    expiry: Int64,
    link: Int32,
    outcomes: Int8,
) -> int:
    """`link` is (keys + 1) x 2: the next older and the next newer entry; the last row closes the circle."""
    head = len(link) - 1
    link[head, 0] = link[head, 1] = head
    held, hits = 0, 0
    for row in range(key.size):
        x = key[row]
        if x < 0:
            outcomes[row] = BYPASSED
            continue
        now = start[row]
        until = expiry[x]
        if now <= until:
            outcomes[row] = HIT
            hits += 1
            if sliding and ttl >= 0:
                expiry[x] = now + ttl
            if link[head, 0] == x:
                continue
            older, newer = link[x, 0], link[x, 1]
            link[newer, 0] = older
            link[older, 1] = newer
        else:
            if until > RAN_OUT:  # found expired: it leaves now, stored again or not
                older, newer = link[x, 0], link[x, 1]
                link[newer, 0] = older
                link[older, 1] = newer
                held -= 1
                until = expiry[x] = RAN_OUT
            outcomes[row] = EXPIRED if until == RAN_OUT else MISS
            if storable.size > 0 and not storable[row]:
                continue
            if held >= room:
                old = link[head, 1]
                newer = link[old, 1]
                link[head, 1] = newer
                link[newer, 0] = head
                expiry[old] = EVICTED
            else:
                held += 1
            expiry[x] = now + ttl if ttl >= 0 else FOREVER
        first = link[head, 0]
        link[head, 0] = x
        link[x, 1] = head
        link[x, 0] = first
        link[first, 1] = x
    return hits


@lean()
def fifo(
    key: Int32,
    start: Int64,
    storable: Bool,
    ttl: Any,
    sliding: bool,
    room: int,
    expiry: Int64,
    queue: Int32,
    spare: Int32,
    place: Int32,
    outcomes: Int8,
) -> int:
    """`queue` is a ring with a place for every entry and twice over, `place` (over keys) where an entry stands in it.
    `spare` is as large as the queue, its content of no matter.

    An entry that expired leaves a hole (-1), which the head skips.
    """
    held, hits, head, tail = 0, 0, 0, 0
    for row in range(key.size):
        x = key[row]
        if x < 0:
            outcomes[row] = BYPASSED
            continue
        now = start[row]
        until = expiry[x]
        if now <= until:
            outcomes[row] = HIT
            hits += 1
            if sliding and ttl >= 0:
                expiry[x] = now + ttl
            continue
        if until > RAN_OUT:
            queue[place[x]] = -1
            held -= 1
            until = expiry[x] = RAN_OUT
        outcomes[row] = EXPIRED if until == RAN_OUT else MISS
        if storable.size > 0 and not storable[row]:
            continue
        if held >= room:
            while queue[head] < 0:
                head = head + 1 if head + 1 < queue.size else 0
            expiry[queue[head]] = EVICTED
            head = head + 1 if head + 1 < queue.size else 0
            held -= 1
        following = tail + 1 if tail + 1 < queue.size else 0
        if following == head:  # full of holes: drop them
            tail = _close_up(queue, spare, place, head, tail)
            head = 0
            following = tail + 1
        queue[tail] = x
        place[x] = tail
        tail = following
        held += 1
        expiry[x] = now + ttl if ttl >= 0 else FOREVER
    return hits


@lean()
def _close_up(queue: Int32, kept: Int32, place: Int32, head: int, tail: int) -> int:
    """Move the entries of the ring to its start, in order; returns the new tail."""
    count = 0
    while head != tail:
        if queue[head] >= 0:
            kept[count] = queue[head]
            count += 1
        head = head + 1 if head + 1 < queue.size else 0
    for at in range(count):
        queue[at] = kept[at]
        place[kept[at]] = at
    return count


@lean()
def sieve(
    key: Int32,
    start: Int64,
    storable: Bool,
    ttl: Any,
    sliding: bool,
    room: int,
    expiry: Int64,
    link: Int32,
    seen: Bool,
    outcomes: Int8,
) -> int:
    """`link` as for LRU, in order of insertion; `seen` (over keys) marks entries used since the hand last passed."""
    head = len(link) - 1
    link[head, 0] = link[head, 1] = head
    held, hits, hand = 0, 0, head
    for row in range(key.size):
        x = key[row]
        if x < 0:
            outcomes[row] = BYPASSED
            continue
        now = start[row]
        until = expiry[x]
        if now <= until:
            outcomes[row] = HIT
            hits += 1
            seen[x] = True
            if sliding and ttl >= 0:
                expiry[x] = now + ttl
            continue
        if until > RAN_OUT:
            older, newer = link[x, 0], link[x, 1]
            if hand == x:
                hand = newer
            link[newer, 0] = older
            link[older, 1] = newer
            held -= 1
            until = expiry[x] = RAN_OUT
        outcomes[row] = EXPIRED if until == RAN_OUT else MISS
        if storable.size > 0 and not storable[row]:
            continue
        if held >= room:
            old = hand if hand != head else link[head, 1]
            while seen[old]:
                seen[old] = False
                old = link[old, 1]
                if old == head:
                    old = link[head, 1]
            older, newer = link[old, 0], link[old, 1]
            hand = newer
            link[newer, 0] = older
            link[older, 1] = newer
            expiry[old] = EVICTED
        else:
            held += 1
        seen[x] = False
        first = link[head, 0]
        link[head, 0] = x
        link[x, 1] = head
        link[x, 0] = first
        link[first, 1] = x
        expiry[x] = now + ttl if ttl >= 0 else FOREVER
    return hits
