"""What calls become, in groups that sum to the strategy's result, with what is known of their quality."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from analysis.ledger import ledger
from cli.app import app
from ingest.errors import InputError
from ingest.pipeline.run import ingest
from ingest.store.database import Store
from replay.engine.outcome_groups import grouped


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("groups")
    lines = [
        {"hindcast": 1, "call_id": f"c{n}", "start_time": f"2024-08-11T00:{n:02}:00Z", "provider_name": "openai",
         "request_model": "gpt-4-turbo", "agent": "ab"[n % 2], "task": "t", "input_tokens": 1000 + n,
         "output_tokens": 100, **({"score": 1.0, "scores": {"gpt-3.5-turbo": 0.8}} if n % 4 else {})}
        for n in range(40)
    ]  # fmt: skip
    (place / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    store = Store(place / "s.duckdb")
    ingest(store, [place / "log.jsonl"])
    ledger.update(store)
    (place / "r.yaml").write_text("{name: r, output_ratio: 1.0, route: [{match: {agent: a}, model: gpt-3.5-turbo}]}")
    return place


def replay(folder: Path, *more: str) -> dict[str, object]:
    found = CliRunner().invoke(
        app, ["replay", str(folder / "r.yaml"), "--store", str(folder / "s.duckdb"), "--json", *more]
    )
    assert found.exit_code == 0, found.output
    result: dict[str, object] = json.loads(found.stdout)["strategies"][0]
    return result


def test_groups_sum_to_the_strategys_result(folder: Path) -> None:
    result = replay(folder, "--by", "agent,task,model")
    rows = result["by"]
    assert isinstance(rows, list)
    assert sum(Decimal(row["cost_usd"]) for row in rows) == Decimal(str(result["cost_usd"]))
    moved = {row["agent"]: (row["calls"], row["moved"], row["to"], row["model"]) for row in rows}
    assert moved == {"a": (20, 20, ["gpt-3.5-turbo"], "gpt-4-turbo"), "b": (20, 0, [], "gpt-4-turbo")}
    assert [row["quality_ratio"] for row in rows if row["agent"] == "a"] == [0.8]


def test_every_calls_outcome_is_written_to_a_file(folder: Path) -> None:
    target = folder / "calls.parquet"
    result = replay(folder, "--calls", str(target))
    calls = pl.read_parquet(target)
    assert calls.height == 40
    assert calls["strategy"].unique().to_list() == ["r"]
    assert calls["cost_usd"].sum() == Decimal(str(result["cost_usd"]))
    assert calls.filter(pl.col("logged_model") != pl.col("model"))["quality_evidence"].null_count() == 0


def test_a_dimension_that_a_replay_does_not_have_is_named(folder: Path) -> None:
    with pytest.raises(InputError, match="agnt"):
        grouped(pl.DataFrame({"start_time": []}), ["agnt"])
