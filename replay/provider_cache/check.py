"""The simulated prompt caches of the logged calls beside the log, in sums that the parts of a log add up to.

Which machine serves a request is in no log, so a simulated count is scaled by logged over simulated tokens. To tell how
well that reproduces the log, conversations are dealt into folds, and each fold is predicted with the factor of the
others. So the sums come in two rounds: by day and by fold, from which the factors follow; then of what they predict, by
the units that the errors are taken over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np

from replay.traffic.traffic import Bool, Int64, Traffic
from replay.traffic.unit_draws import conversations, mixed

FOLDS: Final = 5
FEW: Final = 5  # units, below which smaller ones are compared; fewer still tell no spread
HOUR_MS: Final = 3_600_000

Unit = Literal["day", "hour", "conversation"]
UNITS: Final[tuple[Unit, ...]] = ("day", "hour", "conversation")
Pair = tuple[int, int]


@dataclass(frozen=True)
class LoggedCaches:
    """Sums over the logged calls. Models are numbers of the log's models, tokens are cached tokens."""

    days: Mapping[Pair, tuple[int, int]] = field(default_factory=dict)  # by model and day: logged, simulated
    folds: Mapping[Pair, tuple[int, int, int]] = field(default_factory=dict)  # and fold: calls, logged, simulated
    textless: int = 0  # calls of the window of which the log keeps no prompt

    @classmethod
    def merged(cls, parts: Iterable[LoggedCaches]) -> LoggedCaches:
        """Those of all parts."""
        days: dict[Pair, tuple[int, int]] = {}
        folds: dict[Pair, tuple[int, int, int]] = {}
        textless = 0
        for part in parts:
            for key, (logged, simulated) in part.days.items():
                before = days.get(key, (0, 0))
                days[key] = before[0] + logged, before[1] + simulated
            for key, (calls, logged, simulated) in part.folds.items():
                known = folds.get(key, (0, 0, 0))
                folds[key] = known[0] + calls, known[1] + logged, known[2] + simulated
            textless += part.textless
        return cls(days, folds, textless)

    def factors(self) -> dict[Pair, float]:
        """What the simulated tokens of each model and fold are scaled by: what the model's other folds show."""
        found = {}
        for model, held in self.folds:
            mine = {fold: sums for (other, fold), sums in self.folds.items() if other == model}
            others = [sums for fold, sums in mine.items() if fold != held]
            if not sum(simulated for _, _, simulated in others):  # one conversation has no others to learn from
                others = list(mine.values())
            logged, simulated = (sum(sums[place] for sums in others) for place in (1, 2))
            found[model, held] = min(logged / simulated, 1.0) if simulated else 1.0
        return found


@dataclass(frozen=True)
class CheckPlan:
    """How the second round is taken: the factor of each model and fold, and the unit of each model's errors."""

    factors: Mapping[Pair, float]
    units: Mapping[int, Unit]


def folds(traffic: Traffic) -> Int64:
    """The fold of each call's conversation."""
    return (mixed(conversations(traffic), 0) % np.uint64(FOLDS)).astype(np.int64)


def stamps(traffic: Traffic, unit: Unit) -> Int64:
    """A number of each call's day, hour or conversation."""
    if unit == "day":
        return traffic.day.astype(np.int64)
    return traffic.start_ms // HOUR_MS if unit == "hour" else conversations(traffic)


def unit_of(traffic: Traffic, chosen: Bool) -> Unit:
    """The largest unit of which the chosen calls have a FEW."""
    for unit in UNITS[:-1]:
        if len(np.unique(stamps(traffic, unit)[chosen])) >= FEW:
            return unit
    return UNITS[-1]


def by_fold(model: Int64, fold: Int64, logged: Int64, simulated: Int64) -> dict[Pair, tuple[int, int, int]]:
    """(calls, logged, simulated) of each model and fold, of calls that are given by these columns."""
    cell = model * FOLDS + fold
    count = int(cell.max(initial=-1)) + 1
    sums = np.zeros((count, 3), np.int64)
    for place, column in enumerate((np.ones(len(cell), np.int64), logged, simulated)):
        np.add.at(sums[:, place], cell, column)
    used = np.flatnonzero(sums[:, 0]).tolist()
    return {
        (cell // FOLDS, cell % FOLDS): (int(sums[cell, 0]), int(sums[cell, 1]), int(sums[cell, 2])) for cell in used
    }
