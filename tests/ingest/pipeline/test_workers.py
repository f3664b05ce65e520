"""Parsers live no longer than the ingest that started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from ingest.pipeline import workers

ROOT = Path(__file__).resolve().parents[3]
# two parsers that would take an hour, and the process ids of both
PROGRAM = """
import signal
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which a process started by nohup ignores
import os, time
from ingest.pipeline import workers
with workers.pool(2) as pool:
    with workers.starting():
        ids = [pool.submit(os.getpid) for _ in range(20)]
        slow = [pool.submit(time.sleep, 3600) for _ in range(2)]
    print(*{one.result() for one in ids}, flush=True)
    time.sleep(3600)
"""


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return True


def _end_of(processes: list[int], patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while any(map(_alive, processes)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(map(_alive, processes))


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGHUP"])
def test_parsers_end_with_a_process_that_is_killed(name: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.stdout is not None
    parsers = [int(one) for one in process.stdout.readline().split()]
    assert parsers
    process.send_signal(signal.Signals[name])
    process.wait()
    assert _end_of(parsers, 5.0)


def test_ctrl_c_breaks_off_what_parsers_do_and_only_the_first_process_speaks() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    parsers = [int(one) for one in process.stdout.readline().split()]
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert said.count("Traceback") == 1  # that of the program above
    assert said.rstrip().endswith("KeyboardInterrupt")
    assert not any(map(_alive, parsers))


def test_leaving_by_an_exception_waits_until_no_parser_is_left() -> None:
    found: list[int] = []
    with pytest.raises(RuntimeError, match="enough"), workers.pool(2) as pool:
        with workers.starting():
            found.append(pool.submit(os.getpid).result())
            pool.submit(time.sleep, 3600)
        raise RuntimeError("enough")
    assert not any(map(_alive, found))


def test_what_was_submitted_is_done_on_leaving() -> None:
    with workers.pool(2) as pool, workers.starting():
        futures = [pool.submit(abs, -number) for number in range(50)]
    assert [one.result() for one in futures] == list(range(50))
