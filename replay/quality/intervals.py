"""Means with honest lower bounds: paired differences inside cells, combined over cells of known shares.

Errors are clustered by the unit that a score was given to (a conversation, a trace, a task): CR2, which for a mean is
the sum over units of (weight x (value - mean))^2 / (1 - weight) (Bell and McCaffrey 2002, Pustejovsky and Tipton 2018),
with Student's t of Kish's effective number of units less one. A unit that stands in several cells ties them together.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Int64 = NDArray[np.int64]

VARIANCE_FLOOR = 0.0025
"""No cell is believed to vary less than this (a standard deviation of .05 on a 0..1 scale)."""
BINARY_FLOOR = 3.0
"""Over n: the least variance of n scores of 0 and 1. With none wrong the bound then lies 2.2/n below, as Clopper and
Pearson's exact one does (1 - .1^(1/n), about 2.3/n)."""
SHRINKAGE = 8.0
"""A cell's variance is drawn towards its group's as if by this many calls: a few equal scores are no certainty."""


@dataclass(frozen=True)
class Units:
    """What each unit adds to a mean: ascending `unit` numbers, `weight` that sums to 1, values of (served, logged)."""

    unit: Int64
    weight: Floats
    served: Floats
    logged: Floats


@dataclass(frozen=True)
class Moments:
    """What n scored units (calls, where nothing else is said) say about (served, logged). Variances are per unit.

    `scored` False: equal by declaration. `same`: one and the same answer. `binary`: all scores are 0 or 1. `units` is
    kept where units may stand in other cells too.
    """

    n: int
    mean_served: float
    mean_logged: float
    var_served: float
    var_logged: float
    cov: float
    scored: bool = True
    same: bool = False
    binary: bool = False
    freedom: float | None = None  # n - 1 where None
    units: Units | None = field(default=None, repr=False)

    def mean(self, ratio: float) -> float:
        """Mean of served - ratio x logged."""
        return self.mean_served - ratio * self.mean_logged

    def variance(self, ratio: float) -> float:
        """Variance per unit of served - ratio x logged."""
        return max(self.var_served + ratio * ratio * self.var_logged - 2 * ratio * self.cov, 0.0)

    @property
    def degrees(self) -> float:
        """Degrees of freedom of the variances."""
        return self.n - 1 if self.freedom is None else self.freedom

    @classmethod
    def pooled(cls, parts: Sequence[Moments]) -> Moments:
        """The moments of several samples taken as one."""
        n = sum(part.n for part in parts)
        same, binary = all(part.same for part in parts), all(part.binary for part in parts)
        if all(part.units is not None for part in parts):
            held = [(part.n / n, part.units) for part in parts if part.units is not None]
            return clustered(
                np.concatenate([units.served for _, units in held]),
                np.concatenate([units.logged for _, units in held]),
                np.concatenate([units.unit for _, units in held]),
                np.concatenate([share * units.weight for share, units in held]),
                same=same,
                binary=binary,
            )
        served = sum(part.n * part.mean_served for part in parts) / n
        logged = sum(part.n * part.mean_logged for part in parts) / n

        def spread(variance: str, left: str, right: str) -> float:
            inside = sum((part.n - 1) * getattr(part, variance) for part in parts)
            between = sum(
                part.n * (getattr(part, left) - mean_of[left]) * (getattr(part, right) - mean_of[right])
                for part in parts
            )
            return (inside + between) / max(n - 1, 1)

        mean_of = {"mean_served": served, "mean_logged": logged}
        return cls(
            n,
            served,
            logged,
            spread("var_served", "mean_served", "mean_served"),
            spread("var_logged", "mean_logged", "mean_logged"),
            spread("cov", "mean_served", "mean_logged"),
            same=same,
            binary=binary,
        )


def paired(served: Floats, logged: Floats, *, same: bool = False) -> Moments:
    """Moments of scores of both models on the same calls, each call a unit of its own."""
    n = len(served)
    binary = is_binary(served) and is_binary(logged)
    means = float(served.mean()), float(logged.mean())
    if n < 2:
        return Moments(n, *means, 0.0, 0.0, 0.0, same=same, binary=binary)
    covariance = np.cov(served, logged, ddof=1)
    spread = float(covariance[0, 0]), float(covariance[1, 1]), float(covariance[0, 1])
    return Moments(n, *means, *spread, same=same, binary=binary)


def clustered(
    served: Floats, logged: Floats, unit: Int64, weight: Floats, *, same: bool = False, binary: bool | None = None
) -> Moments:
    """Moments of weighted pairs whose errors are clustered by unit. Weights need not sum to 1, and are above zero."""
    if binary is None:
        binary = is_binary(served) and is_binary(logged)
    numbers, place = np.unique(unit, return_inverse=True)
    each = np.bincount(place, weight)
    values = np.bincount(place, weight * served) / each, np.bincount(place, weight * logged) / each
    share = each / each.sum()
    means = float(share @ values[0]), float(share @ values[1])
    n = len(numbers)
    units = Units(numbers.astype(np.int64), share, *values)
    kish = 1 / float(share @ share)
    if n < 2:
        return Moments(n, *means, 0.0, 0.0, 0.0, same=same, binary=binary, freedom=0.0, units=units)
    one, other = (share * (value - mean) for value, mean in zip(values, means, strict=True))
    scale = n / (1 - share)
    spread = float((scale * one * one).sum()), float((scale * other * other).sum()), float((scale * one * other).sum())
    return Moments(n, *means, *spread, same=same, binary=binary, freedom=kish - 1, units=units)


def is_binary(values: Floats) -> bool:
    """Whether all values are 0 or 1."""
    return bool(np.isin(values, (0.0, 1.0)).all())


@dataclass(frozen=True)
class Estimate:
    """Mean of served - ratio x logged in one cell, its standard error (0: by declaration) and degrees of freedom."""

    mean: float
    error: float
    freedom: float


def estimates(parts: Sequence[Moments], ratio: float, group: Sequence[Hashable] | None = None) -> list[Estimate]:
    """One estimate per cell; `group` names the cells whose variances are alike."""
    names = list(group) if group is not None else [None] * len(parts)
    pooled: dict[Hashable, tuple[float, float, int]] = {}
    for moments, name in zip(parts, names, strict=True):
        if moments.scored:
            total, freedom, n = pooled.get(name, (0.0, 0.0, 0))
            inside = moments.degrees
            pooled[name] = (total + inside * moments.variance(ratio), freedom + inside, n + moments.n)
    result = []
    for moments, name in zip(parts, names, strict=True):
        if not moments.scored:
            result.append(Estimate(moments.mean(ratio), 0.0, 1))
            continue
        total, freedom, n = pooled[name]
        inside = moments.degrees
        own = inside * moments.variance(ratio) + SHRINKAGE * (total / freedom if freedom else 0.0)
        floor = (BINARY_FLOOR / n if moments.binary else VARIANCE_FLOOR) * ((1 - ratio) ** 2 if moments.same else 1.0)
        error = math.sqrt(max(own / (inside + SHRINKAGE), floor) / moments.n)
        result.append(Estimate(moments.mean(ratio), error, max(inside, 1)))
    return result


@dataclass(frozen=True)
class Ties:
    """What units that stand in several cells add to the variance of the cells' sum, as a polynomial in the ratio.

    `constant + linear x ratio + square x ratio^2`; `freedom` is Kish's number of all units less one.
    """

    constant: float = 0.0
    linear: float = 0.0
    square: float = 0.0
    freedom: float = math.inf

    def variance(self, ratio: float) -> float:
        """The sum of the covariances; where they are negative they are not counted upon."""
        return max(self.constant + self.linear * ratio + self.square * ratio * ratio, 0.0)


def ties(parts: Sequence[tuple[float, Moments]]) -> Ties:
    """The covariances between cells of shares and moments."""
    held = [(share, moments, moments.units) for share, moments in parts if moments.units is not None]
    if len(held) < 2:
        return Ties()
    numbers, place = np.unique(np.concatenate([units.unit for _, _, units in held]), return_inverse=True)
    if len(numbers) == len(place):
        return Ties()  # every unit stands in one cell
    served, logged = (
        np.concatenate([share * units.weight * (value - mean) for share, units, value, mean in of_model])
        for of_model in (
            [(share, units, units.served, moments.mean_served) for share, moments, units in held],
            [(share, units, units.logged, moments.mean_logged) for share, moments, units in held],
        )
    )
    weight = np.bincount(place, np.concatenate([share * units.weight for share, _, units in held]))
    whole = [np.bincount(place, values) for values in (served, logged)]

    def between(left: int, right: int) -> float:
        alone = (served, logged)[left] @ (served, logged)[right]
        return float(whole[left] @ whole[right] - alone)

    kish = float(weight.sum() ** 2 / (weight @ weight))
    return Ties(between(0, 0), -2 * between(0, 1), between(1, 1), max(kish - 1, 1.0))


def lower_bound(
    parts: Sequence[tuple[float, Moments]],
    ratio: float,
    confidence: float,
    group: Sequence[Hashable] | None = None,
    tied: Ties | None = None,
) -> float:
    """One-sided lower bound of sum(share x mean(served - ratio x logged)) over cells.

    Student's t with Satterthwaite's degrees of freedom; cells are independent but for the units that they share.
    `tied` is `ties(parts)`, where the caller asks for several bounds.
    """
    from scipy.special import stdtrit

    mean = variance = spread = 0.0
    found = estimates([moments for _, moments in parts], ratio, group)
    for (share, _), cell in zip(parts, found, strict=True):
        mean += share * cell.mean
        each = (share * cell.error) ** 2
        variance += each
        spread += each * each / cell.freedom
    if variance <= 0:
        return mean
    freedom = variance * variance / spread
    tied = ties(parts) if tied is None else tied
    more = tied.variance(ratio)
    if more > 0:
        variance += more
        freedom = min(freedom, tied.freedom)
    return mean - float(stdtrit(freedom, confidence)) * math.sqrt(variance)
