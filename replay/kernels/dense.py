"""Dense ids: any int64 values as 0, 1, 2, ... in order of first appearance."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]

_MIX = np.uint64(0x9E3779B97F4A7C15)


@njit(cache=True, nogil=True)
def _factorise(values: Int64, skip: np.int64, ids: Int32, slots: Int32, firsts: Int32) -> int:
    mask = np.uint64(slots.size - 1)
    known = 0
    for row in range(values.size):
        value = values[row]
        if value == skip:
            ids[row] = -1
            continue
        mixed = np.uint64(value) * _MIX
        place = (mixed ^ (mixed >> np.uint64(32))) & mask
        while True:
            found = slots[place]
            if found < 0:
                slots[place] = known
                firsts[known] = row
                ids[row] = known
                known += 1
                break
            if values[firsts[found]] == value:
                ids[row] = found
                break
            place = (place + np.uint64(1)) & mask
    return known


def factorise(values: Int64, *, skip: int = np.iinfo(np.int64).min) -> tuple[Int32, Int32]:
    """Dense ids of `values` and the row where each id first appears. Rows equal to `skip` get -1.

    Open addressing at a load of at most one half; memory is 12 bytes a row at worst.
    """
    values = np.ascontiguousarray(values, np.int64)
    slots = np.full(max(16, 1 << int(2 * max(1, values.size) - 1).bit_length()), -1, np.int32)
    ids = np.empty(values.size, np.int32)
    firsts = np.empty(values.size, np.int32)
    known = _factorise(values, np.int64(skip), ids, slots, firsts)
    return ids, firsts[:known].copy()
