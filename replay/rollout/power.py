"""How large a holdback must be, and for how long, to see an effect of a given size.

The standard error of a difference of two means over n clusters, a share h of them held back, is
sqrt(v / n * (1 / h + 1 / (1 - h))), v being the variance of a cluster's part; an effect is seen with probability
`power` if it is at least (z(1 - alpha/2) + z(power)) standard errors (t with few clusters).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from replay.rollout.arms import mean
from replay.rollout.effects import ALPHA, POWER

Floats = NDArray[np.float64]
HOLDBACKS = (0.01, 0.02, 0.05, 0.10, 0.15, 0.20, 0.25, 0.30, 0.40, 0.50)


@dataclass(frozen=True)
class Spread:
    """A measure's mean and the variance of one cluster's part of it, as a square of the measure's unit."""

    mean: float
    variance: float
    clusters: int


def spread(value: Floats, size: Floats, cluster: NDArray[np.int64]) -> Spread:
    """From the sums `value` over `size` of each row, rows of one cluster being alike."""
    found = mean(value, size, cluster)
    return Spread(found.value, found.variance * found.clusters, found.clusters)


def detectable(one: Spread, clusters: float, holdback: float, *, alpha: float = ALPHA, power: float = POWER) -> float:
    """The smallest difference that `clusters` in all show with probability `power`; inf with fewer than 2 in an arm."""
    from scipy.special import stdtrit

    smaller = clusters * min(holdback, 1 - holdback)
    if smaller < 2:
        return math.inf
    error = math.sqrt(one.variance / clusters * (1 / holdback + 1 / (1 - holdback)))
    freedom = smaller - 1
    return float(stdtrit(freedom, 1 - alpha / 2) + stdtrit(freedom, power)) * error


def smallest_holdback(
    one: Spread, clusters: float, effect: float, *, alpha: float = ALPHA, power: float = POWER,
    holdbacks: Sequence[float] = HOLDBACKS,
) -> float | None:  # fmt: skip
    """The least share to hold back that shows `effect` (in the measure's unit); None where half is not enough."""
    for holdback in holdbacks:
        if detectable(one, clusters, holdback, alpha=alpha, power=power) <= effect:
            return holdback
    return None
