"""Days are judged by their own past errors: few false alarms, big jumps seen at once, too little history said."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import numpy as np
import pytest
from builder import build_in_memory
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.anomalies.alerts import false_discoveries
from analysis.anomalies.baseline import fit_level, matched_baseline
from analysis.anomalies.day_marks import mark
from analysis.anomalies.detector import judge, judge_hours, quantile, two_sided
from analysis.calendar_days import parse_range
from analysis.diagnosis import document
from analysis.diagnosis.diagnose import diagnose
from analysis.ledger.ledger import update
from benchmarks.diagnosis.detection import FIRST, series
from ingest.errors import InputError


def days_of(values):
    return {FIRST + timedelta(days=i): float(v) for i, v in enumerate(values)}


def last_flag(values):
    found = judge(days_of(values))
    return found[max(found)].flagged


def test_false_alarms_stay_at_about_one_in_sixty_days():
    alarms = []
    for i in range(40):
        found = judge(days_of(series(np.random.default_rng([5, i]), 90)))
        alarms.append(sum(found[day].flagged for day in sorted(found)[30:]))
    assert np.mean(alarms) <= 1.2


def test_a_doubled_day_is_seen_on_the_first_day_with_four_weeks_of_history():
    hits = 0
    for i in range(40):
        values = series(np.random.default_rng([7, 28, i]), 29)
        values[-1] *= 2
        hits += last_flag(values)
    assert hits >= 36


def test_under_seven_days_there_is_no_verdict():
    found = judge(days_of([100.0] * 6 + [900.0]))
    assert not any(j.flagged for j in found.values())
    assert found[max(found)].forecast is None


def test_a_new_level_becomes_the_history_after_two_weeks():
    found = judge(days_of([100.0] * 28 + [300.0] * 30))
    flags = [found[d].flagged for d in sorted(found)]
    assert all(flags[28:42])
    assert not any(flags[43:])


def test_weekends_are_weekends():
    week = [100, 104, 98, 101, 103, 40, 38]
    values = week * 5
    assert not any(j.flagged for j in judge(days_of(values)).values())
    fit = fit_level(days_of(values))
    assert fit.forecast(FIRST + timedelta(days=35)) == pytest.approx(100, rel=0.07)
    assert fit.forecast(FIRST + timedelta(days=40)) == pytest.approx(40, rel=0.1)


@given(st.floats(0.0001, 0.9))
def test_the_quantile_inverts_the_tail(alpha):
    assert two_sided(quantile(alpha)) == pytest.approx(alpha, rel=1e-6)


def test_the_tail_is_student_s():
    scipy = pytest.importorskip("scipy.stats")
    for t in (0.1, 1.0, 2.5, 6.0, 30.0):
        assert two_sided(t) == pytest.approx(2 * scipy.t.sf(t, 5), rel=1e-9)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_false_discoveries_follow_benjamini_and_hochberg(p_values):
    kept = false_discoveries(p_values, 0.1)
    n = len(p_values)
    largest = max((p for p in p_values if p <= 0.1 * sum(q <= p for q in p_values) / n), default=None)
    assert kept == [largest is not None and p <= largest for p in p_values]


@settings(max_examples=60)
@given(st.lists(st.floats(1, 1000), min_size=1, max_size=50), st.integers(0, 6))
def test_a_baseline_is_made_of_earlier_days_with_positive_weights(values, skip):
    costs = days_of(values)
    day = FIRST + timedelta(days=len(values) + skip)
    found = matched_baseline(day, costs)
    assert found.weights
    assert all(d < day and w > 0 for d, w in found.weights.items())
    if len(values) < 7:
        assert found.low_history
        assert sum(found.weights.values()) == pytest.approx(1)


def test_three_times_the_usual_is_seen_within_two_hours():
    start = datetime(2024, 1, 1)
    rng = np.random.default_rng(4)
    hours = np.arange(30 * 24 + 14)
    cost = 8 * np.exp(0.8 * np.sin((hours % 24 - 9) / 24 * 2 * np.pi) + rng.normal(0, 0.2, len(hours)))
    calm = judge_hours({start + timedelta(hours=int(h)): float(c) for h, c in zip(hours, cost, strict=True)})
    assert not any(j.flagged for j in calm)
    cost[-2:] *= 4
    found = judge_hours({start + timedelta(hours=int(h)): float(c) for h, c in zip(hours, cost, strict=True)})
    assert any(j.flagged for j in found[-2:])


def test_ranges_are_checked():
    assert parse_range("2024-02-01..2024-02-03", date(2024, 3, 1)) == (date(2024, 2, 1), date(2024, 2, 3))
    for wrong in ("2024-02-01..", "a..b", "2024-02-03..2024-02-01"):
        with pytest.raises(InputError):
            parse_range(wrong, date(2024, 3, 1))


def test_a_day_that_was_planned_raises_no_flag_and_counts_as_history(tmp_path):
    rows = [
        {"start_time": datetime(2024, 2, 5) + timedelta(days=d, hours=i), "agent": "a", "input_tokens": 100_000,
         "output_tokens": 1000}
        for d in range(16) for i in range(20 if d == 15 else 4)
    ]  # fmt: skip
    store = build_in_memory(rows)
    update(store)
    day = date(2024, 2, 20)
    assert diagnose(store, day=day).flagged
    mark(store, day, "planned", "launch")
    found = diagnose(store, day=day)
    assert not found.flagged
    assert document.to_json(found)["feedback"] == {"verdict": "planned", "note": "launch"}
    with pytest.raises(InputError, match="Did you mean 'planned'"):
        mark(store, day, "planed")
