"""Many names: the groups that matter are told apart, the rest is one, and nothing grows with names times calls."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from builder import build_store
from hypothesis import given
from hypothesis import strategies as st

from analysis.ledger.ledger import update
from ingest.store.database import Store
from replay.engine import quality_evidence
from replay.engine.engine import Engine
from replay.optimize import options
from replay.optimize.search import optimize
from replay.quality.gate import assess
from replay.stages import compression
from replay.strategy.schema import Strategy
from replay.traffic.largest_groups import largest
from replay.traffic.load_traffic import load


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 50)), min_size=1), st.integers(1, 9), st.data())
def test_the_largest_groups_stay_and_all_others_are_one(
    calls: list[tuple[int, int]], most: int, data: st.DataObject
) -> None:
    group, amount = np.array([g for g, _ in calls]), np.array([float(a) for _, a in calls])
    always = np.array(data.draw(st.lists(st.booleans(), min_size=10, max_size=10)))
    kept, place = largest(group, amount, most, always=always)
    sums = [sum(a for g, a in calls if g == number) for number in range(10)]
    first = sorted(range(10), key=lambda number: (-sums[number], number))[:most]
    assert kept.tolist() == sorted({*first, *np.flatnonzero(always).tolist()})
    for number, where in zip(group.tolist(), place.tolist(), strict=True):
        assert where == (kept.tolist().index(number) if number in kept else len(kept))


@pytest.fixture
def many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """40 agents and tasks, each of three calls without text and the first 3 dearer; 3 of them are told apart."""
    monkeypatch.setattr(options, "MOST_GROUPS", 3)
    monkeypatch.setattr(quality_evidence, "MOST_TASKS", 3)
    monkeypatch.setattr(compression, "MOST_NAMED", 3)
    rows = [
        {
            "agent": f"agent-{number:02}", "task": f"task-{number:02}", "model": "gpt-4o", "score": 0.9,
            "start_time": datetime(2026, 3, 1, hour), "input_tokens": 90_000 if number < 3 else 900,
            "output_tokens": 10,
        }
        for number in range(40)
        for hour in range(3)
    ]  # fmt: skip
    store = build_store(tmp_path / "s.duckdb", rows)
    update(store)
    return store


def test_a_policy_names_the_dearest_groups_and_says_that_the_others_stay(many: Store) -> None:
    found = optimize(many, floor=0.5, models=["gpt-4o-mini", "gpt-4o"], grid=None)
    assert [group.label for group, _, _ in found.assignment][-1] == "(all smaller agents and tasks)"
    assert len(found.assignment) == 4
    assert any("37 smaller agents and tasks" in note for note in found.notes)


def test_small_tasks_are_judged_together_unless_the_file_speaks_of_them(many: Store) -> None:
    strategy = Strategy.model_validate({
        "name": "x", "route": [{"default": "gpt-4o-mini"}], "quality": {"floor": 0.9, "per_task": {"task-3*": 0.8}},
    })  # fmt: skip
    report = assess(quality_evidence.evidence_for(Engine(load(many), strategy)))
    tasks = {cell.task for cell in report.cells}
    assert tasks == {"task-00", "task-01", "task-02", *(f"task-3{n}" for n in range(10)), quality_evidence.OTHERS}
    assert sum(cell.share for cell in report.cells) == pytest.approx(1)
    assert sum(cell.calls for cell in report.cells) == 120


def test_what_no_compressor_can_be_measured_on_is_told_in_few_lines(many: Store) -> None:
    engine = Engine(load(many), Strategy.model_validate({"name": "x", "compress": ["whitespace"]}))
    lines = [line for line in engine.requests.compressed.limits(np.ones(120, bool)) if "no saving" in line]
    assert len(lines) == 4
    assert lines[0].startswith("compression of 3 calls of agent-00 / task-00: no text, and only 0 calls")
    assert lines[-1].startswith("compression of 111 calls of 37 smaller agents and tasks")
