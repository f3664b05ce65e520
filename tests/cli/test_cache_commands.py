"""`hindcast cache`: the answer first, one JSON document on request, clear errors."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest
from builder import build_store
from terminal import hindcast
from typer.testing import CliRunner

from analysis.ledger.ledger import update
from cli.app import app, main

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two days of 200 calls over 40 requests, without texts but with keys."""
    path = tmp_path_factory.mktemp("cache") / "s.duckdb"
    rows = [
        {
            "start_time": f"2024-11-{5 + number // 100:02} 10:{number % 60:02}:00",
            "model": "gpt-4o",
            "input_tokens": 2000,
            "output_tokens": 100,
            "key_canonical": number * 7 % 40,
            "key_masked": number * 7 % 20,
            "process_id": f"p{number % 2}",
        }
        for number in range(200)
    ]
    update(build_store(path, rows))
    return str(path)


def run(*words: str) -> str:
    result = CliRunner().invoke(app, list(words), env={"COLUMNS": "120"})
    assert result.exit_code == 0, result.output
    return result.output


def test_the_curve_says_first_what_a_day_of_keeping_answers_is_worth(store):
    lines = run("cache", "curve", "--store", store).splitlines()
    assert lines[0].startswith("A shared cache that keeps answers for 24 h would have served 60.0 % of 200 calls")
    assert any(line.startswith("canonical+mask") for line in lines)


def test_the_curve_in_json_never_falls_and_adds_up(store):
    found = json.loads(run("cache", "curve", "--store", store, "--json"))
    assert found["asked"] == 200
    assert found["cost_usd"] == "1.2"
    for part in ("ttl", "capacity"):
        hits = [point["hits"] for point in found[part]]
        assert hits == sorted(hits)
    assert found["capacity"][-1] == {"entries": 40, "hits": 160, "hit_rate": 0.8, "saved_usd": "0.96"}
    keys = {one["name"]: one for one in found["keys"]}
    assert (keys["canonical"]["hits"], keys["canonical+mask"]["hits"], keys["litellm"]["hits"]) == (160, 180, 0)


def test_a_sampled_curve_says_its_share_and_its_error(store):
    found = json.loads(run("cache", "curve", "--store", store, "--sample", "0.25", "--json"))
    assert found["capacity_sample"] == 0.25
    assert all(point["hit_rate_error"] >= 0 for point in found["capacity"])
    assert found["capacity"][-1]["entries"] == 40
    text = run("cache", "curve", "--store", store, "--sample", "0.25")
    assert "± points" in text
    assert "4 samples of 25.0 % of the keys" in text


@pytest.mark.slow
def test_the_grid_ranks_by_what_is_left_after_paying_for_memory(store):
    words = ["cache", "grid", "--store", store, "--ttl", "1m,24h,never", "--entries", "10,all", "--policy", "lru,sieve"]
    found = json.loads(run(*words, "--json"))
    net = [float(cell["net_usd_per_day"]) for cell in found["cells"]]
    assert net == sorted(net, reverse=True)
    assert len(found["cells"]) == 2 * 3 * (2 + 1)
    assert run(*words).splitlines()[0].startswith("Best after paying for memory: ")


def test_the_doctor_says_so_where_there_is_no_text(store):
    result = CliRunner().invoke(app, ["cache", "doctor", "--store", store])
    assert result.exit_code == 0
    assert "200 calls have no text in the store" in result.output
    assert json.loads(run("cache", "doctor", "--store", store, "--json"))["textless_calls"] == 200


def test_a_semantic_cache_needs_texts(store):
    assert "no message texts" in run("cache", "semantic", "--store", store)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["curve", "--key", "canonicl"], "--key 'canonicl' is not one of canonical, canonical+mask"),
        (
            ["curve", "--temperature", "zer"],
            "--temperature 'zer' is not one of always, zero, pool",
        ),
        (["grid", "--ttl", "5x"], "'5x' is not a time to live\nWrite it as 30s, 5m, 24h, 7d or never."),
        (["grid", "--entries", "0"], "'0' is not a number of entries"),
        (["grid", "--policy", "lfruu"], "--policy 'lfruu' is not one of lru, fifo"),
        (["grid", "--tiers", "three"], "--tiers 'three' is not one of shared, process, two"),
    ],
)
def test_a_mistyped_option_names_the_right_one(store, words, message, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["hindcast", "cache", *words, "--store", store])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    assert message in capsys.readouterr().err


def test_weighted_rows_are_refused_with_the_reason(tmp_path: Path, capsys, monkeypatch):
    rows = [{"start_time": "2024-11-05 10:00:00", "input_tokens": 1, "output_tokens": 1, "weight": 600}]
    update(build_store(tmp_path / "s.duckdb", rows))
    monkeypatch.setattr("sys.argv", ["hindcast", "cache", "curve", "--store", str(tmp_path / "s.duckdb")])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    assert "1 rows of this log are sampled or aggregated" in capsys.readouterr().err


def test_context_divides_the_input_cost(tmp_path: Path) -> None:
    log = ROOT / "sample_logs" / "formats" / "claude_code.jsonl"
    assert hindcast(tmp_path, "ingest", str(log)).returncode == 0
    found = hindcast(tmp_path, "context", "--by", "agent")
    assert found.returncode == 0, found.stderr
    assert found.stdout.startswith("The input of ")
    told = json.loads(hindcast(tmp_path, "context", "--no-replays", "--json").stdout)
    assert sum(Decimal(one["cost_usd"]) for one in told["sources"]) == Decimal(told["input_cost_usd"]) > 0
    wrong = hindcast(tmp_path, "context", "--by", "agnet")
    assert wrong.returncode == 2
    assert "agent" in wrong.stderr
