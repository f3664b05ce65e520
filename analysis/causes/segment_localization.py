"""Where a factor moved: the coarsest partial segments whose members all moved alike, by likelihood.

A partial segment names values of some dimensions. Each member, a full segment with a known spread from its own history,
speaks for or against a common change, and what a coarser partial segment would add or lose decides how far it reaches.
Partial segments that name the same dimensions hold disjoint segments, so one pass over the segments scores them all;
there are 2^dimensions such passes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import log, sqrt
from typing import Final, Protocol

import numpy as np

from analysis.array_types import BoolArray, Float64Array, Int64Array

Segment = dict[str, str | None]
Key = tuple[tuple[str, str | None], ...]
Members = Mapping[Key, tuple[float, float]]  # segment -> (change, spread)

ALIKE: Final = 0.35  # members of a place may differ this much from its level, as a share of it
MAX_OPPOSED: Final = 0.1  # of the likelihood for a place may be against it
MAX_LOG_LIKELIHOOD: Final = 20.0  # nats that one segment may add for or against
HOT: Final = 2.5  # spreads, for a segment to start a place
DOZENS: Final = 40  # segments, up to which HOT holds
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
        """The change in spreads of the segment's own history; 0 without a history."""
        return self.change / self.spread if self.spread else 0.0


def stands_out(segments: int) -> float:
    """The spreads that start a place among so many segments: of thousands some lie far off by chance, and about as many
    may pass by chance as of a few dozen (a normal tail: exp(-z^2 / 2) falls as the number grows)."""
    return sqrt(HOT**2 + 2 * log(max(segments / DOZENS, 1.0)))


def place(effects: Sequence[Effect], universe: Universe) -> list[tuple[list[Segment], list[Effect], bool]]:
    """Effects of one factor and sign, split into places: (partial segments, members, whether anything stood out)."""
    found: list[tuple[list[Segment], list[Effect], bool]] = []
    left = np.ones(len(effects), np.bool_)
    least = {factor: stands_out(len(universe[factor])) for factor in {e.factor for e in effects}}
    far = np.array([abs(e.z) >= least[e.factor] for e in effects], np.bool_)
    keys: list[Key] = [tuple(e.segment.items()) for e in effects]
    changes = np.array([e.change for e in effects], np.float64)
    sizes = np.array([abs(e.delta) for e in effects], np.int64)
    explained: list[Key] = []  # a segment speaks once
    scans: dict[str, tuple[Elements, Int64Array]] = {}
    while (far & left).any():
        hot = np.flatnonzero(far & left)
        factor = effects[hot[0]].factor
        if factor not in scans:
            elements = Elements(universe[factor], (effect.segment for effect in effects))
            elements.exclude(explained)
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
            elements.exclude(new)
        left[members] = False
    if left.any():
        found.append(([{}], [effects[i] for i in np.flatnonzero(left).tolist()], False))
    return found


def holds(element: Mapping[str, str | None], segment: Mapping[str, str | None]) -> bool:
    """Whether the partial segment `element` contains `segment`."""
    return all(segment.get(name) == value for name, value in element.items())


class Moved(Protocol):
    """What `Elements.best` reads of an effect."""

    @property
    def segment(self) -> Segment:
        """Its values by dimension."""
        ...

    @property
    def delta(self) -> int:
        """What it costs more than expected, in pico-dollars."""
        ...

    @property
    def change(self) -> float:
        """Actual over expected cost, less one."""
        ...


class Elements:
    """The partial segments over `members` and `more` segments, all with the same dimensions in the same order.

    Only members count for or against a change; `more` are the segments of effects, which may not be among them.
    """

    def __init__(self, members: Members, more: Iterable[Segment] = ()) -> None:
        self.keys: list[Key] = list(dict.fromkeys([*members, *(tuple(segment.items()) for segment in more)]))
        self.row = {key: i for i, key in enumerate(self.keys)}
        self.members = len(members)
        self.change: Float64Array = np.array([change for change, _ in members.values()], np.float64)
        self.spread: Float64Array = np.array([spread for _, spread in members.values()], np.float64)
        self.included = np.ones(self.members, np.bool_)
        self._groups: dict[int, tuple[Int64Array, int]] = {}

    @cached_property
    def _numbered(self) -> list[tuple[Int64Array, dict[str | None, int]]]:
        found = []
        for values in zip(*([value for _, value in key] for key in self.keys), strict=True):
            number: dict[str | None, int] = {}
            codes = np.array([number.setdefault(value, len(number)) for value in values], np.int64)
            found.append((codes, number))
        return found

    @property
    def codes(self) -> list[Int64Array]:
        """Per dimension, the number of each segment's value."""
        return [codes for codes, _ in self._numbered]

    def holding(self, element: Segment) -> BoolArray:
        """Which segments an element holds."""
        held = np.ones(len(self.keys), np.bool_)
        names = [name for name, _ in self.keys[0]] if self.keys else []
        for name, (codes, number) in zip(names, self._numbered, strict=True):
            if name in element:
                held &= codes == number.get(element[name], -1)
        return held

    def common(self, element: Segment, hot: Int64Array) -> Segment:
        """The dimension values shared by all segments that support `element` and by the segments of rows `hot`."""
        own = hot[hot < self.members]
        sign = 1 if self.change[own].sum() > 0 else -1
        supports = self.included & (self.spread > 0) & (sign * self.change > self.spread)
        rows = np.concatenate([np.flatnonzero(supports & self.holding(element)[: self.members]), hot])
        first = rows[0]
        alike = [(codes[rows] == codes[first]).all() for codes in self.codes]
        return {name: value for (name, value), same in zip(self.keys[first], alike, strict=True) if same}

    def groups(self, mask: int) -> tuple[Int64Array, int]:
        """The element of each segment among those that name the dimensions of `mask`, and how many there are."""
        if mask not in self._groups:
            if mask == 0:
                self._groups[mask] = np.zeros(len(self.keys), np.int64), 1
            else:
                top = mask.bit_length() - 1
                rest, _ = self.groups(mask & ~(1 << top))
                key = rest * (int(self.codes[top].max()) + 1) + self.codes[top]
                values, group = np.unique(key, return_inverse=True)
                self._groups[mask] = np.asarray(group, np.int64), len(values)
        return self._groups[mask]

    def exclude(self, keys: Iterable[Key]) -> None:
        """Leave out members that are explained already."""
        rows = [self.row[key] for key in keys if key in self.row]
        self.included[[row for row in rows if row < self.members]] = False

    def best(self, hot: Sequence[Moved]) -> Segment:
        """The element with the highest likelihood of a common change of its members, that holds one of `hot`.

        Between equals the one that names most dimensions, then by name.
        """
        rows = np.array([self.row[tuple(effect.segment.items())] for effect in hot], np.int64)
        changes = np.array([effect.change for effect in hot], np.float64)
        return self.best_of(rows, changes, np.array([abs(effect.delta) for effect in hot], np.int64))

    def best_of(self, rows: Int64Array, changes: Float64Array, sizes: Int64Array) -> Segment:
        """As `best`, of effects given by the rows of their segments, their changes and the sizes of their amounts."""
        order = np.argsort(changes, kind="stable")
        rows, changes, sizes = rows[order], changes[order], sizes[order]
        found: list[tuple[int, int]] = []  # (mask, row of a segment that the element holds)
        best = -np.inf
        for mask in range(1 << len(self.keys[0])):
            group, count = self.groups(mask)
            gain, held, first = self._gains(group, count, group[rows], changes, sizes)
            most = float(gain[held].max())
            if most < best:
                continue
            if most > best:
                found, best = [], most
            found += [(mask, int(rows[i])) for i in first[gain[held] == most].tolist()]
        named: list[Key] = [
            tuple(item for i, item in enumerate(self.keys[row]) if mask >> i & 1) for mask, row in found
        ]
        chosen: Key = sorted(named, key=lambda key: (-len(key), str(key)))[0]
        return dict(chosen)

    def _gains(
        self, group: Int64Array, count: int, hot: Int64Array, changes: Float64Array, sizes: Int64Array
    ) -> tuple[Float64Array, Int64Array, Int64Array]:
        """Log likelihood of a common change of all members over none, less the choice among `count` elements of this
        kind; which of them hold an effect; and the first effect of each. `hot` are the elements of the effects, in
        order of change: the level of an element is the median of its effects, by size."""
        kinds = int(np.count_nonzero(np.bincount(group[: self.members][self.included], minlength=1)))
        level = np.zeros(count)
        held, first, inverse = np.unique(hot, return_index=True, return_inverse=True)
        together = np.argsort(inverse, kind="stable")
        summed = np.cumsum(sizes[together])
        last = np.flatnonzero(np.diff(inverse[together], append=len(held)))  # of each element
        before = np.concatenate([[0], summed[last[:-1]]])
        half = 2 * (summed - before[inverse[together]]) >= (summed[last] - before)[inverse[together]]
        middle = np.flatnonzero(half)
        which, at = np.unique(inverse[together][middle], return_index=True)
        level[held[which]] = changes[together[middle[at]]]
        wanted = np.zeros(count, np.bool_)
        wanted[held] = True
        mine = np.flatnonzero(self.included & (self.spread > 0) & wanted[group[: self.members]])
        where, change, spread = group[mine], self.change[mine], self.spread[mine]
        own = level[where]
        wide = np.sqrt(spread**2 + (ALIKE * own) ** 2)
        log_ratio = ((change / spread) ** 2 - ((change - own) / wide) ** 2) / 2 - np.log(wide / spread)
        # nearer to calm than to the level is no evidence for it, however little it usually wobbles
        most = np.where(np.abs(change - own) < np.abs(change), MAX_LOG_LIKELIHOOD, 0.0)
        log_ratio = np.minimum(np.maximum(log_ratio, -MAX_LOG_LIKELIHOOD), most)
        for_it = np.bincount(where, np.maximum(log_ratio, 0.0), count)
        against = -np.bincount(where, np.minimum(log_ratio, 0.0), count)
        # several separate places must not pass for one that holds them all and calm segments too
        split = -MAX_LOG_LIKELIHOOD * int(self.included.sum()) - against
        gains = np.where(against > MAX_OPPOSED * for_it, split, for_it - against - log(max(kinds, 1)))
        return gains, np.asarray(held, np.int64), np.asarray(first, np.int64)
