"""Where a change sits: the fewest combinations of dimension values that hold it, by a likelihood scan.

Input: leaves (one per full combination of dimension values) with an expected and an actual amount. A leaf's deviation
is r = 1 - smaller / larger, between 0 and 1, on the side of a rise or of a fall. Ordinary leaves wobble around 0 with
a robust scale of their size class; the leaves of one cause deviate alike, around a level of their own. For every
combination of every subset of dimensions ("element") the scan compares the two explanations,

    G = sum over leaves of log [ (1 - e) N(r; m, t) + e ] - log f0(r)   -   log(#elements alike) - COST

takes the best element, sets its leaves aside and looks again. A parent with calm children loses by their evidence, a
child alone loses by what its siblings add, so the granularity needs no threshold. The idea of scoring elements by a
potential and peeling them greedily is that of Squeeze (ISSRE 2019) and RiskLoc (arXiv 2205.10004); the score is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import log
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

Int = NDArray[np.int32]
Float = NDArray[np.float64]

COST: Final = 6.5  # nats that an element must earn beyond the choice among its kind
STRAY: Final = 0.02  # of an element's leaves may be anything
TAIL: Final = 1e-8  # of ordinary leaves may be anything
SPREAD: Final = 0.05  # prior spread of the leaves of one cause around its level, worth SPREAD_LEAVES leaves
SPREAD_LEAVES: Final = 2.0
LEAST: Final = 1.25  # ordinary spreads that an element must deviate by
FLOOR: Final = 0.004  # the least spread of ordinary leaves: forecasts are never better
LEAST_SHARE: Final = 0.0001  # of what all elements moved: a smaller one is a speck that nobody would look for
BINS: Final = 8
ROUNDS: Final = 12
MOST_CELLS: Final = 20_000_000


@dataclass(frozen=True)
class Element:
    """A partial combination: dimension number -> code. `change` is actual - expected over its leaves."""

    values: dict[int, int]
    gain: float  # nats
    level: float  # how much of the larger amount is missing on the other side, 0..1
    change: float
    leaves: int


def localise(
    codes: Sequence[NDArray[Any]],
    actual: Float,
    expected: Float,
    *,
    most_dims: int | None = None,
    cost: float = COST,
    least_share: float = LEAST_SHARE,
) -> list[Element]:
    """Elements that explain the deviations, best first. `codes[d]` are the integer codes of dimension d per leaf.

    Left out are elements that moved less than `least_share` of what all of them moved.
    """
    actual = np.asarray(actual, np.float64)
    expected = np.asarray(expected, np.float64)
    use = (actual > 0) | (expected > 0)
    a, b = np.maximum(actual[use], 0), np.maximum(expected[use], 0)
    if not len(a):
        return []
    dims = [np.unique(np.asarray(c)[use], return_inverse=True) for c in codes]
    larger = np.maximum(a, b)
    deviation = (a - b) / larger
    scale = _scales(deviation, larger)
    cuboids = _cuboids([len(values) for values, _ in dims], most_dims, len(a))
    keys, first = _keys([inverse.astype(np.int32) for _, inverse in dims], cuboids)
    penalty = np.array([log(max(first[i + 1] - first[i], 2)) for i in range(len(cuboids))]) + cost
    found: list[Element] = []
    alive = np.ones(len(a), np.bool_)
    for sign in (1.0, -1.0):
        for _ in range(ROUNDS):
            gain, level = _scan(keys, first, sign * deviation, scale, alive, penalty)
            picked = _pick(gain, cuboids, dims, keys, first, alive)
            if not picked:
                break
            for i, cell, leaves in picked:
                alive[leaves] = False
                values = {d: int(dims[d][0][dims[d][1][leaves[0]]]) for d in cuboids[i]}
                change = float((a[leaves] - b[leaves]).sum())
                found.append(Element(values, float(gain[cell]), float(level[cell]), change, len(leaves)))
    least = least_share * sum(abs(element.change) for element in found)
    found = [element for element in found if abs(element.change) >= least]
    found.sort(key=lambda element: (-element.gain, sorted(element.values.items())))
    return found


def _scales(deviation: Float, size: Float) -> Float:
    """The robust spread of ordinary leaves by size class, from the quieter of the two sides."""
    n = len(size)
    bins = BINS if n >= 50 * BINS else 1
    rank = np.empty(n, np.int64)
    rank[np.argsort(size, kind="stable")] = np.arange(n)
    group = rank * bins // n
    found = np.empty(bins)
    for i in range(bins):
        mine = deviation[group == i]
        sides = [1.4826 * float(np.median(np.abs(side))) for side in (mine[mine > 0], mine[mine < 0]) if len(side) >= 8]
        found[i] = min(sides) if sides else 1.4826 * float(np.median(np.abs(mine)))
    # amounts are rounded somewhere: the smallest leaves cannot be known better than that
    return np.maximum(found[group], FLOOR) + 1e-6 / size


def _cuboids(cards: Sequence[int], most_dims: int | None, leaves: int) -> list[tuple[int, ...]]:
    """Subsets of dimensions, fewest first, as long as their cells fit in memory."""
    found: list[tuple[int, ...]] = []
    cells = 0
    for size in range(1, (most_dims or len(cards)) + 1):
        for subset in combinations(range(len(cards)), size):
            if any(cards[d] < 2 for d in subset):  # a dimension of one value tells nothing apart
                continue
            cells += min(int(np.prod([cards[d] for d in subset], dtype=np.float64)), leaves)
            if cells <= MOST_CELLS:
                found.append(subset)
    return found or [(0,)]


def _keys(codes: Sequence[Int], cuboids: Sequence[tuple[int, ...]]) -> tuple[Int, NDArray[np.int64]]:
    """The cell of each leaf in each cuboid, shape (cuboids, leaves), cells numbered through; first cell per cuboid."""
    n = len(codes[0])
    cards = [int(c.max()) + 1 for c in codes]
    keys = np.empty((len(cuboids), n), np.int32)
    first = [0]
    for i, subset in enumerate(cuboids):
        key = np.zeros(n, np.int64)
        cells = 1
        for d in subset:
            key = key * cards[d] + codes[d]
            cells *= cards[d]
        if cells > 4 * n:
            distinct, key = np.unique(key, return_inverse=True)
            cells = len(distinct)
        keys[i] = key + first[-1]
        first.append(first[-1] + cells)
    return keys, np.array(first, np.int64)


def _pick(
    gain: Float,
    cuboids: Sequence[tuple[int, ...]],
    dims: Sequence[tuple[Any, Any]],
    keys: Int,
    first: NDArray[np.int64],
    alive: NDArray[np.bool_],
) -> list[tuple[int, int, NDArray[np.int64]]]:
    """The best element, and further ones that no better, overlapping element could still claim."""
    order = np.flatnonzero(gain > 0)
    order = order[np.lexsort((order, -gain[order]))][:64]
    picked: list[tuple[int, int, NDArray[np.int64]]] = []
    seen: list[dict[int, int]] = []
    for cell in order:
        i = int(np.searchsorted(first, cell, side="right")) - 1
        leaves = np.flatnonzero((keys[i] == cell) & alive)
        if not len(leaves):
            continue
        values = {d: int(dims[d][1][leaves[0]]) for d in cuboids[i]}
        if not any(_meet(values, other) for other in seen):
            picked.append((i, int(cell), leaves))
        seen.append(values)
    return picked


def _meet(one: dict[int, int], other: dict[int, int]) -> bool:
    return all(other.get(d, value) == value for d, value in one.items())


@njit(cache=True, nogil=True)
def _scan(keys, first, deviation, scale, alive, penalty):  # type: ignore[no-untyped-def]
    """Gain and level of every element for deviations on the positive side. Two robust steps give the level."""
    cells = first[-1]
    n = deviation.shape[0]
    gain = np.zeros(cells)
    level = np.zeros(cells)
    ordinary = np.empty(n)  # log density of the ordinary explanation
    for j in range(n):
        z = deviation[j] / scale[j]
        ordinary[j] = np.log((1 - TAIL) * np.exp(-0.5 * z * z) / (scale[j] * 2.5066282746310002) + TAIL)
    weight = np.zeros(cells)
    top = np.zeros(cells)
    count = np.zeros(cells)
    for i in range(keys.shape[0]):
        for j in range(n):
            if alive[j]:
                cell = keys[i, j]
                count[cell] += 1
                top[cell] += max(deviation[j], 0.0)
    for cell in range(cells):
        level[cell] = top[cell] / count[cell] if count[cell] else 0.0
    spread = np.zeros(cells)
    usual = np.zeros(cells)
    for step in range(3):
        reach = 0.2 if step == 0 else 0.1
        weight[:] = 0
        top[:] = 0
        spread[:] = 0
        for i in range(keys.shape[0]):
            for j in range(n):
                if alive[j]:
                    cell = keys[i, j]
                    gap = deviation[j] - level[cell]
                    w = 1 / (1 + (gap / reach) ** 2)
                    weight[cell] += w
                    top[cell] += w * deviation[j]
                    spread[cell] += w * gap * gap
        for cell in range(cells):
            if weight[cell] > 0:
                level[cell] = max(top[cell] / weight[cell], 0.0)
    for cell in range(cells):
        spread[cell] = np.sqrt((spread[cell] + SPREAD_LEAVES * SPREAD**2) / (weight[cell] + SPREAD_LEAVES))
    for i in range(keys.shape[0]):
        for j in range(n):
            if alive[j]:
                cell = keys[i, j]
                t = spread[cell]
                z = (deviation[j] - level[cell]) / t
                alike = (1 - STRAY) * np.exp(-0.5 * z * z) / (t * 2.5066282746310002) + STRAY
                earned = np.log(alike) - ordinary[j]
                # a leaf nearer to calm than to the element's level is no evidence for it, whatever the fit says
                gain[cell] += earned if deviation[j] > level[cell] / 2 else min(earned, 0.0)
                usual[cell] += scale[j]
    for i in range(keys.shape[0]):
        for cell in range(first[i], first[i + 1]):
            gain[cell] -= penalty[i]
            if count[cell] == 0 or level[cell] * count[cell] < LEAST * usual[cell]:
                gain[cell] = -1.0
    return gain, level
