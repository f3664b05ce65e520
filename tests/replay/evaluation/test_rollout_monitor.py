"""The evidence of each day of a rollout, and what it says to do."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from rollout_sessions import BEFORE, MINI, ROLLOUT, SMALL, Row, log, session, store_of
from typer.testing import CliRunner

from cli.app import app
from replay.evaluation.verify import verify
from replay.rollout.assignment import arm


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
