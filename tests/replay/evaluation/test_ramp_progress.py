"""A ramp goes on while nothing speaks against it, stops where something does, and every step can be decided again."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builder import build_store
from typer.testing import CliRunner

from analysis.ledger import ledger
from cli.app import app
from ingest.errors import InputError
from ingest.store.database import Store
from replay.evaluation.ramp_progress import advance, history
from replay.rollout import ramp_journal
from replay.rollout.assignment import arm
from replay.strategy import schema

BIG, SMALL = "gpt-4o-2024-08-06", "gpt-4o-mini-2024-07-18"
FIRST = datetime(2026, 3, 2)
BEFORE = 3  # days without a rollout


@dataclass
class Program:
    """Writes a day of calls under the share that the strategy file has on that day."""

    folder: Path
    loss: float = 0.0
    per_day: int = 400
    rows: list[dict[str, Any]] = field(default_factory=list)
    day: int = 0

    @property
    def path(self) -> Path:
        return self.folder / "s.yaml"

    @property
    def share(self) -> float:
        rollout = schema.load(self.path).rollout
        assert rollout is not None
        return rollout.share

    def write(self, ramp: str = "[0.09, 0.1, 0.5, 1]", share: float = 0.09, more: str = "") -> None:
        self.path.write_text(
            f"name: mini\nroute: [{{default: {SMALL}}}]\nquality: {{floor: 0.8}}\n{more}"
            f"rollout: {{share: {share}, unit: conversation, seed: 5, ramp: {ramp}}}  # kept by advance\n"
        )

    def run(self, days: int = 1) -> None:
        for _ in range(days):
            rng = np.random.default_rng(self.day)
            for number in range(self.per_day):
                unit = f"c{self.day}-{number}"
                good = rng.random() < 0.9
                treated = self.day >= BEFORE and arm(unit, share=self.share, seed=5) == "treated"
                named = {"arm": "treated" if treated else "control", "rollout": "mini"} if self.day >= BEFORE else {}
                good = good and not (treated and rng.random() < self.loss)
                self.rows.append({
                    "start_time": FIRST + timedelta(days=self.day, seconds=number * 86_000 / self.per_day),
                    "duration_ms": float(rng.uniform(800, 1200)), "conversation_id": unit,
                    "model": SMALL if treated else BIG, "input_tokens": int(rng.integers(900, 1100)),
                    "output_tokens": 300, "score": float(good), **named,
                })  # fmt: skip
            self.day += 1

    def store(self) -> Store:
        path = self.folder / f"{len(self.rows)}.duckdb"
        path.unlink(missing_ok=True)
        store = build_store(path, self.rows)
        ledger.update(store)
        return store


@pytest.fixture
def program(tmp_path: Path) -> Program:
    made = Program(tmp_path)
    made.write()
    made.run(BEFORE)
    return made


def climbed(program: Program, *days: int) -> list[str]:
    """The actions of the looks after so many days each."""
    found = []
    for number in days:
        program.run(number)
        found.append(advance(program.store(), program.path).action)
    return found


@pytest.mark.slow
def test_a_harmless_change_goes_to_the_whole_traffic_and_every_step_is_decided_alike_again(program: Program) -> None:
    assert climbed(program, 1, 1, 10, 1, 2) == ["hold", "advance", "advance", "hold", "advance"]
    assert program.share == 1
    assert advance(program.store(), program.path).action == "done"
    steps = ramp_journal.read(program.path)
    assert [(one.action, one.share) for one in steps] == [
        ("begin", 0.09), ("advance", 0.1), ("advance", 0.5), ("advance", 1.0),
    ]  # fmt: skip
    assert "every limit is shown to be kept" in steps[2].why
    assert {one["measure"] for one in steps[2].evidence} == {"quality", "cost per unit", "errors", "latency"}
    again = history(program.store(), program.path)
    assert [one.again is not None for one in again] == [False, True, True, True]
    assert all(one.same_decision and one.same_figures for one in again)
    assert "# kept by advance" not in program.path.read_text()  # the block is one line of the file's, and replaced


def test_a_loss_is_rolled_back_by_itself_and_stays_so_until_someone_sets_a_share(program: Program) -> None:
    program.loss = 0.6
    assert climbed(program, 3, 1) == ["roll back", "hold"]
    assert program.share == 0
    treated = [row for row in program.rows if row.get("arm") == "treated"]
    assert 0 < len(treated) < 0.1 * len(program.rows)
    (step,) = [one for one in ramp_journal.read(program.path) if one.action == "roll back"]
    assert "quality is" in step.why
    assert "in control (at least 0.8 x control" in step.why
    store = program.store()
    assert "rolled back: quality is" in advance(store, program.path).summary
    program.write(share=0.09)
    program.loss = 0.0
    begun = advance(store, program.path)
    assert (begun.action, begun.steps[0].action, program.share) == ("hold", "set by hand", 0.09)
    program.run(2)  # the old loss counts no more
    assert advance(program.store(), program.path).action == "advance"


@pytest.mark.slow
def test_calls_that_come_later_change_the_figures_and_are_told(program: Program) -> None:
    climbed(program, 2)
    assert program.share == 0.1
    late = [
        {**row, "conversation_id": f"late-{row['conversation_id']}", "score": 0.0} for row in program.rows[-1200:-800]
    ]
    program.rows += late
    program.rows.sort(key=lambda row: row["start_time"])
    store = program.store()
    (step,) = [one for one in history(store, program.path) if one.step.action == "advance"]
    assert not step.same_figures
    shown = ["rollout", "history", str(program.path), "--store", str(store.path)]
    done = CliRunner().invoke(app, shown, env={"COLUMNS": "200"})
    assert "the same, on other figures" in " ".join(done.output.split()) or "says" in done.output


def test_a_share_set_by_hand_is_noted_and_a_changed_strategy_begins_again(program: Program) -> None:
    program.run()
    store = program.store()
    assert advance(store, program.path).steps[0].action == "begin"
    program.write(share=0.5)
    assert advance(store, program.path).steps[0].action == "set by hand"
    program.write(share=0.5, more="output_ratio: 0.9\n")
    found = advance(store, program.path)
    assert found.steps[0].action == "begin again"
    assert program.share == found.share == 0.09
    assert advance(store, program.path).steps == ()


def test_looks_at_the_same_time_take_one_step(program: Program) -> None:
    program.run(2)
    store = program.store()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: advance(store, program.path).action, range(4)))
    assert sorted(found) == ["advance", "hold", "hold", "hold"]
    assert program.share == 0.1


@pytest.mark.slow
def test_a_dry_run_writes_nothing_and_an_arm_of_another_rollout_is_none_of_this_one(program: Program) -> None:
    program.run(2)
    text = program.path.read_text()
    alone = advance(program.store(), program.path, write=False)
    assert alone.action == "advance"
    assert program.path.read_text() == text
    assert not ramp_journal.path_of(program.path).exists()
    other = {"rollout": "other", "arm": "treated", "score": 0.0}
    beside = [
        {**row, **other, "conversation_id": f"x{row['conversation_id']}"} for row in program.rows if row.get("arm")
    ]
    program.rows = sorted([*program.rows, *beside], key=lambda row: row["start_time"])
    assert advance(program.store(), program.path, write=False).found == alone.found


def test_a_clock_that_is_ahead_ends_no_day(program: Program) -> None:
    program.run()
    program.rows.append({**program.rows[-1], "start_time": FIRST + timedelta(days=400), "conversation_id": "ahead"})
    now = FIRST + timedelta(days=BEFORE + 1)
    assert advance(program.store(), program.path, now=now).action == "hold"


def test_the_command_says_why_and_fails_when_it_rolls_back(program: Program) -> None:
    program.loss = 0.7
    program.run(4)
    arguments = ["rollout", "advance", str(program.path), "--store", str(program.store().path)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 1
    assert "mini: roll back, share 0.09 -> 0: quality is" in " ".join(done.output.split())
    again = CliRunner().invoke(app, [*arguments, "--json"])
    assert again.exit_code == 0
    assert json.loads(again.output)["share"] == 0


def test_what_is_no_ramp_or_no_journal_is_said(program: Program) -> None:
    program.run(2)
    journal = ramp_journal.path_of(program.path)
    journal.write_text('{"at_ms": 1}\n')
    with pytest.raises(InputError, match="not a journal of a ramp"):
        advance(program.store(), program.path)
    journal.unlink()
    program.path.write_text(f"name: mini\nroute: [{{default: {SMALL}}}]\nrollout: {{share: 0.5}}\n")
    with pytest.raises(InputError, match="has no ramp"):
        advance(program.store(), program.path)
    for wrong, says in (("share: 0.1, ramp: [0.5, 0.1]", "must rise"), ("share: 0", "treats nobody")):
        with pytest.raises(Exception, match=says):
            schema.parse(f"name: x\nroute: [{{default: a}}]\nrollout: {{{wrong}}}")


@pytest.mark.slow
def test_a_watch_takes_the_steps_and_tells_of_each_once(program: Program) -> None:
    program.loss = 0.7
    program.run(4)
    arguments = ["watch", "--once", "--rollout", str(program.path), "--store", str(program.store().path)]
    told = [" ".join(CliRunner().invoke(app, arguments).output.split()) for _ in range(2)]
    assert "Rollout 'mini': roll back, share 0.09 -> 0 quality is" in told[0]
    assert "Rollout" not in told[1]
    assert program.share == 0
