"""The frontier of cost and quality, and the programme, find what a full search finds."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replay.optimize.frontier import frontier, pareto
from replay.optimize.milp import assign


def knapsack(seed: int, groups: int, options: int) -> tuple[np.ndarray, np.ndarray]:
    """Groups of uneven size, dearer options better on the whole but not in every group."""
    rng = np.random.default_rng(seed)
    size = rng.lognormal(0, 1, groups)
    size /= size.sum()
    price = 10 ** rng.uniform(-2, 1, options)
    worth = np.clip(0.8 + 0.15 * np.log10(price) + rng.normal(0, 0.08, (groups, options)), 0, 1)
    return size[:, None] * price * rng.uniform(0.5, 2, (groups, options)), size[:, None] * worth


def total(table: np.ndarray, choice: np.ndarray) -> float:
    return float(table[np.arange(len(choice)), choice].sum())


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 5), st.floats(0, 1))
def test_the_chosen_options_are_within_half_a_percent_of_a_full_search(
    seed: int, groups: int, options: int, where: float
):
    cost, worth = knapsack(seed, groups, options)
    every = [np.array(choice) for choice in itertools.product(range(options), repeat=groups)]
    reachable = [total(worth, choice) for choice in every]
    target = min(reachable) + where * (max(reachable) - min(reachable))
    best = min(total(cost, choice) for choice, value in zip(every, reachable, strict=True) if value >= target - 1e-12)
    front = frontier(cost, worth)
    chosen = front.cheapest(target)
    assert chosen is not None
    assert total(worth, chosen) >= target - 1e-9
    assert best - 1e-12 <= total(cost, chosen) <= best * 1.005 + 1e-12
    assert front.relaxed(target) <= best + 1e-9
    exact = assign(cost, worth, target)
    assert exact is not None
    assert total(cost, exact) == pytest.approx(best, rel=1e-6)


def test_the_frontier_rises_in_cost_and_quality_and_its_choices_add_up():
    cost, worth = knapsack(1, 200, 20)
    front = frontier(cost, worth)
    assert (np.diff(front.cost) >= 0).all()
    assert (np.diff(front.quality) > 0).all()
    slopes = np.diff(front.quality) / np.diff(front.cost)
    assert (np.diff(slopes) <= 1e-9 * slopes[:-1]).all()
    for vertex in (0, 100, len(front.steps)):
        chosen = front.choice(vertex)
        assert total(cost, chosen) == pytest.approx(front.cost[vertex])
        assert total(worth, chosen) == pytest.approx(front.quality[vertex])
    assert front.quality[-1] == pytest.approx(worth.max(axis=1).sum())


@pytest.mark.parametrize("seed", [3, 4])
def test_two_hundred_tasks_and_twenty_models_stay_within_half_a_percent_of_the_programme(seed: int):
    cost, worth = knapsack(seed, 200, 20)
    front = frontier(cost, worth)
    for target in (0.7, 0.9):
        goal = target * worth.max(axis=1).sum()
        chosen, exact = front.cheapest(goal), assign(cost, worth, goal, gap=1e-4)
        assert chosen is not None
        assert exact is not None
        assert total(cost, chosen) <= total(cost, exact) * 1.005


def test_the_programme_writes_nothing_to_standard_output(capfd: pytest.CaptureFixture[str]):
    """HiGHS prints a line of its own on some problems; standard output is for results."""
    for seed in (0, 1):
        cost, worth = knapsack(seed, 200, 20)
        assign(cost, worth, 0.8 * worth.max(axis=1).sum(), gap=1e-4)
    print("after")
    assert capfd.readouterr().out == "after\n"


def test_impossible_options_are_never_taken():
    cost = np.array([[1.0, np.inf, 3.0]])
    worth = np.array([[np.nan, 9.0, 0.5]])
    assert frontier(cost, worth).cheapest(0.0).tolist() == [2]
    assert frontier(cost, worth).cheapest(0.6) is None
    assert assign(cost, worth, 0.6) is None


def test_the_number_of_models_can_be_limited():
    cost = np.array([[9.0, 1.0, 5.0], [9.0, 5.0, 1.0], [9.0, 4.0, 4.1]])
    worth = np.zeros((3, 3))
    assert assign(cost, worth, 0.0).tolist() == [1, 2, 1]
    assert assign(cost, worth, 0.0, max_models=1, free_option=0).tolist() == [1, 1, 1]
    assert assign(cost, worth, 0.0, max_models=0, free_option=0).tolist() == [0, 0, 0]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=12))
def test_nothing_beats_a_point_of_the_pareto_front(points: list[tuple[int, int]]):
    cost, worth = (np.array(column, float) for column in zip(*points, strict=True))
    front = set(pareto(cost, worth).tolist())
    for i in range(len(points)):
        beaten = any(
            cost[j] <= cost[i] and worth[j] >= worth[i] and (cost[j] < cost[i] or worth[j] > worth[i])
            for j in range(len(points))
        )
        if i in front:
            assert not beaten
