"""The bill beside its forecast where all are treated: demand is not the rollout's doing, calls per unit are."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from rollout_sessions import BEFORE, BIG, FIRST, MINI, ROLLOUT, SMALL, Row, adds_up, log, session, store_of

from analysis.reports.filtered_store import filtered
from ingest.errors import InputError
from replay.evaluation.rollout_effects import Effect, Effects
from replay.evaluation.verify import verify
from replay.rollout.effects import Estimate
from replay.strategy import schema


def test_a_rebound_is_in_the_first_line(tmp_path: Path):
    def each(day: int, number: int, size: float) -> list[Row]:
        late = day >= BEFORE
        return session(day, number, calls=6 if late else 3, model=SMALL if late else BIG, size=size)

    store = store_of(tmp_path, log(each))
    result = verify(store, MINI, rollout=ROLLOUT)
    assert result.unit == "conversation"
    assert "a rebound, 6 calls per conversation instead of 3 (+100.0 %)" in result.summary
    assert result.realised_pico == pytest.approx(2 * result.forecast_pico, rel=0.03)
    assert not result.inside
    assert (result.drifts[0].cause, result.drifts[0].before, result.drifts[0].after) == (
        "calls per conversation", 3.0, 6.0,
    )  # fmt: skip
    assert result.rebound_pico == pytest.approx(result.forecast_pico, rel=0.03)
    assert adds_up(result)
    cost = result.effects.effects["cost"]
    assert cost.claimed
    assert cost.estimate.relative == pytest.approx(-0.88, abs=0.03)
    by_call = verify(store, MINI, rollout=ROLLOUT, unit="call")
    assert by_call.inside  # taken as given, the doubled calls are demand


def test_more_demand_at_the_same_cost_is_as_forecast_and_said(tmp_path: Path):
    def each(day: int, number: int, size: float) -> list[Row]:
        late = day >= BEFORE
        return session(day, number, model=SMALL if late else BIG, size=size) if late or number < 15 else []

    result = verify(store_of(tmp_path, log(each)), MINI, rollout=ROLLOUT)
    assert result.inside
    assert result.effects.rebound is None
    assert (result.units_before, result.units_after) == (14 * 15, 7 * 30)
    assert any("demand moved with the rollout (+100.0 %)" in note for note in result.notes)


def test_nothing_rolled_out_is_no_claim_whatever_the_weekend_does(tmp_path: Path):
    def each(day: int, number: int, size: float) -> list[Row]:
        weekend = day % 7 >= 5
        return session(day, number, calls=5 if weekend else 3, size=size * (0.6 if weekend else 1.0))

    unchanged = schema.parse("name: logged")
    result = verify(store_of(tmp_path, log(each)), unchanged, rollout=ROLLOUT)
    assert not [one.measure for one in result.effects.effects.values() if one.claimed]
    assert "would have been seen" in result.effect_summary
    assert "weekends and a trend" in result.effects.assumes
    assert adds_up(result)


def test_with_few_days_nothing_is_claimed_and_the_way_to_know_is_named(tmp_path: Path):
    rows = log(lambda day, number, size: session(day, number, size=size), days=6)
    result = verify(store_of(tmp_path, rows), MINI, rollout=FIRST + timedelta(days=3))
    assert not result.effects.effects
    assert "hindcast rollout plan" in result.effect_summary
    assert "not as forecast" in result.summary
    for p_value, words in ((0.08, "perhaps a rebound, 5.8 calls per conversation instead of 5 (+16.0 %)"), (0.3, "")):
        unsure = Estimate(0.8, 0.4, -0.1, 1.7, p_value, 1.2, 5.0, 5.8, 40)
        found = Effects("holdback", "", {"calls": Effect("calls", unsure, claimed=False)})
        assert words in replace(result, effects=found).summary
        assert (found.suspicion is not None) == bool(words)


def test_days_far_apart_make_no_series(tmp_path: Path):
    rows = log(lambda day, number, size: session(7 * day, number, size=size), days=24, sessions=5)
    result = verify(store_of(tmp_path, rows), schema.parse("name: logged"), rollout=FIRST + timedelta(days=100))
    assert not result.effects.effects
    assert "cannot be said" in result.effect_summary


def test_conversations_that_became_two_are_no_sure_saving(tmp_path: Path):
    """From that day on what took one conversation of six calls takes two of three and four."""

    def each(day: int, number: int, size: float) -> list[Row]:
        if day < BEFORE:
            return session(day, number, calls=6, size=size)
        return session(day, number, calls=3, size=size) + session(day, number, calls=4, size=size, agent="again")

    result = verify(store_of(tmp_path, log(each)), schema.parse("name: logged"), rollout=ROLLOUT)
    assert result.effects.effects["cost"].claimed
    assert "may be its doing, as where one became two" in result.effect_summary
    assert " lost and " in result.effect_summary
    saved = {name: float(value) for name, value in result.to_json()["saved_usd"].items()}
    assert saved["low"] < 0 < saved["mid"]
    truth = -float(result.to_json()["realised_usd"]) / 7  # six calls' worth became seven
    assert saved["low"] == pytest.approx(truth, rel=0.35)


def test_a_rebound_of_failed_calls_says_so(tmp_path: Path):
    """Every second call fails and is sent again, which the log links in no way."""

    def each(day: int, number: int, size: float) -> list[Row]:
        rows = session(day, number, calls=6 if day >= BEFORE else 3, size=size)
        for row in rows[1::2] if day >= BEFORE else ():
            row |= {"status": "error", "output_tokens": 0}
        return rows

    result = verify(store_of(tmp_path, log(each)), schema.parse("name: logged"), rollout=ROLLOUT)
    assert "a rebound, 6 calls per conversation instead of 3 (+100.0 %), of which 3 failed instead of 0" in (
        result.summary
    )
    assert not result.effects.effects["answer tokens"].claimed  # what is answered is as long as ever


def test_an_untouched_segment_takes_out_what_moved_both(tmp_path: Path):
    def each(day: int, number: int, size: float) -> list[Row]:
        agent = "search" if number % 2 else "support"
        return session(day, number, agent=agent, size=size * (1.5 if day >= BEFORE else 1.0))

    store = store_of(tmp_path, log(each))
    unchanged = schema.parse("name: logged")
    alone = verify(store, unchanged, rollout=ROLLOUT)
    assert alone.effects.effects["cost"].claimed  # the day's own growth, taken for the rollout's
    control = filtered(store, ["agent=search"])
    beside = verify(store, unchanged, rollout=ROLLOUT, control=control)
    assert beside.effects.design == "difference in differences"
    assert not beside.effects.effects["cost"].claimed
    assert beside.control_units == 7 * 15
    for nothing in ("agent=nobody", "agent=*"):
        with pytest.raises(InputError):
            verify(store, unchanged, rollout=ROLLOUT, control=filtered(store, [nothing]))
