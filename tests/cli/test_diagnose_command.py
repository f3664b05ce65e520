"""`hindcast diagnose` shows what stands out beside the total, and takes back what was said of a day."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from builder import build_store
from typer.testing import CliRunner

from analysis.ledger.ledger import update
from cli.app import app


@pytest.fixture
def store(tmp_path):
    rows = [
        {
            "start_time": datetime(2024, 9, 2) + timedelta(days=day, minutes=30 * i), "agent": agent, "task": "draft",
            "model": "gpt-4-turbo", "input_tokens": 20_000, "output_tokens": 500, "request_id": f"{agent}{day}-{i}",
        }
        for day in range(20)
        for agent, count in (("writer", 12), *((("scout", 30),) if day == 19 else ()))
        for i in range(count)
    ]  # fmt: skip
    made = build_store(tmp_path / "s.duckdb", rows)
    update(made)
    return str(tmp_path / "s.duckdb")


def run(*arguments: str):
    return CliRunner().invoke(app, ["diagnose", *arguments])


def test_alerts_stand_under_the_causes(store):
    shown = run("--store", store, "--day", "2024-09-21")
    assert shown.exit_code == 0
    assert "Also stands out:" in shown.output
    assert "new agent scout: $" in shown.output


def test_a_mark_can_be_taken_back(store):
    assert "is marked as planned" in run("--store", store, "--day", "2024-09-21", "--mark", "planned").output
    assert '"verdict": "planned"' in run("--store", store, "--day", "2024-09-21", "--json").output
    assert "no longer marked" in run("--store", store, "--day", "2024-09-21", "--unmark").output
    assert '"feedback": null' in run("--store", store, "--day", "2024-09-21", "--json").output


def test_unmarking_needs_a_day_and_no_mark_beside_it(store):
    assert "--unmark needs a day" in str(run("--store", store, "--unmark").exception)
    both = run("--store", store, "--day", "2024-09-21", "--unmark", "--mark", "wrong")
    assert "contradict" in str(both.exception)
