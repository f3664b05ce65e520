"""Kills of everything that writes, at random moments, each followed by another ingest into the same store.

`python -m tests.attack.kills --rounds 200 --seed 1` runs the long way and prints what it did; `test_kills.py` a few
rounds. A round kills one writer (an ingest into a file or a lake, a following one, a pricing, a price of one's own, a
mark, a merging of a lake's parts, a capture), alone or with its group, by TERM, HUP, INT or KILL; then other logs are
read, in any privacy mode, and the first ones to their end.

What must hold after it: the calls of every source are the very calls of its file, compared with a clean run's; no
process of the killed command is left after 5 s; nothing staged is left; and where no step was to keep texts, no byte of
any file beside the store holds one.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from analysis.ledger.ledger import update
from cli.python_api.log_ingest import read_logs
from ingest.pipeline import run, task_plan, workers
from ingest.store.address import open_store
from ingest.store.database import Store

ROOT = Path(__file__).resolve().parents[2]
MARK = "HINDCAST_ATTACK"  # in the environment of all that a round starts
SECRETS = {"a": "ZEBRAONE", "b": "ZEBRATWO"}
SIGNALS = ("SIGTERM", "SIGHUP", "SIGINT", "SIGKILL")
MODES: dict[str, list[str]] = {"text": [], "hashes": ["--no-text"], "nothing": ["--metadata-only"]}
WRITERS = (
    "ingest", "ingest", "ingest", "follow", "reprice", "prices", "mark", "capture", "lake ingest", "lake ingest",
    "lake compact", "lake reprice",
)  # fmt: skip
KEPT = ("reprice", "prices", "mark")  # writers that begin with a whole store
ORPHANS_END_S = 5.0
CALLS = {"a": 9_000, "b": 4_000}
SMALL = 1, 400_000, 3  # PARALLEL_BYTES, TASK_BYTES, PUBLISH_SEGMENTS: many steps for a log of some megabytes
COMMAND = f"""
import os, signal
signal.signal(signal.SIGINT, lambda *_: os._exit(130))  # until the command itself listens
from ingest.pipeline import run, task_plan, workers
workers.PARALLEL_BYTES, task_plan.TASK_BYTES, run.PUBLISH_SEGMENTS = {SMALL}
from cli.entry import main
main()
"""
CAPTURE = """
import itertools, sys, time
from ingest.capture import Log
log = Log(sys.argv[1])
print("go", flush=True)
for number in itertools.count():
    log.put(lambda n: {"hindcast": 1, "call_id": f"captured{n}", "start_time": "2026-03-02T10:00:00Z",
                       "request_model": "gpt-4o", "input_tokens": n, "output_tokens": 1}, number)
    time.sleep(0.0002)
"""
CALLS_OF = """
    SELECT c.source_row, c.model, c.agent, c.input_tokens, c.output_tokens, c.start_time, c.status, c.score,
           t.texts
      FROM calls c JOIN sources s USING (source_id)
      LEFT JOIN (SELECT call_no, list(coalesce(text, '(none)') ORDER BY place) AS texts
                   FROM (SELECT call_no, unnest(message_ids) AS content_id, generate_subscripts(message_ids, 1) AS place
                           FROM calls)
                   LEFT JOIN contents USING (content_id) GROUP BY call_no) t USING (call_no)
     WHERE s.path LIKE $path ORDER BY c.source_row, c.call_key
"""


@dataclass
class Outcome:
    """What rounds did and what was wrong."""

    did: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


class Attack:
    """The logs and the clean stores that rounds are compared with, in `folder`."""

    def __init__(self, folder: Path, *, scale: float = 1.0) -> None:
        self.folder = folder
        self.logs = {}
        self.clean: dict[tuple[str, str], list[tuple[Any, ...]]] = {}
        for name, count in CALLS.items():
            self.logs[name] = folder / f"{name}.jsonl"
            _write_log(self.logs[name], name, int(count * scale))
        begun = time.monotonic()
        for mode in MODES:
            store = folder / f"clean-{mode}.duckdb"
            for name, log in self.logs.items():
                _read(log, store, mode)
                self.clean[name, mode] = _calls(store, log)
        self.usual_s = (time.monotonic() - begun) / len(MODES) / len(CALLS)
        self.cost = _cost(folder / "clean-text.duckdb")

    def _start(self, *arguments: str, code: str = COMMAND, mark: str = "-") -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-c", code, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            cwd=self.folder, env={**os.environ, "PYTHONPATH": str(ROOT), MARK: mark}, start_new_session=True,
        )  # fmt: skip

    def round(self, seed: int, outcome: Outcome) -> None:
        """One round; what is wrong is added to the outcome with the seed."""
        rng = random.Random(seed)
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        try:
            writer, name = rng.choice(WRITERS), rng.choice(SIGNALS)
            modes = [rng.choice(list(MODES)) for _ in range(2)]
            outcome.did.update([writer, name, f"first {modes[0]}", f"then {modes[1]}"])
            wrong = (
                self._capture(rng, folder, name)
                if writer == "capture"
                else self._lake(rng, folder, writer.removeprefix("lake "), name, outcome)
                if writer.startswith("lake")
                else self._store(rng, folder, writer, name, modes, outcome)
            )
            outcome.did["rounds"] += 1
            outcome.wrong += [f"seed {seed} ({writer}, {name}, {modes}): {one}" for one in wrong]
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _store(
        self, rng: random.Random, folder: Path, writer: str, name: str, modes: list[str], outcome: Outcome
    ) -> list[str]:
        store = folder / "s.duckdb"
        first, second = rng.sample(sorted(self.logs), 2)
        if writer in KEPT:
            shutil.copy(self.folder / f"clean-{modes[0]}.duckdb", store)
        command = {
            "ingest": ["ingest", str(self.logs[first]), *MODES[modes[0]]],
            "follow": ["ingest", "--follow", "--every", "0.1", str(self.logs[first]), *MODES[modes[0]]],
            "reprice": ["reprice"],
            "mark": ["mark", "2026-03-02T10:00", "a change"],
            "prices": ["prices", "set", "no-such-model", "--input", "1", "--output", "2"],
        }[writer]
        wrong: list[str] = []
        for _ in range(rng.choice((1, 1, 2))):
            wrong += self._kill(rng, [*command, "--store", str(store)], store, name, outcome)
        if "text" not in modes:
            wrong += _secrets(folder)
        for log, mode in ((second, modes[1]), (first, modes[0])):
            _read(self.logs[log], store, mode)
            if log == second:  # of the killed ingest's file what is in is right, however little
                part, whole = _calls(store, self.logs[first]), self.clean[first, modes[0]]
                if Counter(map(repr, part)) - Counter(map(repr, whole)):
                    wrong.append(f"{first} has calls that are not of its file")
                outcome.did["kills that left calls"] += bool(part)
        for log, mode in ((second, modes[1]), (first, modes[0])):
            if writer in KEPT:
                mode = modes[0]  # as it was in the store before
            if _calls(store, self.logs[log]) != self.clean[log, mode]:
                wrong.append(f"{log} has not the calls of its file")
        if _cost(store) != self.cost:
            wrong.append(f"the cost is {_cost(store)}, not {self.cost}")
        if "text" not in modes:
            wrong += _secrets(folder)
        left = [path.name for path in folder.glob("*.staging")] + [path.name for path in folder.glob("*.new*")]
        if left:
            wrong.append(f"left behind: {left}")
        return wrong

    def _lake(self, rng: random.Random, folder: Path, writer: str, name: str, outcome: Outcome) -> list[str]:
        """As `_store`, with a lake of texts: what a killed command leaves is none of the lake's."""
        store = folder / "lake"
        first, second = rng.sample(sorted(self.logs), 2)
        address = f"{store}/"
        if writer != "ingest":
            for log in sorted(self.logs):
                _read_into_lake(self.logs[log], address)
        command = {
            "ingest": ["ingest", str(self.logs[first])], "compact": ["store", "compact"], "reprice": ["reprice"],
        }[writer]  # fmt: skip
        wrong: list[str] = []
        for _ in range(rng.choice((1, 2))):
            wrong += self._kill(rng, [*command, "--store", address], folder / "none", name, outcome)
        for log in (second, first):
            _read_into_lake(self.logs[log], address)
        for log in (second, first):
            if _calls(address, self.logs[log]) != self.clean[log, "text"]:
                wrong.append(f"{log} has not the calls of its file")
        if _cost(address) != self.cost:
            wrong.append(f"the cost is {_cost(address)}, not {self.cost}")
        return wrong

    def _kill(
        self, rng: random.Random, command: list[str], store: Path, name: str, outcome: Outcome, *, code: str = COMMAND
    ) -> list[str]:
        mark = f"{rng.getrandbits(64):x}"
        process = self._start(*command, code=code, mark=mark)
        most_s = self.usual_s + 1
        if command[0] == "ingest" and rng.random() < 0.8:  # not before it has begun
            most_s = 0.4 * self.usual_s
            staging = store.with_name(f"{store.name}.staging")
            while process.poll() is None and not staging.exists():
                time.sleep(0.005)
        time.sleep(rng.uniform(0, most_s))
        group = rng.random() < 0.5
        outcome.did[f"kills of {'the group' if group else 'the process alone'}"] += process.poll() is None
        outcome.did["kills"] += process.poll() is None
        if process.poll() is None:
            number = signal.Signals[name]
            os.killpg(process.pid, number) if group else process.send_signal(number)
        try:
            said = process.communicate(timeout=60)[1].decode(errors="replace")
        except subprocess.TimeoutExpired:
            process.kill()
            return [f"it did not end within 60 s of {name}"]
        wrong = [f"a traceback: {said[-800:]}"] if "Traceback" in said else []
        deadline = time.monotonic() + ORPHANS_END_S
        while (left := _marked(mark)) and time.monotonic() < deadline:
            time.sleep(0.05)
        if left:
            wrong.append(f"{len(left)} processes are left after {ORPHANS_END_S:g} s")
            for orphan in left:
                os.kill(orphan, signal.SIGKILL)
        return wrong

    def _capture(self, rng: random.Random, folder: Path, name: str) -> list[str]:
        log = folder / "calls.jsonl"
        outcome = Outcome()
        self._kill(rng, [str(log)], folder / "none", name, outcome, code=CAPTURE)  # it is no command: it may trace
        lines = log.read_bytes().splitlines() if log.exists() else []
        numbers = [json.loads(line)["input_tokens"] for line in lines]
        wrong = [] if numbers == list(range(len(numbers))) else ["captured calls are torn, lost or doubled"]
        if lines:
            _read(log, folder / "s.duckdb", "text")
            if [call[3] for call in _calls(folder / "s.duckdb", log)] != numbers:
                wrong.append("the captured calls are not those stored")
        return wrong


def _write_log(path: Path, name: str, count: int) -> None:
    rng = random.Random(name)
    words = [f"w{number}" for number in range(3000)]
    with path.open("w") as out:
        for number in range(count):
            text = f"{SECRETS[name]} {' '.join(rng.choices(words, k=60))}"
            row = {
                "hindcast": 1, "call_id": f"{name}{number}" if number % 3 else None,
                "start_time": f"2026-03-02T{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}Z",
                "request_model": "gpt-4o", "agent": f"agent-{name}", "input_tokens": rng.randrange(5000),
                "output_tokens": number % 97, "score": 0.5, "input_messages": [{"role": "user", "content": text}],
            }  # fmt: skip
            out.write(json.dumps(row) + "\n")


def _read(log: Path, store: Path, mode: str) -> None:
    """What `hindcast ingest` does, in this process, with two parsers and many publishes."""
    held = workers.PARALLEL_BYTES, task_plan.TASK_BYTES, run.PUBLISH_SEGMENTS
    workers.PARALLEL_BYTES, task_plan.TASK_BYTES, run.PUBLISH_SEGMENTS = SMALL
    try:
        run.ingest(Store(store), [log], text=mode == "text", metadata_only=mode == "nothing", workers=2)
        update(Store(store))
    finally:
        workers.PARALLEL_BYTES, task_plan.TASK_BYTES, run.PUBLISH_SEGMENTS = held


def _read_into_lake(log: Path, address: str) -> None:
    read_logs(open_store(address), [log], workers=1)


def _calls(store: Path | str, log: Path) -> list[tuple[Any, ...]]:
    with open_store(store).read() as con:
        return con.execute(CALLS_OF, {"path": f"%/{log.name}"}).fetchall()


def _cost(store: Path | str) -> Any:
    with open_store(store).read() as con:
        return con.execute("SELECT count(*), count(cost_usd), sum(cost_usd) FROM costs").fetchall()


def _secrets(folder: Path) -> list[str]:
    return [
        f"{path.name} holds {secret}"
        for path in folder.rglob("*")
        if path.is_file() and (data := path.read_bytes())
        for secret in SECRETS.values()
        if secret.encode() in data
    ]


def _marked(mark: str) -> list[int]:
    """The living processes whose environment holds the mark."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}\0".encode() not in (entry / "environ").read_bytes():
                continue
            if (entry / "stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def main() -> int:
    """Run rounds and print what they did; 1 where something was wrong."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=200)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--scale", type=float, default=1.0, help="of the logs' size")
    options.add_argument("--minutes", type=float, default=1e9)
    chosen = options.parse_args()
    outcome = Outcome()
    until = time.monotonic() + 60 * chosen.minutes
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        attack = Attack(Path(folder), scale=chosen.scale)
        for number in range(chosen.rounds):
            if time.monotonic() > until:
                break
            known = len(outcome.wrong)
            attack.round(chosen.seed * 1_000_000 + number, outcome)
            for one in outcome.wrong[known:]:
                print(one, flush=True)
            print(dict(outcome.did), len(outcome.wrong), "wrong", flush=True)
    return 1 if outcome.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
