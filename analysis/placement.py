"""Where a factor moved: the coarsest partial segments whose members all moved alike, by likelihood.

The same question as `localise`, asked of segments with a known spread from their own history: each member of a partial
segment speaks for or against a common change, and what a coarser place would add or lose decides how far it reaches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log, sqrt
from typing import Final

Segment = dict[str, str | None]
Key = tuple[tuple[str, str | None], ...]
HOT: Final = 2.5  # spreads, for a segment to start a place
ALIKE: Final = 0.35  # members of a place may differ this much from its level, as a share of it
DISSENT: Final = 0.1  # of what speaks for a place may speak against it
LOUDEST: Final = 20.0  # nats that one segment may say
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
    while True:
        hot = [e for e in left if abs(e.z) >= HOT]
        if not hot:
            break
        members = universe[hot[0].factor]
        best = max(_elements(hot), key=lambda element: _gain(element, hot, members))
        inside = [e for e in left if holds(best, e.segment)]
        found.append(([best], inside, True))
        left = [e for e in left if not holds(best, e.segment)]
    if left:
        found.append(([{}], left, False))
    return found


def holds(element: Mapping[str, str | None], segment: Mapping[str, str | None]) -> bool:
    return all(segment.get(name) == value for name, value in element.items())


def _elements(effects: Sequence[Effect]) -> list[Segment]:
    """Every partial segment of these effects, in a fixed order: whole segments first, so that they win a tie."""
    found: dict[Key, None] = {}
    for effect in effects:
        items = list(effect.segment.items())
        for mask in range(1 << len(items)):
            found[tuple(item for i, item in enumerate(items) if mask >> i & 1)] = None
    return [dict(key) for key in sorted(found, key=lambda key: (-len(key), str(key)))]


def _gain(element: Segment, hot: Sequence[Effect], members: Mapping[Key, tuple[float, float]]) -> float:
    """Log likelihood of a common change of all members over none, less the choice among elements of this kind."""
    inside = sorted((e for e in hot if holds(element, e.segment)), key=lambda e: e.change)
    half = sum(abs(e.delta) for e in inside) / 2
    reached = 0
    level = inside[-1].change
    for effect in inside:
        reached += abs(effect.delta)
        if reached >= half:
            level = effect.change
            break
    for_it = against = 0.0
    kinds = set()
    for key, (change, spread) in members.items():
        segment = dict(key)
        kinds.add(tuple(segment[name] for name in element))
        if not holds(element, segment) or spread <= 0:
            continue
        wide = sqrt(spread**2 + (ALIKE * level) ** 2)
        said = ((change / spread) ** 2 - ((change - level) / wide) ** 2) / 2 - log(wide / spread)
        # nearer to calm than to the level is no evidence for it, however little it usually wobbles
        most = LOUDEST if abs(change - level) < abs(change) else 0.0
        said = min(max(said, -LOUDEST), most)
        for_it, against = for_it + max(said, 0.0), against - min(said, 0.0)
    # several separate places must not pass for one that holds them all and calm segments too
    if against > DISSENT * for_it:
        return -LOUDEST * len(members) - against
    return for_it - against - log(max(len(kinds), 1))
