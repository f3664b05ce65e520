"""Numbers given to commands: what means nothing is refused with the option's name, never met as a defect."""

from __future__ import annotations

from pathlib import Path

import pytest
from builder import build_store
from typer.testing import CliRunner

from analysis.ledger.ledger import update
from cli.app import app
from ingest.errors import InputError

OPTIONS = [
    ("optimize", "--quality-floor"),
    ("backtest --split 2024-03-05", "--quality-floor"),
    ("optimize", "--latency-p95"),
    ("router --strong a --weak b", "--quality"),
    ("cache semantic", "--target"),
    ("cache semantic", "--ttl-hours"),
    ("cache grid", "--memory-usd"),
    ("cache curve", "--sample"),
    ("breakeven none.yaml --tokens-per-second 1", "--usd-per-hour"),
    ("breakeven none.yaml --usd-per-hour 1", "--tokens-per-second"),
    ("breakeven none.yaml --usd-per-hour 1 --tokens-per-second 1", "--fixed"),
    ("shadow --model a", "--budget"),
    ("ingest none.jsonl", "--wait"),
    ("ingest none.jsonl", "--every"),
    ("ingest none.jsonl", "--max-bad-ratio"),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = build_store(tmp_path_factory.mktemp("numbers") / "s.duckdb", [{"input_tokens": 10, "output_tokens": 1}])
    update(built)
    return built.path


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "-1", "1e30"])
@pytest.mark.parametrize(("command", "option"), OPTIONS, ids=[f"{c.split(' -')[0]} {o}" for c, o in OPTIONS])
def test_a_number_that_means_nothing_is_refused_by_name(command: str, option: str, number: str, store: Path) -> None:
    found = CliRunner().invoke(app, [*command.split(), f"{option}={number}", "--store", str(store)])
    assert isinstance(found.exception, InputError), found.output
    assert option in str(found.exception)


@pytest.mark.parametrize(
    "arguments",
    [
        ["cost", "--top=-1"], ["calls", "--show=-1"], ["prices", "unset", "0"], ["reconcile", "x", "--zone-hours=99"],
        ["cache", "doctor", "--limit=0"], ["prices", "explain", "gpt-4o", "--tokens=-1"], ["dashboard", "--port=0"],
        ["ingest", "x", "--workers=0"], ["shadow", "--model", "x", "--budget", "1", "--seed=-1"],
        ["cache", "grid", "--ttl=99999999999999999999d"], ["cache", "grid", f"--entries={10**30}"],
        ["optimize", "--task-floor=draft=nan"], ["optimize", "--max-models=0"], ["cost", f"--top={10**30}x"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_count_out_of_range_is_bad_input(arguments: list[str], store: Path) -> None:
    found = CliRunner().invoke(app, [*arguments, "--store", str(store)])
    assert found.exit_code == 2 or isinstance(found.exception, InputError), (found.output, found.exception)
