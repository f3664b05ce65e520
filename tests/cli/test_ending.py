"""How a command ends: interrupted it says so and exits 130; a reader that goes away is no failure."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from builder import build_store

from analysis.ledger.ledger import update

# a shell starts what it runs in the background with this signal ignored, and that would be inherited
HEARS: dict[str, Any] = (
    {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)} if os.name == "posix" else {}
)
ROOT = Path(__file__).resolve().parents[2]
HINDCAST = [sys.executable, "-m", "cli.app"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [{"conversation_id": f"session-{i:06}", "input_tokens": 10, "output_tokens": 1} for i in range(20_000)]
    built = build_store(tmp_path_factory.mktemp("ending") / "s.duckdb", rows)
    update(built)
    return built.path


def interrupted(running: subprocess.Popen[str]) -> tuple[str, str]:
    """What a command still says after Ctrl-C; it does not outlive the test.

    A signal that comes while a library is being loaded can be lost in there: whoever waits presses again.
    """
    try:
        for _ in range(5):
            running.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                return running.communicate(timeout=8)
        raise AssertionError("it goes on")
    finally:
        running.kill()


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_an_interrupted_ingest_says_so_and_exits_130(tmp_path: Path) -> None:
    line = json.dumps({"hindcast": 1, "start_time": "2024-03-05T09:00:00Z", "request_model": "gpt-4o"})
    (tmp_path / "many.jsonl").write_text(f"{line}\n" * 200_000)
    running = subprocess.Popen(
        [*HINDCAST, "ingest", str(tmp_path / "many.jsonl"), "--store", str(tmp_path / "s.duckdb")],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **HEARS,
    )  # fmt: skip
    deadline = time.monotonic() + 20
    while not (tmp_path / "s.duckdb.ingest.lock").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    out, err = interrupted(running)
    assert (running.returncode, out) == (130, "")
    assert err == "hindcast: interrupted; the store is sound. Run the same command again to go on.\n"


@pytest.mark.parametrize("form", [["--by", "session", "--top", "0"], ["--by", "session", "--json"], ["--help"]])
def test_a_reader_that_goes_away_is_no_failure(store: Path, form: list[str]) -> None:
    running = subprocess.Popen(
        [*HINDCAST, "cost", "--store", str(store), *form],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert running.stdout is not None
    assert running.stderr is not None
    if form == ["--help"]:
        running.stdout.close()  # before anything is written
    else:
        assert running.stdout.readline()
        running.stdout.close()
    assert (running.wait(30), running.stderr.read()) == (0, b"")
    running.stderr.close()


def test_an_interrupted_query_is_an_interruption_and_no_defect() -> None:
    """What DuckDB makes of a Ctrl-C that reaches it during a query."""
    script = """
import sys, threading, duckdb, typer
from cli import app
@app.app.command()
def slow() -> None:
    con = duckdb.connect()
    threading.Timer(0.5, con.interrupt).start()
    con.execute("SELECT sum(range % 7) FROM range(1000000000000)").fetchall()
sys.argv = ["hindcast", "slow"]
app.main()
"""
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 130
    assert "interrupted; the store is sound" in ended.stderr
    assert "defect" not in ended.stderr
