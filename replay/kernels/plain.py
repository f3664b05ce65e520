"""One shared cache of entries without expiry, where every answer is stored at once: the leanest loops.

With no time to live an entry needs no more than its place in the order, so a hit reads one or two cache lines. Outcomes
equal those of `replay.kernels.single` with `ttl` -1. `key` is -1 for calls that are never looked up.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from replay.kernels.lean import lean
from replay.outcomes import BYPASSED, HIT, MISS

Int8 = NDArray[np.int8]
Int32 = NDArray[np.int32]

AHEAD: Final = 8  # calls


@lean()
def lru(key: Int32, room: int, link: Int32, outcomes: Int8) -> Any:
    """`link` is (keys + 1) x 2, all -1: the next older and the next newer entry; the last row closes the circle.

    Returns the hits, and a sum without meaning that keeps the look ahead: it brings the link of a call to come near,
    which a wrong guess at this call's outcome would else have to wait for.
    """
    head = np.int64(len(link) - 1)
    link[head, 0] = link[head, 1] = head
    newest = head
    held, hits, near = 0, 0, 0
    last = key.size - 1
    for row in range(key.size):
        near += link[key[min(row + AHEAD, last)], 0]
        x = np.int64(key[row])
        if x < 0:
            outcomes[row] = BYPASSED
            continue
        older = np.int64(link[x, 0])
        if older >= 0:
            outcomes[row] = HIT
            hits += 1
            if x == newest:
                continue
            newer = link[x, 1]
            link[newer, 0] = older
            link[older, 1] = newer
        else:
            outcomes[row] = MISS
            if held < room:
                held += 1
            else:
                old = link[head, 1]
                newer = link[old, 1]
                link[head, 1] = newer
                link[newer, 0] = head
                link[old, 0] = -1
                if old == newest:
                    newest = head
        link[x, 0] = newest
        link[newest, 1] = x
        newest = x
    return hits, near


@lean()
def fifo(key: Int32, room: int, held: Int8, queue: Int32, outcomes: Int8) -> int:
    """`held` (over keys) is 0 everywhere; `queue` is a ring of `room` places."""
    place, count, hits = 0, 0, 0
    for row in range(key.size):
        x = key[row]
        if x < 0:
            outcomes[row] = BYPASSED
        elif held[x]:
            outcomes[row] = HIT
            hits += 1
        else:
            outcomes[row] = MISS
            if count >= room:
                held[queue[place]] = 0
            else:
                count += 1
            queue[place] = x
            held[x] = 1
            place = place + 1 if place + 1 < room else 0
    return hits


@lean()
def sieve(key: Int32, room: int, held: Int8, link: Int32, outcomes: Int8) -> int:
    """`held` (over keys) is 0 everywhere: 1 for an entry, 2 for one used since the hand passed. `link` as for LRU."""
    head = len(link) - 1
    link[head, 0] = link[head, 1] = head
    count, hits, hand = 0, 0, head
    for row in range(key.size):
        x = key[row]
        if x < 0:
            outcomes[row] = BYPASSED
            continue
        if held[x]:
            outcomes[row] = HIT
            hits += 1
            held[x] = 2
            continue
        outcomes[row] = MISS
        if count >= room:
            old = hand if hand != head else link[head, 1]
            while held[old] == 2:
                held[old] = 1
                old = link[old, 1]
                if old == head:
                    old = link[head, 1]
            older, newer = link[old, 0], link[old, 1]
            hand = newer
            link[newer, 0] = older
            link[older, 1] = newer
            held[old] = 0
        else:
            count += 1
        held[x] = 1
        first = link[head, 0]
        link[head, 0] = x
        link[x, 1] = head
        link[x, 0] = first
        link[first, 1] = x
    return hits
