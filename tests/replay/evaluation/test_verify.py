"""After a rollout: demand is not its doing, calls per unit are; effects are claimed where they can be seen."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builder import build_store
from typer.testing import CliRunner

from analysis.ledger import ledger
from analysis.reports.filtered_store import filtered
from cli.app import app
from ingest.errors import InputError
from ingest.store.database import Store
from replay.evaluation.rollout_effects import Effect, Effects
from replay.evaluation.rollout_log import observed, whole_days
from replay.evaluation.verification import Verification
from replay.evaluation.verify import verify
from replay.rollout.assignment import arm
from replay.rollout.effects import Estimate
from replay.strategy import schema
from replay.traffic.demand_units import demand_units
from replay.traffic.load_traffic import load

BIG, SMALL = "gpt-4o-2024-08-06", "gpt-4o-mini-2024-07-18"
FIRST, BEFORE, AFTER = date(2026, 3, 2), 14, 7
ROLLOUT = FIRST + timedelta(days=BEFORE)
MINI = schema.parse(f"name: mini\nroute: [{{default: {SMALL}}}]\noutput_ratio: 1.0\nquality: {{floor: 0.95}}")
Row = dict[str, Any]


def session(
    day: int, number: int, *, calls: int = 3, model: str = BIG, agent: str = "support", size: float = 1.0, **more: Any
) -> list[Row]:
    """The calls of one conversation, 20 s apart, from 8:00 on, every fifth minute."""
    start = datetime(FIRST.year, FIRST.month, FIRST.day, 8) + timedelta(days=day, minutes=5 * number)
    return [
        {
            "start_time": start + timedelta(seconds=20 * call), "duration_ms": 900.0, "agent": agent, "task": "reply",
            "conversation_id": f"{agent}{day}-{number}", "model": model,
            "input_tokens": int(2000 * size), "output_tokens": int(300 * size), **more,
        }
        for call in range(calls)
    ]  # fmt: skip


def log(
    each: Callable[[int, int, float], Sequence[Row]], *, days: int = BEFORE + AFTER, sessions: int = 30, seed: int = 0
) -> list[Row]:
    """Rows of every session; `each` gets the day, the session's number and its own size, around 1."""
    rng = np.random.default_rng(seed)
    return [
        row for day in range(days) for number in range(sessions) for row in each(day, number, rng.gamma(20, 1 / 20))
    ]


def store_of(path: Path, rows: Sequence[Row]) -> Store:
    store = build_store(path / "v.duckdb", sorted(rows, key=lambda row: row["start_time"]))
    ledger.update(store)
    return store


def adds_up(result: Verification) -> bool:
    return sum(one.amount_pico for one in result.drifts) == result.realised_pico - result.forecast_pico


# -- one arm -----------------------------------------------------------------------------------------------------------


def test_a_rebound_is_in_the_first_line(tmp_path: Path):
    def each(day: int, number: int, size: float) -> list[Row]:
        late = day >= BEFORE
        return session(day, number, calls=6 if late else 3, model=SMALL if late else BIG, size=size)

    result = verify(store_of(tmp_path, log(each)), MINI, rollout=ROLLOUT)
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
    by_call = verify(store_of_again(tmp_path), MINI, rollout=ROLLOUT, unit="call")
    assert by_call.inside  # taken as given, the doubled calls are demand


def test_what_the_days_before_show_of_a_model_is_foreseen_and_what_the_days_after_show_is_not(tmp_path: Path):
    """By chance half of the sessions were on the small model already, with twice the calls: the forecast expects them
    of all."""

    def each(day: int, number: int, size: float, *, after: int) -> list[Row]:
        small = day >= BEFORE or number % 2
        calls = after if day >= BEFORE else 6 if small else 3
        drawn = None if day >= BEFORE else "random"
        return session(day, number, calls=calls, model=SMALL if small else BIG, size=size, assignment=drawn)

    found = {}
    for calls in (6, 9):
        (tmp_path / str(calls)).mkdir()
        store = store_of(tmp_path / str(calls), log(partial(each, after=calls)))
        found[calls] = verify(store, MINI, rollout=ROLLOUT)
        assert adds_up(found[calls])
    assert found[6].forecast_pico == found[9].forecast_pico
    assert found[6].realised_pico == pytest.approx(found[6].forecast_pico, rel=0.1)
    rise = next(one for one in found[9].drifts if one.cause == "calls per conversation")
    assert rise.before == pytest.approx(6, rel=0.1)
    assert rise.after == 9


def store_of_again(path: Path) -> Store:
    return Store(path / "v.duckdb")


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


# -- two arms ----------------------------------------------------------------------------------------------------------

HELD_BACK = MINI.model_copy(update={"rollout": schema.Rollout(share=0.7, unit="conversation", seed=4)})


def held_back(day: int, number: int, size: float, **more: Any) -> list[Row]:
    """Seven in ten go to the small model and need twice the calls; from the same day on everyone asks for more."""
    side = arm(f"support{day}-{number}", share=0.7, seed=4) if day >= BEFORE else None
    treated = side == "treated"
    calls = (4 if day >= BEFORE else 3) * (2 if treated else 1)
    return session(day, number, calls=calls, model=SMALL if treated else BIG, size=size, **more)


def test_a_holdback_tells_the_rollout_from_what_changed_on_the_same_day(tmp_path: Path):
    def each(day: int, number: int, size: float) -> list[Row]:
        side = arm(f"support{day}-{number}", share=0.7, seed=4) if day >= BEFORE else None
        return held_back(day, number, size, arm=side)

    result = verify(store_of(tmp_path, log(each)), MINI, rollout=ROLLOUT)
    assert result.effects.design == "holdback"
    calls = result.effects.effects["calls"].estimate
    assert (calls.without, calls.within) == (4.0, 8.0)  # not 3: control asks for more, too
    assert "8 calls per conversation instead of 4" in result.summary
    assert result.control_units + result.units_after == 7 * 30
    assert adds_up(result)


def test_the_arms_follow_from_the_file_where_the_log_names_none(tmp_path: Path):
    result = verify(store_of(tmp_path, log(held_back)), HELD_BACK, rollout=ROLLOUT)
    assert result.effects.effects["calls"].estimate.without == 4.0
    assert any("taken from the strategy's rollout block" in note for note in result.notes)


def test_arms_that_were_not_drawn_as_planned_are_said(tmp_path: Path):
    def each(day: int, number: int, size: float) -> list[Row]:
        return session(day, number, size=size, arm=("control" if number % 2 else "treated") if day >= BEFORE else None)

    uneven = MINI.model_copy(update={"rollout": schema.Rollout(share=0.9, unit="conversation")})
    result = verify(store_of(tmp_path, log(each)), uneven, rollout=ROLLOUT)
    assert any("50.0 % are treated where 90.0 % were to be" in note for note in result.notes)


def test_where_an_arm_is_not_all_logged_nothing_is_claimed(tmp_path: Path):
    """Long conversations of the treated are lost on their way to the log: those left are short and cheap."""

    def each(day: int, number: int, size: float) -> list[Row]:
        side = arm(f"support{day}-{number}", share=0.5, seed=2) if day >= BEFORE else None
        if side == "treated" and number % 3 == 0:
            return []
        return session(day, number, calls=8 if number % 3 == 0 else 2, size=size, arm=side)

    planned = schema.parse("name: logged\nrollout: {share: 0.5, unit: conversation, seed: 2}")
    result = verify(store_of(tmp_path, log(each, sessions=60)), planned, rollout=ROLLOUT)
    assert not any(one.claimed for one in result.effects.effects.values())
    assert "no effect can be claimed: 3" in result.effect_summary
    assert "are treated where 50.0 % were to be" in result.effect_summary
    assert result.to_json()["saved_usd"] is None


@pytest.mark.parametrize("mixed", [1, 4, 30])
def test_conversations_in_both_arms_are_counted_and_where_they_are_many_no_effect_is_told(tmp_path: Path, mixed: int):
    def each(day: int, number: int, size: float) -> list[Row]:
        rows = session(day, number, size=size)
        if day >= BEFORE:
            for place, row in enumerate(rows):
                row["arm"] = "treated" if (number + (place if number < mixed else 0)) % 2 else "control"
        return rows

    store = store_of(tmp_path, log(each))
    result = verify(store, schema.parse("name: logged"), rollout=ROLLOUT)
    assert result.to_json()["rebound_usd"] is None
    if mixed == 1:
        assert any(note.startswith("7 conversations had calls in both arms") for note in result.notes)
        assert result.effects.design == "holdback"
        assert result.inside
        return
    assert not result.effects.effects
    assert not result.drifts
    assert result.inside is None
    assert f"{mixed / 30:.1%}".replace("%", " %") + " of the conversations had calls in both arms" in result.summary
    assert "hindcast rollout plan --draw conversation" in result.effect_summary
    with pytest.raises(InputError, match="had calls in both arms"):
        verify(store, schema.parse("name: logged"), rollout=ROLLOUT, monitored=True)


def test_more_calls_than_in_control_have_no_negative_price_where_the_bill_is_below_its_forecast(tmp_path: Path):
    """Everyone asks for half as much from that day on; the treated need half as many calls again."""

    def each(day: int, number: int, size: float) -> list[Row]:
        side = arm(f"support{day}-{number}", share=0.7, seed=4) if day >= BEFORE else None
        return session(day, number, calls={None: 8, "treated": 6, "control": 4}[side], size=size, arm=side)

    result = verify(store_of(tmp_path, log(each)), schema.parse("name: logged"), rollout=ROLLOUT)
    assert result.summary.endswith("a rebound, 6 calls per conversation instead of 4 (+50.0 %).")
    assert result.rebound_pico < 0
    assert result.to_json()["rebound_usd"] is None


# -- calls without a price ---------------------------------------------------------------------------------------------

UNPRICED = "house-7b-xl"


@pytest.mark.parametrize("arms", [False, True])
def test_a_bill_without_the_calls_that_have_no_price_is_a_least_bill_and_no_saving(tmp_path: Path, arms: bool):
    """Three calls in ten since the rollout fall back to a model without a price; nothing else changes."""
    rng = np.random.default_rng(5)

    def each(day: int, number: int, size: float) -> list[Row]:
        side = ("treated", "control")[number % 2] if arms and day >= BEFORE else None
        rows = session(day, number, size=size, calls=4, arm=side)
        for row in rows:
            if day >= BEFORE and side != "control" and rng.random() < 0.3:
                row["model"] = UNPRICED
        return rows

    store = store_of(tmp_path, log(each))
    result = verify(store, schema.parse("name: logged"), rollout=ROLLOUT)
    assert "at least $" in result.summary
    assert "of the calls since have no price" in result.summary
    assert result.unpriced_share == pytest.approx(0.3, abs=0.05)
    assert result.inside is None
    assert not result.drifts
    assert "cost" not in result.effects.effects
    assert "cannot be said" in result.effect_summary
    assert result.effects.effects["calls"].estimate.relative == pytest.approx(0, abs=1e-9)
    assert result.to_json()["forecast_usd"] is None
    with store.read() as con:
        treated = con.execute(
            """SELECT sum(cost_usd) FROM costs JOIN calls AS c USING (call_no)
                WHERE c.start_time >= ? AND c.arm IS DISTINCT FROM 'control'""",
            [ROLLOUT],
        ).fetchall()
    assert Decimal(result.to_json()["billed_usd"]) == treated[0][0]


def test_a_segment_without_prices_is_left_out_of_both_sides(tmp_path: Path):
    """One agent is on a model without a price before and after; the other is as forecast."""

    def each(day: int, number: int, size: float) -> list[Row]:
        house = number % 3 == 0
        model = UNPRICED if house else SMALL if day >= BEFORE else BIG
        return session(day, number, size=size, agent="house" if house else "support", model=model)

    only = MINI.model_copy(
        update={"route": schema.parse(f"name: x\nroute: [{{match: {{agent: support}}, model: {SMALL}}}]").route}
    )
    result = verify(store_of(tmp_path, log(each)), only, rollout=ROLLOUT)
    assert result.inside
    assert adds_up(result)
    assert (result.left_out_units, result.units_after) == (7 * 10, 7 * 20)
    assert "without 70 conversations that have calls without a price" in result.summary
    assert result.effects.effects["cost"].estimate.relative == pytest.approx(-0.94, abs=0.01)


def test_a_few_units_without_a_price_are_left_out_of_both_sides(tmp_path: Path):
    def each(day: int, number: int, size: float) -> list[Row]:
        rows = session(day, number, size=size, model=SMALL if day >= BEFORE else BIG)
        if day == BEFORE and number < 3:
            rows[0]["model"] = UNPRICED
        return rows

    result = verify(store_of(tmp_path, log(each)), MINI, rollout=ROLLOUT)
    assert result.inside
    assert (result.left_out_units, result.units_after) == (3, 7 * 30 - 3)
    assert result.realised_pico < result.billed_pico
    assert adds_up(result)


def test_a_strategy_whose_model_has_no_price_is_told_so(tmp_path: Path):
    def each(day: int, number: int, size: float) -> list[Row]:
        return session(day, number, size=size, model=UNPRICED if day >= BEFORE and number % 2 else BIG)

    house = schema.parse(f"name: house\nroute: [{{default: {UNPRICED}}}]")
    with pytest.raises(InputError) as error:
        verify(store_of(tmp_path, log(each)), house, rollout=ROLLOUT)
    assert "as house sends it" in str(error.value)
    assert f"hindcast prices set {UNPRICED}" in str(error.value.remedy)


# -- scores that are a selection ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("arms", [False, True])
def test_scores_that_one_side_has_more_often_make_no_quality(tmp_path: Path, arms: bool):
    """Quality is as it was; of the treated, what went badly is scored one time in five."""
    rng = np.random.default_rng(3)

    def each(day: int, number: int, size: float) -> list[Row]:
        side = ("treated", "control")[number % 2] if arms and day >= BEFORE else None
        good = float(rng.random() < 0.7)
        known = day < BEFORE or side == "control" or good or rng.random() < 0.2
        scored = {"score": good, "score_scope": "conversation"} if known else {}
        return session(day, number, calls=2, size=size, arm=side, **scored)

    store = store_of(tmp_path, log(each, sessions=40))
    result = verify(store, schema.parse("name: logged"), rollout=ROLLOUT, monitored=True)
    assert "quality" not in result.effects.effects
    assert any("of the treated units are scored and 100.0 % of the others" in note for note in result.notes)
    assert result.monitoring is not None
    assert "Quality stays open" in result.monitoring.summary
    states = {one.limit.measure: one.state for one in result.monitoring.looks[-1].evidence}
    assert states["quality"] == "open"
    assert "quality" not in result.monitoring.intervals


def test_scores_that_chance_left_out_are_scores(tmp_path: Path):
    """Half of all conversations are scored, by chance; scores began on the fifth day."""
    rng = np.random.default_rng(4)

    def each(day: int, number: int, size: float) -> list[Row]:
        good = float(rng.random() < (0.4 if day >= BEFORE else 0.9))
        scored = {"score": good, "score_scope": "conversation"} if day > 4 and rng.random() < 0.5 else {}
        return session(day, number, calls=2, size=size, **scored)

    result = verify(store_of(tmp_path, log(each, sessions=40)), schema.parse("name: logged"), rollout=ROLLOUT)
    assert result.effects.unfair is None
    assert result.effects.effects["quality"].claimed
    assert result.effects.effects["quality"].estimate.relative == pytest.approx(-0.55, abs=0.15)


def test_complaints_alone_are_no_quality(tmp_path: Path):
    rng = np.random.default_rng(5)

    def each(day: int, number: int, size: float) -> list[Row]:
        return session(day, number, calls=2, size=size, **({"score": 0.0} if rng.random() < 0.2 else {}))

    result = verify(store_of(tmp_path, log(each)), schema.parse("name: logged"), rollout=ROLLOUT)
    assert "quality" not in result.effects.effects
    assert any("only the score 0 was ever given" in note for note in result.notes)


def test_scores_on_another_scale_are_said_to_be_left_out(tmp_path: Path):
    rows = log(lambda day, number, size: session(day, number, size=size), sessions=4)
    source = tmp_path / "log.jsonl"
    source.write_text(
        "".join(
            json.dumps(
                {"hindcast": 1, "call_id": f"c{place}", "score": (-1, 1)[place % 2]}
                | {name: value for name, value in row.items() if name != "model"}
                | {"request_model": row["model"], "start_time": row["start_time"].isoformat() + "Z"}
            )
            + "\n"
            for place, row in enumerate(rows)
        )
    )
    ingested = CliRunner().invoke(app, ["ingest", str(source), "--store", str(tmp_path / "v.duckdb")])
    assert ingested.exit_code == 0
    result = verify(Store(tmp_path / "v.duckdb"), schema.parse("name: logged"), rollout=ROLLOUT)
    assert any("on another scale" in note for note in result.notes)


# -- what a saving is of -----------------------------------------------------------------------------------------------


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


def test_users_are_the_clusters_where_users_were_drawn(tmp_path: Path):
    def each(day: int, number: int, size: float) -> list[Row]:
        user = f"u{number}"
        side = arm(user, share=0.5, seed=1)
        treated = day >= BEFORE and side == "treated"
        return session(day, number, size=size, user_id=user, model=SMALL if treated else BIG,
                       arm=side if day >= BEFORE else None)  # fmt: skip

    drawn = MINI.model_copy(update={"rollout": schema.Rollout(share=0.5, unit="user", seed=1)})
    store = store_of(tmp_path, log(each))
    result = verify(store, drawn, rollout=ROLLOUT)
    cost = result.effects.effects["cost"]
    assert cost.estimate.groups == 30  # not 210 conversations
    assert cost.claimed
    assert "demand" in result.effects.effects


def test_users_who_come_back_more_often_are_demand_that_answers(tmp_path: Path):
    def each(day: int, number: int, size: float) -> list[Row]:
        user = f"u{number % 30}"
        side = arm(user, share=0.5, seed=1) if day >= BEFORE else None
        if number >= 30 and side != "treated":
            return []  # only the treated ask a second time
        return session(day, number, size=size, user_id=user, arm=side)

    drawn = MINI.model_copy(update={"rollout": schema.Rollout(share=0.5, unit="user", seed=1)})
    result = verify(store_of(tmp_path, log(each, sessions=60)), drawn, rollout=ROLLOUT)
    assert any("(+100.0 % for each user): demand answers to the rollout" in note for note in result.notes)


def test_a_ramp_is_compared_day_by_day(tmp_path: Path):
    """The share of treated grows while everything gets dearer: pooled, the rollout would look like the price rise."""

    def each(day: int, number: int, size: float) -> list[Row]:
        share = 0.1 + 0.8 * (day - BEFORE) / AFTER
        side = arm(f"support{day}-{number}", share=share, seed=4) if day >= BEFORE else None
        return session(day, number, size=size * (1 + 0.3 * max(day - BEFORE, 0)), arm=side)

    result = verify(store_of(tmp_path, log(each, sessions=60)), schema.parse("name: logged"), rollout=ROLLOUT)
    assert "each day is compared with itself" in result.effects.assumes
    assert not result.effects.effects["cost"].claimed
    assert abs(result.effects.effects["cost"].estimate.relative or 1) < 0.15


def test_users_in_both_arms_are_said(tmp_path: Path):
    def each(day: int, number: int, size: float) -> list[Row]:
        side = arm(f"support{day}-{number}", share=0.7, seed=4) if day >= BEFORE else None
        return session(day, number, size=size, user_id=f"u{number}", arm=side)

    result = verify(store_of(tmp_path, log(each, sessions=10)), MINI, rollout=ROLLOUT)
    assert any(note.startswith("10 users had conversations in both arms") for note in result.notes)


# -- an untouched segment ----------------------------------------------------------------------------------------------


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


# -- edges of days and units -------------------------------------------------------------------------------------------


def test_conversations_that_span_the_day_are_billed_alike_on_both_sides(tmp_path: Path):
    def each(day: int, number: int, size: float) -> list[Row]:
        rows = session(day, number, size=size, model=SMALL if day >= BEFORE else BIG)
        if day == BEFORE - 1 and number < 5:
            rows[-1]["start_time"] += timedelta(days=1)
        return rows

    result = verify(store_of(tmp_path, log(each)), MINI, rollout=ROLLOUT)
    assert any(note.startswith("5 conversations began before the rollout and cost") for note in result.notes)
    assert result.units_after == 7 * 30
    assert result.inside
    assert adds_up(result)


def test_conversations_that_last_days_are_not_compared_where_only_the_short_ones_are_whole(tmp_path: Path):
    """Each makes one call a day for three days. Nothing is rolled out, yet those begun near an edge look cheaper."""

    def each(day: int, number: int, size: float) -> list[Row]:
        rows = session(day, number, size=size)
        for place, row in enumerate(rows):
            row["start_time"] += timedelta(days=place)
        return [row for row in rows if row["start_time"].date() < FIRST + timedelta(days=28)]

    store = store_of(tmp_path, log(each, days=28))
    result = verify(store, schema.parse("name: logged"), rollout=ROLLOUT)
    assert not [name for name, one in result.effects.effects.items() if one.claimed]
    assert result.effects.effects["calls"].estimate.within == 3.0


def test_a_last_day_that_is_cut_short_is_left_out_of_the_series(tmp_path: Path):
    rows = log(lambda day, number, size: session(day, number, size=size) if day < 20 or number < 4 else [])
    store = store_of(tmp_path, rows)
    first, last = whole_days(load(store))
    assert last - first == 19
    result = verify(store, schema.parse("name: logged"), rollout=ROLLOUT)
    assert result.effects.effects["demand"].estimate.groups == 20
    assert not any(one.claimed for one in result.effects.effects.values())


@pytest.mark.parametrize(
    ("unit", "noun", "units"),
    [("conversation", "conversation", 6), ("user", "user-day", 4), ("call", "call", 18), ("tag:article", "article", 3)],
)
def test_units_are_counted_as_they_are_asked_for(tmp_path: Path, unit: str, noun: str, units: int):
    rows = [
        {**row, "user_id": f"u{number % 2}", "tags": ["x:1", f"article:{number % 3}"]}
        for day in range(2)
        for number in range(3)
        for row in session(day, number)
    ]
    found = demand_units(load(store_of(tmp_path, rows)), unit)
    assert (found.noun, len(found), found.known) == (noun, units, 1.0)
    assert found.of_call[found.first].tolist() == list(range(units))


def test_an_unknown_unit_is_refused_with_the_nearest(tmp_path: Path):
    store = store_of(tmp_path, session(0, 0))
    for wrong, words in (
        ("conversatoin", "Did you mean 'conversation'"),
        ("user", "no call of the log names its user"),
    ):
        with pytest.raises(InputError) as error:
            demand_units(load(store), wrong)
        assert words in f"{error.value} {error.value.remedy}"


# -- every day ---------------------------------------------------------------------------------------------------------


def test_a_loss_of_quality_is_rolled_back_while_it_runs(tmp_path: Path):
    def each(day: int, number: int, size: float) -> list[Row]:
        side = arm(f"support{day}-{number}", share=0.5, seed=4) if day >= BEFORE else None
        bad = side == "treated" and number % 2
        return session(day, number, size=size, arm=side, score=0.0 if bad else 0.9)

    result = verify(store_of(tmp_path, log(each, sessions=60)), MINI, rollout=ROLLOUT, monitored=True)
    monitoring = result.monitoring
    assert monitoring is not None
    assert monitoring.decision.action == "roll back"
    assert "quality is" in monitoring.decision.why
    assert monitoring.looks[0].day == ROLLOUT
    assert monitoring.intervals["quality"][1] < 0.95
    assert result.effects.effects["quality"].claimed


def test_the_command_says_so_and_exits_with_1(tmp_path: Path):
    def each(day: int, number: int, size: float) -> list[Row]:
        side = ("treated", "control")[number % 2] if day >= BEFORE else None
        return session(day, number, calls=1, size=size, arm=side, score=0.2 if side == "treated" else 0.9)

    store = store_of(tmp_path, log(each, sessions=60))
    (tmp_path / "mini.yaml").write_text(f"name: mini\nroute: [{{default: {SMALL}}}]\n")
    words = ["verify", str(tmp_path / "mini.yaml"), "--from", ROLLOUT.isoformat(), "--store", str(store.path)]
    found = CliRunner().invoke(app, [*words, "--monitor"])
    assert found.exit_code == 1
    assert "Roll back: quality is 0.2 treated, 0.9 in control" in found.stdout
    document = json.loads(CliRunner().invoke(app, [*words, "--monitor", "--json"]).stdout)
    assert document["monitoring"]["decision"] == "roll back"
    assert document["monitoring"]["days"][0]["day"] == ROLLOUT.isoformat()
    assert CliRunner().invoke(app, words).exit_code == 0


def test_a_look_does_not_change_when_days_are_added(tmp_path: Path):
    def each(day: int, number: int, size: float) -> list[Row]:
        side = arm(f"support{day}-{number}", share=0.5, seed=4) if day >= BEFORE else None
        return session(day, number, size=size, arm=side, score=0.8 + 0.2 * (number % 2))

    store = store_of(tmp_path, log(each))
    whole = verify(store, MINI, rollout=ROLLOUT, monitored=True).monitoring
    part = verify(store, MINI, rollout=ROLLOUT, until=ROLLOUT + timedelta(days=2), monitored=True).monitoring
    assert whole is not None
    assert part is not None
    assert [replace(look) for look in whole.looks[:3]] == list(part.looks)


def test_the_log_is_read_once_into_units(tmp_path: Path):
    store = store_of(tmp_path, log(held_back, days=16, sessions=10))
    found = observed(store, HELD_BACK, rollout=ROLLOUT)
    assert len(found.table) == 160
    assert found.table.calls.sum() == len(found.traffic)
    assert found.table.cost.sum() == pytest.approx(found.traffic.cost.sum() / 1e12)
