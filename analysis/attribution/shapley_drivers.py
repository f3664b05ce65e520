"""Which factor of which segment moved the cost, in dollars that add up exactly.

Shapley values of the factor game of `factors` (the average of a factor's effect over every order in which the factors
could have changed; the Das Gupta standardisation of two states). Exact, symmetric, no interaction left over. Segments
that exist on one side only are lines of their own. Rounded to integers by largest remainder within each segment.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from math import factorial
from typing import Final

import numpy as np

from analysis.array_types import Float64Array, Int64Array
from analysis.attribution.factors import (
    CALLS_PER_REQUEST,
    FACTORS,
    NEW_SEGMENT,
    PARTS,
    VANISHED_SEGMENT,
    VOLUME,
    Cells,
    States,
    segment_values,
    states,
)

_SCALES: Final = (VOLUME, CALLS_PER_REQUEST)
_EVERY: Final = slice(None)  # segment


@dataclass(frozen=True)
class Driver:
    """One line: `delta` in integer units (pico-dollars, micro-calls or micro-tokens) of segment number `segment`."""

    segment: int
    factor: str
    delta: int


def _weights(players: int) -> list[float]:
    """Shapley weight of a coalition by its size: |S|! (n - |S| - 1)! / n!."""
    return [factorial(size) * factorial(players - size - 1) / factorial(players) for size in range(players)]


@dataclass(frozen=True)
class Game:
    """Dollars per call under every coalition, by part: `values[part]` has shape (2^players, segments), and bit i of a
    row's number says that factor i of PARTS[part] is at the day's value. Volume and calls per request multiply it."""

    state: States
    values: dict[str, Float64Array]

    @classmethod
    def of(cls, state: States) -> Game:
        """The game over the factor values of both sides."""
        return cls(
            state,
            {
                part: np.array(
                    [
                        segment_values(state, {name: bool(mask >> i & 1) for i, name in enumerate(inner)}, part)
                        for mask in range(1 << len(inner))
                    ]
                )
                for part, inner in PARTS.items()
            },
        )

    def scale(self, volume: int, calls: int, at: Int64Array | slice = _EVERY) -> Float64Array:
        """Calls of the segments `at`: the requests of side `volume` times the calls per request of side `calls`."""
        return np.asarray(self.state.requests[volume, at] * self.state.calls_per_request[calls, at], np.float64)

    def segment(self, k: int) -> Float64Array:
        """The segment's dollars under all 2^11 coalitions: bit i of a position is factor i of FACTORS."""
        masks = np.arange(1 << len(FACTORS))
        per_call = np.zeros(len(masks))
        for part, inner in PARTS.items():
            rows = np.zeros(len(masks), np.int64)
            for i, name in enumerate(inner):
                rows |= (masks >> FACTORS.index(name) & 1) << i
            per_call += self.values[part][rows, k]
        volume, calls = (masks >> FACTORS.index(name) & 1 for name in _SCALES)
        requests, per_request = self.state.requests[:, k], self.state.calls_per_request[:, k]
        return np.asarray(requests[volume] * per_request[calls] * per_call, np.float64)

    def undoing(self, segments: list[int], factors: Collection[str]) -> float:
        """What the day would save with these factors of these segments at their baseline values together."""
        return float(self.undoing_each(segments, factors).sum())

    def undoing_each(self, segments: list[int], factors: Collection[str]) -> Float64Array:
        """As `undoing`, segment by segment."""
        at = np.array(segments, np.int64)
        saved = np.zeros(len(at))
        on = {factor: factor not in factors for factor in FACTORS}
        now, then = self.scale(1, 1, at), self.scale(int(on[VOLUME]), int(on[CALLS_PER_REQUEST]), at)
        for part, inner in PARTS.items():
            kept = sum(1 << i for i, name in enumerate(inner) if on[name])
            saved += now * self.values[part][-1, at] - then * self.values[part][kept, at]
        return saved


def shapley(game: Game) -> Float64Array:
    """Shapley dollars, shape (FACTORS, segments), in float: exact up to rounding error, made exact by `explain`.

    The parts of a call's cost are games of their own with fewer players, and their values add. Volume and calls per
    request multiply everything, so each coalition of the others is evaluated once and combined with the four states
    of the two.
    """
    totals = np.zeros((len(FACTORS), game.state.segments))
    scale = {(v, c): game.scale(v, c) for v in (0, 1) for c in (0, 1)}  # dollars per call -> dollars
    for part, inner in PARTS.items():
        weights = _weights(len(inner) + 2)
        values = game.values[part]
        for mask, value in enumerate(values):
            size = mask.bit_count()
            for v, c in scale:
                here = scale[v, c] * value
                if not v:
                    totals[0] += weights[size + c] * (scale[1, c] * value - here)
                if not c:
                    totals[1] += weights[size + v] * (scale[v, 1] * value - here)
                for i, name in enumerate(inner):
                    if not mask >> i & 1:
                        gain = scale[v, c] * values[mask | 1 << i] - here
                        totals[FACTORS.index(name)] += weights[size + v + c] * gain
    return totals


def order_range(values: Float64Array, factor: str) -> tuple[float, float]:
    """The least and the most that the factor adds, over all orders of change; `values` as `Game.segment` gives."""
    without = np.flatnonzero(~(np.arange(len(values)) >> FACTORS.index(factor)) & 1)
    gains = values[without | 1 << FACTORS.index(factor)] - values[without]
    return float(gains.min()), float(gains.max())


def undoing(values: Float64Array, factor: str) -> float:
    """What the day would save with this factor alone back at its baseline value."""
    everything = len(values) - 1
    return float(values[everything] - values[everything & ~(1 << FACTORS.index(factor))])


def explain(cells: Cells, before: list[int], after: list[int]) -> tuple[list[Driver], Game, Float64Array]:
    """The drivers of every segment, the game and its Shapley amounts (FACTORS, segments) before rounding.
    Per segment the drivers sum to `after - before` exactly.

    `before` and `after` are the integer totals of the segments. A segment with no priced calls on one side is
    `new_segment` or `vanished_segment`, never split into rates. Sorted by |delta|, ties by segment, then factor.
    """
    game = Game.of(states(cells))
    phi = shapley(game)
    calls = np.array([np.bincount(cells.segment, cells.of(side, "calls"), cells.segments) for side in (0, 1)])
    drivers = []
    for k in range(cells.segments):
        delta = after[k] - before[k]
        if calls[0, k] <= 0 or calls[1, k] <= 0:
            drivers.append(Driver(k, NEW_SEGMENT if calls[0, k] <= 0 else VANISHED_SEGMENT, delta))
            continue
        for factor, part in zip(FACTORS, round_to(phi[:, k], delta), strict=True):
            drivers.append(Driver(k, factor, part))
    drivers = [driver for driver in drivers if driver.delta]
    drivers.sort(key=lambda d: (-abs(d.delta), d.segment, FACTORS.index(d.factor) if d.factor in FACTORS else -1))
    return drivers, game, phi


def round_to(parts: Float64Array | list[float], total: int) -> list[int]:
    """Integers that sum to `total`, next to `parts`, by largest remainder; ties go to the earlier part.

    `parts` may miss `total` by float error: the part of largest size takes it first, so a zero part stays zero.
    """
    values = [float(part) for part in parts]
    if not values:
        return []
    largest = max(range(len(values)), key=lambda i: (abs(values[i]), -i))
    whole = [int(np.floor(value)) for value in values]
    rest = [value - base for value, base in zip(values, whole, strict=True)]
    short = total - sum(whole)
    if not 0 <= short <= len(whole):
        whole[largest] += short - round(sum(rest))
        short = total - sum(whole)
    order = sorted((i for i in range(len(values)) if rest[i] > 0), key=lambda i: (-rest[i], i))
    for i in order[: max(short, 0)]:
        whole[i] += 1
    whole[largest] += total - sum(whole)
    return whole
