"""Savings by stage: they sum to the saving, exactly, and do not depend on the order of naming."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations, permutations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from analysis.money import exact_sum, round_to_sum, sums_by
from replay.engine.savings import shapley, split_by

NAMES = ("compress", "route", "cache", "batch")


def coalitions(players: tuple[str, ...]) -> list[frozenset[str]]:
    return [frozenset(c) for size in range(len(players) + 1) for c in combinations(players, size)]


@given(st.integers(1, 4), st.data())
def test_shares_sum_to_the_saving_to_the_unit(count: int, data: st.DataObject) -> None:
    players = NAMES[:count]
    worth = {c: data.draw(st.integers(-(10**18), 10**18)) for c in coalitions(players)}
    shares = shapley(players, worth.__getitem__)
    assert sum(shares.values()) == worth[frozenset(players)] - worth[frozenset()]


@given(st.data())
def test_shares_equal_the_mean_over_all_orders(data: st.DataObject) -> None:
    players = NAMES[:3]
    worth = {c: data.draw(st.integers(-1000, 1000)) for c in coalitions(players)}
    shares = shapley(players, worth.__getitem__)
    for player in players:
        gains = []
        for order in permutations(players):
            before = frozenset(order[: order.index(player)])
            gains.append(worth[before | {player}] - worth[before])
        assert abs(shares[player] - Fraction(sum(gains), len(gains))) < 1


def test_a_stage_that_changes_nothing_saves_nothing() -> None:
    worth = {c: 100 if "route" in c else 0 for c in coalitions(("route", "cache"))}
    assert shapley(("route", "cache"), worth.__getitem__) == {"route": 100, "cache": 0}


@given(st.integers(-(10**15), 10**15), st.lists(st.integers(0, 10**12), min_size=1, max_size=6))
def test_a_split_sums_to_the_whole(total: int, weights: list[int]) -> None:
    parts = split_by(total, weights)
    assert sum(parts) == total


@given(st.lists(st.integers(-(2**62), 2**62), max_size=50))
def test_exact_sums_do_not_overflow(values: list[int]) -> None:
    array = np.array(values, np.int64)
    assert exact_sum(array) == sum(values)
    assert sums_by(array, np.zeros(len(array), np.int32), 1) == [sum(values)]


def test_rounding_gives_the_largest_remainders_first() -> None:
    assert round_to_sum([Fraction(1, 2), Fraction(3, 4), Fraction(7, 4)], 3) == [0, 1, 2]
