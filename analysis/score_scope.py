"""What a score was given to: a call, or a conversation, trace or task; who does not say so may show it.

A unit's score stands on all of its calls, or on its last alone.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

SCOPES: Final = ("call", "conversation", "trace", "task")
COLUMN: Final = {"conversation": "conversation_id", "trace": "trace_id", "task": "task"}
INFERRED: Final = ("conversation", "trace")  # scopes that equal scores may tell
LAST: Final = 0.95  # of the units with a score hold one alone, on their last call, where it is the unit's
_LEAST: Final = 5  # units of several scored calls, below which nothing is inferred
_CHANCE: Final = 1e-3  # of scores given call by call to agree within every unit


def one_score_each(score: NDArray[np.float64], unit: NDArray[np.int64]) -> bool:
    """Whether all scored calls of each unit carry one value, and would hardly do so by chance.

    `score` and `unit` are of the scored calls that name a unit.
    """
    values, value = np.unique(score, return_inverse=True)
    units, unit, size = np.unique(unit, return_inverse=True, return_counts=True)
    if len(values) < 2 or (size > 1).sum() < _LEAST:
        return False
    least, most = np.full(len(units), np.inf), np.full(len(units), -np.inf)
    np.minimum.at(least, unit, score)
    np.maximum.at(most, unit, score)
    if not bool((least == most).all()):
        return False
    # the chance that k calls agree if scores were dealt out at random over the calls
    frequency = np.bincount(value) / len(value)
    sizes, count = np.unique(size[size > 1], return_counts=True)
    chance = sum(int(times) * np.log((frequency ** int(k)).sum()) for k, times in zip(sizes, count, strict=True))
    return bool(chance < np.log(_CHANCE))


def scored_at_the_end(scored: NDArray[np.bool_], unit: NDArray[np.int64]) -> bool:
    """Whether nearly every unit with a score holds one alone, on its last call, and would hardly do so by chance.

    `scored` and `unit` are of all calls that name a unit, oldest first.
    """
    order = np.argsort(unit, kind="stable")
    marked, first = scored[order], np.flatnonzero(np.diff(unit[order], prepend=-1))
    if not len(first):
        return False
    size = np.diff(np.append(first, len(order)))
    number = np.add.reduceat(marked.astype(np.int64), first)
    asked = (size > 1) & (number > 0)
    at_end = asked & (number == 1) & marked[first + size - 1]
    if asked.sum() < _LEAST or at_end.sum() < LAST * asked.sum():
        return False
    return bool(-np.log(size[at_end]).sum() < np.log(_CHANCE))


def inferred(score: NDArray[np.float64], units: dict[str, NDArray[np.int64]]) -> str:
    """The scope that scores without one tell: of those they agree in or end, the one of the fewest units; else `call`.

    `score` (calls, oldest first) is NaN where there is none; `units` names each call's unit by scope, -1 for none.
    """
    found = {}
    for name, unit in units.items():
        named = unit >= 0
        mine = named & ~np.isnan(score)
        if one_score_each(score[mine], unit[mine]) or scored_at_the_end(mine[named], unit[named]):
            found[name] = len(np.unique(unit[mine]))
    return min(found, key=lambda name: found[name], default="call")
