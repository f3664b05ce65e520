"""Whole curves in one pass over the calls: every capacity of an LRU cache, many times to live, with dollars.

`key` is -1 for calls that are never looked up. `worth` is what a hit on the call saves, in pico-dollars. Answers come
at once. A call whose answer may not be stored can hit, but neither stores nor touches.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from replay.kernels.common.intrinsics import fetch
from replay.kernels.common.jit import lean

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
UInt64 = NDArray[np.uint64]
Bool = NDArray[np.bool_]

AHEAD: Final = 16  # calls
LINE: Final = 8  # numbers of 64 bits in a line of memory


@lean()
def ttl_from_insert(
    key: Int32, start: Int64, storable: Bool, worth: Int64, ttls: Int64, until: Int64, hits: Int64, dollars: Int64
) -> None:
    """Hits and their worth for each of `ttls` (ms). `until` is (keys x ttls), NEVER_STORED everywhere."""
    every, last = storable.size == 0, key.size - 1
    for row in range(key.size):
        later = np.int64(key[min(row + AHEAD, last)]) * ttls.size
        for at in range(0, ttls.size, LINE):
            fetch(until, later + at)
        x = key[row]
        if x < 0:
            continue
        now = start[row]
        value = worth[row]
        lives = until[x]
        if every or storable[row]:
            for at in range(ttls.size):
                alive = now <= lives[at]
                hits[at] += alive
                dollars[at] += value if alive else 0
                lives[at] = lives[at] if alive else now + ttls[at]
        else:
            for at in range(ttls.size):
                alive = now <= lives[at]
                hits[at] += alive
                dollars[at] += value if alive else 0


@lean()
def gaps(key: Int32, start: Int64, storable: Bool, last: Int64, gap: Int64) -> None:
    """Milliseconds since the key's last storable call, -1 where there was none: a sliding cache hits iff gap <= ttl.

    Exact where every answer may be stored; `last` (over keys) is -1 everywhere.
    """
    for row in range(key.size):
        x = key[row]
        if x < 0:
            gap[row] = -1
            continue
        gap[row] = start[row] - last[x] if last[x] >= 0 else -1
        if storable.size == 0 or storable[row]:
            last[x] = start[row]


@lean(forceinline=True)
def _ones(word: Any) -> Any:
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


@lean()
def stack_distances(
    key: Int32,
    storable: Bool,
    last: Int64,
    owner: Int32,
    bits: UInt64,
    hundreds: Int32,
    thousands: Int32,
    distance: Int32,
) -> None:
    """How many other keys were used since the call's key was: an LRU cache of more entries than that hits.

    `distance` is -1 where the key is new. Positions run through a window of `owner.size` places (a multiple of 262,144,
    at least twice the keys) that is closed up when full: a bit per position that is some key's last use, with counts
    per 4,096 (`hundreds`) and per 262,144 positions (`thousands`), so one distance costs three short sums.
    `last` (over keys) is -1 everywhere, all other state is zero.
    """
    place = 0
    one = np.uint64(1)
    for row in range(key.size):
        x = key[row]
        if x < 0:
            distance[row] = -1
            continue
        if place == owner.size:
            place = _close_up(last, owner, bits, hundreds, thousands)
        before = last[x]
        store = storable.size == 0 or storable[row]
        if before < 0:
            distance[row] = -1
        else:
            word = before >> 6
            later = _ones(bits[word] >> np.uint64(before & 63)) - 1
            for at in range(word + 1, (word | 63) + 1):
                later += _ones(bits[at])
            block = before >> 12
            for at in range(block + 1, (block | 63) + 1):
                later += hundreds[at]
            for at in range((before >> 18) + 1, (place >> 18) + 1 if place < owner.size else thousands.size):
                later += thousands[at]
            distance[row] = later
            if store:
                bits[word] &= ~(one << np.uint64(before & 63))
                hundreds[block] -= 1
                thousands[before >> 18] -= 1
        if store:
            bits[place >> 6] |= one << np.uint64(place & 63)
            hundreds[place >> 12] += 1
            thousands[place >> 18] += 1
            owner[place] = x
            last[x] = place
            place += 1


@lean()
def _close_up(last: Int64, owner: Int32, bits: UInt64, hundreds: Int32, thousands: Int32) -> int:
    """Move the positions that are some key's last use to the window's start; returns the first free one."""
    count = 0
    for place in range(owner.size):
        if (bits[place >> 6] >> np.uint64(place & 63)) & np.uint64(1):
            x = owner[place]
            owner[count] = x
            last[x] = count
            count += 1
    bits[:] = 0
    hundreds[:] = 0
    thousands[:] = 0
    for place in range(count):
        bits[place >> 6] |= np.uint64(1) << np.uint64(place & 63)
        hundreds[place >> 12] += 1
        thousands[place >> 18] += 1
    return count


@lean()
def by_distance(distance: Int32, worth: Int64, hits: Int64, dollars: Int64) -> None:
    """Sum calls and their worth per stack distance."""
    for row in range(distance.size):
        if distance[row] >= 0:
            hits[distance[row]] += 1
            dollars[distance[row]] += worth[row]
