"""Weighted least squares with standard errors that allow for days that follow each other.

The estimator is that of statsmodels (`WLS` with cov_type `HAC`, use_correction) and agrees with it to rounding; it is
written here because importing statsmodels takes two seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Fit:
    """Coefficients (k), residuals (n) and what the covariances are made of: scores (n, k), (X'WX)^-1 (k, k)."""

    beta: Floats
    residual: Floats
    score: Floats
    bread: Floats

    @property
    def correction(self) -> float:
        """n / (n - k)."""
        rows, columns = self.score.shape
        return rows / max(rows - columns, 1)


def least_squares(y: Floats, x: Floats, weight: Floats | None = None) -> Fit:
    """Minimise sum of weight * (y - x beta)^2; y (n), x (n, k), weight (n) >= 0, not all zero."""
    w = np.ones(len(y)) if weight is None else weight
    bread: Floats = np.asarray(np.linalg.pinv((x * w[:, None]).T @ x), np.float64)
    beta = bread @ (x.T @ (w * y))
    residual = y - x @ beta
    return Fit(beta, residual, x * (w * residual)[:, None], bread)


def newey_west(fit: Fit, lags: int) -> Floats:
    """Covariance (k, k) with errors that go on for `lags` rows: Bartlett weights, Newey & West 1987, times n/(n-k)."""
    score = fit.score
    meat = score.T @ score
    for lag in range(1, min(lags, len(score) - 1) + 1):
        cross = score[lag:].T @ score[:-lag]
        meat += (1 - lag / (lags + 1)) * (cross + cross.T)
    return fit.bread @ meat @ fit.bread * fit.correction


def usual_lags(rows: int) -> int:
    """floor(4 (n / 100)^(2/9)), Newey & West 1994's rule of thumb; at least 1."""
    return max(math.floor(4 * (rows / 100) ** (2 / 9)), 1)
