"""Where a factor moved: the coarsest partial segments whose members all moved alike, by likelihood.

The same question as `localise`, asked of segments with a known spread from their own history: each member of a partial
segment speaks for or against a common change, and what a coarser place would add or lose decides how far it reaches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from analysis.elements import Elements, Key, Segment

__all__ = ["Effect", "Key", "Segment", "Universe", "holds", "place"]

HOT: Final = 2.5  # spreads, for a segment to start a place
# factor -> segment -> (change, spread): every segment that could have moved, moved or not
Universe = Mapping[str, Mapping[Key, tuple[float, float]]]


@dataclass(frozen=True)
class Effect:
    """One driver with what its history says. `noise` is what an ordinary day's wobble of it is worth, `common` the
    part of that which all segments share."""

    segment: Segment
    factor: str
    delta: int
    change: float
    spread: float
    noise: float
    common: float = 0.0

    @property
    def z(self) -> float:
        return self.change / self.spread if self.spread else 0.0


def place(effects: Sequence[Effect], universe: Universe) -> list[tuple[list[Segment], list[Effect], bool]]:
    """Effects of one factor and sign, split into places: (partial segments, members, whether anything stood out)."""
    found: list[tuple[list[Segment], list[Effect], bool]] = []
    left = list(effects)
    elements: dict[str, Elements] = {}
    while True:
        hot = [e for e in left if abs(e.z) >= HOT]
        if not hot:
            break
        members = universe[hot[0].factor]
        if hot[0].factor not in elements:
            elements[hot[0].factor] = Elements(members, (effect.segment for effect in effects))
        best = elements[hot[0].factor].best(hot)
        inside = [e for e in left if holds(best, e.segment)]
        found.append(([best], inside, True))
        left = [e for e in left if not holds(best, e.segment)]
    if left:
        found.append(([{}], left, False))
    return found


def holds(element: Mapping[str, str | None], segment: Mapping[str, str | None]) -> bool:
    return all(segment.get(name) == value for name, value in element.items())
