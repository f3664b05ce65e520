"""A rollout with a holdback: the arms are compared, where each unit has one and as many as were drawn."""

from __future__ import annotations

from pathlib import Path

import pytest
from rollout_sessions import (
    AFTER,
    BEFORE,
    BIG,
    HELD_BACK,
    MINI,
    ROLLOUT,
    SMALL,
    Row,
    adds_up,
    held_back,
    log,
    session,
    store_of,
)

from ingest.errors import InputError
from replay.evaluation.verify import verify
from replay.rollout.assignment import arm
from replay.strategy import schema


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


def test_a_rollout_begins_with_the_first_arm_of_its_first_day(tmp_path: Path):
    def each(day: int, number: int, size: float, late: int = 0) -> list[Row]:
        if day == BEFORE and number < late:
            return session(day, number, size=size, model=BIG)
        side = arm(f"support{day}-{number}", share=0.7, seed=4) if day >= BEFORE else None
        return session(day, number, size=size, model=BIG if side != "treated" else SMALL, arm=side)

    found = []
    for name, late in (("midnight", 0), ("noon", 15)):
        (tmp_path / name).mkdir()
        rows = log(lambda day, number, size, late=late: each(day, number, size, late))
        found.append(verify(store_of(tmp_path / name, rows), MINI, rollout=ROLLOUT))
    assert [result.inside for result in found] == [True, True]
    assert found[1].units_after + found[1].control_units == found[0].units_after + found[0].control_units - 15
    assert any("15 conversations of the first day came before the first one with an arm" in n for n in found[1].notes)


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
