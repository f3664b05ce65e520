"""Who saved what: the Shapley value of each stage, exact, and summing to the whole saving."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import combinations
from math import factorial

from analysis.money import round_to_sum


def shapley(players: Sequence[str], value: Callable[[frozenset[str]], int]) -> dict[str, int]:
    """Each player's share of `value(all) - value(none)`, in the value's integer unit.

    The average of a player's marginal contribution over all orders of joining (Shapley 1953): symmetric, with no
    interaction left over. `value` is asked once per coalition, 2^n times. Shares are rounded by largest remainder.
    """
    count = len(players)
    worth = {
        frozenset(members): value(frozenset(members))
        for size in range(count + 1)
        for members in combinations(players, size)
    }
    shares = []
    for player in players:
        others = [other for other in players if other != player]
        share = Fraction(0)
        for size in range(count):
            chance = Fraction(factorial(size) * factorial(count - size - 1), factorial(count))
            for members in combinations(others, size):
                without = frozenset(members)
                share += chance * (worth[without | {player}] - worth[without])
        shares.append(share)
    total = worth[frozenset(players)] - worth[frozenset()]
    return dict(zip(players, round_to_sum(shares, total), strict=True))


def split_by(total: int, weights: Sequence[int]) -> list[int]:
    """`total` in proportion to non-negative integer `weights`, summing exactly; all to the first if no weight."""
    whole = sum(weights)
    if whole == 0:
        return [total if index == 0 else 0 for index in range(len(weights))]
    return round_to_sum([Fraction(total * weight, whole) for weight in weights], total)
