"""What a strategy names and the log does not have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from builder import build_in_memory

from analysis.ledger.ledger import update
from ingest.store.database import Store
from replay.advice.recommend import recommended
from replay.advice.result_in_words import sentence, verdict
from replay.engine.run import run
from replay.engine.unmatched import unmatched_in
from replay.strategy.schema import Strategy


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Forty calls of two agents, both models scored on all of them, the weak one a little lower."""
    rows = [
        {
            "start_time": f"2026-03-0{1 + n % 4}T10:00:{n:02d}Z", "model": "gpt-4o", "provider_name": "openai",
            "agent": "research_agent" if n % 2 else "drafting_agent", "task": "web_summary", "input_tokens": 500,
            "output_tokens": 50, "score": 0.9,
        }
        for n in range(40)
    ]  # fmt: skip
    store = build_in_memory(rows)
    update(store)
    with store.write() as con:
        con.execute("INSERT INTO scores SELECT call_no, 'gpt-4o-mini', 0.82, 'log' FROM calls")
        con.execute("INSERT INTO scores SELECT call_no, 'gpt-4o', 0.9, 'log' FROM calls")
    return store


def strategy(**document: Any) -> Strategy:
    return Strategy.model_validate({"name": "x", **document})


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"route": [{"match": {"agent": "reserch_agent"}, "model": "gpt-4o-mini"}]}, "did you mean research_agent?"),
        ({"route": [{"match": {"task": "summar*"}, "model": "gpt-4o-mini"}]}, "did you mean web_summary?"),
        ({"route": [{"when": "agent = 'reserch_agent'", "model": "gpt-4o-mini"}]}, "did you mean research_agent?"),
        ({"route": [{"match": {"team": "x"}, "model": "gpt-4o-mini"}]}, "no call has a team"),
        ({"route": [{"match": {"input_tokens": {"gt": 9000}}, "model": "gpt-4o-mini"}]}, "condition on input_tokens"),
        (
            {"route": [
                {"match": {"task": "web*"}, "model": "gpt-4o-mini"},
                {"match": {"agent": "research_agent"}, "model": "gpt-4o"},
            ]},
            "rule 2 (agent: research_agent) decides nothing",
        ),
        ({"route": [{"default": "gpt-4o-mni"}]}, "Did you mean gpt-4o-mini"),
        ({"batch": [{"match": {"agent": "nobody"}}]}, "batch 1 (agent: nobody) matches no call"),
        ({"quality": {"per_task": {"web_sumary": 0.9}}}, "quality.per_task (web_sumary) matches no task"),
        ({"output_ratio": [{"model": "gpt-5", "ratio": 2}]}, "output_ratio (gpt-5) names no model"),
    ],
)  # fmt: skip
def test_what_matches_nothing_is_named_with_what_is_near(store: Store, document: dict[str, Any], words: str) -> None:
    (found,) = unmatched_in(store, [strategy(**document)])
    assert len(found) == 1
    assert words in found[0].words


def test_a_file_that_fits_the_log_names_nothing(store: Store) -> None:
    fits = strategy(
        route=[{"match": {"agent": "research*"}, "model": "gpt-4o-mini"}, {"default": "logged"}],
        quality={"per_task": {"web_*": 0.9}, "table": [{"model": "gpt-4o-mini", "quality": 0.8}]},
    )
    assert unmatched_in(store, [fits]) == [()]


def test_a_strategy_that_changes_nothing_neither_passes_nor_is_recommended(store: Store) -> None:
    idle = strategy(route=[{"match": {"agent": "reserch_agent"}, "model": "gpt-4o-mini"}])
    mini = strategy(name="mini", route=[{"default": "gpt-4o-mini"}], quality={"floor": 0.8})
    result = run(store, [idle, mini])
    first = result.strategies[0]
    assert verdict(first) == "no effect"
    assert "changes no call of this window" in sentence(first)
    assert first.to_json()["unmatched"][0]["where"] == "rule 1 (agent: reserch_agent)"
    assert first.unmatched[0].words in first.limits


def test_strategies_of_different_floors_are_ranked_under_the_strictest(store: Store) -> None:
    mini = strategy(name="mini", route=[{"default": "gpt-4o-mini"}], quality={"floor": 0.8})
    half = strategy(name="half", route=[{"match": {"agent": "research_agent"}, "model": "gpt-4o-mini"}])
    strict = strategy(name="half", route=half.route, quality={"floor": 0.93})
    alone = recommended(run(store, [mini]).strategies)
    assert alone is not None
    assert verdict(alone) == "passes 0.80"
    both = run(store, [mini, strict]).strategies
    assert both[0].cost_pico < both[1].cost_pico
    assert [entry.quality["verdict"] for entry in both] == ["passes", "passes"]
    best = recommended(both)
    assert best is not None
    assert best.name == "half"


def test_the_file_of_another_point_keeps_the_floor_that_was_asked_for(store: Store, tmp_path: Path) -> None:
    from replay.optimize.search import optimize

    found = optimize(store, floor=0.95, reach=0.85, grid=None)
    assert found.strategy.quality.floor == 0.95
    assert found.report.floor == 0.95
    assert found.report.verdict == "fails"
    assert found.cost_pico < optimize(store, floor=0.95).cost_pico


def test_the_strategy_without_a_stage_is_the_baseline_and_passes(store: Store) -> None:
    assert verdict(run(store, [strategy(name="logged")]).strategies[0]) == "passes 0.95"
