"""Real outcomes of many models on the same queries: the replay of one model's log equals the direct calculation."""

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
from replay.strategy.schema import parse

LOGGED = "gpt-4o-2024-08-06"
# list prices of November 2024 in USD per million tokens: input, output
PRICES = {
    LOGGED: (2.5, 10.0),
    "gpt-4o-mini-2024-07-18": (0.15, 0.6),
    "claude-3-haiku-20240307": (0.25, 1.25),
    "claude-3-5-sonnet-20241022": (3.0, 15.0),
}


@pytest.fixture(scope="module")
def outcomes(data: Path) -> pl.DataFrame:
    """One row per query: tokens of the logged model and every model's score."""
    rows = pl.read_parquet(data / "routing_outcomes.parquet").filter(
        (pl.col("source") == "zeroeval") & pl.col("model").is_in(list(PRICES))
    )
    wide = rows.pivot(on="model", index=["task", "query_id"], values="quality", aggregate_function="first")
    own = rows.filter(pl.col("model") == LOGGED).select("task", "query_id", "input_tokens", "output_tokens")
    return own.join(wide.drop_nulls(), on=["task", "query_id"]).sort("task", "query_id")


@pytest.fixture(scope="module")
def store(outcomes: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The log of the one model; the others are known only by their scores."""
    rows = [
        {
            "start_time": datetime(2024, 11, 1) + timedelta(seconds=20 * number),
            "model": LOGGED,
            "agent": "solver",
            "task": row["task"],
            "input_tokens": row["input_tokens"],
            "output_tokens": row["output_tokens"],
        }
        for number, row in enumerate(outcomes.iter_rows(named=True))
    ]
    store = build_in_memory(rows)
    scores = pl.concat(
        outcomes.with_row_index("call_no").select("call_no", pl.lit(name).alias("model"), pl.col(name).alias("score"))
        for name in PRICES
    )
    with store.write() as con:
        con.register("found", scores.to_arrow())
        con.execute("INSERT INTO scores SELECT call_no, model, score, 'outcome' FROM found")
    ledger.update(store)
    return store


ROUTES = {
    "all mini": "  - {default: gpt-4o-mini-2024-07-18}",
    "by task": "  - {match: {task: gsm}, model: gpt-4o-mini-2024-07-18}\n"
    "  - {match: {task: crux}, model: claude-3-5-sonnet-20241022}",
    "by length": "  - {match: {input_tokens: {lt: 150}}, model: claude-3-haiku-20240307}\n"
    "  - {match: {input_tokens: {lt: 220}}, model: gpt-4o-mini-2024-07-18}",
    "half": '  - {when: "input_tokens % 2 = 0", model: claude-3-haiku-20240307}',
    "nobody": '  - {when: "input_tokens < 0", model: claude-3-haiku-20240307}',
}


def chosen_models(name: str, outcomes: pl.DataFrame) -> list[str]:
    """The routing read plainly, row by row."""
    mini, haiku, sonnet = "gpt-4o-mini-2024-07-18", "claude-3-haiku-20240307", "claude-3-5-sonnet-20241022"
    result = []
    for row in outcomes.iter_rows(named=True):
        tokens = row["input_tokens"]
        result.append(
            {
                "all mini": mini,
                "by task": {"gsm": mini, "crux": sonnet}.get(row["task"], LOGGED),
                "by length": haiku if tokens < 150 else mini if tokens < 220 else LOGGED,
                "half": haiku if tokens % 2 == 0 else LOGGED,
                "nobody": LOGGED,
            }[name]
        )
    return result


@pytest.mark.parametrize("ratio", [1.0, 1.25])
@pytest.mark.parametrize("name", list(ROUTES))
def test_cost_and_quality_of_a_routing_equal_the_direct_calculation(
    name: str, ratio: float, outcomes: pl.DataFrame, store: Store
):
    chosen = parse(f"name: {name}\noutput_ratio: {ratio}\nroute:\n{ROUTES[name]}")
    result = run(store, [chosen]).strategies[0]
    models = chosen_models(name, outcomes)
    cost = 0
    for model, row in zip(models, outcomes.iter_rows(named=True), strict=True):
        # dollars per million tokens are a million pico-dollars per token
        read, write = (round(price * 1_000_000) for price in PRICES[model])
        output = row["output_tokens"] if model == LOGGED else round(row["output_tokens"] * ratio)
        cost += row["input_tokens"] * read + output * write
    assert result.cost_pico == cost
    assert len(set(models)) > 1 or name in ("all mini", "nobody")
    scores = outcomes.select(list(PRICES)).to_dict(as_series=False)
    served = float(np.mean([scores[model][i] for i, model in enumerate(models)]))
    logged = float(np.mean(scores[LOGGED]))
    assert result.quality["mean_ratio"] == pytest.approx(served / logged, abs=1e-6)
    assert result.quality["unknown_share"] == 0.0
    for cell in result.quality["cells"]:
        mine = [
            scores[str(cell["model"])][i]
            for i, (model, task) in enumerate(zip(models, outcomes["task"], strict=True))
            if (model, task) == (cell["model"], cell["task"])
        ]
        assert cell["n"] == len(mine)
        assert cell["mean"] == pytest.approx(np.mean(mine), abs=1e-6)


def test_the_verdict_is_right_about_the_truth(outcomes: pl.DataFrame, store: Store):
    """All queries are scored, so the bound may differ from the truth only by its declared caution."""
    for name, route in ROUTES.items():
        scores = outcomes.select(list(PRICES)).to_dict(as_series=False)
        models = chosen_models(name, outcomes)
        truth = sum(scores[m][i] for i, m in enumerate(models)) / sum(scores[LOGGED])
        result = run(store, [parse(f"name: x\nquality: {{floor: 0.9}}\nroute:\n{route}")]).strategies[0]
        if result.quality["verdict"] == "passes":
            assert truth >= 0.9
        assert result.quality["lower_90"] <= truth + 1e-9
        assert result.quality["lower_90"] > truth - 0.03
