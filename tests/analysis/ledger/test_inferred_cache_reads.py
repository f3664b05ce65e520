"""Real bills: the tau2 runs' logged cost against the ledger, and the cache reads that it gives away."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from analysis.ledger.inferred_cache_reads import HiddenReads, study
from analysis.ledger.ledger import update
from analysis.pricing.overrides import parse_override
from analysis.pricing.stored_overrides import store_overrides
from analysis.reports.cost import cost
from ingest.pipeline.run import ingest
from ingest.store.database import Store

ROOT = Path(__file__).resolve().parents[3]
AZURE = "azure/gpt-4o-2024-11-20"
QWEN = "ollama_chat/qwen2.5:7b"


@pytest.fixture(scope="module")
def store(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    built = Store(tmp_path_factory.mktemp("tau2") / "s.duckdb")
    mapping = ROOT / "sample_logs" / "mappings" / "tau2.yaml"
    ingest(built, [data / "tau2_dev_calls.jsonl.zst"], mapping=mapping, text=False)
    update(built)
    return built


def groups(store: Store) -> dict[str, HiddenReads]:
    with store.read() as con:
        return {found.model: found for found in study(con)}


def test_every_claude_row_equals_its_logged_cost(store: Store) -> None:
    with store.read() as con:
        rows = con.execute("SELECT abs(cost_usd - logged_cost_usd) FROM costs WHERE model LIKE 'claude%'").fetchall()
    assert len(rows) == 424
    assert max(difference for (difference,) in rows) <= Decimal("1e-9")


def test_every_openai_row_lies_on_the_128_grid(store: Store) -> None:
    found = groups(store)
    openai = {model: group for model, group in found.items() if not model.startswith("azure")}
    assert {model: group.calls for model, group in openai.items()} == {
        "gpt-4.1": 1003, "gpt-4.1-2025-04-14": 506, "gpt-5.4": 475, "o3": 137,
    }  # fmt: skip
    assert all(group.on_grid == group.calls and group.accepted for group in openai.values())
    with store.read() as con:
        bad = con.execute(
            "SELECT count(*) FROM inferred_cache_reads WHERE cache_read_input_tokens % 128 <> 0"
        ).fetchall()
    assert bad == [(0,)]


def test_list_prices_overstate_the_openai_runs_and_the_factor_is_shown(store: Store) -> None:
    factors = {model: round(group.factor or Decimal(0), 2) for model, group in groups(store).items()}
    assert factors["gpt-4.1"] == Decimal("1.78")
    assert factors["gpt-5.4"] == Decimal("2.99")
    assert factors["o3"] == Decimal("1.98")
    runs = {row["workflow"]: row for row in cost(store, by=("workflow",)).rows}
    shown = runs["gpt-4.1_airline"]
    assert shown["effective_usd"] == shown["logged_cost_usd"] < shown["cost_usd"]


def test_nothing_of_azure_is_fitted_away_before_its_regional_price_is_set(store: Store) -> None:
    azure = groups(store)[AZURE]
    assert (azure.calls, azure.on_grid, azure.accepted) == (741, 0, False)
    with store.read() as con:
        inferred = con.execute(
            "SELECT count(*) FROM inferred_cache_reads JOIN calls USING (call_no) WHERE model = ?", [AZURE]
        ).fetchall()
    assert inferred == [(0,)]


def test_qwen_is_unpriced_until_a_price_is_set_though_the_log_says_zero(store: Store) -> None:
    report = cost(store, by=("model",))
    qwen = next(row for row in report.rows if row["model"] == QWEN)
    assert (qwen["calls"], qwen["cost_usd"], qwen["logged_cost_usd"]) == (732, None, Decimal(0))
    assert report.total["unpriced_calls"] == 732
    assert report.unpriced[0]["model"] == QWEN


def test_the_prices_of_another_day_leave_the_ledger_alone(store: Store) -> None:
    then = cost(store, by=("model",))
    later = cost(store, by=("model",), prices_of=date(2025, 5, 1))
    o3 = {report.prices_of: next(row for row in report.rows if row["model"] == "o3") for report in (then, later)}
    assert o3[date(2025, 5, 1)]["cost_usd"] == 5 * o3[None]["cost_usd"]
    assert cost(store, by=("model",)).total == then.total


def test_all_741_azure_rows_lie_on_the_grid_once_the_regional_price_is_set(store: Store) -> None:
    with store.write() as con:
        prices = {"input": "2.75", "cache_read": "1.25", "output": "11"}
        store_overrides(
            con,
            [
                parse_override(match={"model": "azure/gpt-4o*"}, note="regional", **prices),
                parse_override(match={"model": "ollama_chat/*"}, zero=True),
            ],
            replace_all=True,
        )
    update(store, rebuild=True)
    azure = groups(store)[AZURE]
    assert (azure.on_grid, azure.accepted) == (741, True)
    total = cost(store).total
    assert total["unpriced_calls"] == 0
    assert total["effective_usd"] == total["logged_cost_usd"]
    with store.read() as con:
        off = con.execute(
            "SELECT count(*) FROM inferred_cache_reads JOIN calls USING (call_no) "
            "WHERE abs(effective_usd - logged_cost_usd) > 1e-9"
        ).fetchall()
    assert off == [(0,)]
