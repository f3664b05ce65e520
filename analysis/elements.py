"""The likelihood of every partial segment at once, for `placement`: arrays in place of a loop over segments.

A partial segment ("element") names values of some dimensions. Elements that name the same dimensions hold disjoint
segments, so one pass over the segments scores them all; there are 2^dimensions such passes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from math import log
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

Segment = dict[str, str | None]
Key = tuple[tuple[str, str | None], ...]
Members = Mapping[Key, tuple[float, float]]  # segment -> (change, spread)
Int = NDArray[np.int64]
Float = NDArray[np.float64]

ALIKE: Final = 0.35  # members of a place may differ this much from its level, as a share of it
DISSENT: Final = 0.1  # of what speaks for a place may speak against it
LOUDEST: Final = 20.0  # nats that one segment may say


class Moved(Protocol):
    """What `Elements.best` reads of an effect."""

    @property
    def segment(self) -> Segment: ...
    @property
    def delta(self) -> int: ...
    @property
    def change(self) -> float: ...


class Elements:
    """The partial segments over `members` and `more` segments, all with the same dimensions in the same order.

    Only members speak for or against a change; `more` are the segments of effects, which may not be among them.
    """

    def __init__(self, members: Members, more: Iterable[Segment] = ()) -> None:
        self.keys: list[Key] = list(dict.fromkeys([*members, *(tuple(segment.items()) for segment in more)]))
        self.row = {key: i for i, key in enumerate(self.keys)}
        self.members = len(members)
        self.change: Float = np.array([change for change, _ in members.values()], np.float64)
        self.spread: Float = np.array([spread for _, spread in members.values()], np.float64)
        self.heard = np.ones(self.members, np.bool_)
        self._groups: dict[int, tuple[Int, int]] = {}

    @cached_property
    def codes(self) -> list[Int]:
        """Per dimension, the number of each segment's value."""
        found = []
        for values in zip(*([value for _, value in key] for key in self.keys), strict=True):
            number: dict[str | None, int] = {}
            found.append(np.array([number.setdefault(value, len(number)) for value in values], np.int64))
        return found

    def groups(self, mask: int) -> tuple[Int, int]:
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

    def silence(self, keys: Iterable[Key]) -> None:
        """Members that were explained and count no more."""
        rows = [self.row[key] for key in keys if key in self.row]
        self.heard[[row for row in rows if row < self.members]] = False

    def best(self, hot: Sequence[Moved]) -> Segment:
        """The element with most to say for a common change of its members, among those that hold an effect of `hot`.

        Between equals the one that names most dimensions, then by name.
        """
        ordered = sorted(hot, key=lambda effect: effect.change)
        keys: list[Key] = [tuple(effect.segment.items()) for effect in ordered]
        rows = np.array([self.row[key] for key in keys], np.int64)
        sizes = [abs(effect.delta) for effect in ordered]
        changes = [effect.change for effect in ordered]
        found: list[tuple[float, Key]] = []
        for mask in range(1 << len(keys[0])):
            group, count = self.groups(mask)
            gain, held = self._gains(group, count, group[rows], changes, sizes)
            most = float(gain[held].max())
            if found and most < found[0][0]:
                continue
            if found and most > found[0][0]:
                found = []
            named = dict(zip(group[rows].tolist(), keys, strict=True))
            for element in held[gain[held] == most].tolist():
                found.append((most, tuple(item for i, item in enumerate(named[element]) if mask >> i & 1)))
        chosen: Key = sorted((key for _, key in found), key=lambda key: (-len(key), str(key)))[0]
        return dict(chosen)

    def _gains(
        self, group: Int, count: int, hot: Int, changes: Sequence[float], sizes: Sequence[int]
    ) -> tuple[Float, Int]:
        """Log likelihood of a common change of all members over none, less the choice among `count` elements of this
        kind; and which of them hold an effect. `hot` are the elements of the effects, in order of change."""
        kinds = len(np.unique(group[: self.members][self.heard]))
        level = np.zeros(count)
        totals: dict[int, int] = {}
        elements = hot.tolist()
        for element, size in zip(elements, sizes, strict=True):
            totals[element] = totals.get(element, 0) + size
        reached = dict.fromkeys(totals, 0)
        done = set()
        for i, (element, size) in enumerate(zip(elements, sizes, strict=True)):
            if element not in done:
                reached[element] += size
                if reached[element] >= totals[element] / 2:
                    done.add(element)
                    level[element] = changes[i]
        held = np.array(sorted(totals), np.int64)
        wanted = np.zeros(count, np.bool_)
        wanted[held] = True
        mine = np.flatnonzero(self.heard & (self.spread > 0) & wanted[group[: self.members]])
        where, change, spread = group[mine], self.change[mine], self.spread[mine]
        own = level[where]
        wide = np.sqrt(spread**2 + (ALIKE * own) ** 2)
        said = ((change / spread) ** 2 - ((change - own) / wide) ** 2) / 2 - np.log(wide / spread)
        # nearer to calm than to the level is no evidence for it, however little it usually wobbles
        most = np.where(np.abs(change - own) < np.abs(change), LOUDEST, 0.0)
        said = np.minimum(np.maximum(said, -LOUDEST), most)
        for_it = np.bincount(where, np.maximum(said, 0.0), count)
        against = -np.bincount(where, np.minimum(said, 0.0), count)
        # several separate places must not pass for one that holds them all and calm segments too
        split = -LOUDEST * int(self.heard.sum()) - against
        return np.where(against > DISSENT * for_it, split, for_it - against - log(max(kinds, 1))), held
