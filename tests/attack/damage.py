"""Damaged stores under every command: words and exit 2, or the very figures of the whole store.

`python -m tests.attack.damage --rounds 500` runs the long way and prints counts; `test_damage.py` a few rounds.
A round damages a copy of a small priced store (bits, cuts, zeros, noise, states in which a program may leave it, other
files in its place) and runs some commands on it in this process.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import duckdb

from analysis.ledger.ledger import update
from cli import app
from ingest.pipeline.run import ingest
from ingest.store.database import Store

ROOT = Path(__file__).resolve().parents[2]
STRATEGY = str(ROOT / "sample_logs/strategies/routed_cached.yaml")
READING = (
    "cost --by day --json", "cost --by model,agent", "calls --json", "diagnose --json", "templates --json",
    "duplicates --json", "cache curve --json", "export focus", "batch --json", "prices list --json", "--json",
)  # fmt: skip
LONG = (  # in the long mode only
    f"replay {STRATEGY} --json", "cache doctor --json", "optimize --json", "parallel --json", "compression --json",
    "prices explain gpt-4o", f"backtest {STRATEGY} --split 2024-03-05 --json", "report -o report.html",
    f"verify {STRATEGY} --from 2024-03-05 --json",
)  # fmt: skip
WRITING = (
    "reprice --json",
    f"ingest {ROOT / 'sample_logs/formats/codex.jsonl'} --json",
    "diagnose --day 2024-03-05 --expected",
)
Bytes = bytearray


def _flip(rng: random.Random, data: Bytes) -> Bytes:
    for _ in range(rng.choice((1, 3, 60))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return data


def _flip_head(rng: random.Random, data: Bytes) -> Bytes:
    data[rng.randrange(3 * 4096)] ^= 1 << rng.randrange(8)
    return data


def _cut(rng: random.Random, data: Bytes) -> Bytes:
    return data[: rng.randrange(len(data))]


def _zero(rng: random.Random, data: Bytes) -> Bytes:
    start, size = rng.randrange(len(data)), rng.choice((1, 512, 4096, 262_144))
    return data[:start] + bytes(min(size, len(data) - start)) + data[start + size :]


def _noise(rng: random.Random, data: Bytes) -> Bytes:
    start = rng.randrange(len(data))
    size = min(4096, len(data) - start)
    return data[:start] + rng.randbytes(size) + data[start + size :]


def _swap(rng: random.Random, data: Bytes) -> Bytes:
    """Two blocks in each other's place."""
    one, two = (4096 * rng.randrange(len(data) // 4096) for _ in range(2))
    data[one : one + 4096], data[two : two + 4096] = data[two : two + 4096], data[one : one + 4096]
    return data


BYTES: dict[str, Callable[[random.Random, Bytes], Bytes]] = {
    "bits": _flip, "bits of the head": _flip_head, "cut": _cut, "zeros": _zero, "noise": _noise, "swapped": _swap,
    "empty": lambda _rng, _data: Bytes(), "text": lambda _rng, _data: Bytes(b"not a store\n" * 900),
    "log after it": lambda rng, data: data + rng.randbytes(5000),
}  # fmt: skip
STATES = {
    "published, not priced": "DROP VIEW costs; DROP TABLE ledger; DROP TABLE prices",
    "priced in part": "DELETE FROM ledger WHERE call_no % 3 = 0",
    "no costs view": "DROP VIEW costs",
    "older": "UPDATE meta SET value = '1' WHERE key = 'schema_version'",
    "newer": "UPDATE meta SET value = '99' WHERE key = 'schema_version'",
    "no number": "UPDATE meta SET value = 'two' WHERE key = 'schema_version'",
    "foreign": "DROP TABLE meta",
    "no contents": "DROP TABLE contents",
    "no calls": "DELETE FROM calls; DELETE FROM ledger",
}
RIGHT = "the whole store's figures"


@dataclass
class Outcome:
    """What became of the commands, and what was wrong."""

    became: Counter[str] = field(default_factory=Counter)
    damages: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


class Attack:
    """A small priced store in `folder`, and what each command says of it."""

    def __init__(self, folder: Path, *, commands: tuple[str, ...] = READING) -> None:
        self.folder = folder
        self.commands = commands
        self.store = folder / "whole" / "s.duckdb"
        self.store.parent.mkdir()
        ingest(Store(self.store), [ROOT / "sample_logs/formats"], workers=1)
        update(Store(self.store))
        self.said = {command: _run(command, self.store.parent) for command in commands}

    def round(self, seed: int, outcome: Outcome, *, commands: int = 4) -> None:
        """Damage a copy, run some reading commands and one that writes on it; what is wrong is added to the outcome."""
        rng = random.Random(seed)
        kind = rng.choice((*BYTES, *BYTES, *STATES))
        outcome.damages[kind] += 1
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        try:
            store = folder / "s.duckdb"
            if kind in BYTES:
                data = BYTES[kind](rng, Bytes(self.store.read_bytes()))
                store.write_bytes(data)
            else:
                shutil.copy(self.store, store)
                with duckdb.connect(str(store)) as con:
                    con.execute(STATES[kind])
            for command in (*rng.sample(self.commands, commands), rng.choice(WRITING)):
                code, out, said = _run(command, folder)
                became = self._judge(kind, command, code, out, said)
                outcome.became[became] += 1
                if became.startswith("WRONG"):
                    outcome.wrong.append(f"seed {seed}, {kind}, {command}: {became}, {code}: {said[-300:]}")
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _judge(self, kind: str, command: str, code: int, out: str, said: str) -> str:
        if "Traceback" in said or "Traceback" in out:
            return "WRONG: a traceback"
        if code not in (0, 1, 2):
            return f"WRONG: exit {code}"
        if code == 2:
            return "words, exit 2" if said.strip() else "WRONG: exit 2 without a word"
        if command in WRITING:
            return "written"
        if kind in BYTES and (code, out) != self.said[command][:2]:
            return "WRONG: other figures"
        return RIGHT if kind in BYTES else "an answer about what is there"


def _run(command: str, folder: Path) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of a command on `s.duckdb` of the folder, as `hindcast` runs it."""
    out, said = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
    arguments = ["hindcast", *command.split(), *(["--store", "s.duckdb"])]
    code = 0
    with (
        mock.patch.object(sys, "argv", arguments), contextlib.chdir(folder), contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(said),
    ):  # fmt: skip
        try:
            app.main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        out.flush()
    assert isinstance(out.buffer, io.BytesIO)
    return code, out.buffer.getvalue().decode(), said.getvalue()


def main() -> int:
    """Run rounds and print counts; 1 where something was wrong."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=500)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--long", action="store_true", help="with the commands that take seconds")
    chosen = options.parse_args()
    os.environ["HINDCAST_NOW"] = "2026-11-30"
    outcome = Outcome()
    with tempfile.TemporaryDirectory(prefix="damage-") as folder:
        attack = Attack(Path(folder), commands=READING + LONG if chosen.long else READING)
        for command, (code, out, said) in attack.said.items():
            print(f"{code} {len(out):>7,} {command.replace(str(ROOT), '.')}: {said.strip()[:90]}", flush=True)
        for number in range(chosen.rounds):
            known = len(outcome.wrong)
            attack.round(chosen.seed * 1_000_000 + number, outcome)
            for one in outcome.wrong[known:]:
                print(one, flush=True)
        print(dict(outcome.damages), dict(outcome.became), f"{len(outcome.wrong)} wrong", sep="\n")
    return 1 if outcome.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
