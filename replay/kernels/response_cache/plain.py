"""One shared cache of entries without expiry, where every answer is stored at once: the leanest loops.

With no time to live an entry needs no more than a number that tells its place in the order. LRU and FIFO work out what
a call does without a branch on whether it hits, which no processor can foresee: hence the unsigned arithmetic.
Outcomes equal those of `replay.kernels.response_cache.lru_fifo_sieve` with `ttl` -1. `key` is -1 for calls that are
never looked up.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from replay.kernels.common.intrinsics import fetch, lowest_bit
from replay.kernels.common.jit import lean
from replay.outcomes import BYPASSED, HIT, MISS

Int8 = NDArray[np.int8]
Int32 = NDArray[np.int32]
Words = NDArray[np.uint64]

AHEAD: Final = 16  # calls
LONGER: Final = 4  # how many times the entries SIEVE's queue is
ALL: Final = np.uint64(0xFFFFFFFFFFFFFFFF)
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
def sieve(key: Int32, room: int, place: Int32, queue: Int32, live: Words, seen: Words, outcomes: Int8) -> int:
    """`place` (over keys) is 0 everywhere: one more than where an entry stands in `queue`, in order of insertion.

    `queue` has LONGER times `room` places; `live` and `seen` are its `words`: whether an entry stands there still, and
    whether it was used since the hand passed. The hand passes 64 places at once.
    """
    room_left, hand, tail, size = np.uint64(room), np.uint64(0), np.uint64(0), np.uint64(queue.size)
    hits, last = 0, key.size - 1
    for row in range(key.size):
        fetch(place, key[min(row + AHEAD, last)])
        x = key[row]
        if x < 0:
            outcomes[row] = BYPASSED
            continue
        k = np.uint64(x)
        at = np.uint64(place[k])
        if at > 0:
            outcomes[row] = HIT
            hits += 1
            at -= ONE
            seen[at >> WORD] |= ONE << (at & BIT)
            continue
        outcomes[row] = MISS
        if room_left > 0:
            room_left -= ONE
        else:
            hand = _evict(place, queue, live, seen, hand, tail)
        if tail == size:
            tail, hand = _close_up(place, queue, live, seen, hand)
        queue[tail] = x
        live[tail >> WORD] |= ONE << (tail & BIT)
        tail += ONE
        place[k] = tail
    return hits


@lean(forceinline=True)
def _evict(place: Int32, queue: Int32, live: Words, seen: Words, hand: Any, tail: Any) -> Any:
    """Move the hand to the next entry that was not used, which goes; returns the place after it."""
    word = hand >> WORD
    ahead = ALL << (hand & BIT)
    found = live[word] & ~seen[word] & ahead
    while found == 0:
        seen[word] &= ~ahead
        word += ONE
        if word << WORD >= tail:
            word = np.uint64(0)
        ahead = ALL
        found = live[word] & ~seen[word]
    bit = np.uint64(lowest_bit(found))
    one = ONE << bit
    seen[word] &= ~(ahead & (one - ONE))
    live[word] &= ~one
    hand = (word << WORD) + bit
    place[queue[hand]] = 0
    hand += ONE
    # where the newest went the hand begins again, and does not meet the one that comes now
    return np.uint64(0) if hand == tail else hand


@lean()
def _close_up(place: Int32, queue: Int32, live: Words, seen: Words, hand: Any) -> Any:
    """Move the entries of a full queue to its start, in order; returns its new end and the hand's new place."""
    count, moved = np.uint64(0), np.uint64(0)
    for number in range(live.size):
        word = np.uint64(number)
        found, used = live[word], seen[word]
        live[word] = seen[word] = 0
        while found > 0:
            bit = np.uint64(lowest_bit(found))
            found &= found - ONE
            at = (word << WORD) + bit
            moved += np.uint64(at < hand)
            x = queue[at]
            queue[count] = x
            live[count >> WORD] |= ONE << (count & BIT)
            seen[count >> WORD] |= ((used >> bit) & ONE) << (count & BIT)
            count += ONE
            place[x] = count
    return count, moved
