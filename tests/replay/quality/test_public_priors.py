"""A public benchmark is shown and passes no floor by itself: other people's tasks are not one's own."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from builder import build_in_memory

from analysis.ledger import ledger
from ingest.errors import StrategyError
from ingest.store.database import Store
from replay.engine.run import run
from replay.quality.scores import load_priors
from replay.strategy.public_benchmarks import benchmarks
from replay.strategy.schema import parse

GPT4O, SONNET = "gpt-4o-2024-08-06", "claude-3-5-sonnet-20241022"


def store_of(path: Path, scores: int = 0) -> Store:
    """Coding calls of gpt-4o; optionally scores of both models, in which Sonnet is worse here."""
    rows: list[dict[str, Any]] = [
        {
            "start_time": datetime(2024, 12, 1) + timedelta(minutes=number),
            "model": GPT4O,
            "task": "code_review",
            "input_tokens": 1_000,
            "output_tokens": 100,
        }
        for number in range(200)
    ]
    store = build_in_memory(rows)
    with store.write() as con:
        for number in range(scores):
            con.execute("INSERT INTO scores VALUES (?, ?, 0.9, 'review')", [number, GPT4O])
            con.execute("INSERT INTO scores VALUES (?, ?, 0.5, 'review')", [number, SONNET])
    ledger.update(store)
    return store


def judged(store: Store, spec: str, target: str = SONNET, **more: Any) -> tuple[dict[str, Any], list[str]]:
    chosen = parse(f"name: p\nroute: [{{default: {target}}}]\nquality: {spec}")
    found = run(store, [chosen], **more).strategies[0]
    return found.quality, [limit for limit in found.limits if "in public" in limit]


NAMED = "{floor: 0.9, priors: [{benchmark: aider-polyglot, task: 'code*'}]%s}"


def test_a_benchmark_is_shown_and_does_not_pass_a_floor(tmp_path: Path):
    quality, limits = judged(store_of(tmp_path), NAMED % "")
    assert (quality["verdict"], quality["evidence"], quality["unknown_share"]) == ("unknown", "prior", 1.0)
    assert quality["cells"][0]["told"] == "0.52 against 0.23 (aider-polyglot, 2025-01-17)"
    assert len(limits) == 1
    assert "accept_priors: true" in limits[0]


def test_it_counts_where_the_file_says_so_with_the_caution_of_few_calls(tmp_path: Path):
    quality, limits = judged(store_of(tmp_path), NAMED % ", accept_priors: true")
    assert (quality["verdict"], quality["evidence"]) == ("passes", "prior")
    assert quality["mean_ratio"] == pytest.approx(116 / 52, abs=1e-5)
    assert 0.9 < quality["lower_90"] < 0.9 * 116 / 52
    assert "which the file accepts" in limits[0]


def test_a_benchmark_speaks_only_of_the_tasks_it_is_given_and_of_models_it_knows(tmp_path: Path):
    store = store_of(tmp_path)
    other = "{priors: [{benchmark: aider-polyglot, task: 'summar*'}], accept_priors: true}"
    assert judged(store, other)[0]["evidence"] == "none"
    assert judged(store, NAMED % ", accept_priors: true", "gpt-3.5-turbo")[0]["evidence"] == "none"


def test_scores_of_ones_own_come_before_any_benchmark(tmp_path: Path):
    quality, limits = judged(store_of(tmp_path, scores=60), NAMED % ", accept_priors: true")
    assert (quality["verdict"], quality["evidence"], limits) == ("fails", "paired", [])


def test_a_table_of_ones_own_may_mark_rows_as_priors(tmp_path: Path):
    table = tmp_path / "t.csv"
    table.write_text(
        f"task,model,quality,n,evidence,source\n,{GPT4O},0.6,100,prior,a paper\n,{SONNET},0.7,100,prior,a paper\n"
    )
    priors = load_priors(table)
    store = store_of(tmp_path)
    assert judged(store, "{floor: 0.9}", scores=priors)[0]["verdict"] == "unknown"
    quality, _ = judged(store, "{floor: 0.8, accept_priors: true}", scores=priors)
    assert quality["cells"][0]["told"] == "0.70 against 0.60 (a paper)"
    assert quality["evidence"] == "prior"


def test_a_mistyped_benchmark_names_the_right_one():
    with pytest.raises(StrategyError, match="aider-polyglot"):
        parse("name: p\nquality: {priors: [{benchmark: aider-poliglot, task: x}]}")


def test_every_packaged_result_has_a_source_a_licence_and_a_date():
    for one in benchmarks().values():
        assert "commit" in one.source
        assert one.licence in ("Apache-2.0", "MIT", "CC-BY-4.0")
        names = [name for result in one.results for name in result.models]
        assert len(names) == len(set(names))
        for result in one.results:
            assert 0 < result.quality < 1
            assert result.n >= 100
            assert result.day.year >= 2024
