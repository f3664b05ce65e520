"""Dense ids: any int64 values as 0, 1, 2, ... in order of first appearance."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from replay.kernels.common.hashing import home, move
from replay.kernels.common.intrinsics import fetch
from replay.kernels.common.jit import lean

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]

_START = 1 << 12
_GROWTH = 4
_AHEAD = 16  # rows


@lean()
def _factorise(values: Int64, skip: Any, ids: Int32, firsts: Int32, table: Int64, first: int, known: int) -> Any:
    """`table` is (places x 2): a value and its id plus one, side by side, so that a look-up reads one cache line.

    Goes on from row `first` with `known` ids until the table is half full. Returns the next row and the ids.
    """
    mask = np.uint64(len(table) - 1)
    row, last = first, values.size - 1
    while row < values.size:
        fetch(table, home(values[min(row + _AHEAD, last)], mask) << np.uint64(1))
        value = values[row]
        if value == skip:
            ids[row] = -1
            row += 1
            continue
        place = home(value, mask)
        while True:
            found = table[place, 1]
            if found == 0:
                if 2 * known >= len(table):
                    return row, known
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
        row += 1
    return row, known


def factorise(values: Int64, *, skip: int = np.iinfo(np.int64).min) -> tuple[Int32, Int32]:
    """Dense ids of `values` and the row where each id first appears. Rows equal to `skip` get -1.

    Open addressing at a load of at most one half, grown with the distinct values: 32 to 128 bytes for each of them.
    """
    values = np.ascontiguousarray(values, np.int64)
    ids = np.empty(values.size, np.int32)
    firsts = np.empty(values.size, np.int32)
    table = np.zeros((_START, 2), np.int64)
    row, known = _factorise(values, np.int64(skip), ids, firsts, table, 0, 0)
    while row < values.size:
        wide = np.zeros((_GROWTH * len(table), 2), np.int64)
        move(table, wide)
        table = wide
        row, known = _factorise(values, np.int64(skip), ids, firsts, table, row, known)
    return ids, firsts[:known].copy()


@lean()
def _count(ids: Int32, counts: Int64) -> None:
    for row in range(ids.size):
        counts[ids[row]] += 1


def count(ids: Int32, size: int) -> Int64:
    """How often each id from 0 to `size` - 1 comes: numpy.bincount, without a copy of the ids in 64 bits."""
    counts = np.zeros(size, np.int64)
    _count(ids, counts)
    return counts


@lean()
def mark(ids: Int32, there: Any) -> None:
    """Set `there` of each id."""
    for row in range(ids.size):
        there[ids[row]] = True


@lean()
def _pick(values: Any, ids: Int32, out: Any) -> None:
    for row in range(ids.size):
        out[row] = values[ids[row]]


def pick(values: Any, ids: Int32) -> Any:
    """The value of each id, the last one for an id of -1: values[ids], without a copy of the ids in 64 bits."""
    out = np.empty(ids.size, values.dtype)
    _pick(values, ids, out)
    return out


@lean()
def renumber(ids: Int32, number: Int32) -> None:
    """Replace each id by its number, in place."""
    for row in range(ids.size):
        ids[row] = number[ids[row]]


@lean()
def joined(first: Any, second: Int32, rank: Int32, width: Any, out: Int32) -> None:
    """One id for two: `first` * `width` + `rank[second]`, -1 where `first` is negative. They must fit 31 bits."""
    for row in range(out.size):
        out[row] = first[row] * width + rank[second[row]] if first[row] >= 0 else -1
