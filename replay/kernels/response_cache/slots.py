"""Places for the few entries that a small tier can hold, found by hash.

A memory of ten thousand entries needs no place for each of millions of (process, key) pairs: the slots in use stay in
the processor's caches. A code names a pair, and a bit per code remembers the entries whose life has ended.

`table` holds (code << 30 | slot) + 1 by hash, 0 where nothing is: codes below 2 ** 33, slots below 2 ** 30.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from replay.kernels.common.hashing import home
from replay.kernels.common.intrinsics import fetch
from replay.kernels.common.jit import lean

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Bits = NDArray[np.uint8]

SLOT_BITS: Final = 30
SLOT: Final = (1 << SLOT_BITS) - 1


def empty_slots(room: int, codes: int) -> tuple[Int64, Int64, Int32, Bits]:
    """`room` free slots for entries of `codes` possible pairs, as the arrays that the functions below take.

    `owner`: the code of each slot. `free`: a stack of slots, with its height in the last place. `ended`: a bit a code.
    """
    size = 1 << max(4, (2 * room).bit_length())
    free = np.append(np.arange(room)[::-1], room).astype(np.int32)
    return np.zeros(size, np.int64), np.empty(room, np.int64), free, np.zeros((codes >> 3) + 1, np.uint8)


@lean(forceinline=True)
def _home(code: Any, mask: Any) -> Any:
    return np.int64(home(code, np.uint64(mask)))


@lean(forceinline=True)
def fetch_place(table: Int64, ended: Bits, code: Any) -> None:
    """Bring near what `find` and `has_ended` will read."""
    fetch(table, _home(code, table.size - 1))
    fetch(ended, code >> 3)


@lean(forceinline=True)
def find(table: Int64, code: Any) -> Any:
    """The slot of a code, -1 where it has none."""
    mask = table.size - 1
    place = _home(code, mask)
    while table[place] > 0:
        found = table[place] - 1
        if found >> SLOT_BITS == code:
            return found & SLOT
        place = (place + 1) & mask
    return np.int64(-1)


@lean(forceinline=True)
def insert(table: Int64, owner: Int64, free: Int32, ended: Bits, code: Any) -> Any:
    """A slot for a code that has none; one must be free."""
    top = free[-1] - 1
    free[-1] = top
    slot = np.int64(free[top])
    owner[slot] = code
    mask = table.size - 1
    place = _home(code, mask)
    while table[place] > 0:
        place = (place + 1) & mask
    table[place] = (code << SLOT_BITS | slot) + 1
    ended[code >> 3] &= ~(np.uint8(1) << np.uint8(code & 7))
    return slot


@lean(forceinline=True)
def remove(table: Int64, owner: Int64, free: Int32, slot: Any) -> None:
    """Free a slot; those that were pushed on by it in the table move back (Knuth 6.4, algorithm R)."""
    mask = table.size - 1
    code = owner[slot]
    hole = _home(code, mask)
    while table[hole] != (code << SLOT_BITS | slot) + 1:
        hole = (hole + 1) & mask
    at = (hole + 1) & mask
    while table[at] > 0:
        home = _home((table[at] - 1) >> SLOT_BITS, mask)
        if (at - home) & mask >= (at - hole) & mask:
            table[hole] = table[at]
            hole = at
        at = (at + 1) & mask
    table[hole] = 0
    top = free[-1]
    free[top] = slot
    free[-1] = top + 1


@lean(forceinline=True)
def has_ended(ended: Bits, code: Any) -> bool:
    """Whether the code's last entry came to the end of its life."""
    return (ended[code >> 3] >> np.uint8(code & 7)) & 1 == 1


@lean(forceinline=True)
def end(table: Int64, owner: Int64, free: Int32, ended: Bits, slot: Any) -> None:
    """Free the slot of an entry whose life has ended."""
    code = owner[slot]
    ended[code >> 3] |= np.uint8(1) << np.uint8(code & 7)
    remove(table, owner, free, slot)
