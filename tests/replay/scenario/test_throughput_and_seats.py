"""Commitments against plain-Python replays of the same minutes and calls."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from replay.scenario import seats, throughput
from replay.scenario.commitments import Commitment

AMOUNTS = some.lists(some.floats(0, 50), min_size=1, max_size=40)


def paid(demand: list[float], api: list[float], minutes: float, units: int, price: float) -> float:
    """Slot by slot: the units serve their share, the rest is paid at the API."""
    total = 0.0
    for wanted, usd in zip(demand, api, strict=True):
        total += units * price * minutes / 60
        total += usd * max(0.0, 1 - units / wanted) if wanted > 0 else usd
    return total


@given(AMOUNTS, some.integers(0, 30), some.floats(0.01, 5))
def test_the_cost_of_units_is_that_of_the_slots_one_by_one(demand: list[float], units: int, price: float) -> None:
    api = [2 * value for value in demand]
    found = throughput.costs(np.array(demand), np.array(api), 10, np.array([float(units)]), price)[0]
    assert found == pytest.approx(paid(demand, api, 10, units, price), rel=1e-9, abs=1e-9)


@given(AMOUNTS, some.floats(0.01, 5), some.integers(1, 4), some.integers(1, 3))
def test_the_choice_is_the_cheapest_to_buy(demand: list[float], price: float, least: int, step: int) -> None:
    api = [value * 1.5 for value in demand]
    plan = throughput.Plan(price, least, step)
    chosen = throughput.choose(np.array(demand), np.array(api), 1, plan)
    assert chosen == 0 or (chosen >= least and (chosen - least) % step == 0)
    for units in [0, *range(least, 60, step)]:
        assert paid(demand, api, 1, chosen, price) <= paid(demand, api, 1, units, price) + 1e-9


def test_a_week_that_repeats_has_no_regret_and_one_that_doubles_has_some() -> None:
    rng = np.random.default_rng(3)
    demand = rng.gamma(4, 5, 7 * 144)
    plan = throughput.Plan(0.4)
    assert throughput.regret((demand, demand), (demand, demand), 10, plan).lost == 0
    doubled = (demand, demand / 6), (2 * demand, demand / 3)
    blind = throughput.regret(*doubled, 10, plan)
    assert blind.units > 0
    assert 0 < blind.lost < 0.5
    assert blind.unavoidable == 0  # the pattern repeats: with the volume known nothing is lost
    assert throughput.regret(*doubled, 10, plan, volume=2).lost == 0


def test_a_window_holds_what_it_holds_and_begins_with_the_first_call_after_the_last() -> None:
    hour = 3_600_000
    start = np.array([0, hour, 4 * hour, 5 * hour, 6 * hour])
    plan = seats.Plan(100, 5 * hour, usd_per_window=10)
    within = seats.covered(start, np.zeros(5, np.int64), np.array([6.0, 6.0, 6.0, 6.0, 1.0]), plan)
    assert within.tolist() == [True, True, False, True, True]  # the third finds 12 of 10 used; a new window at 5 h


def test_the_week_limits_what_its_windows_would_hold() -> None:
    day = 86_400_000
    start = np.arange(9) * day
    plan = seats.Plan(100, 5 * 3_600_000, usd_per_window=10, usd_per_week=30)
    within = seats.covered(start, np.zeros(9, np.int64), np.full(9, 10.0), plan)
    assert within.tolist() == [True] * 3 + [False] * 4 + [True] * 2


def test_seats_go_to_those_who_gain() -> None:
    plan = seats.Plan(usd_per_month=30.4375, window_ms=1)
    held = np.array([50.0, 3.0])
    chosen = seats.choose(held, 7, plan)
    assert chosen.tolist() == [True, False]
    assert seats.cost(held, chosen, 60.0, 7, plan) == pytest.approx(7 + 60 - 50)


def test_a_saving_whose_sign_the_forecast_does_not_know_is_not_claimed() -> None:
    def told(ends: tuple[float, float] | None) -> str:
        return Commitment("ptu", "throughput", 3, "units", 100.0, 90.0, 0.5, None, "", ends).sentence

    assert "3 units save $10.00 a month, $4.00 to $16.00" in told((4.0, 16.0))
    assert "cannot say" in told((-5.0, 16.0))
    assert "too few days to say a range" in told(None)
