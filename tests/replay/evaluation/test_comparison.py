"""Calls without a price and scores that are a selection: what cannot be compared makes no effect."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from rollout_sessions import BEFORE, BIG, MINI, ROLLOUT, SMALL, Row, adds_up, log, session, store_of
from typer.testing import CliRunner

from cli.app import app
from ingest.errors import InputError
from ingest.store.database import Store
from replay.evaluation.verify import verify
from replay.strategy import schema

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
