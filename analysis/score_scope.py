"""What a score was given to: a call, or a conversation, trace or task all of whose calls carry it."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

SCOPES: Final = ("call", "conversation", "trace", "task")
COLUMN: Final = {"conversation": "conversation_id", "trace": "trace_id", "task": "task"}
INFERRED: Final = ("conversation", "trace")  # scopes that equal scores may tell
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
