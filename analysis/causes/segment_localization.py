"""Where a factor moved: the coarsest partial segments whose members all moved alike, by likelihood.

The same question as `localise`, asked of segments with a known spread from their own history: each member of a partial
segment speaks for or against a common change, and what a coarser place would add or lose decides how far it reaches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log, sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.causes.elements import Elements, Key, Segment

__all__ = ["HOT", "Effect", "Key", "Segment", "Universe", "holds", "place", "stands_out"]

HOT: Final = 2.5  # spreads, for a segment to start a place
DOZENS: Final = 40  # segments, up to which HOT holds
Rows = NDArray[np.int64]
# factor -> segment -> (change, spread): every segment that could have moved, moved or not
Universe = Mapping[str, Mapping[Key, tuple[float, float]]]


@dataclass(frozen=True)
class Effect:
    """One driver, or a part of it, with what its history says. `noise` is what an ordinary day's wobble of it is worth,
    `common` the part of that which all segments share. `whole` is the whole driver's amount; `shared` marks the part of
    it that the day did to all segments alike, `follows` the factor that moved it by itself."""

    segment: Segment
    factor: str
    delta: int
    change: float
    spread: float
    noise: float
    common: float = 0.0
    whole: int = 0
    shared: bool = False
    follows: str | None = None

    @property
    def z(self) -> float:
        return self.change / self.spread if self.spread else 0.0


def stands_out(segments: int) -> float:
    """The spreads that start a place among so many segments: of thousands some lie far off by chance, and about as many
    may pass by chance as of a few dozen (a normal tail: exp(-z^2 / 2) falls as the number grows)."""
    return sqrt(HOT**2 + 2 * log(max(segments / DOZENS, 1.0)))


def place(effects: Sequence[Effect], universe: Universe) -> list[tuple[list[Segment], list[Effect], bool]]:
    """Effects of one factor and sign, split into places: (partial segments, members, whether anything stood out)."""
    found: list[tuple[list[Segment], list[Effect], bool]] = []
    left = np.ones(len(effects), np.bool_)
    far = np.array([abs(e.z) >= stands_out(len(universe[e.factor])) for e in effects], np.bool_)
    keys: list[Key] = [tuple(e.segment.items()) for e in effects]
    changes = np.array([e.change for e in effects], np.float64)
    sizes = np.array([abs(e.delta) for e in effects], np.int64)
    explained: list[Key] = []  # a segment speaks once
    scans: dict[str, tuple[Elements, Rows]] = {}
    while (far & left).any():
        hot = np.flatnonzero(far & left)
        factor = effects[hot[0]].factor
        if factor not in scans:
            elements = Elements(universe[factor], (effect.segment for effect in effects))
            elements.silence(explained)
            scans[factor] = elements, np.array([elements.row[key] for key in keys], np.int64)
        elements, rows = scans[factor]
        best = elements.best_of(rows[hot], changes[hot], sizes[hot])
        inside = elements.holding(best)[rows]
        best = elements.common(best, rows[hot[inside[hot]]])
        members: list[int] = np.flatnonzero(left & elements.holding(best)[rows]).tolist()
        found.append(([best], [effects[i] for i in members], True))
        new = list(dict.fromkeys(keys[i] for i in members))
        explained += new
        for elements, _ in scans.values():
            elements.silence(new)
        left[members] = False
    if left.any():
        found.append(([{}], [effects[i] for i in np.flatnonzero(left).tolist()], False))
    return found


def holds(element: Mapping[str, str | None], segment: Mapping[str, str | None]) -> bool:
    return all(segment.get(name) == value for name, value in element.items())
