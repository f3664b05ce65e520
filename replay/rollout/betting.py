"""Evidence that may be looked at every day: e-processes by betting, and confidence sequences from them.

Each increment d of a stream has a mean of at most 0 under the hypothesis and never falls below -bound. A bettor who
stakes the share s of the greatest safe bet multiplies his capital by 1 + s d / bound; under the hypothesis no strategy
makes the capital grow on average, so the chance that it ever reaches 1 / alpha is at most alpha (Ville 1939),
however often one looks. The stakes are mixed, which needs no guess of the size of the effect (Waudby-Smith & Ramdas
2024, "Estimating means of bounded random variables by betting"). No law of large numbers is used.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Int64 = NDArray[np.int64]

STAKES: Final = 0.95 * 0.6 ** np.arange(14.0)  # of the greatest safe bet: .95 down to .0012


def log_capital(increment: Floats, bound: float) -> Floats:
    """Natural log of the capital after each increment (n), which must be >= -bound; it begins at 0."""
    if not len(increment):
        return np.zeros(0)
    paths = np.cumsum(np.log1p(np.outer(STAKES, increment / bound)), axis=1)
    top = paths.max(axis=0)
    return np.asarray(top + np.log(np.exp(paths - top).mean(axis=0)), np.float64)


def blocks(treated: NDArray[np.bool_], value: Floats, *, treated_rarer: bool) -> tuple[Int64, Floats, Floats]:
    """Units in order of arrival as pairs: each unit of the rarer arm with those of the other since the last pair.

    Returns the place of each pair's last unit, and the pairs' means of `value` in the treated and in the control arm.
    Under equal expectations at each time both means of a pair have the same expectation, whatever the calendar does.
    """
    rare = treated if treated_rarer else ~treated
    ends = np.flatnonzero(rare)
    place = np.searchsorted(ends, np.arange(len(treated)))  # the rare unit that closes each unit's pair
    others = np.bincount(place[~rare], minlength=len(ends) + 1)[: len(ends)]
    whole = others > 0
    groups = int(whole.sum())
    group_of = np.append(np.cumsum(whole) - whole, groups)  # a rare unit without others joins the next pair
    group = group_of[place]  # group number `groups` is still open and stays aside
    sides = []
    for side in (treated, ~treated):
        count = np.bincount(group[side], minlength=groups + 1)[:groups]
        total = np.bincount(group[side], value[side], minlength=groups + 1)[:groups]
        sides.append(np.asarray(total / np.maximum(count, 1), np.float64))
    return ends[whole].astype(np.int64), sides[0], sides[1]


def ratio_interval(treated: Floats, control: Floats, cap: float, *, alpha: float = 0.05) -> tuple[float, float]:
    """A confidence sequence for mean(treated) / mean(control) of pairs with values from 0 to `cap`.

    At every look at once it holds the true ratio with a probability of 1 - alpha. (0, inf) where nothing is known yet.
    """
    enough = math.log(2 / alpha)

    def above(ratio: float) -> float:
        """Log evidence that the ratio is above `ratio`."""
        return _greatest(treated - ratio * control, ratio * cap)

    def below(ratio: float) -> float:
        return _greatest(ratio * control - treated, cap)

    low = _edge(lambda ratio: above(ratio) >= enough, rising=False)
    high = _edge(lambda ratio: below(ratio) >= enough, rising=True)
    return low, high


def _greatest(increment: Floats, bound: float) -> float:
    if not len(increment) or bound <= 0:
        return 0.0
    return float(log_capital(increment, bound).max())


def _edge(refused: Callable[[float], bool], *, rising: bool) -> float:
    """Where refusing begins, between 1/64 and 64: the least refused ratio if `rising`, else the greatest one."""
    few, many = -6.0, 6.0
    if not refused(2.0 ** (many if rising else few)):
        return math.inf if rising else 0.0
    for _ in range(24):
        middle = (few + many) / 2
        if refused(2.0**middle) == rising:
            many = middle
        else:
            few = middle
    return float(2.0 ** (many if rising else few))
