"""Capture and the disk: what was recorded is in the files, whatever ends or is in the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import openai
import pytest
from sdk_providers import MESSAGES, OpenAi, served

from ingest.capture import Log, context, record
from ingest.pipeline.run import ingest
from ingest.store.database import Store


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served(OpenAi) as address:
        yield f"{address}/v1"


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "calls.jsonl")


def client(url: str) -> openai.OpenAI:
    return openai.OpenAI(api_key="none", base_url=url, max_retries=0)


def lines(log: Log) -> list[dict[str, Any]]:
    assert log.flush()
    return [json.loads(line) for line in log.path.read_text().splitlines()]


def test_nothing_that_goes_wrong_in_the_log_reaches_the_caller(url: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    log = Log(tmp_path / "file" / "calls.jsonl")
    recorded = record(client(url), log)
    with context(agent=object()):
        answer = recorded.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    assert answer.usage is not None
    log.flush()
    assert log.lost == 1


def test_full_files_are_put_aside_and_no_line_is_torn(url: str, tmp_path: Path) -> None:
    log = Log(tmp_path / "calls.jsonl", rotate_bytes=2_000)
    recorded = record(client(url), log)
    for _ in range(12):
        recorded.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    log.flush()
    files = sorted(tmp_path.glob("calls*.jsonl"))
    assert len(files) > 2
    assert sum(len(path.read_text().splitlines()) for path in files) == 12
    assert all(path.stat().st_size <= 2_000 for path in files)
    assert ingest(Store(tmp_path / "s.duckdb"), files, workers=1).calls == 12


CRASH = """
import os, sys
import openai
from ingest.capture import record
client = record(openai.OpenAI(api_key="none", base_url=sys.argv[1], max_retries=0), sys.argv[2])
for number in range(10_000):
    client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": f"call {number}"}])
    print(number, flush=True)
"""


def test_a_killed_program_leaves_whole_lines(url: str, tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    process = subprocess.Popen([sys.executable, "-c", CRASH, url, str(path)], stdout=subprocess.PIPE, env=environment)
    assert process.stdout is not None
    while int(process.stdout.readline()) < 30:
        pass
    process.send_signal(signal.SIGKILL)
    process.communicate()
    report = ingest(Store(tmp_path / "s.duckdb"), [path], workers=1)
    assert report.calls >= 29  # all but the very last
    assert report.quarantined == 0


def test_a_path_that_cannot_be_written_is_told_once(url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    log = Log(tmp_path / "file" / "calls.jsonl")
    recorded = record(client(url), log)
    for _ in range(3):
        recorded.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    log.flush()
    (told,) = [entry for entry in caplog.records if entry.name == "hindcast.capture"]
    assert "calls.jsonl: calls are not logged" in told.getMessage()
    assert log.lost == 3
    (tmp_path / "file").unlink()
    recorded.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    assert len(lines(log)) == 1


END = """
import multiprocessing, sys
import openai
from ingest.capture import record
client = record(openai.OpenAI(api_key="none", base_url=sys.argv[1], max_retries=0), sys.argv[2])
def call(model):
    messages = [{"role": "user", "content": "hi"}]
    return client.chat.completions.create(model=model, messages=messages, stream=model == "slow")
if __name__ == "__main__":
    call("gpt-4o")
    child = multiprocessing.get_context("fork").Process(target=call, args=("gpt-4o",))
    child.start()
    child.join()
    stream = call("slow")
    next(iter(stream))
"""


def test_the_end_of_a_process_loses_nothing_neither_a_child_s_calls_nor_an_open_stream(
    url: str, tmp_path: Path
) -> None:
    path, program = tmp_path / "calls.jsonl", tmp_path / "program.py"
    program.write_text(END)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    subprocess.run([sys.executable, str(program), url, str(path)], check=True, env=environment, timeout=60)
    found = [json.loads(line) for line in path.read_text().splitlines()]
    assert sorted((line["request_model"], line["status"]) for line in found) == [
        ("gpt-4o", "ok"), ("gpt-4o", "ok"), ("slow", "cancelled")
    ]  # fmt: skip
    assert len({line["process_id"] for line in found}) == 2


class Held(NamedTuple):
    """What a line is made of, as large as a call."""

    sent: bytes
    got: list[bytes]


def test_what_waits_to_be_written_is_bounded_and_nothing_is_lost_where_the_disk_goes_on(tmp_path: Path) -> None:
    log = Log(tmp_path / "calls.jsonl", most_waiting=20_000)
    made: list[int] = []

    def line(held: Held, number: int) -> dict[str, Any]:
        made.append(number)
        return {"call_id": number}

    for number in range(500):
        log.put(line, Held(b"x" * 4_000, [b"y" * 1_000]), number)
        assert number - len(made) <= 4  # of 6 KB each
    log.close()
    assert made == list(range(500))
    assert log.lost == 0
    assert len((tmp_path / "calls.jsonl").read_text().splitlines()) == 500


def test_calls_that_no_disk_takes_are_counted_and_hold_their_callers_up_once(tmp_path: Path) -> None:
    log = Log(tmp_path / "calls.jsonl", most_waiting=20_000)
    goes_on = threading.Event()

    def line(held: Held) -> dict[str, Any]:
        goes_on.wait()
        return {"call_id": 1}

    for _ in range(50):
        log.put(line, Held(b"x" * 4_000, []))
    lost = log.lost
    goes_on.set()
    log.close()
    assert 40 <= lost < 50
    assert len((tmp_path / "calls.jsonl").read_text().splitlines()) == 50 - lost
