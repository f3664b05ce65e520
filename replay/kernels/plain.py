"""One shared cache of entries without expiry, where every answer is stored at once: the leanest loops.

With no time to live an entry needs no more than a number that tells its place in the order. LRU and FIFO work out what
a call does without a branch on whether it hits, which no processor can foresee: hence their unsigned arithmetic.
Outcomes equal those of `replay.kernels.single` with `ttl` -1. `key` is -1 for calls that are never looked up.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from replay.kernels.instructions import fetch, lowest_bit
from replay.kernels.lean import lean
from replay.outcomes import BYPASSED, HIT, MISS

Int8 = NDArray[np.int8]
Int32 = NDArray[np.int32]
Words = NDArray[np.uint64]

AHEAD: Final = 16  # calls
ONE: Final = np.uint64(1)
WORD: Final = np.uint64(6)  # a place's word, by shifting
BIT: Final = np.uint64(63)  # and its bit there, by masking


def words(rows: int) -> Words:
    """A bit for each row, and for the place before the first, none set."""
    return np.zeros((rows >> 6) + 1, np.uint64)


@lean()
def lru(key: Int32, room: int, used: Int32, live: Words, outcomes: Int8) -> int:
    """`used` (over keys) is 0 everywhere: one more than the row where a key was last asked for. `live`: `words`, all 0.

    The rows are the order of use: an entry stands where its key was last asked for, and there its bit is set. The
    lowest bit is the entry that goes next; whatever was last used before it is no longer held.
    """
    room_left, oldest, word = np.uint64(room), ONE, np.uint64(0)
    misses = np.uint64(0)
    asked, last = 0, key.size - 1
    for row in range(key.size):
        fetch(used, key[min(row + AHEAD, last)])
        x = key[row]
        if x < 0:
            outcomes[row] = BYPASSED
            continue
        asked += 1
        here, at = np.uint64(row + 1), np.uint64(x)
        before = np.uint64(used[at])
        miss = np.uint64(before < oldest)
        outcomes[row] = HIT + (MISS - HIT) * np.int64(miss)
        misses += miss
        used[at] = here
        evict = miss & np.uint64(room_left == 0)
        room_left -= miss - evict
        live[before >> WORD] &= ~((ONE - miss) << (before & BIT))
        live[here >> WORD] |= ONE << (here & BIT)
        while live[word] == 0:
            word += ONE
        found = live[word]
        lowest = np.uint64(lowest_bit(found))
        live[word] = found & ~(evict << lowest)
        oldest = (word << WORD) + lowest + evict
    return int(asked - np.int64(misses))


@lean()
def fifo(key: Int32, room: int, born: Int32, outcomes: Int8) -> int:
    """`born` (over keys) is -`room` everywhere: the number of the insertion, from 1, that an entry came with.

    The insertion `room` after its own is the one that an entry leaves by.
    """
    count, most = np.int32(0), np.int32(room)
    asked, last = 0, key.size - 1
    for row in range(key.size):
        fetch(born, key[min(row + AHEAD, last)])
        x = key[row]
        if x < 0:
            outcomes[row] = BYPASSED
            continue
        asked += 1
        at = np.uint64(x)
        before = born[at]
        miss = np.int32(np.int32(count - before) >= most)
        outcomes[row] = HIT + (MISS - HIT) * miss
        count = np.int32(count + miss)
        born[at] = count if miss else before
    return int(asked - np.int64(count))


@lean()
def sieve(key: Int32, room: int, held: Int8, link: Int32, outcomes: Int8) -> int:
    """`held` (over keys) is 0 everywhere: 1 for an entry, 2 for one used since the hand passed.

    `link` is (keys + 1) x 2, in order of insertion: the next older and newer entry; the last row closes the circle.
    """
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
