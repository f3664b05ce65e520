"""Exact money: integers of pico-dollars (10^-12 USD) in arrays, Decimal at the edges."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

import numpy as np

from analysis.array_types import Int32Array, Int64Array

PICO = 10**12


def dollars(pico: int) -> Decimal:
    """Pico-dollars as an exact decimal number of dollars."""
    return Decimal(int(pico)).scaleb(-12)


def pico(amount: Decimal) -> int:
    """Dollars as pico-dollars; the amount must not be finer than that."""
    return int(Decimal(amount).scaleb(12).to_integral_exact())


def exact_sum(values: Int64Array) -> int:
    """The sum as a Python integer: right also where it does not fit 64 bits (above about $9.2 M)."""
    return (int((values >> 32).sum()) << 32) + int((values & 0xFFFFFFFF).sum())


def sums_by(values: Int64Array, group: Int32Array, groups: int) -> list[int]:
    """Exact sums per group number; one Python integer for each of `groups` groups."""
    low = np.zeros(groups, np.int64)
    high = np.zeros(groups, np.int64)
    np.add.at(low, group, values & 0xFFFFFFFF)
    np.add.at(high, group, values >> 32)
    return [(int(h) << 32) + int(b) for h, b in zip(high, low, strict=True)]


def round_to_sum(parts: Sequence[Fraction], total: int) -> list[int]:
    """Integers next to `parts` that sum to `total`, by largest remainder; ties go to the earlier part.

    `parts` must sum to `total`, so that no part moves by a whole unit.
    """
    floors = [part.__floor__() for part in parts]
    short = total - sum(floors)
    if not 0 <= short <= len(floors):
        raise ValueError(f"the parts sum to {float(sum(parts))}, not to {total}")
    by_remainder = sorted(range(len(parts)), key=lambda i: (floors[i] - parts[i], i))
    for index in by_remainder[:short]:
        floors[index] += 1
    return floors
