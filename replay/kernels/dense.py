"""Dense ids: any int64 values as 0, 1, 2, ... in order of first appearance."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]

_MIX = np.uint64(0x9E3779B97F4A7C15)
_START = 1 << 12


@njit(cache=True, nogil=True, forceinline=True)
def _home(value: Any, mask: Any) -> Any:
    mixed = np.uint64(value) * _MIX
    return (mixed ^ (mixed >> np.uint64(32))) & mask


@njit(cache=True, nogil=True)
def _widened(table: Int64) -> Int64:
    """The same entries in twice the places."""
    wide = np.zeros((2 * len(table), 2), np.int64)
    mask = np.uint64(len(wide) - 1)
    for place in range(len(table)):
        if table[place, 1] > 0:
            home = _home(table[place, 0], mask)
            while wide[home, 1] > 0:
                home = (home + np.uint64(1)) & mask
            wide[home, 0] = table[place, 0]
            wide[home, 1] = table[place, 1]
    return wide


@njit(cache=True, nogil=True)
def _factorise(values: Int64, skip: np.int64, ids: Int32, firsts: Int32, table: Int64) -> int:
    """`table` is (places x 2): a value and its id plus one, side by side, so that a look-up reads one cache line."""
    known = 0
    mask = np.uint64(len(table) - 1)
    for row in range(values.size):
        value = values[row]
        if value == skip:
            ids[row] = -1
            continue
        place = _home(value, mask)
        while True:
            found = table[place, 1]
            if found == 0:
                if 2 * known >= len(table):
                    table = _widened(table)
                    mask = np.uint64(len(table) - 1)
                    place = _home(value, mask)
                    continue
                table[place, 0] = value
                table[place, 1] = known + 1
                firsts[known] = row
                ids[row] = known
                known += 1
                break
            if table[place, 0] == value:
                ids[row] = found - 1
                break
            place = (place + np.uint64(1)) & mask
    return known


def factorise(values: Int64, *, skip: int = np.iinfo(np.int64).min) -> tuple[Int32, Int32]:
    """Dense ids of `values` and the row where each id first appears. Rows equal to `skip` get -1.

    Open addressing at a load of at most one half, grown with the distinct values: 32 to 64 bytes for each of them.
    """
    values = np.ascontiguousarray(values, np.int64)
    ids = np.empty(values.size, np.int32)
    firsts = np.empty(values.size, np.int32)
    known = _factorise(values, np.int64(skip), ids, firsts, np.zeros((_START, 2), np.int64))
    return ids, firsts[:known].copy()
