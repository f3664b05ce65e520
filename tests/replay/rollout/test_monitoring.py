"""Evidence may be looked at every day: no false alarm beyond alpha, nothing said that later days take back."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replay.rollout import assignment, betting, power, ramp
from replay.rollout.monitors import Evidence, Limit, Stream, decide, watch

QUALITY = Limit("quality", 0.95, floor=True)


def stream(
    seed: int, *, loss: float, share: float = 0.3, days: int = 20, per_day: int = 60, good: float = 0.8
) -> Stream:
    """Passes and failures of units in both arms; the treated pass (1 - loss) times as often."""
    rng = np.random.default_rng(seed)
    number = days * per_day
    treated = rng.random(number) < share
    value = (rng.random(number) < np.where(treated, good * (1 - loss), good)).astype(float)
    return Stream(np.repeat(np.arange(days), per_day) + 20_000, treated, value)


# -- e-processes -------------------------------------------------------------------------------------------------------


def test_looking_after_every_unit_raises_no_more_false_alarms_than_promised():
    """At the limit itself, the worst case: 400 streams, alpha 10 %, so 40 crossings at most on average."""
    rng = np.random.default_rng(1)
    crossed = 0
    for _ in range(400):
        d = 0.95 * (rng.random(800) < 0.8) - (rng.random(800) < 0.76)
        crossed += betting.log_capital(d, 1.0).max() >= np.log(10)
    assert crossed <= 40 + 3 * 6


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(-1, 1), min_size=1, max_size=40))
def test_capital_is_never_lost_whole_and_is_the_mean_of_the_stakes(increments: list[float]):
    d = np.array(increments)
    found = betting.log_capital(d, 1.0)
    capital = np.ones(len(betting.STAKES))
    for place, step in enumerate(increments):
        capital = capital * (1 + betting.STAKES * step)
        assert found[place] == pytest.approx(np.log(capital.mean()), abs=1e-9)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), max_size=30), st.booleans())
def test_pairs_hold_each_unit_once_in_order(units: list[tuple[bool, float]], treated_rarer: bool):
    treated = np.array([arm for arm, _ in units], bool)
    value = np.array([amount for _, amount in units], float)
    end, mine, other = betting.blocks(treated, value, treated_rarer=treated_rarer)
    rare: list[float] = []
    often: list[float] = []
    expected = []
    for place, (arm, amount) in enumerate(units):
        (rare if arm == treated_rarer else often).append(amount)
        if arm == treated_rarer and often:
            expected.append((place, float(np.mean(rare)), float(np.mean(often))))
            rare, often = [], []
    assert end.tolist() == [place for place, _, _ in expected]
    sides = (mine, other) if treated_rarer else (other, mine)
    assert sides[0] == pytest.approx([one for _, one, _ in expected])
    assert sides[1] == pytest.approx([one for _, _, one in expected])


def test_the_ratio_lies_in_its_confidence_sequence_at_every_look():
    missed = 0
    for seed in range(40):
        found = stream(seed, loss=0.1, days=10)
        end, treated, control = betting.blocks(found.treated, found.value, treated_rarer=True)
        for upto in (len(end) // 4, len(end) // 2, len(end)):
            low, high = betting.ratio_interval(treated[:upto], control[:upto], 1.0)
            if not low <= 0.9 <= high:
                missed += 1
                break
    assert missed <= 5
    assert betting.ratio_interval(np.zeros(0), np.zeros(0), 1.0) == (0.0, np.inf)


# -- monitors ----------------------------------------------------------------------------------------------------------


def test_a_day_depends_on_nothing_later():
    found = stream(3, loss=0.2)
    whole = watch(QUALITY, found)
    keep = found.day < 20_007
    part = watch(QUALITY, Stream(found.day[keep], found.treated[keep], found.value[keep]))
    assert whole[: len(part)] == part


def test_a_planted_loss_is_rolled_back_and_its_absence_shown():
    lossy, harmless = watch(QUALITY, stream(1, loss=0.3)), watch(QUALITY, stream(1, loss=0.0, days=60))
    assert lossy[-1].state == "broken"
    assert decide(lossy[-1:]).action == "roll back"
    assert "quality is" in decide(lossy[-1:]).why
    assert harmless[-1].state == "kept"
    assert decide(harmless[-1:]).action == "stop"
    assert decide(harmless[:1]).action == "continue"
    assert decide([]).action == "continue"


def test_weekends_that_both_arms_share_are_no_evidence():
    rng = np.random.default_rng(5)
    day = np.repeat(np.arange(28), 100)
    treated = rng.random(len(day)) < 0.2
    good = np.where(day % 7 >= 5, 0.4, 0.9)
    value = (rng.random(len(day)) < good).astype(float)
    assert watch(Limit("quality", 0.9, floor=True), Stream(day, treated, value))[-1].state != "broken"


def test_without_control_the_days_before_are_the_reference():
    treated = np.ones(400, bool)
    day = np.repeat(np.arange(4), 100)
    limit = Limit("cost per unit", 1.1, cap=1.0, against="the days before")
    dear = watch(limit, Stream(day, treated, np.full(400, 0.5)), reference=0.25)
    cheap = watch(limit, Stream(day, treated, np.full(400, 0.1)), reference=0.25)
    assert (dear[-1].state, cheap[-1].state) == ("broken", "kept")
    assert "the days before" in decide(dear[-1:]).why


# -- the ramp ----------------------------------------------------------------------------------------------------------


def evidence(state: str, measure: str = "quality") -> Evidence:
    treated = 0.8 if state == "kept" else 0.7
    return Evidence(Limit(measure, 0.95, floor=True), 1, 100, 900, 100, treated, 0.8, 400.0, 1.0, state)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("share", "days", "units", "states", "action", "following"),
    [
        (0.01, 0, 500, ["open"], "hold", 0.01),  # a day first
        (0.01, 1, 3, ["open"], "hold", 0.01),  # and units
        (0.01, 1, 50, ["open"], "advance", 0.05),  # few are exposed: nothing against it will do
        (0.01, 1, 50, [], "advance", 0.05),
        (0.05, 3, 500, ["open", "kept"], "hold", 0.05),  # beyond a tenth only on evidence
        (0.05, 3, 500, [], "hold", 0.05),
        (0.05, 3, 500, ["kept", "kept"], "advance", 0.25),
        (0.25, 1, 500, ["kept", "broken"], "roll back", 0.0),
        (1.0, 9, 5000, ["kept"], "done", 1.0),
        (1.0, 9, 5000, ["broken"], "roll back", 0.0),
    ],
)
def test_the_ramp(share: float, days: int, units: int, states: list[str], action: str, following: float):
    found = ramp.decide(
        ramp.Ramp(), share, days=days, units=units, evidence=[evidence(one, f"m{n}") for n, one in enumerate(states)]
    )
    assert (found.action, found.share) == (action, following)
    assert found.why


def test_what_was_shown_once_and_is_no_longer_met_waits():
    found = replace(evidence("kept"), treated_mean=0.75)
    assert ramp.decide(ramp.Ramp(), 0.05, days=9, units=900, evidence=[found]).action == "hold"


def test_a_roll_back_says_why_and_an_advance_what_was_not_measured():
    back = ramp.decide(ramp.Ramp(), 0.05, days=2, units=90, evidence=[evidence("broken")])
    assert (
        "quality is 0.7 treated, 0.8 in control (at least 0.95 x control; by chance less than once in 400)" in back.why
    )
    on = ramp.decide(ramp.Ramp(), 0.05, days=2, units=90, evidence=[evidence("kept")])
    assert "not measured: cost per unit, errors, latency" in on.why


# -- who is treated ----------------------------------------------------------------------------------------------------


def test_the_draw_is_the_documented_hash():
    first = int.from_bytes(hashlib.sha256(b"7:user-1").digest()[:8], "big") / 2**64
    assert assignment.draw("user-1", 7) == first
    assert assignment.arm("user-1", share=first + 1e-9, seed=7) == "treated"
    assert assignment.arm("user-1", share=first, seed=7) == "control"


@given(st.text(max_size=20), st.integers(-5, 5), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_keeps_the_treated(unit: str, seed: int, one: float, other: float):
    low, high = sorted((one, other))
    if assignment.arm(unit, share=low, seed=seed) == "treated":
        assert assignment.arm(unit, share=high, seed=seed) == "treated"
    assert assignment.arm(unit, share=1.0, seed=seed) == "treated"
    assert assignment.arm(unit, share=0.0, seed=seed) == "control"


def test_the_share_is_met():
    assert (assignment.draws((f"u{n}" for n in range(4000)), 1) < 0.2).mean() == pytest.approx(0.2, abs=0.02)


# -- size --------------------------------------------------------------------------------------------------------------


def test_the_planned_size_sees_the_effect_as_often_as_promised():
    from replay.rollout import arms

    rng = np.random.default_rng(2)
    past = rng.gamma(4, 1, 4000)
    one = power.spread(past, np.ones(4000), np.arange(4000))
    holdback = power.smallest_holdback(one, 5000, 0.05 * one.mean)
    assert holdback is not None
    seen = 0
    for _ in range(200):
        value = rng.gamma(4, 1, 5000)
        treated = rng.random(5000) >= holdback
        value[treated] *= 0.95
        found = arms.difference(value, np.ones(5000), treated, np.arange(5000))
        assert found is not None
        seen += found.p_value <= 0.05
    assert 0.72 <= seen / 200 <= 0.97
    assert power.smallest_holdback(one, 200, 0.01 * one.mean) is None


@given(st.floats(0.01, 0.5), st.floats(10, 1e5))
def test_more_units_and_a_larger_holdback_see_smaller_effects(holdback: float, clusters: float):
    one = power.Spread(1.0, 1.0, 100)
    here = power.detectable(one, clusters, holdback)
    assert power.detectable(one, clusters * 2, holdback) <= here
    assert power.detectable(one, clusters, min(holdback * 1.2, 0.5)) <= here * (1 + 1e-9)
