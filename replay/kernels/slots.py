"""Places for the few entries that a small tier can hold, found by hash.

A memory of ten thousand entries needs no place for each of millions of (process, key) pairs: the slots in use stay in
the processor's caches. A code names a pair; `ran_out` keeps a bit per code for the entries whose life has ended.
"""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import numpy as np
from numba import njit

# table: slot + 1 by hash, 0 where none; code: over slots; free: a stack of slots, its height in the last place
Slots = namedtuple("Slots", "table code free ran_out")

_MIX = np.uint64(0x9E3779B97F4A7C15)


def empty_slots(room: int, codes: int) -> Any:
    """`room` free slots for entries of `codes` possible pairs."""
    size = 1 << max(4, (2 * room).bit_length())
    free = np.append(np.arange(room)[::-1], room).astype(np.int32)
    return Slots(np.zeros(size, np.int32), np.empty(room, np.int64), free, np.zeros((codes >> 3) + 1, np.uint8))


@njit(cache=True, nogil=True, forceinline=True)
def _home(code: Any, mask: Any) -> Any:
    mixed = np.uint64(code) * _MIX
    return np.int64((mixed ^ (mixed >> np.uint64(32))) & np.uint64(mask))


@njit(cache=True, nogil=True, forceinline=True)
def find(s: Any, code: Any) -> Any:
    """The slot of a code, -1 where it has none."""
    mask = s.table.size - 1
    place = _home(code, mask)
    while s.table[place] > 0:
        slot = np.int64(s.table[place]) - 1
        if s.code[slot] == code:
            return slot
        place = (place + 1) & mask
    return np.int64(-1)


@njit(cache=True, nogil=True)
def insert(s: Any, code: Any) -> Any:
    """A slot for a code that has none; one must be free."""
    top = s.free[-1] - 1
    s.free[-1] = top
    slot = np.int64(s.free[top])
    s.code[slot] = code
    mask = s.table.size - 1
    place = _home(code, mask)
    while s.table[place] > 0:
        place = (place + 1) & mask
    s.table[place] = slot + 1
    s.ran_out[code >> 3] &= ~(np.uint8(1) << np.uint8(code & 7))
    return slot


@njit(cache=True, nogil=True)
def remove(s: Any, slot: Any) -> None:
    """Free a slot; those that were pushed on by it in the table move back (Knuth 6.4, algorithm R)."""
    mask = s.table.size - 1
    hole = _home(s.code[slot], mask)
    while s.table[hole] != slot + 1:
        hole = (hole + 1) & mask
    at = (hole + 1) & mask
    while s.table[at] > 0:
        home = _home(s.code[s.table[at] - 1], mask)
        if (at - home) & mask >= (at - hole) & mask:
            s.table[hole] = s.table[at]
            hole = at
        at = (at + 1) & mask
    s.table[hole] = 0
    top = s.free[-1]
    s.free[top] = slot
    s.free[-1] = top + 1


@njit(cache=True, nogil=True, forceinline=True)
def ran_out(s: Any, code: Any) -> bool:
    """Whether the code's last entry came to the end of its life."""
    return (s.ran_out[code >> 3] >> np.uint8(code & 7)) & 1 == 1


@njit(cache=True, nogil=True)
def run_out(s: Any, slot: Any) -> None:
    """Free the slot of an entry whose life has ended."""
    code = s.code[slot]
    s.ran_out[code >> 3] |= np.uint8(1) << np.uint8(code & 7)
    remove(s, slot)
