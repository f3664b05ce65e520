"""Standard streams that are closed, full or not Unicode, and Ctrl-C at any moment: words, never a traceback."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from builder import build_store

from analysis.ledger.ledger import update
from ingest.store.database import Store

ROOT = Path(__file__).resolve().parents[2]
HINDCAST = [sys.executable, "-m", "cli.entry"]
# a shell starts what it runs in the background with this signal ignored, and that would be inherited
HEARS: dict[str, Any] = (
    {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)} if os.name == "posix" else {}
)
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    found = build_store(
        tmp_path_factory.mktemp("streams") / "s.duckdb",
        [{"input_tokens": 10 * n, "output_tokens": 1, "model": "gpt-4o", "agent": "rédaction·ß"} for n in range(9)],
    )
    update(found)
    return found


def _run(shell: str, store: Store, **environment: str) -> subprocess.CompletedProcess[str]:
    """A shell line in which `hindcast` is the command and `$STORE` the store."""
    return subprocess.run(
        ["sh", "-c", f'hindcast() {{ "{sys.executable}" -m cli.entry "$@"; }}; {shell}'],
        capture_output=True, text=True, timeout=120, env={**ENVIRONMENT, "STORE": str(store.path), **environment},
    )  # fmt: skip


def test_a_closed_output_is_told_before_anything_is_done(store: Store, tmp_path: Path) -> None:
    log = ROOT / "sample_logs/formats/codex.jsonl"
    done = _run(f'hindcast ingest {log} --store "{tmp_path}/new.duckdb" >&-', store)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 2)
    assert "standard output is closed" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("command", ["cost --by agent", "calls --json", "export focus"])
def test_an_output_that_takes_nothing_more_is_told(store: Store, command: str) -> None:
    done = _run(f'hindcast {command} --store "$STORE" >/dev/full', store)
    assert done.returncode == 2, done.stderr
    assert "standard output cannot be written: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_an_output_without_unicode_gets_escapes_and_json_the_same_document(store: Store) -> None:
    ascii_ = {"PYTHONIOENCODING": "ascii"}
    done = _run('hindcast cost --by agent --store "$STORE"', store, **ascii_)
    assert done.returncode == 0, done.stderr
    assert r"r\xe9daction" in done.stdout
    command = 'hindcast cost --by agent --json --store "$STORE"'
    assert json.loads(_run(command, store, **ascii_).stdout) == json.loads(_run(command, store).stdout)


@pytest.mark.parametrize("name", ["", ".", "/", "..", "/tmp"])
def test_a_store_that_names_no_file_is_told(store: Store, name: str) -> None:
    done = _run(f'hindcast cost --store "{name}"', store)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_links_that_lead_nowhere_are_told(store: Store, tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    log = ROOT / "sample_logs/formats/codex.jsonl"
    for shell in (f"hindcast ingest {tmp_path}/a --store {tmp_path}/s", f"hindcast ingest {log} --store {tmp_path}/a"):
        done = _run(shell, store)
        assert done.returncode == 2, done.stderr
        assert "internal error" not in done.stderr
    assert (tmp_path / "a").is_symlink()


def test_ctrl_c_at_any_moment_is_one_line(store: Store) -> None:
    rng = random.Random(11)
    for _ in range(int(os.environ.get("HINDCAST_INTERRUPTS", "6"))):
        process = subprocess.Popen(
            [*HINDCAST, "cost", "--by", "agent", "--store", str(store.path)], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, start_new_session=True, **HEARS,
        )  # fmt: skip
        time.sleep(rng.uniform(0.15, 1.5))  # after the interpreter's own start, which prints what it likes
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
        # Python ends by the signal itself where it fell into compiled code that ran Python; a shell shows 130 for both
        assert (process.returncode, len(said.splitlines())) in {(130, 1), (-signal.SIGINT, 1), (0, 0)}, said
