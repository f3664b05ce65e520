"""The interval of a ratio of two means over the same units: Fieller's, which knows when the denominator may be zero.

Fieller (1954), Some problems in interval estimation, J. R. Stat. Soc. B 16: the ratios R for which the mean of
`numerator - R x denominator` is not told from zero by Student's t.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def ratio_interval(
    numerator: Floats, denominator: Floats, confidence: float = 0.90
) -> tuple[float | None, float | None]:
    """The two-sided interval of sum(numerator) / sum(denominator), both of which are not negative.

    None for an end that the units do not bound: both of fewer than two units or of a denominator that is zero, the
    upper one where it may be zero.
    """
    from scipy.special import stdtrit

    n = len(numerator)
    if n < 2 or not denominator.any():
        return None, None
    one, other = float(numerator.mean()), float(denominator.mean())
    spread = np.cov(numerator, denominator, ddof=1) / n
    square = float(stdtrit(n - 1, (1 + confidence) / 2)) ** 2
    a = other * other - square * float(spread[1, 1])
    b = one * other - square * float(spread[0, 1])
    c = one * one - square * float(spread[0, 0])
    root = b * b - a * c
    if a <= 0 or root < 0:  # the denominator may be zero: no upper end; and no lower one where the numerator may be
        low = 0.0 if c <= 0 or root < 0 else c / (2 * b) if a == 0 else (b - math.sqrt(root)) / a
        return max(low, 0.0), None
    return max((b - math.sqrt(root)) / a, 0.0), (b + math.sqrt(root)) / a
