"""Which calls change their model, and what that does to their answers: one pass each, without columns in between."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from replay.kernels.common.jit import lean

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Float = NDArray[np.float64]


@lean()
def pairs(was: Int32, served: Int32, width: int, counts: Int64) -> None:
    """Count the calls that move from one model to another; `counts`, over was * `width` + served, is all zero."""
    for row in range(was.size):
        if was[row] != served[row]:
            counts[was[row] * width + served[row]] += 1


@lean()
def tasks(was: Int32, served: Int32, task: Int32, width: int, counts: Int64) -> None:
    """Count the calls that move, over served * `width` + task; `counts` is all zero."""
    for row in range(was.size):
        if was[row] != served[row]:
            counts[served[row] * width + task[row]] += 1


@lean()
def stretch(logged: Int64, was: Int32, served: Int32, task: Int32, width: int, ratio: Float, out: Int64) -> None:
    """`out`: tokens times the `ratio` (over served * `width` + task) of the calls that move, half to even; -1 stays."""
    for row in range(logged.size):
        tokens = logged[row]
        if was[row] != served[row] and tokens >= 0:
            tokens = np.int64(np.rint(tokens * ratio[served[row] * width + task[row]]))
        out[row] = tokens
