"""Means with honest lower bounds: paired differences inside cells, combined over cells of known shares."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

VARIANCE_FLOOR = 0.0025
"""No cell is believed to vary less than this (a standard deviation of .05 on a 0..1 scale)."""
BINARY_FLOOR = 3.0
"""Over n: the least variance of n scores of 0 and 1. With none wrong the bound then lies 2.2/n below, as Clopper and
Pearson's exact one does (1 - .1^(1/n), about 2.3/n)."""
SHRINKAGE = 8.0
"""A cell's variance is drawn towards its group's as if by this many calls: a few equal scores are no certainty."""


@dataclass(frozen=True)
class Moments:
    """What n scored calls say about (served, logged). Variances are per call.

    `scored` False: equal by declaration. `same`: one and the same answer. `binary`: all scores are 0 or 1.
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

    def mean(self, ratio: float) -> float:
        """Mean of served - ratio x logged."""
        return self.mean_served - ratio * self.mean_logged

    def variance(self, ratio: float) -> float:
        """Variance per call of served - ratio x logged."""
        return max(self.var_served + ratio * ratio * self.var_logged - 2 * ratio * self.cov, 0.0)

    @classmethod
    def pooled(cls, parts: Sequence[Moments]) -> Moments:
        """The moments of several samples taken as one."""
        n = sum(part.n for part in parts)
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
            same=all(part.same for part in parts),
            binary=all(part.binary for part in parts),
        )


def paired(served: Floats, logged: Floats, *, same: bool = False) -> Moments:
    """Moments of scores of both models on the same calls."""
    n = len(served)
    binary = _binary(served) and _binary(logged)
    means = float(served.mean()), float(logged.mean())
    if n < 2:
        return Moments(n, *means, 0.0, 0.0, 0.0, same=same, binary=binary)
    covariance = np.cov(served, logged, ddof=1)
    spread = float(covariance[0, 0]), float(covariance[1, 1]), float(covariance[0, 1])
    return Moments(n, *means, *spread, same=same, binary=binary)


def unpaired(served: Floats, logged: Floats) -> Moments:
    """Moments of two samples of different calls: their errors add; the smaller one gives the degrees of freedom."""
    n = min(len(served), len(logged))
    return Moments(
        n,
        float(served.mean()),
        float(logged.mean()),
        float(served.var(ddof=1)) * n / len(served),
        float(logged.var(ddof=1)) * n / len(logged),
        0.0,
        binary=_binary(served) and _binary(logged),
    )


def _binary(values: Floats) -> bool:
    return bool(np.isin(values, (0.0, 1.0)).all())


@dataclass(frozen=True)
class Estimate:
    """Mean of served - ratio x logged in one cell, its standard error (0: by declaration) and degrees of freedom."""

    mean: float
    error: float
    freedom: int


def estimates(parts: Sequence[Moments], ratio: float, group: Sequence[Hashable] | None = None) -> list[Estimate]:
    """One estimate per cell; `group` names the cells whose variances are alike."""
    names = list(group) if group is not None else [None] * len(parts)
    pooled: dict[Hashable, tuple[float, int, int]] = {}
    for moments, name in zip(parts, names, strict=True):
        if moments.scored:
            total, freedom, n = pooled.get(name, (0.0, 0, 0))
            inside = moments.n - 1
            pooled[name] = (total + inside * moments.variance(ratio), freedom + inside, n + moments.n)
    result = []
    for moments, name in zip(parts, names, strict=True):
        if not moments.scored:
            result.append(Estimate(moments.mean(ratio), 0.0, 1))
            continue
        total, freedom, n = pooled[name]
        inside = moments.n - 1
        own = inside * moments.variance(ratio) + SHRINKAGE * (total / freedom if freedom else 0.0)
        floor = (BINARY_FLOOR / n if moments.binary else VARIANCE_FLOOR) * ((1 - ratio) ** 2 if moments.same else 1.0)
        error = math.sqrt(max(own / (inside + SHRINKAGE), floor) / moments.n)
        result.append(Estimate(moments.mean(ratio), error, max(inside, 1)))
    return result


def lower_bound(
    parts: Sequence[tuple[float, Moments]],
    ratio: float,
    confidence: float,
    group: Sequence[Hashable] | None = None,
) -> float:
    """One-sided lower bound of sum(share x mean(served - ratio x logged)) over independent cells.

    Student's t with Satterthwaite's degrees of freedom.
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
    return mean - float(stdtrit(variance * variance / spread, confidence)) * math.sqrt(variance)
