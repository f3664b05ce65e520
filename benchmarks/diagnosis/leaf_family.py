"""Generated cases of multi-dimensional root-cause localisation, in the family of the public S, L and H sets.

Leaves: every combination of the dimensions, Weibull amounts, some zero; the forecast errs by a relative normal noise,
on either side. A cause is one to three elements of one subset of dimensions; its leaves fall (or rise, by the side of
the noise) by a common severity with some deviation. Described in arXiv 2205.10004; written for this benchmark.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Family:
    """The ranges that a case draws its properties from."""

    cards: tuple[int, ...]
    noise: tuple[float, float]
    severity: tuple[float, float]
    deviation: tuple[float, float]
    causes: tuple[int, int]
    elements: tuple[int, int]
    leaves_only: bool


S = Family((10, 12, 10, 8, 5), (0, 0.25), (0.2, 1.0), (0.0, 0.1), (1, 3), (1, 3), False)
L = Family((10, 24, 10, 15), (0, 0.1), (0.5, 1.0), (0.0, 0.0), (1, 5), (1, 1), True)
H = Family((10, 5, 250, 20, 8, 12), (0, 0.25), (0.2, 1.0), (0.0, 0.1), (1, 3), (1, 3), False)
FAMILIES = {"S": S, "L": L, "H": H}


@dataclass(frozen=True)
class Case:
    codes: list[NDArray[np.int32]]
    actual: NDArray[np.float64]
    expected: NDArray[np.float64]
    truth: set[frozenset[tuple[int, int]]]  # elements as sets of (dimension, code)


def case(family: Family, seed: int) -> Case:
    """One case. Equal seeds give equal cases."""
    rng = np.random.default_rng([77, seed])
    grid = np.array(list(product(*(range(c) for c in family.cards))), np.int32)
    codes = [np.ascontiguousarray(grid[:, d]) for d in range(len(family.cards))]
    n = len(grid)
    amount = rng.weibull(rng.uniform(0.5, 1.0), n) * 100
    amount *= rng.random(n) > rng.uniform(0, 0.25)
    noise = rng.uniform(*family.noise)
    other = np.maximum(amount * (1 + rng.normal(0, noise, n)), 0)
    swap = rng.random(n) < 0.5
    actual, expected = np.where(swap, amount, other), np.where(swap, other, amount)
    rising = actual.sum() > expected.sum()
    truth: dict[frozenset[tuple[int, int]], tuple[float, float]] = {}
    used: list[tuple[tuple[int, ...], set[tuple[int, int]]]] = []
    for _ in range(rng.integers(family.causes[0], family.causes[1] + 1)):
        severity = rng.uniform(*family.severity) + noise
        deviation = rng.uniform(*family.deviation)
        for _ in range(200):
            depth = len(family.cards) if family.leaves_only else int(rng.integers(1, len(family.cards) + 1))
            dims = tuple(sorted(rng.choice(len(family.cards), depth, replace=False).tolist()))
            count = int(rng.integers(family.elements[0], family.elements[1] + 1))
            picks = {tuple((d, int(rng.integers(family.cards[d]))) for d in dims) for _ in range(count)}
            taken = {pair for _, pairs in used for pair in pairs}
            free = not any(pair in taken for element in picks for pair in element)
            fresh = depth == len(family.cards) or dims not in [other_dims for other_dims, _ in used]
            alive = all((actual + expected)[_mask(codes, element)].sum() > 0 for element in picks)
            if len(picks) == count and free and fresh and alive:
                used.append((dims, {pair for element in picks for pair in element}))
                truth |= {frozenset(element): (severity, deviation) for element in picks}
                break
    for element, (severity, deviation) in truth.items():
        mask = _mask(codes, element)
        lost = np.maximum(1 - rng.normal(severity, deviation, int(mask.sum())), 0)
        if rising:
            expected[mask] = actual[mask] * lost
        else:
            actual[mask] = expected[mask] * lost
    return Case(codes, np.round(actual, 6), np.round(expected, 6), set(truth))


def _mask(codes, element):
    return np.logical_and.reduce([codes[d] == code for d, code in element])
