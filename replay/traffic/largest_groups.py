"""The groups of calls that are told apart, and the rest of them as one, so that time, memory and words stay bounded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]
Bools = NDArray[np.bool_]


def largest(
    group: Int64, amount: NDArray[np.float64], most: int, *, always: Bools | None = None
) -> tuple[Int64, Int64]:
    """The numbers of the groups that stay, in their order, and each call's place among them; the last place,
    `len(kept)`, is that of all other groups.

    Those of the `most` largest sums of `amount` (one element per call, as `group`) stay, and those marked in `always`.
    """
    size = int(group.max(initial=-1)) + 1 if always is None else len(always)
    if size <= most:
        return np.arange(size), group
    sums = np.bincount(group, amount, size)
    stays = np.zeros(size, np.bool_) if always is None else always.copy()
    stays[np.argsort(-sums, kind="stable")[:most]] = True
    kept = np.flatnonzero(stays)
    place = np.full(size, len(kept), np.int64)
    place[kept] = np.arange(len(kept))
    return kept, place[group]
