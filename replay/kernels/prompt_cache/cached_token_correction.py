"""Cached tokens of a counterfactual from logged and simulated ones, call by call, in whole tokens."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from replay.kernels.common.jit import lean

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Float = NDArray[np.float64]


@lean()
def tally(cell: Int32, logged: Int64, simulated: Int64, sums: Int64) -> None:
    """Logged and simulated tokens of the calls that log them, per cell; `sums` is (cells x 2), all zero."""
    for row in range(cell.size):
        if logged[row] >= 0:
            sums[cell[row], 0] += logged[row]
            sums[cell[row], 1] += simulated[row]


@lean()
def correct(
    logged: Int64,
    before: Int64,
    now: Int64,
    was: Int32,
    model: Int32,
    gain: Float,
    loss: Float,
    moved: Float,
    most: Int64,
    taken: Int64,
    out: Int64,
) -> None:
    """Fill `out`. `logged` is empty where nothing is known, `before` and `now` are simulated, `was` and `model` served.

    A call that keeps its model has what it logged and the simulated change, times `gain` where that is more tokens and
    `loss` where it is fewer (over models); -1 stays where nothing is known. Another one has the simulation times
    `moved` of its new model. Never more than `most`, less those `taken` (empty: none); both count from 0.
    """
    for row in range(out.size):
        one = model[row]
        if one == was[row]:
            known = logged[row] if logged.size > 0 else np.int64(-1)
            if known < 0:
                out[row] = known
                continue
            change = now[row] - before[row]
            factor = gain[one] if change > 0 else loss[one]
            found = max(known + (change if factor == 1.0 else np.int64(change * factor)), 0)
        else:
            found = np.int64(now[row] * moved[one])
        limit = max(most[row], 0)
        if taken.size > 0:
            limit -= max(taken[row], 0)
        out[row] = min(found, limit)


@lean()
def any_positive(values: Any) -> bool:
    """Whether any value is above 0."""
    for value in values:  # noqa: SIM110  compiled
        if value > 0:
            return True
    return False
