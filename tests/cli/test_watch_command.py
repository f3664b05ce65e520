"""`hindcast watch` as a process: receives, stores, tells, and ends when it is asked to."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ingest.store.database import Store

EVENT = {
    "resourceLogs": [{"scopeLogs": [{"logRecords": [{
        "timeUnixNano": "1790000000000000000",
        "attributes": [{"key": key, "value": {"stringValue": value}} for key, value in {
            "event.name": "codex.sse_event", "event.kind": "response.completed", "model": "gpt-5",
            "input_token_count": "100", "output_token_count": "10", "conversation.id": "c"}.items()],
    }]}]}]
}  # fmt: skip


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", "cli.app", "watch", *arguments]


def test_what_is_sent_is_in_the_store_after_sigterm(tmp_path: Path) -> None:
    process = subprocess.Popen(
        command("--listen", "127.0.0.1:0", "--store", "s.duckdb", "--every", "0.2", "--no-text"),
        cwd=tmp_path, text=True, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
    )  # fmt: skip
    assert process.stderr is not None
    found = re.search(r"http://127\.0\.0\.1:(\d+)", process.stderr.readline())
    assert found is not None
    connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=30)
    connection.request("POST", "/v1/logs", json.dumps(EVENT), {"content-type": "application/json"})
    assert connection.getresponse().status == 200
    connection.close()
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert errors.splitlines()[-1].startswith("Stopped; everything received is in the store")
    with Store(tmp_path / "s.duckdb").read() as con:
        assert con.execute("SELECT model, cost_usd > 0 FROM costs").fetchall() == [("gpt-5", True)]
    assert list((tmp_path / "s.duckdb.inbox").glob("*.jsonl")) == []  # texts are not kept


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--listen", "300.1.1.1:99999"], "is no address"),
        ([], "there is nothing to watch"),
        (["--test"], "no channel is configured"),
        (["--settings", "none.toml"], "there is no such file"),
    ],
)
def test_what_cannot_be_watched_is_told(tmp_path: Path, arguments: list[str], words: str) -> None:
    began = time.monotonic()
    done = subprocess.run(
        command(*arguments), cwd=tmp_path, text=True, capture_output=True, check=False, timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
    )  # fmt: skip
    assert done.returncode == 2
    assert words in done.stderr
    assert time.monotonic() - began < 60
