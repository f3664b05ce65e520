"""The forecast of days: exact where days repeat, near in stable worlds, with a range that holds as often as told."""

from __future__ import annotations

from datetime import date, timedelta
from math import exp, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from analysis.forecast.daily_forecast import forecast

START = date(2026, 3, 2)
HELD_OUT = 14


def days(count: int) -> list[date]:
    return [START + timedelta(days=number) for number in range(count)]


def world(rng: np.random.Generator, known: int, noise: float) -> tuple[list[date], np.ndarray]:
    """A level with a weekend and noise, and perhaps a growth or one new level a week or more before the end."""
    span = days(known + HELD_OUT)
    weekend = np.array([day.weekday() >= 5 for day in span])
    logs = rng.uniform(0, 6) + weekend * log(rng.uniform(0.2, 1)) + rng.normal(0, noise, len(span))
    kind = rng.integers(3)
    if kind == 1:
        logs += log(rng.choice([0.9, 1.1, 1.2])) / 30.4 * np.arange(len(span))
    if kind == 2:
        logs[known - int(rng.integers(8, known // 2)) :] += log(rng.choice([0.5, 2, 5]))
    return span, np.exp(logs)


def test_stable_worlds_are_met_within_a_tenth_and_the_range_holds_as_told() -> None:
    rng = np.random.default_rng(5)
    errors, inside = [], []
    for _ in range(40):
        known = int(rng.choice([28, 42, 70]))
        span, usd = world(rng, known, float(rng.choice([0.05, 0.1, 0.2])))
        found = forecast(dict(zip(span[:known], usd[:known].tolist(), strict=True)), span[:known], span[-1])
        assert found is not None
        told, truth = found.over(span[known:]), usd[known:].sum()
        errors.append(abs(told.usd / truth - 1))
        inside.append(told.low <= truth <= told.high)
    assert np.mean(np.array(errors) < 0.1) >= 0.8
    assert 0.68 <= np.mean(inside) <= 0.97  # three standard errors of 40 worlds around 0.8 and what short logs add


def test_growth_that_is_stated_replaces_the_fitted_one() -> None:
    usd = dict.fromkeys(days(42), 10.0)
    steady = forecast(usd, days(42), START + timedelta(days=71))
    stated = forecast(usd, days(42), START + timedelta(days=71), growth=log(1.05) / 30.4375)
    assert steady is not None
    assert stated is not None
    assert stated.growth == pytest.approx(log(1.05) / 30.4375)
    last = stated.days[-1]
    ratio = stated.over([last]).usd / steady.over([last]).usd
    assert ratio == pytest.approx(exp(30 * log(1.05) / 30.4375), rel=0.01)


def test_a_spike_teaches_no_level_and_a_new_level_is_one() -> None:
    spike = dict.fromkeys(days(42), 10.0) | {days(42)[30]: 80.0}
    found = forecast(spike, days(42), days(56)[-1])
    assert found is not None
    assert found.odd_days == (days(42)[30],)
    assert found.over(found.days).usd == pytest.approx(140, rel=0.03)
    level = {day: 10.0 if n < 30 else 40.0 for n, day in enumerate(days(42))}
    found = forecast(level, days(42), days(56)[-1])
    assert found is not None
    assert found.shifts == (days(42)[30],)
    assert found.over(found.days).usd == pytest.approx(560, rel=0.03)


def test_days_that_rest_are_not_billed() -> None:
    usd = {day: 10.0 for day in days(28) if day.weekday() < 5}
    found = forecast(usd, days(28), days(42)[-1])
    assert found is not None
    assert found.over(found.days).usd == pytest.approx(100, rel=0.02)


def test_a_price_factor_scales_each_day() -> None:
    found = forecast(dict.fromkeys(days(28), 10.0), days(28), days(42)[-1])
    assert found is not None
    half = found.scaled(np.full(14, 0.5))
    assert half.over(half.days).usd == pytest.approx(found.over(found.days).usd / 2)


@settings(max_examples=25)
@given(some.dictionaries(some.sampled_from(days(60)), some.floats(0, 1e6), min_size=1))
def test_any_history_gives_an_ordered_finite_range(usd: dict[date, float]) -> None:
    found = forecast(usd, days(60), days(75)[-1])
    if found is None:
        assert not any(usd.values())
        return
    told = found.over(found.days)
    assert 0 <= told.low <= told.usd <= told.high < float("inf")


def test_bursts_of_one_week_are_no_weekdays() -> None:
    """Days on and off in the first week say nothing of what the same weekdays cost in the next."""
    bursts = [17.0, 18.0, 0.3, 0.2, 0.2, 0.2, 18.0, 0.4, 17.5, 17.9, 17.3]
    found = forecast(dict(zip(days(11), bursts, strict=True)), days(11), days(18)[-1])
    assert found is not None
    assert max(found.per_day) < 3 * max(bursts)


def test_a_level_may_begin_after_the_first_of_some_odd_days() -> None:
    fall = [18, 20, 18, 21, 22, 17.5, 20, 23, 9, 1, 1.8, 1.6, 1]
    found = forecast(dict(zip(days(13), fall, strict=True)), days(13), days(20)[-1])
    assert found is not None
    told = found.over(found.days)
    assert told.low < 9.5  # a week of the last four days
    assert told.usd < 70
