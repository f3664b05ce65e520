"""`hindcast calls` finds the calls behind a figure; `hindcast` alone says where you stand and what comes next."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import spiky as made
from builder import build_store
from typer.testing import CliRunner, Result

from analysis.ledger import ledger
from cli.app import app
from ingest.detect.known_locations import find_logs
from ingest.store.database import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return made.make(tmp_path_factory.mktemp("calls") / "spiky.duckdb")


def hindcast(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def document(*arguments: str) -> Any:
    result = hindcast(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_listed_calls_sum_to_the_cost_of_their_segment(store: Store) -> None:
    at = ["--store", str(store.path)]
    found = document("calls", *at, "--agent", "drafting_agent", "--day", "2024-03-06", "--limit", "100000")
    costs = document("cost", *at, "--by", "agent", "--since", "2024-03-06", "--until", "2024-03-06")
    (drafting,) = (row for row in costs["rows"] if row["agent"] == "drafting_agent")
    assert found["total"]["calls"] == len(found["calls"]) == drafting["calls"]
    assert sum(Decimal(call["cost_usd"]) for call in found["calls"]) == Decimal(drafting["cost_usd"])
    assert found["total"]["cost_usd"] == drafting["cost_usd"]


def test_calls_come_dearest_first_or_in_the_asked_order(store: Store) -> None:
    at = ["--store", str(store.path), "--limit", "200"]
    dearest = [Decimal(call["cost_usd"]) for call in document("calls", *at, "--task", "draft")["calls"]]
    assert dearest == sorted(dearest, reverse=True)
    times = [call["start_time"] for call in document("calls", *at, "--order", "time")["calls"]]
    assert times == sorted(times)


def test_calls_without_a_value_can_be_asked_for(store: Store) -> None:
    found = document("calls", "--store", str(store.path), "--session", "(none)")
    assert found["total"]["calls"] == 2
    assert found["total"]["unpriced_calls"] == 2
    assert found["total"]["cost_usd"] is None


def test_a_wrong_dimension_offers_the_right_one(store: Store) -> None:
    result = hindcast("calls", "--store", str(store.path), "--where", "agnt=x")
    assert result.exit_code != 0
    assert "Did you mean 'agent'?" in str(result.exception)


def test_the_messages_of_a_call_are_printed_as_they_stand(store: Store) -> None:
    at = ["--store", str(store.path)]
    number = document("calls", *at, "--agent", made.HOSTILE_AGENT)["calls"][0]["call_no"]
    assert made.HOSTILE_TEXT in hindcast("calls", *at, "--show", str(number)).stdout
    assert document("calls", *at, "--show", str(number))["messages"][0]["role"] == "user"


def test_hindcast_alone_says_what_the_newest_odd_day_cost(store: Store) -> None:
    found = document("--store", str(store.path))
    assert found["day"]["flagged"] is True
    assert found["next"] == "hindcast diagnose"
    shown = hindcast("--store", str(store.path)).stdout
    assert shown.splitlines()[0] == found["day"]["summary"].replace("Fri 8 Mar", "Fri 8 Mar 2024", 1)
    assert "2 of them without a price" in shown


def test_a_store_named_before_a_command_is_that_command_s(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HINDCAST_STORE", "another.duckdb")
    assert document("--store", str(store.path), "cost")["total"]["calls"] == len(made.rows())


def test_without_a_store_it_names_the_logs_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = tmp_path / ".claude" / "projects" / "p" / "s.jsonl"
    session.parent.mkdir(parents=True)
    session.write_text("{}\n")
    (tmp_path / "calls.jsonl").write_text("{}\n{}\n{}\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    found = document("--store", "none.duckdb")
    assert [(place["what"], place["files"]) for place in found["logs"]] == [("this folder", 1), ("Claude Code", 1)]
    assert found["next"] == f"hindcast ingest {tmp_path / 'calls.jsonl'} {session.parents[1]}"


def test_looking_for_logs_opens_none(tmp_path: Path) -> None:
    folder = tmp_path / ".codex" / "sessions"
    folder.mkdir(parents=True)
    (folder / "a.jsonl").write_text("x")
    (folder / "a.jsonl").chmod(0)
    (found,) = find_logs(tmp_path, tmp_path)
    assert (found.tool, found.files) == ("Codex", 1)


def test_an_empty_store_asks_for_logs_and_an_unpriced_one_for_prices(tmp_path: Path) -> None:
    empty, raw = (build_store(tmp_path / name, rows) for name, rows in (("empty", []), ("raw", made.rows()[:3])))
    shown = hindcast("--store", str(empty.path)).stdout
    assert "holds no calls yet" in shown
    assert "Next: hindcast ingest PATH" in shown
    assert "no calls yet" in str(hindcast("calls", "--store", str(empty.path)).exception)
    shown = hindcast("--store", str(raw.path)).stdout
    assert "holds 3 calls without a cost" in shown
    assert "Next: hindcast reprice" in shown
    assert "hindcast reprice" in str(hindcast("calls", "--store", str(raw.path)).exception)


def test_hindcast_alone_counts_what_no_total_holds(store: Store) -> None:
    assert "2 of them without a price and in no total." in hindcast("--store", str(store.path)).stdout


def test_a_row_that_stands_for_several_calls_counts_as_many_and_says_so(tmp_path: Path) -> None:
    rows = [{**row, "weight": 2.5} for row in made.rows()[:4]]
    weighted = build_store(tmp_path / "w.duckdb", rows)
    ledger.update(weighted)
    at = ("calls", "--store", str(weighted.path))
    assert document(*at)["total"]["calls"] == document("cost", "--store", str(weighted.path))["total"]["calls"] == 10
    assert hindcast(*at).stdout.startswith("10 calls, ")
    assert {row["weight"] for row in document(*at)["calls"]} == {"2.5"}
