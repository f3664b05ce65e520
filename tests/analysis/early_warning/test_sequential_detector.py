"""Steps, ramps, spikes, silence and calls that go wrong are heard of soon; ordinary weeks raise nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from builder import build_in_memory
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.array_types import Float64Array
from analysis.early_warning.alert import KINDS, Alert
from analysis.early_warning.sequential_detector import alerts
from analysis.early_warning.ten_minute_sums import BIN, BINS_A_DAY, Series, TenMinuteSums, ten_minute_sums
from analysis.ledger.ledger import update

FIRST = datetime(2026, 6, 1)  # a Monday
DAYS = 16
TOTAL = Series("total", None)
USD = 0.02  # a call


def usual(days: int = DAYS, seed: int = 1, weekday_only: bool = False, office: bool = False) -> Float64Array:
    """Calls per ten minutes of a service with a daily wave, more noisy than by counting alone."""
    rng = np.random.default_rng(seed)
    at = np.arange(days * BINS_A_DAY)
    hour = (at % BINS_A_DAY) / 6
    rate = 60 + 40 * np.sin((hour - 9) / 24 * 2 * np.pi)
    if office:
        rate = np.where((hour >= 8) & (hour < 18), 80.0, 0.0)
    if weekday_only:
        rate = np.where((at // BINS_A_DAY) % 7 < 5, rate, 0.0)
    return rng.poisson(rate * rng.gamma(60, 1 / 60, len(at))).astype(np.float64)


def found(
    calls: Float64Array, unusable: Float64Array | None = None, unpriced: Float64Array | None = None
) -> tuple[Alert, ...]:
    none = np.zeros(len(calls))
    sums = TenMinuteSums(
        FIRST, (TOTAL,), calls[None] * USD, calls[None],
        (none if unusable is None else unusable)[None], (none if unpriced is None else unpriced)[None],
    )  # fmt: skip
    return alerts(sums, FIRST + timedelta(days=DAYS))


def bin_of(day: int, hour: float) -> int:
    return day * BINS_A_DAY + round(hour * 6)


def time_of(at: int) -> datetime:
    return FIRST + at * BIN


@pytest.mark.parametrize(
    "world", [{}, {"weekday_only": True}, {"office": True}, {"office": True, "weekday_only": True}]
)
def test_ordinary_weeks_raise_hardly_anything(world: dict[str, bool]) -> None:
    raised = [one for seed in range(4) for one in found(usual(seed=seed, **world))]
    assert len(raised) <= 1  # of 36 days


def test_a_doubling_is_heard_of_within_the_hour_and_told_with_its_dollars() -> None:
    calls, at = usual(), bin_of(10, 11)
    calls[at:] *= 2
    (one,) = found(calls)
    assert (one.dimension, one.value, one.kind, one.ended) == ("total", None, "step", None)
    assert time_of(at) < one.detected <= time_of(at) + timedelta(hours=1)
    assert abs(one.started - time_of(at)) <= timedelta(minutes=20)
    assert one.usd_per_hour == pytest.approx(2 * one.expected_usd_per_hour, rel=0.15)


def test_a_burst_is_a_spike_with_an_end() -> None:
    calls, at = usual(), bin_of(12, 15)
    calls[at : at + 6] *= 5
    (one,) = found(calls)
    assert one.kind == "spike"
    assert one.ended is not None
    assert time_of(at + 6) <= one.ended <= time_of(at + 10)


def test_a_slow_rise_is_a_ramp() -> None:
    calls, at = usual(), bin_of(11, 8)
    calls[at:] *= np.concatenate([np.linspace(1, 4, 72), np.full(len(calls) - at - 72, 4.0)])
    (one, *_) = found(calls)
    assert one.kind == "ramp"
    assert one.detected <= time_of(at) + timedelta(hours=8)


def test_an_hour_without_a_call_is_silence_until_calls_come_back() -> None:
    calls, at = usual(), bin_of(13, 10)
    calls[at : at + 9] = 0
    (one,) = [one for one in found(calls) if one.kind == "silence"]
    assert (one.started, one.detected, one.ended) == (time_of(at), time_of(at + 6), time_of(at + 9))
    assert one.usd_per_hour == 0
    assert one.expected_usd_per_hour > 0


def test_nights_and_weekends_are_no_silence() -> None:
    assert not [one for one in found(usual(office=True, weekday_only=True)) if one.kind == "silence"]


@pytest.mark.parametrize("kind", ["unusable", "unpriced"])
def test_calls_that_go_wrong_more_often_are_heard_of(kind: str) -> None:
    rng = np.random.default_rng(3)
    calls = usual()
    wrong = rng.binomial(calls.astype(np.int64), 0.02).astype(np.float64)
    assert not found(calls, **{kind: wrong})
    at = bin_of(12, 9)
    wrong[at : at + 30] = rng.binomial(calls[at : at + 30].astype(np.int64), 0.3)
    (one,) = found(calls, **{kind: wrong})
    assert one.kind == kind
    assert time_of(at) < one.detected <= time_of(at) + timedelta(hours=1)
    assert one.ended is not None


@settings(max_examples=15)
@given(st.integers(8 * BINS_A_DAY, DAYS * BINS_A_DAY), st.integers(0, 5))
def test_an_alert_depends_on_nothing_after_it(bins: int, seed: int) -> None:
    calls = usual(seed=seed)
    calls[bin_of(9, 4) :] *= 2.5
    calls[bin_of(13, 14) : bin_of(13, 15)] *= 6
    whole, cut = found(calls), found(calls[:bins])
    key = [(one.dimension, one.value, one.detected, one.started) for one in whole if one.detected <= time_of(bins)]
    assert [(one.dimension, one.value, one.detected, one.started) for one in cut] == key


def test_nothing_is_said_in_the_first_week_or_of_an_empty_log() -> None:
    assert found(usual(7)) == ()
    assert found(np.zeros(DAYS * BINS_A_DAY)) == ()


@pytest.mark.slow
def test_many_series_together_need_more_than_one() -> None:
    calls, at = usual(), bin_of(10, 11)
    calls[at:] *= 1.75
    none = np.zeros((1, len(calls)))
    alone = TenMinuteSums(FIRST, (TOTAL,), calls[None] * USD, calls[None], none, none)
    flat = np.stack([calls, *(usual(seed=seed) for seed in range(199))])
    others = tuple(Series("user", str(number)) for number in range(199))
    crowd = replace(alone, series=(TOTAL, *others), usd=flat * USD, calls=flat, unusable=flat * 0, unpriced=flat * 0)
    now = FIRST + timedelta(days=DAYS)
    heard = [one.detected for one in alerts(alone, now)]
    later = [one.detected for one in alerts(crowd, now) if one.dimension == "total"]
    assert heard
    assert not later or later[0] >= heard[0]
    assert not [one for one in alerts(crowd, now) if one.dimension == "user"]


def test_the_sums_are_those_of_the_calls(tmp_path: Path) -> None:
    rows = [
        {"start_time": FIRST + timedelta(minutes=7 * n), "agent": "ab"[n % 2], "model": "gpt-4o", "input_tokens": 1000,
         "output_tokens": 10, "status": "error" if n % 5 == 0 else "ok"}
        for n in range(60)
    ]  # fmt: skip
    store = build_in_memory(rows)
    update(store)
    now = FIRST + timedelta(minutes=7 * 60)
    sums = ten_minute_sums(store, now, by=("agent", "model"))
    assert sums.series[0] == TOTAL
    assert set(sums.series[1:]) == {Series("agent", "a"), Series("agent", "b"), Series("model", "gpt-4o")}
    assert sums.calls.sum(axis=1).tolist() == [60, 30, 30, 60]
    assert sums.unusable[0].sum() == 12
    assert sums.usd[0] == pytest.approx(sums.usd[1] + sums.usd[2])
    assert sums.first == FIRST
    assert set(KINDS) == {"step", "ramp", "spike", "silence", "unusable", "unpriced"}
