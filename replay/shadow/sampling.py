"""Which calls to score, and what the scored ones say about all of them: strata, and intervals that keep their word.

A proportional sample over (agent, task) strata; strata too thin for five scored calls are merged, because a variance
from two or three scores is worse than none (measured: 57 strata at n = 50 cover 85 % instead of 95 %). A score that all
calls already have, such as the logged model's own, serves as control variate: it is free and narrows the interval.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Int64 = NDArray[np.int64]

LEAST = 5  # scored calls per stratum


@dataclass(frozen=True)
class Interval:
    """A mean with its two-sided interval; `n` scored calls in `strata` strata after merging."""

    mean: float
    low: float
    high: float
    n: int
    strata: int

    @property
    def width(self) -> float:
        return self.high - self.low


def merged(stratum: Int64, n: int) -> Int64:
    """Strata with those of fewer than LEAST expected draws among n put together as one."""
    _, code, count = np.unique(stratum, return_inverse=True, return_counts=True)
    thin = count * n < LEAST * len(stratum)
    if not thin.any():
        return code.astype(np.int64)
    if count[thin].sum() * n < LEAST * len(stratum):  # too thin even together: join the smallest that is not
        rest = np.flatnonzero(~thin)
        if len(rest):
            thin[rest[np.argmin(count[rest])]] = True
    label = np.where(thin, -1, np.arange(len(count)))
    return np.unique(label[code], return_inverse=True)[1].astype(np.int64)


def draw(stratum: Int64, n: int, seed: int = 0) -> Int64:
    """Positions of a proportional stratified sample of n calls, sorted; all of them if there are no more than n."""
    total = len(stratum)
    if n >= total:
        return np.arange(total, dtype=np.int64)
    code = merged(stratum, n)
    sizes = np.bincount(code)
    exact = sizes * (n / total)
    take = np.floor(exact).astype(np.int64)
    rest = n - int(take.sum())
    # ties by number: the same sample for the same seed
    take[np.argsort(-(exact - take), kind="stable")[:rest]] += 1
    rng = np.random.default_rng(seed)
    order = rng.permutation(total)
    order = order[np.argsort(code[order], kind="stable")]
    rank = np.arange(total) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.sort(order[rank < np.repeat(take, sizes)]).astype(np.int64)


def wilson(mean: float, n: float, z: float) -> tuple[float, float]:
    """Wilson's score interval of a share seen in n (effective) draws (Wilson, 1927)."""
    if n <= 0:
        return 0.0, 1.0
    center = (mean + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(max(mean * (1 - mean), 0.0) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(center - half, 0.0), min(center + half, 1.0)


def interval(
    values: Floats,
    stratum: Int64,
    population: Int64,
    *,
    covariate: Floats | None = None,
    covariate_of_all: Floats | None = None,
    confidence: float = 0.95,
    unit: Int64 | None = None,
) -> Interval:
    """The mean score of all calls from scored ones. Scores lie in 0..1.

    `unit` numbers what scored calls belong to (a conversation): the interval widens as far as those of one resemble
    each other.
    `values` and `stratum` are of the scored calls, `population` the stratum of every call (codes as in `stratum`);
    `covariate` and `covariate_of_all` are another score of the same calls and of every call.
    """
    n = len(values)
    if n == 0:
        return Interval(math.nan, 0.0, 1.0, 0, 0)
    mine, everyone = _thick(stratum, population)
    count = int(everyone.max()) + 1
    sizes = np.bincount(everyone, minlength=count).astype(np.float64)
    drawn = np.bincount(mine, minlength=count).astype(np.float64)
    residual = values.astype(np.float64)
    shift = 0.0
    if covariate is not None and covariate_of_all is not None and n > 10 and np.var(covariate) > 0:
        slope = _slope(values, covariate, mine, drawn)
        residual = values - slope * covariate
        shift = slope * float(np.mean(covariate_of_all))
    share = np.where(drawn > 0, sizes, 0) / sizes[drawn > 0].sum()
    means = np.bincount(mine, residual, minlength=count) / np.maximum(drawn, 1)
    inside = np.bincount(mine, (residual - means[mine]) ** 2, minlength=count)
    pooled = inside.sum() / max(n - (drawn > 0).sum(), 1)
    # a stratum's own variance, drawn a little towards the pooled one
    variance = (inside + 2 * pooled) / np.maximum(drawn - 1 + 2, 1)
    fraction = np.clip(drawn / np.maximum(sizes, 1), 0, 1)  # a sample of nearly everything is nearly certain
    each = share**2 * variance / np.maximum(drawn, 1) * (1 - fraction)
    mean = float((share * means).sum()) + shift
    total = float(each.sum())
    freedom = total**2 / max(float((each**2 / np.maximum(drawn - 1, 1)).sum()), 1e-300) if total else math.inf
    if unit is not None and len(np.unique(unit)) < n:
        effect, units = _clustering((share / np.maximum(drawn, 1))[mine], residual - means[mine], unit)
        total *= effect
        freedom = min(freedom, units - 1)
    quantile = _quantile(confidence, freedom)
    if np.isin(values, (0.0, 1.0)).all():
        spread = max(mean * (1 - mean), 0.0)
        effective = spread / total if total > 0 and spread > 0 else float(n)
        low, high = wilson(min(max(mean, 0.0), 1.0), effective, quantile)
    else:
        half = quantile * math.sqrt(total)
        low, high = max(mean - half, 0.0), min(mean + half, 1.0)
    return Interval(mean, low, high, n, int((drawn > 0).sum()))


def _clustering(weight: Floats, error: Floats, unit: Int64) -> tuple[float, float]:
    """(design effect, at least 1; Kish's number of units) of weighted errors that may be alike within units."""
    _, place = np.unique(unit, return_inverse=True)
    alone = float((weight * error) @ (weight * error))
    together = np.bincount(place, weight * error)
    mass = np.bincount(place, weight)
    effect = float(together @ together) / alone if alone > 0 else 1.0
    return max(effect, 1.0), float(mass.sum() ** 2 / (mass @ mass))


def _thick(stratum: Int64, population: Int64) -> tuple[Int64, Int64]:
    """Codes of the scored and of all calls with the strata of fewer than LEAST scored calls put together."""
    width = int(max(population.max(initial=0), stratum.max(initial=0))) + 1
    drawn = np.bincount(stratum, minlength=width)
    present = np.bincount(population, minlength=width) > 0
    thin = (drawn < LEAST) & present
    if thin.any() and drawn[thin].sum() < LEAST:
        rest = np.flatnonzero(present & ~thin)
        if len(rest):
            thin[rest[np.argmin(drawn[rest])]] = True
    label = np.where(thin, width, np.arange(width))
    codes = np.unique(np.concatenate([label[population], label[stratum]]), return_inverse=True)[1]
    return codes[len(population) :].astype(np.int64), codes[: len(population)].astype(np.int64)


def _slope(values: Floats, covariate: Floats, mine: Int64, drawn: Floats) -> float:
    """The pooled within-stratum regression slope, shrunk by what few draws overfit."""
    mean_x = (np.bincount(mine, covariate, minlength=len(drawn)) / np.maximum(drawn, 1))[mine]
    mean_y = (np.bincount(mine, values, minlength=len(drawn)) / np.maximum(drawn, 1))[mine]
    spread = float(((covariate - mean_x) ** 2).sum())
    if spread <= 0:
        return 0.0
    return float(((covariate - mean_x) * (values - mean_y)).sum()) / spread


def _quantile(confidence: float, freedom: float) -> float:
    from scipy.special import ndtri, stdtrit

    tail = (1 + confidence) / 2
    return float(ndtri(tail)) if math.isinf(freedom) else float(stdtrit(max(freedom, 1.0), tail))
