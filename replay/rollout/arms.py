"""Two arms at the same time, drawn by hash: the difference of their means, adjusted by what was known before (CUPED).

A mean is a ratio of sums over clusters (dollars over conversations, tokens over calls). Its variance is CR2 and its
degrees of freedom are Bell & McCaffrey's (2002), both in closed form because each arm has one parameter; the two arms
are joined as by Welch. Costs are skewed, so that a small arm often misses the tail and seems surer than it is: the
variance is at least what both arms' common relative spread gives. CUPED: Deng et al. 2013.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replay.rollout.effects import ALPHA, POWER, Estimate

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Mean:
    """A mean over clusters, its variance, and the degrees of freedom of that variance."""

    value: float
    variance: float
    freedom: float
    clusters: int


def adjusted(value: Floats, size: Floats, treated: NDArray[np.bool_], known: Floats) -> Floats:
    """`value` less what `known` before the rollout explains of it, per row; the mean over all rows stays.

    value (n) are sums over `size` (n) observations, known (n) the mean that was expected of each row. The slope is the
    one within the arms, as in the regression of value / size on the arm and `known`.
    """
    inside = size > 0
    y = np.where(inside, value / np.where(inside, size, 1), 0.0)
    top = bottom = 0.0
    for side in (treated, ~treated):
        w = np.where(side, size, 0.0)
        if w.sum() <= 0:
            continue
        x = known - np.average(known, weights=w)
        top += float((w * x * (y - np.average(y, weights=w))).sum())
        bottom += float((w * x * x).sum())
    if bottom <= 0:
        return value
    overall = np.average(known, weights=size)
    return np.asarray(value - top / bottom * (known - overall) * size, np.float64)


def mean(value: Floats, size: Floats, cluster: NDArray[Any]) -> Mean:
    """Sum of `value` over sum of `size` with its CR2 variance; rows of one cluster may be alike."""
    _, code = np.unique(cluster, return_inverse=True)
    groups = int(code.max()) + 1 if len(code) else 0
    sums, sizes = np.bincount(code, value, groups), np.bincount(code, size, groups)
    sums, sizes = sums[sizes > 0], sizes[sizes > 0]
    total = float(sizes.sum())
    if len(sizes) < 2:
        return Mean(float(sums.sum()) / total if total else math.nan, math.inf, 0.0, len(sizes))
    centre = float(sums.sum()) / total
    weight = 1 / ((1 - sizes / total) * total**2)
    variance = float((weight * (sums - centre * sizes) ** 2).sum())
    # of independent observations: Cov of the clusters' residuals is D - n n' / N
    own = weight * (sizes - sizes**2 / total)
    cross = weight * sizes**2 / total
    spread = float((own**2).sum() + cross.sum() ** 2 - (cross**2).sum())
    freedom = float(own.sum()) ** 2 / spread if spread > 0 else math.inf
    return Mean(centre, variance, freedom, len(sizes))


def difference(
    value: Floats,
    size: Floats,
    treated: NDArray[np.bool_],
    cluster: NDArray[Any],
    known: Floats | None = None,
    *,
    alpha: float = ALPHA,
    power: float = POWER,
) -> Estimate | None:
    """Treated minus control; None where an arm has fewer than two clusters.

    value (n) and size (n >= 0) are a row's numerator and denominator, `known` (n) what was expected of it before.
    """
    from scipy.special import stdtr, stdtrit

    y = value if known is None else adjusted(value, size, treated, known)
    there, here = (mean(y[side], size[side], cluster[side]) for side in (treated, ~treated))
    if min(there.clusters, here.clusters) < 2:
        return None
    effect = there.value - here.value
    own = there.variance + here.variance
    scale = max(abs(there.value), abs(here.value), 1e-300)
    if math.sqrt(own) <= 1e-12 * scale:  # every cluster is alike: what is left is rounding
        p = 1.0 if abs(effect) <= 1e-9 * scale else 0.0
        return Estimate(
            effect, 0.0, effect, effect, p, 0.0,
            without=here.value, within=there.value, groups=there.clusters + here.clusters,
        )  # fmt: skip
    freedom = own**2 / (there.variance**2 / there.freedom + here.variance**2 / here.freedom)
    error = math.sqrt(max(own, _alike(there, here)))
    critical = float(stdtrit(freedom, 1 - alpha / 2))
    return Estimate(
        effect, error, effect - critical * error, effect + critical * error,
        p_value=2 * float(stdtr(freedom, -abs(effect) / error)),
        detectable=(critical + float(stdtrit(freedom, power))) * error,
        without=here.value, within=there.value, groups=there.clusters + here.clusters,
    )  # fmt: skip


def _alike(there: Mean, here: Mean) -> float:
    """The variance of the difference if a cluster's spread is the same share of the mean in both arms."""
    if there.value <= 0 or here.value <= 0:
        return 0.0
    relative = sum(one.variance * one.clusters**2 / one.value**2 for one in (there, here))
    common = relative / (there.clusters + here.clusters)
    return sum(common * one.value**2 / one.clusters for one in (there, here))
