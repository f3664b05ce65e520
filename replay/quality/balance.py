"""Whether a log bears out what it says of how its models were chosen and of what was scored.

Where chance alone chose, or the logged probabilities did, the weighted calls of a model are like the calls that it is
to stand for: in what was known before they were sent, and in how many of them were scored. A column differs where the
standardised difference of means is above a tenth (Austin 2009, Statistics in Medicine 28) and beyond chance, after
Bonferroni's correction for the number of columns. A score that depends on the answer (only what went well is scored)
shows where one model's calls are scored more often than the other's, or where only one value is ever given; what is
scored as often of both, with scores of all kinds, cannot show it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Int64 = NDArray[np.int64]

ALPHA: Final = 0.001  # chance that a log that tells the truth is taken for unbalanced, over all its columns
LEAST_DIFFERENCE: Final = 0.1  # of means, in standard deviations
LEAST_ROWS: Final = 30
SCORED_ALPHA: Final = 0.01
MOST_UNEVEN: Final = 0.01  # share by which one side may be scored less often, whatever chance says
MOST_UNSCORED: Final = 0.1  # of all calls, where every score is the same


def unbalanced(columns: Mapping[str, Floats], control: Bools, mass: Floats, unit: Int64) -> list[str]:
    """Names of the columns in which controls and moved calls differ.

    `columns` (n each; NaN where a row is not to be compared), `control` (n), `mass` (n): a row's weight on its own
    side; `unit` (n): rows of one unit may be alike.
    """
    told = []
    usable = {}
    for name, values in columns.items():
        rows = ~np.isnan(values) & (mass > 0)
        if min(int((rows & control).sum()), int((rows & ~control).sum())) >= LEAST_ROWS:
            usable[name] = rows
    for name, rows in usable.items():
        values, side = columns[name][rows], control[rows]
        there, here, error, freedom = _difference(values, side, mass[rows], unit[rows])
        spread = math.sqrt(
            sum(_variance(values[part], mass[rows][part]) for part in (side, ~side)) / 2
        )  # of both sides, as Austin has it
        apart = abs(there - here)
        if spread <= 1e-9 * max(abs(there), abs(here)):  # one value: what is left is rounding
            continue
        if apart > LEAST_DIFFERENCE * spread and apart > error * _quantile(ALPHA / len(usable), freedom):
            told.append(name)
    return told


def unevenly_scored(
    scored: Floats, control: Bools, mass: Floats, unit: Int64, slack: float = 0.0
) -> tuple[float, float] | None:
    """The weighted shares of (controls, moved calls) with a score, where they differ beyond chance; else None.

    `scored` (n) is 1 or 0; the other arguments as of `unbalanced`; `slack` is a share that is allowed besides.
    """
    rows = mass > 0
    if not (rows & control).any() or not (rows & ~control).any():
        return None
    there, here, error, freedom = _difference(scored[rows], control[rows], mass[rows], unit[rows])
    most = max(there, here)
    uneven = abs(there - here) > most * (MOST_UNEVEN + slack)
    return (there, here) if uneven and abs(there - here) > error * _quantile(SCORED_ALPHA, freedom) else None


def one_sided(score: Floats, scored: Floats) -> bool:
    """Whether only one value was ever given, and not to all: only praise, or only complaints, were recorded.

    `score` (n scored rows), `scored` (all rows) is 1 or 0.
    """
    return len(score) >= LEAST_ROWS and bool((score == score[0]).all()) and float(scored.mean()) < 1 - MOST_UNSCORED


def _difference(values: Floats, control: Bools, mass: Floats, unit: Int64) -> tuple[float, float, float, float]:
    """Weighted means of the controls and of the others, the clustered error of their difference, its freedom."""
    residual, pooled = np.zeros(len(values)), np.zeros(len(values))
    means, effective = [], []
    for side, sign in ((control, 1.0), (~control, -1.0)):
        weight = mass[side] / mass[side].sum()
        means.append(float(weight @ values[side]))
        residual[side] = sign * weight * (values[side] - means[-1])
        pooled[side] = weight / 2
        effective.append(1 / float(weight @ weight))
    _, place = np.unique(unit, return_inverse=True)
    sums = np.bincount(place, residual)
    # a rare mark that one side happens to lack has no variance there: it is taken as that of both sides together
    alike = _variance(values, pooled) * sum(1 / number for number in effective)
    return means[0], means[1], math.sqrt(max(float(sums @ sums), alike)), max(min(effective) - 1, 1.0)


def _variance(values: Floats, mass: Floats) -> float:
    mean = np.average(values, weights=mass)
    return float(np.average((values - mean) ** 2, weights=mass))


def _quantile(alpha: float, freedom: float) -> float:
    """Of Student's t, two-sided."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 1 - alpha / 2))
