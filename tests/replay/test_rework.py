"""A weaker answer comes back for another round: estimated from scores and rounds, only when asked, always listed."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builder import build_in_memory
from hypothesis import given
from hypothesis import strategies as st

from analysis.ledger import ledger
from ingest.errors import StrategyError
from ingest.store.database import Store
from replay.engine.engine import Engine
from replay.engine.run import run
from replay.estimates import rework
from replay.strategy.schema import parse
from replay.traffic.load_traffic import load

MOVE = "route: [{match: {task: draft}, model: gpt-3.5-turbo}]"
ASK = f"name: r\noutput_ratio: 1.0\n{MOVE}\nrework: estimated"


def store_of(path: Path, *, sessions: int = 400, drop: float = 0.3, slope: float = 0.5, scored: bool = True) -> Store:
    """Drafts are redone with a chance that falls by `slope` per point of their score; the weak model scores lower."""
    rng = np.random.default_rng(4)
    rows: list[dict[str, Any]] = []
    scores: list[tuple[int, str, float]] = []
    for session in range(sessions):
        while True:
            score = float(rng.uniform(0.4, 1.0))
            if scored:
                scores.append((len(rows), "gpt-4-turbo", score))
                if session < 60:
                    scores.append((len(rows), "gpt-3.5-turbo", max(score - drop, 0.0)))
            rows.append(
                {
                    "start_time": datetime(2024, 3, 5) + timedelta(minutes=len(rows)),
                    "conversation_id": f"s{session}",
                    "agent": "writer",
                    "task": "draft",
                    "input_tokens": 1_000,
                    "output_tokens": 100,
                }
            )
            if rng.random() > 0.6 - slope * score:
                break
    store = build_in_memory(rows)
    with store.write() as con:
        if scores:
            con.executemany("INSERT INTO scores VALUES (?, ?, ?, 'review')", scores)
    ledger.update(store)
    return store


def test_the_extra_rounds_are_the_slope_times_the_loss_of_quality(tmp_path: Path):
    engine = Engine(load(store_of(tmp_path)), parse(ASK))
    (row,) = engine.strategy.rework
    assert row.low is not None
    assert row.high is not None
    assert row.low <= 0.5 * 0.3 <= row.high
    assert row.low < row.at("mid") < row.high
    assert row.high - row.low < 0.15


def test_it_is_off_unless_asked_for_and_always_listed(tmp_path: Path):
    store = store_of(tmp_path)
    plain, asked = run(store, [parse(f"name: p\noutput_ratio: 1.0\n{MOVE}"), parse(ASK)]).strategies
    assert not any("rework" in limit for limit in plain.limits)
    assert any("rework is estimated" in limit for limit in asked.limits)
    (row,) = Engine(load(store), parse(ASK)).strategy.rework
    assert asked.cost_pico == pytest.approx(plain.cost_pico * (1 + row.at("mid")), rel=1e-6)
    assert asked.low_pico < asked.cost_pico < asked.high_pico
    assert asked.side_pico["rework"] == asked.cost_pico - plain.cost_pico


@pytest.mark.parametrize("facts", [{"scored": False}, {"sessions": 8}])
def test_without_scores_or_rounds_nothing_is_counted_and_it_says_so(tmp_path: Path, facts: dict[str, Any]):
    store = store_of(tmp_path, **facts)
    found = run(store, [parse(ASK)]).strategies[0]
    assert not found.side_pico.get("rework")
    assert any("cannot be estimated" in limit for limit in found.limits)


def test_a_better_model_is_not_credited_with_fewer_rounds(tmp_path: Path):
    (row,) = Engine(load(store_of(tmp_path, drop=-0.2)), parse(ASK)).strategy.rework
    assert row.at("mid") == 0.0


def test_a_row_of_the_file_wins_over_the_estimate(tmp_path: Path):
    text = f"name: r\n{MOVE}\nrework: [{{task: draft, extra_calls: 2}}, {{extra_calls: estimated}}]"
    engine = Engine(load(store_of(tmp_path)), parse(text))
    cost = engine.evaluate(engine.everything).side_pico["rework"]
    assert cost.tolist() == (2 * (1_000 * 500_000 + 100 * 1_500_000) * np.ones(len(cost), np.int64)).tolist()


def test_any_other_word_is_refused():
    with pytest.raises(StrategyError, match="rework"):
        parse("name: r\nrework: guessed")


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=3, max_size=40))
def test_the_slope_is_that_of_least_squares(pairs: list[tuple[float, bool]]):
    score = np.array([score for score, _ in pairs])
    again = np.array([float(flag) for _, flag in pairs])
    if np.ptp(score) < 1e-3:
        return
    found = rework.slope(score, again)
    assert found.value == pytest.approx(np.polyfit(score, again, 1)[0], rel=1e-6, abs=1e-6)
    assert found.error >= 0
