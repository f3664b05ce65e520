"""Output lengths of another model come from evidence, with an interval that covers; without it nothing is claimed."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from builder import build_in_memory

from analysis.ledger import ledger
from ingest.store.database import Store
from replay.engine.run import run
from replay.estimates import answer_length_ratios
from replay.strategy.schema import parse
from replay.traffic.load_traffic import load


def store_of(path: Path, small: int = 40) -> Store:
    """gpt-4o everywhere; gpt-4o-mini on some drafts, with answers half as long."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(200 + small):
        mini = number >= 200
        rows.append(
            {
                "start_time": datetime(2024, 11, 1) + timedelta(minutes=number),
                "model": "gpt-4o-mini" if mini else "gpt-4o",
                "agent": "writer",
                "task": "draft" if mini else ("draft", "note*")[number % 2],
                "input_tokens": 500,
                "output_tokens": int(rng.gamma(9.0, 50 if mini else 100)) + 1,
            }
        )
    store = build_in_memory(rows)
    ledger.update(store)
    return store


def test_a_task_with_both_models_has_a_measured_ratio_and_others_have_none(tmp_path: Path):
    rows = list(answer_length_ratios.measured(load(store_of(tmp_path)), ["gpt-4o-mini"]))
    assert [(row.task, row.model) for row in rows] == [("draft", "gpt-4o-mini")]
    assert rows[0].low is not None
    assert rows[0].high is not None
    assert 0.4 < rows[0].low < rows[0].ratio < rows[0].high < 0.65


def test_few_answers_are_no_evidence(tmp_path: Path):
    assert list(answer_length_ratios.measured(load(store_of(tmp_path, small=29)), ["gpt-4o-mini"])) == []


def test_shadow_answers_are_pairs_and_come_first(tmp_path: Path):
    store = store_of(tmp_path)
    with store.write() as con:
        con.execute(
            "CREATE TABLE shadow_answers (call_no BIGINT, model VARCHAR, input_tokens BIGINT, output_tokens BIGINT)"
        )
        con.execute(
            """INSERT INTO shadow_answers SELECT call_no, 'gpt-4o-mini', 500, CAST(output_tokens * 0.8 AS BIGINT)
                 FROM calls WHERE model = 'gpt-4o' AND call_no < 80"""
        )
    rows = {row.task: row for row in answer_length_ratios.measured(load(store), ["gpt-4o-mini"])}
    assert rows["draft"].ratio == pytest.approx(0.8, abs=0.01)
    assert set(rows) == {"draft", "note[*]"}  # a name that reads as a glob fits only itself


def test_the_files_own_row_wins_over_the_measured_one(tmp_path: Path):
    traffic = load(store_of(tmp_path))
    told = parse("name: x\noutput_ratio: [{task: draft, ratio: 0.9}]")
    informed = answer_length_ratios.informed(told, answer_length_ratios.known(traffic, ["gpt-4o-mini"]))
    assert informed.output_ratio[0].ratio == 0.9
    assert len(informed.output_ratio) == 2
    assert answer_length_ratios.informed(told, answer_length_ratios.known(traffic, [])) is told


def test_the_replay_prices_measured_lengths_within_a_narrower_band(tmp_path: Path):
    strategy = parse("name: x\nroute:\n  - {match: {task: draft}, model: gpt-4o-mini}")
    found = run(store_of(tmp_path), [strategy]).strategies[0]
    output = float((found.high_pico - found.low_pico) / found.cost_pico)
    assert output < 0.35  # the assumed band of 0.5-2x would be wider
    assert not any("draft" in line and "no evidence" in line for line in found.limits)


PAIRS = [
    ("gpt-4o-2024-08-06", "claude-3-haiku-20240307"),
    ("gpt-4o-2024-08-06", "gpt-4o-mini-2024-07-18"),
    ("claude-3-5-sonnet-20241022", "claude-3-haiku-20240307"),
]


@pytest.mark.parametrize(("logged", "target"), PAIRS)
def test_a_hundred_pairs_give_the_length_within_ten_percent(data: Path, logged: str, target: str):
    """ZeroEval: the same-length assumption errs by up to 60 % here."""
    rows = pl.read_parquet(data / "routing_outcomes.parquet").filter(
        (pl.col("source") == "zeroeval") & pl.col("model").is_in([logged, target])
    )
    wide = rows.pivot(on="model", index=["task", "query_id"], values="output_tokens", aggregate_function="first")
    rng = np.random.default_rng(0)
    errors, covered, runs = [], 0, 0
    for (_,), part in wide.drop_nulls().sort("task", "query_id").group_by("task", maintain_order=True):
        answers, known = (part[name].to_numpy().astype(float) for name in (target, logged))
        truth = answers.sum() / known.sum()
        for _ in range(60):
            chosen = rng.choice(len(part), 100, replace=False)
            ratio, error = answer_length_ratios.pair_ratio(answers[chosen], known[chosen])
            errors.append(abs(ratio / truth - 1))
            covered += abs(ratio - truth) <= answer_length_ratios.Z90 * error
            runs += 1
    assert np.median(errors) <= 0.10
    assert 0.85 <= covered / runs <= 0.97
