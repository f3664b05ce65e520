"""Open addressing over int64 keys: where a key belongs in a table of a power of two places, and how a table grows."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from replay.kernels.common.jit import lean

Int64 = NDArray[np.int64]

MIX: Final = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio: neighbours land far from each other


@lean(forceinline=True)
def home(key: Any, mask: Any) -> Any:
    """The place where a search for `key` begins; `mask` is the number of places less one, uint64."""
    mixed = np.uint64(key) * MIX
    return (mixed ^ (mixed >> np.uint64(32))) & mask


@lean()
def move(table: Int64, wide: Int64) -> None:
    """Put the entries of `table` into `wide`, which is all zero and larger by a power of two.

    Both are (places x 2): a key and what is known of it, which is positive in a place that is taken.
    """
    mask = np.uint64(len(wide) - 1)
    for place in range(len(table)):
        if table[place, 1] > 0:
            free = home(table[place, 0], mask)
            while wide[free, 1] > 0:
                free = (free + np.uint64(1)) & mask
            wide[free, 0] = table[place, 0]
            wide[free, 1] = table[place, 1]
