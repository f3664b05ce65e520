"""Where a factor moved: the coarsest partial segments whose members all moved alike, by likelihood.

The same question as `localise`, asked of segments with a known spread from their own history: each member of a partial
segment speaks for or against a common change, and what a coarser place would add or lose decides how far it reaches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from analysis.elements import Elements, Key, Segment

__all__ = ["HOT", "Effect", "Key", "Segment", "Universe", "holds", "place"]

HOT: Final = 2.5  # spreads, for a segment to start a place
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


def place(effects: Sequence[Effect], universe: Universe) -> list[tuple[list[Segment], list[Effect], bool]]:
    """Effects of one factor and sign, split into places: (partial segments, members, whether anything stood out)."""
    found: list[tuple[list[Segment], list[Effect], bool]] = []
    left = list(effects)
    explained: set[Key] = set()  # a segment speaks once
    elements: dict[str, Elements] = {}
    while True:
        hot = [e for e in left if abs(e.z) >= HOT]
        if not hot:
            break
        members = {key: seen for key, seen in universe[hot[0].factor].items() if key not in explained}
        if hot[0].factor not in elements:
            elements[hot[0].factor] = Elements(universe[hot[0].factor], (effect.segment for effect in effects))
        elements[hot[0].factor].silence(explained)
        best = elements[hot[0].factor].best(hot)
        best = _common([e.segment for e in hot if holds(best, e.segment)], best, members)
        inside = [e for e in left if holds(best, e.segment)]
        found.append(([best], inside, True))
        explained |= {tuple(e.segment.items()) for e in inside}
        left = [e for e in left if not holds(best, e.segment)]
    if left:
        found.append(([{}], left, False))
    return found


def _common(hot: Sequence[Segment], element: Segment, members: Mapping[Key, tuple[float, float]]) -> Segment:
    """What all segments that speak for the element have in common: it reaches no further than its evidence."""
    level = [members[tuple(segment.items())][0] for segment in hot]
    sign = 1 if sum(level) > 0 else -1
    spoke = [dict(key) for key, (change, spread) in members.items() if spread > 0 and sign * change > spread]
    inside = [segment for segment in spoke if holds(element, segment)] + list(hot)
    first = inside[0]
    return {name: value for name, value in first.items() if all(other[name] == value for other in inside)}


def holds(element: Mapping[str, str | None], segment: Mapping[str, str | None]) -> bool:
    return all(segment.get(name) == value for name, value in element.items())
