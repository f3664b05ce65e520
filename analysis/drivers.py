"""Which factor of which segment moved the cost, in dollars that add up exactly.

Shapley values of the factor game of `factors` (the average of a factor's effect over every order in which the factors
could have changed; the Das Gupta standardisation of two states). Exact, symmetric, no interaction left over. Segments
that exist on one side only are lines of their own. Rounded to integers by largest remainder within each segment.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import combinations
from math import factorial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.factors import (
    CALLS_PER_REQUEST,
    FACTORS,
    NEW_SEGMENT,
    PARTS,
    VANISHED_SEGMENT,
    VOLUME,
    Cells,
    Float,
    States,
    segment_values,
    states,
)

_SCALES: Final = (VOLUME, CALLS_PER_REQUEST)


@dataclass(frozen=True)
class Driver:
    """One line: `delta` in integer units (pico-dollars, micro-calls or micro-tokens) of segment number `segment`."""

    segment: int
    factor: str
    delta: int


def _weights(players: int) -> list[float]:
    """Shapley weight of a coalition by its size: |S|! (n - |S| - 1)! / n!."""
    return [factorial(size) * factorial(players - size - 1) / factorial(players) for size in range(players)]


def shapley(state: States) -> Float:
    """Shapley dollars, shape (FACTORS, segments), in float: exact up to rounding error, made exact by `explain`.

    The parts of a call's cost are games of their own with fewer players, and their values add. Volume and calls per
    request multiply everything, so each coalition of the others is evaluated once and combined with the four states
    of the two.
    """
    totals = np.zeros((len(FACTORS), state.segments))
    scale = {
        (v, c): state.requests[v] * state.calls_per_request[c] for v in (0, 1) for c in (0, 1)
    }  # dollars per call -> dollars
    for part, inner in PARTS.items():
        weights = _weights(len(inner) + 2)
        values: dict[int, Float] = {}
        for mask in range(1 << len(inner)):
            on = {name: bool(mask >> i & 1) for i, name in enumerate(inner)}
            values[mask] = segment_values(state, on, part)
        for mask, value in values.items():
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


def total_values(state: States, segment: int) -> dict[frozenset[str], float]:
    """The segment's dollars under every coalition of factors at the day's value: for order ranges and checks."""
    mine = np.flatnonzero(state.segment == segment)
    small = _only(state, mine, segment)
    part_values = {
        (part, frozenset(name for i, name in enumerate(inner) if mask >> i & 1)): float(
            segment_values(small, {name: bool(mask >> i & 1) for i, name in enumerate(inner)}, part)[0]
        )
        for part, inner in PARTS.items()
        for mask in range(1 << len(inner))
    }
    found = {}
    for size in range(len(FACTORS) + 1):
        for names in combinations(FACTORS, size):
            on = frozenset(names)
            scale = small.requests[int(VOLUME in on), 0] * small.calls_per_request[int(CALLS_PER_REQUEST in on), 0]
            found[on] = scale * sum(part_values[part, on & frozenset(inner)] for part, inner in PARTS.items())
    return found


def _only(state: States, cells: NDArray[np.int64], segment: int) -> States:
    return States(
        requests=state.requests[:, [segment]],
        calls_per_request=state.calls_per_request[:, [segment]],
        model=state.model[:, cells],
        hit=state.hit[:, cells],
        tier=state.tier[:, cells],
        input=state.input[:, cells],
        read=state.read[:, cells],
        write=state.write[:, cells],
        output=state.output[:, cells],
        reasoning=state.reasoning[:, cells],
        other=state.other[:, cells],
        rates=state.rates[:, :, cells],
        repriced=state.repriced[cells],
        segment=np.zeros(len(cells), np.int64),
        segments=1,
    )


def order_range(values: dict[frozenset[str], float], factor: str) -> tuple[float, float]:
    """The least and the most that the factor adds, over all orders of change."""
    gains = [values[on | {factor}] - value for on, value in values.items() if factor not in on]
    return min(gains), max(gains)


def undoing(values: dict[frozenset[str], float], factor: str) -> float:
    """What the day would save with this factor alone back at its baseline value."""
    everything = frozenset(FACTORS)
    return values[everything] - values[everything - {factor}]


def undoing_all(state: States, segments: list[int], factors: Collection[str]) -> float:
    """What the day would save with these factors of these segments at their baseline values together."""
    values = []
    for on in (dict.fromkeys(FACTORS, True), {factor: factor not in factors for factor in FACTORS}):
        scale = state.requests[int(on[VOLUME])] * state.calls_per_request[int(on[CALLS_PER_REQUEST])]
        values.append(sum(segment_values(state, on, part) for part in PARTS) * scale)
    return float((values[0] - values[1])[segments].sum())


def explain(cells: Cells, before: list[int], after: list[int]) -> tuple[list[Driver], States, Float]:
    """The drivers of every segment, the factor states and the Shapley amounts (FACTORS, segments) before rounding.
    Per segment the drivers sum to `after - before` exactly.

    `before` and `after` are the integer totals of the segments. A segment with no priced calls on one side is
    `new_segment` or `vanished_segment`, never split into rates. Sorted by |delta|, ties by segment, then factor.
    """
    state = states(cells)
    phi = shapley(state)
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
    return drivers, state, phi


def round_to(parts: Float | list[float], total: int) -> list[int]:
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
