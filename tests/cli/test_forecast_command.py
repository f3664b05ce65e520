"""`hindcast forecast`: one number on the command, in Python and on the Overview; mistakes are answered."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from builder import build_store
from terminal import hindcast

from analysis.formatting import money
from analysis.gates.budgets import budget_gates
from analysis.gates.settings import Budget, Settings
from analysis.ledger.ledger import update
from cli.python_api.bill_forecast import forecast

START = datetime(2024, 9, 2)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five weeks: every hour of every day two calls of two users, one of which may run at night."""
    path = tmp_path_factory.mktemp("forecast") / "s.duckdb"
    made = build_store(
        path,
        [
            {
                "start_time": START + timedelta(hours=hour), "agent": user, "user_id": user, "task": "chat",
                "input_tokens": 30_000 if user == "ann" else 3_000, "output_tokens": 100, "request_id": f"{user}{hour}",
            }
            for hour in range(35 * 24)
            for user in ("ann", "bob")
        ],
    )  # fmt: skip
    update(made)
    return path


def test_the_command_the_api_and_the_outlook_say_the_same(store: Path) -> None:
    from analysis.forecast.month_outlook import outlook
    from analysis.reports.cost import cost
    from dashboard.documents import document_views
    from ingest.store.database import Store

    document = json.loads(hindcast(store.parent, "forecast", "--store", str(store), "--json").stdout)
    found = forecast(store)
    month = found.to_frame().row(0, named=True)
    held = Store(store)
    ahead = outlook(
        document_views.day_costs(cost(held, by=("day",)).to_json()), document_views.coverage(held).whole_days
    )
    assert ahead is not None
    budget = Budget(Decimal(1_000_000), "usd", "month", "forecast")
    gate = budget_gates(held, Settings(budgets=(budget,)), datetime(2024, 10, 6, 23, 59, tzinfo=UTC))[0]
    assert f"{money(ahead.expected)} in all" in gate.sentence
    assert document["periods"][0]["expected_usd"] == ahead.to_json()["expected_usd"]
    assert (month["expected_usd"], month["low_usd"], month["high_usd"]) == (ahead.expected, ahead.low, ahead.high)
    assert found.summary == document["summary"]
    day = 1.0
    for factor in document["factors"]:
        day *= factor["now"] if factor["name"] != "usd_per_million_tokens" else factor["now"] / 1e6
    assert float(document["daily"][0]["expected_usd"]) == pytest.approx(day, rel=0.02)


def test_a_scenario_with_everything(store: Path, tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(
        """growth: none
prices: [{model: "gpt-4-turbo*", from: 2024-01-01, change: -50%}]
models: [{model: gpt-3.5-turbo}]
throughput: [{name: ptu, input_tokens_per_minute: 40000, usd_per_unit_hour: 0.1}]
seats: [{name: seat, by: user_id, usd_per_month: 50, usd_per_window: 1}]
"""
    )
    document = json.loads(
        hindcast(store.parent, "forecast", "--scenario", str(file), "--store", str(store), "--json").stdout
    )
    half, whole = document["periods"][1], document["unchanged"][1]
    assert float(half["expected_usd"]) == pytest.approx(float(whole["expected_usd"]) / 2, rel=0.02)
    units, seats = document["commitments"]
    assert units["amount"] >= 1
    assert units["held_out_regret"] == pytest.approx(0, abs=0.001)  # every day is the same
    assert seats["amount"] == 1  # ann's calls cost more than a seat, bob's do not
    saved = float(seats["api_usd_per_month"]) - float(seats["usd_per_month"])
    assert saved == pytest.approx(float(seats["saved_usd_per_month"]), abs=0.02)
    assert {row["workload"] for row in document["moves"]} == {"ann / chat", "bob / chat"}


def test_mistakes_name_the_line_and_the_right_form(store: Path, tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text("growth: fast\n")
    failed = hindcast(store.parent, "forecast", "--scenario", str(file), "--store", str(store))
    assert failed.returncode == 2
    assert "s.yaml:1" in failed.stderr
    assert "5%/month" in failed.stderr
    failed = hindcast(store.parent, "forecast", "--growth", "5", "--store", str(store))
    assert failed.returncode == 2
    assert "5%/month" in failed.stderr
