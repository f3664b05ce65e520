"""Another model makes another conversation: what the log shows of it is used, what it does not widens the range."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builder import build_in_memory
from hypothesis import given
from hypothesis import strategies as st

from analysis.ledger import ledger
from ingest.store.database import Store
from replay.engine.engine import Engine
from replay.engine.range_sums import range_of
from replay.engine.run import run
from replay.estimates.behaviour import posterior, priors
from replay.strategy.schema import parse
from replay.traffic.load_traffic import load

MINI = "{name: m, route: [{match: {agent: a, model: gpt-4-turbo}, model: gpt-3.5-turbo}]%s}"
FLOATS = st.floats(-2, 2)


def store_of(
    folder: Path,
    *,
    own: int = 60,
    calls: int = 6,
    conversations: bool = True,
    agent: str = "a",
    turns: bool = False,
    opening: int = 1000,
    **fields: Any,
) -> Store:
    """60 conversations of 4 calls of gpt-4-turbo, and `own` of gpt-3.5-turbo that takes `calls` with 1.6x the input.

    The first call's input is alike (`opening` for the second model's). First come all of the one model, or they take
    `turns`.
    """
    rng = np.random.default_rng(2)
    units = [("gpt-4-turbo", 4, 1000, 1000, "a", number) for number in range(60)]
    units += [("gpt-3.5-turbo", calls, opening, 1600, agent, number) for number in range(own)]
    if turns:
        units.sort(key=lambda unit: unit[-1])
    rows: list[dict[str, Any]] = []
    for model, mean, first, size, who, unit in units:
        for place in range(max(1, mean + int(rng.integers(-1, 2)))):
            rows.append(
                {
                    "start_time": datetime(2024, 3, 5) + timedelta(minutes=len(rows)), "model": model, "agent": who,
                    "task": "t", "input_tokens": (size if place else first) + int(rng.integers(-50, 50)),
                    "output_tokens": 100, "conversation_id": f"{model}-{unit}" if conversations else None, **fields,
                }
            )  # fmt: skip
    store = build_in_memory(rows)
    ledger.update(store)
    return store


def test_a_model_that_the_log_shows_brings_its_own_number_of_calls_and_growth(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    (result,) = run(store, [parse(MINI % "")]).strategies
    (found,) = result.behaviour
    assert found["seen_units"] == 60
    assert 1.25 < found["calls_per_unit"] < 1.55  # drawn a little to what models usually differ by
    assert found["input_per_call"] == pytest.approx(1.5, rel=0.25)
    assert any("in place of gpt-4-turbo on `a / t`" in line for line in result.limits)


def test_the_dollars_lie_near_those_of_the_models_own_conversations(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    traffic = load(store)
    dear = traffic.models.index(("openai", "gpt-4-turbo"))
    own = int(traffic.cost[traffic.model != dear].sum())  # as many conversations as are moved
    engine = Engine(traffic, parse(MINI % ""))
    low, high = (range_of(engine, bound, traffic.model == dear) for bound in ("low", "high"))
    mid = int(engine.evaluate(engine.everything).cost_pico[traffic.model == dear].sum())
    assert low < own < high
    assert mid == pytest.approx(own, rel=0.12)


def test_a_model_that_the_log_never_saw_gets_the_wide_spread_and_the_logged_middle(tmp_path: Path) -> None:
    results = []
    for number, store in enumerate((store_of(tmp_path, own=0), None)):
        if number:
            (tmp_path / "b").mkdir()
            store = store_of(tmp_path / "b")
        assert store is not None
        results += run(store, [parse(MINI % "")]).strategies
    unseen, seen = results
    (found,) = unseen.behaviour
    assert (found["seen_units"], found["calls_per_unit"], found["output_per_call"]) == (0, 1.0, 1.0)
    wide, narrow = (math.log(one.high_pico / one.low_pico) for one in (unseen, seen))
    assert wide > 1.2 * narrow > 0
    assert any("no evidence" in line and "spread of models" in line for line in unseen.limits)


def test_units_that_somebody_chose_for_a_model_tell_nothing_of_others(tmp_path: Path) -> None:
    """Both models serve at once, the second what takes few calls: it would take as many more on what takes many."""
    (tmp_path / "random").mkdir()
    stores = [store_of(tmp_path, calls=2, turns=True)]
    stores.append(store_of(tmp_path / "random", calls=2, turns=True, assignment="random"))
    chosen, by_chance = (run(store, [parse(MINI % "")]).strategies[0] for store in stores)
    (one,), (other,) = chosen.behaviour, by_chance.behaviour
    assert (one["chosen"], one["calls_per_unit"]) == (True, 1.0)
    assert (other["chosen"], other["calls_per_unit"] < 0.75) == (False, True)
    wide, narrow = (math.log(run.high_pico / run.low_pico) for run in (chosen, by_chance))
    assert wide > 2 * narrow
    assert any("were chosen for it, nobody says how" in line for line in chosen.limits)


def test_units_that_begin_otherwise_are_other_units(tmp_path: Path) -> None:
    (result,) = run(store_of(tmp_path, opening=1500), [parse(MINI % "")]).strategies
    assert result.behaviour[0]["seen_units"] == 0
    assert any("they begin with prompts of another size" in line for line in result.limits)


def test_units_of_one_model_beside_many_shared_ones_are_the_short_ones(tmp_path: Path) -> None:
    """The model of each call is drawn by itself: only short conversations are of one model throughout."""
    rng = np.random.default_rng(3)
    rows = [
        {
            "start_time": datetime(2024, 3, 5) + timedelta(minutes=10 * unit + place), "agent": "a", "task": "t",
            "model": ("gpt-4-turbo", "gpt-3.5-turbo")[int(rng.integers(0, 2))], "conversation_id": f"{unit}",
            "input_tokens": 1000, "output_tokens": 100, "assignment": "random",
        }
        for unit in range(200)
        for place in range(2 + unit % 4)
    ]  # fmt: skip
    store = build_in_memory(rows)
    ledger.update(store)
    (result,) = run(store, [parse(MINI % "")]).strategies
    assert {one["seen_units"] for one in result.behaviour} == {0}
    assert any("shared with other models" in line for line in result.limits)


def test_single_calls_without_conversations_have_nothing_to_grow(tmp_path: Path) -> None:
    (found,) = run(store_of(tmp_path, own=0, conversations=False), [parse(MINI % "")]).strategies[0].behaviour
    assert (found["spread"]["calls"], found["spread"]["input"], found["spread"]["luck"]) == (0.0, 0.0, 0.0)
    assert found["spread"]["output"] == pytest.approx(priors().output, rel=0.2)


def test_what_the_file_declares_has_no_spread_of_its_own(tmp_path: Path) -> None:
    store = store_of(tmp_path, own=0, conversations=False)
    (result,) = run(store, [parse(MINI % ", output_ratio: 1.0")]).strategies
    assert result.low_pico == result.cost_pico == result.high_pico


def test_the_questions_may_be_held_fixed(tmp_path: Path) -> None:
    (result,) = run(store_of(tmp_path), [parse(MINI % ", behaviour: fixed, output_ratio: 1.0")]).strategies
    assert result.behaviour == ()
    assert "behaviour" not in result.side_pico
    assert any("behaviour: fixed" in line for line in result.limits)


def test_a_strategy_that_moves_nothing_stays_exact(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    (result,) = run(store, [parse("{name: same, route: [{match: {agent: nobody}, model: gpt-3.5-turbo}]}")]).strategies
    assert result.cost_pico == result.low_pico == result.high_pico == result.baseline_pico


@pytest.mark.parametrize("using", [True, False])
def test_vendors_that_count_tools_otherwise_are_known(using: bool) -> None:
    there, spread = priors().counting("azure/gpt-4o", "claude-opus-4-6", using)
    back, _ = priors().counting("claude-opus-4-6", "gpt-4.1", using)
    assert there == -back
    assert (there > 0.4) is using
    assert spread > 0


@given(FLOATS, st.floats(0.01, 1), FLOATS, st.floats(0.05, 1), st.floats(0.01, 0.5))
def test_one_cell_is_the_normal_posterior(
    x: float, variance: float, mean: float, spread: float, between: float
) -> None:
    found, error = posterior([(True, x, variance)], mean, spread, between)
    prior = spread**2 + between**2
    assert found == pytest.approx((mean * variance + x * prior) / (variance + prior), abs=1e-9)
    assert error == pytest.approx(math.sqrt(prior * variance / (prior + variance)), abs=1e-9)


@given(
    st.lists(st.tuples(FLOATS, st.floats(0.01, 1)), min_size=1, max_size=6),
    FLOATS,
    st.floats(0.05, 1),
    st.floats(0.05, 0.5),
)
def test_many_cells_are_a_regression_on_the_joint_normal(
    data: list[tuple[float, float]], mean: float, spread: float, between: float
) -> None:
    cells = [(number == 0, x, v) for number, (x, v) in enumerate(data)]
    n = len(cells)
    covariance = np.full((n, n), spread**2) + np.diag([between**2 + v for _, _, v in cells])
    asked = np.full(n, spread**2)
    asked[0] += between**2
    weight = np.linalg.solve(covariance, asked)
    found, error = posterior(cells, mean, spread, between)
    assert found == pytest.approx(mean + weight @ (np.array([x for _, x, _ in cells]) - mean), abs=1e-8)
    assert error == pytest.approx(math.sqrt(spread**2 + between**2 - weight @ asked), abs=1e-8)
