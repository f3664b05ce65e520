"""Kills, second writers, readers and full disks: no committed call is lost, none is half-written."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ingest.errors import StoreBusyError
from ingest.pipeline.run import ingest
from ingest.store.database import Store
from ingest.store.ingest_lock import IngestLock

KILLS = int(os.environ.get("HINDCAST_KILLS", "4"))
CALLS = 4_000
# small tasks and publishes, so that a kill finds the ingest at every stage
PROGRAM = """
import sys
from ingest.pipeline import run as pipeline, task_plan
task_plan.TASK_BYTES = 60_000
pipeline.PUBLISH_SEGMENTS = 1
from ingest.formats import formats
from ingest.store.database import Store
formats()
print("go", flush=True)
pipeline.ingest(Store(sys.argv[1]), sys.argv[2:], workers=1, wait=float("10"))
"""


def _line(number: int) -> str:
    return json.dumps({
        "hindcast": 1, "call_id": None if number % 3 == 0 else f"c{number}",
        "start_time": f"2026-03-02T10:{number // 60 % 60:02}:{number % 60:02}Z", "request_model": "gpt-4o",
        "input_tokens": number, "output_tokens": 1, "score": 0.5,
        "input_messages": [{"role": "user", "content": f"Question {number % 500}"}],
    })  # fmt: skip


def _start(store: Path, *logs: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(store), *map(str, logs)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip


def _check(store: Store) -> int:
    """What must hold at every moment; returns the number of calls."""
    with store.read() as con:
        (calls,) = con.execute("SELECT count(*) FROM calls").fetchall()[0]
        assert con.execute("SELECT count(DISTINCT call_key), count(DISTINCT call_no) FROM calls").fetchall() == [
            (calls, calls)
        ]
        assert con.execute("SELECT coalesce(sum(calls), 0) FROM sources").fetchall() == [(calls,)]
        assert con.execute("SELECT count(*) FROM scores").fetchall() == [(calls,)]
        lost = """SELECT count(*) FROM (SELECT unnest(message_ids) AS id FROM calls) used
                  ANTI JOIN contents c ON c.content_id = used.id"""
        assert con.execute(lost).fetchall() == [(0,)]
        assert con.execute("SELECT count(*) - count(DISTINCT hash) FROM contents").fetchall() == [(0,)]
        assert con.execute(
            "SELECT count(*) FROM calls ANTI JOIN request_keys ON key_id = key_canonical"
        ).fetchall() == [(0,)]
    return int(calls)


@pytest.mark.timeout(600)
def test_a_killed_ingest_loses_nothing_and_goes_on(tmp_path: Path) -> None:
    """HINDCAST_KILLS sets how often; the kill falls at a random moment of an ingest that publishes all the time."""
    log = tmp_path / "log.jsonl"
    log.write_text("".join(_line(n) + "\n" for n in range(CALLS)))
    rng = random.Random(5)
    store = Store(tmp_path / "s.duckdb")
    seen, fresh = 0, 0
    for number in range(KILLS):
        process = _start(store.path, log)
        assert process.stdout is not None
        process.stdout.readline()
        while number % 2 and not store.exists() and process.poll() is None:  # on a busy machine it takes its time
            time.sleep(0.01)
        time.sleep(rng.uniform(0.0, 2.0))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if store.exists():
            calls = _check(store)
            assert calls >= seen
            fresh += calls > seen
            seen = calls
        if seen == CALLS:  # done: begin again, with a new store
            store, seen = Store(tmp_path / f"s{rng.random()}.duckdb"), 0
    report = ingest(store, [log], workers=1)
    assert _check(store) == CALLS
    assert report.rows == report.calls + report.duplicates + report.quarantined + report.skipped
    assert not list(tmp_path.glob(f"{store.path.name}.staging/*"))  # what the killed ones left is cleared away
    assert fresh or KILLS < 3


def test_a_second_ingest_waits_and_then_adds_only_what_is_new(tmp_path: Path) -> None:
    one, two = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    one.write_text("".join(_line(n) + "\n" for n in range(1, 2000)))
    two.write_text("".join(_line(n) + "\n" for n in range(1000, 3000)))
    store = Store(tmp_path / "s.duckdb")
    running = [_start(store.path, one), _start(store.path, two)]
    for process in running:
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
    with_ids = {n for n in range(1, 3000) if n % 3}
    without = sum(1 for n in range(1, 2000) if n % 3 == 0) + sum(1 for n in range(2000, 3000) if n % 3 == 0)
    assert _check(store) == len(with_ids) + without


def test_a_second_ingest_that_may_not_wait_names_the_first(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text(_line(1))
    store = Store(tmp_path / "s.duckdb")
    with IngestLock(store.path), pytest.raises(StoreBusyError, match=f"process {os.getpid()} is ingesting"):
        ingest(store, [log], wait=0)
    assert ingest(store, [log]).calls == 1


def test_a_reader_sees_whole_publishes_while_an_ingest_runs(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text("".join(_line(n) + "\n" for n in range(CALLS)))
    store = Store(tmp_path / "s.duckdb")
    ingest(store, [_small(tmp_path)], workers=1)
    process = _start(store.path, log)
    counts = []
    failures: list[Exception] = []

    def look() -> None:
        while process.poll() is None:
            try:
                counts.append(_check(store))
            except Exception as error:
                failures.append(error)
                return
            time.sleep(0.01)

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    _, said = process.communicate(timeout=120)
    for thread in threads:
        thread.join()
    assert process.returncode == 0, said
    assert not failures
    assert len(counts) > 3
    assert _check(store) == CALLS + 1


def _small(tmp_path: Path) -> Path:
    path = tmp_path / "small.jsonl"
    path.write_text(_line(1_000_001))
    return path


FULL_DISK = """
import resource, signal, sys
from ingest.errors import StoreError
from ingest.pipeline.run import ingest
from ingest.store.database import Store
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
size = int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
try:
    ingest(Store(sys.argv[1]), [sys.argv[2]], workers=1)
except StoreError as error:
    print(error)
    sys.exit(error.exit_code)
"""


@pytest.mark.parametrize("room", [60_000, 400_000])
def test_a_full_disk_is_told_and_the_store_stays_whole(tmp_path: Path, room: int) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text("".join(_line(n) + "\n" for n in range(1, 20_000)))
    store = Store(tmp_path / "s.duckdb")
    ingest(store, [_small(tmp_path)], workers=1)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(store.path), str(log), str(room + store.path.stat().st_size)],
        capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert done.returncode == 2, done.stdout + done.stderr
    assert "disk is full" in done.stdout
    assert len(done.stdout.strip().splitlines()) <= 3
    before = _check(store)
    assert before >= 1
    assert ingest(store, [log], workers=1).calls == 20_000 - before
    assert _check(store) == 20_000
