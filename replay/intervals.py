"""Means with honest lower bounds: paired differences inside cells, combined over cells of known shares."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

VARIANCE_FLOOR = 0.0025
"""No cell of few scores is believed to vary less than this (a standard deviation of .05 on a 0..1 scale)."""


@dataclass(frozen=True)
class Moments:
    """What n scored calls say about (served, logged). Variances are per call; `scored` False: equal by declaration."""

    n: int
    mean_served: float
    mean_logged: float
    var_served: float
    var_logged: float
    cov: float
    scored: bool = True

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
        )


def paired(served: Floats, logged: Floats) -> Moments:
    """Moments of scores of both models on the same calls."""
    n = len(served)
    if n < 2:
        return Moments(n, float(served.mean()), float(logged.mean()), 0.0, 0.0, 0.0)
    covariance = np.cov(served, logged, ddof=1)
    return Moments(
        n,
        float(served.mean()),
        float(logged.mean()),
        float(covariance[0, 0]),
        float(covariance[1, 1]),
        float(covariance[0, 1]),
    )


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
    )


def lower_bound(
    parts: Sequence[tuple[float, Moments]],
    ratio: float,
    confidence: float,
    group: Sequence[Hashable] | None = None,
) -> float:
    """One-sided lower bound of sum(share x mean(served - ratio x logged)) over independent cells.

    A cell's variance is drawn towards the pooled variance of its group by one observation, so that a few equal scores
    are not taken for certainty; Student's t with Satterthwaite's degrees of freedom.
    """
    from scipy.stats import t as student

    groups = list(group) if group is not None else [None] * len(parts)
    pooled: dict[Hashable, tuple[float, int]] = {}
    for (_, moments), name in zip(parts, groups, strict=True):
        if moments.scored and moments.n > 1:
            total, freedom = pooled.get(name, (0.0, 0))
            pooled[name] = (total + (moments.n - 1) * moments.variance(ratio), freedom + moments.n - 1)
    mean = variance = spread = 0.0
    for (share, moments), name in zip(parts, groups, strict=True):
        mean += share * moments.mean(ratio)
        if not moments.scored:
            continue
        total, freedom = pooled.get(name, (0.0, 0))
        same = moments.var_served == moments.var_logged == moments.cov  # kept calls: (1 - ratio) x logged
        floor = VARIANCE_FLOOR * ((1 - ratio) ** 2 if same else 1.0)
        prior = max(total / freedom if freedom else 0.0, floor)
        own = ((moments.n - 1) * moments.variance(ratio) + prior) / moments.n
        each = share * share * own / moments.n
        variance += each
        spread += each * each / max(moments.n - 1, 1)
    if variance <= 0:
        return mean
    freedom_of_sum = variance * variance / spread if spread else math.inf
    return mean - float(student.ppf(confidence, freedom_of_sum)) * math.sqrt(variance)
