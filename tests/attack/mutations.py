"""Mutated logs: whatever a file holds, reading it ends in words or calls, and reading it again adds nothing.

`python -m tests.attack.mutations --minutes 30` runs the long way over every sample (and `--also FOLDER`: logs of one's
own) and prints counts; `test_mutations.py` a few rounds. A round damages some logs, by bytes or in their JSON, reads
them in a process of its own, reads them again, and reads a backup of their folder.

What must hold: exit codes 0, 1 or 2 and no traceback; every row is a call, a duplicate, no call or quarantined; the
second and the third reading add no call; less than MOST_CPU_S of processor time and MOST_BYTES of memory.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "sample_logs/formats"
MOST_CPU_S = 60
MOST_BYTES = 1_000_000_000
LARGEST_LOG = 400_000  # bytes of a file that is mutated
FILES_A_ROUND = 12
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1e308, -1e308, 1e40, float("nan"), float("inf"), 2**63, 2**64 + 1, 10**30, "", "NaN",
    "1e400", "\ud800", "\x00", "2026-13-45T99:99:99Z", "1969-12-31", "a" * 70_000, [], {}, [[]], [None], {"": ""},
    [{"type": ["x"]}], "=1+1", "<script>", "../../etc/passwd", "%s%n", "'; DROP TABLE calls; --",
)  # fmt: skip
Change = Callable[[random.Random, bytes], bytes]


def _bits(rng: random.Random, data: bytes) -> bytes:
    mutated = bytearray(data)
    for _ in range(rng.choice((1, 4, 40))):
        mutated[rng.randrange(len(mutated))] ^= 1 << rng.randrange(8)
    return bytes(mutated)


def _cut(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data))]


def _headless(rng: random.Random, data: bytes) -> bytes:
    return data[rng.randrange(len(data)) :]


def _splice(rng: random.Random, data: bytes) -> bytes:
    one, two = sorted(rng.randrange(len(data)) for _ in range(2))
    return rng.choice((data[:one] + data[two:], data[:two] + data[one:], data[:one] + bytes(two - one) + data[two:]))


def _noise(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data))
    odd = (
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\r",
        b"\x00" * 300,
        b'"',
        b"{",
        b"]" * 50,
        b"\xed\xa0\x80",
        b"\x1e",
        b"[" * 5000,
    )
    return data[:at] + rng.choice((*odd, rng.randbytes(64))) + data[at:]


def _lines(rng: random.Random, data: bytes) -> bytes:
    """Lines in another order, twice, glued or gone."""
    lines = data.splitlines(keepends=True)
    for _ in range(rng.choice((1, 3))):
        at = rng.randrange(len(lines))
        what = rng.randrange(4)
        if what == 0:
            lines.insert(at, lines[rng.randrange(len(lines))])
        elif what == 1:
            lines[at] = lines[at].rstrip(b"\r\n")
        elif what == 2 and len(lines) > 1:
            del lines[at]
        else:
            rng.shuffle(lines)
    return b"".join(lines)


def _encoding(rng: random.Random, data: bytes) -> bytes:
    return data.decode("utf-8", "replace").encode(
        rng.choice(("utf-16", "utf-16-le", "utf-8-sig", "latin-1")), "replace"
    )


def _values(rng: random.Random, data: bytes) -> bytes:
    """Some values and names inside the JSON of some lines, or of the document, replaced by odd ones."""
    try:
        return _dumped(_changed(rng, json.loads(data)))
    except ValueError:
        pass
    lines = data.splitlines()
    for at in rng.sample(range(len(lines)), min(len(lines), rng.choice((1, 3, 10)))):
        with contextlib.suppress(ValueError):
            lines[at] = _dumped(_changed(rng, json.loads(lines[at])))
    return b"\n".join(lines) + b"\n"


def _dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


def _changed(rng: random.Random, value: Any) -> Any:
    for _ in range(rng.choice((1, 2, 6))):
        places = list(_places(value))
        if not places:
            return rng.choice(ODD)
        holder, key = rng.choice(places)
        what = rng.randrange(6)
        if what == 0:
            del holder[key]
        elif what == 1 and isinstance(holder, dict):
            holder[rng.choice(("type", "usage", "id", "model", "\udfff", key.upper()))] = holder.pop(key)
        elif what == 2:
            holder[key] = [holder[key]] * rng.choice((1, 3))
        elif what == 3:
            other_holder, other = rng.choice(places)
            with contextlib.suppress(KeyError, IndexError):
                holder[key] = json.loads(json.dumps(other_holder[other]))
        else:
            holder[key] = rng.choice(ODD)
    return value


def _places(value: Any) -> list[tuple[Any, Any]]:
    """(holder, key) of every value below."""
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        one = waiting.pop()
        keys = list(one) if isinstance(one, dict) else range(len(one)) if isinstance(one, list) else ()
        found += [(one, key) for key in keys]
        waiting += [one[key] for key in keys]
    return found


CHANGES: dict[str, Change] = {
    "bits": _bits, "cut": _cut, "no head": _headless, "splice": _splice, "noise": _noise, "lines": _lines,
    "encoding": _encoding, "values": _values, "values again": _values, "values once more": _values,
}  # fmt: skip


@dataclass
class Outcome:
    """What became of the readings, and what was wrong."""

    became: Counter[str] = field(default_factory=Counter)
    changes: Counter[str] = field(default_factory=Counter)
    most_bytes: int = 0
    most_cpu_s: float = 0.0
    wrong: list[str] = field(default_factory=list)


class Attack:
    """`logs` are mutated; rounds work below `folder`, and one that went wrong leaves its files there."""

    def __init__(self, folder: Path, logs: list[Path]) -> None:
        self.folder = folder
        self.logs = [path for path in logs if 0 < path.stat().st_size <= LARGEST_LOG and path.suffix != ".py"]

    def round(self, seed: int, outcome: Outcome) -> None:
        """Mutate some logs and read them three times; what is wrong is added to the outcome."""
        rng = random.Random(seed)
        place = self.folder / f"round{seed}"
        (place / "logs").mkdir(parents=True)
        for number, path in enumerate(rng.sample(self.logs, min(FILES_A_ROUND, len(self.logs)))):
            kind = rng.choice(list(CHANGES))
            data = CHANGES[kind](rng, path.read_bytes())
            outcome.changes[kind.split(" again")[0].split(" once")[0]] += 1
            (place / "logs" / f"{number:02}_{path.name}").write_bytes(data)
        shutil.copytree(place / "logs", place / "backup/logs")  # some tools name a session by its file or folder
        found, wrong, most_bytes, cpu_s = _in_a_child(place)
        outcome.became.update(found)
        outcome.most_bytes = max(outcome.most_bytes, most_bytes)
        outcome.most_cpu_s = max(outcome.most_cpu_s, cpu_s)
        if most_bytes > MOST_BYTES:
            wrong.append(f"{most_bytes / 1e6:,.0f} MB of memory")
        outcome.wrong += [f"seed {seed}: {one}" for one in wrong]
        if not wrong:
            shutil.rmtree(place)


def _in_a_child(place: Path) -> tuple[Counter[str], list[str], int, float]:
    """Read the logs of a round in a process of its own: counts, faults, its peak memory in bytes, its CPU seconds."""
    command = [sys.executable, "-m", "tests.attack.mutations", "--read", str(place)]
    child = subprocess.Popen(command, cwd=ROOT)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    cpu_s = used.ru_utime + used.ru_stime
    if child.returncode != 0:
        return Counter({"ended by the system": 1}), [f"ended with {child.returncode}"], 0, cpu_s
    said = json.loads((place / "outcome.json").read_text())
    return Counter(said["found"]), said["wrong"], said["most_bytes"], cpu_s


def _most_bytes() -> int:
    """Peak memory of this program and of the largest process that it started.

    `ru_maxrss` of a program counts the memory of the process that forked it; the kernel's VmHWM does not.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    own = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return 1024 * max(int(own.split()[1]), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)


def _read(place: Path) -> tuple[dict[str, int], list[str]]:
    wrong: list[str] = []
    first = _ingest(place, "logs", wrong)
    again = _ingest(place, "logs", wrong)
    copies = _ingest(place, "backup", wrong)
    for name, told in (("the second reading", again), ("the backup", copies)):
        if told.get("calls", 0):
            grown = [f"{Path(one['path']).name} {one['calls']}" for one in told["files"] if one["calls"]]
            wrong.append(f"{name} added {told['calls']} calls: {', '.join(grown)}")
    counted = ("calls", "duplicates", "quarantined", "skipped")
    for told in (first, copies):
        if told and told["rows"] != sum(told[name] for name in counted):
            wrong.append(f"{told['rows']} rows are not {', '.join(f'{told[name]} {name}' for name in counted)}")
    return {name: first.get(name, 0) for name in ("rows", *counted)} | {"rounds": 1, "answered": bool(first)}, wrong


def _ingest(place: Path, part: str, wrong: list[str]) -> dict[str, Any]:
    """The document of `hindcast ingest PART --json`, or nothing where it ended in words."""
    from cli import app

    out, said = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
    sys.argv = ["hindcast", "ingest", part, "--store", "s.duckdb", "--json"]
    code = 0
    with contextlib.chdir(place), contextlib.redirect_stdout(out), contextlib.redirect_stderr(said):
        try:
            app.main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        except BaseException as error:
            wrong.append(f"{part}: {type(error).__name__}: {error}"[:300])
            return {}
        out.flush()
    assert isinstance(out.buffer, io.BytesIO)
    if code not in (0, 1, 2) or "Traceback" in said.getvalue() or "a defect of this program" in said.getvalue():
        wrong.append(f"{part}: exit {code}: {said.getvalue()[-300:]}")
    if code == 2 and not said.getvalue().strip():
        wrong.append(f"{part}: exit 2 without a word")
    try:
        return dict(json.loads(out.buffer.getvalue()))
    except ValueError:
        return {}


def main() -> int:
    """Run rounds for so many minutes and print counts; 1 where something was wrong."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--minutes", type=float, default=30)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--read", type=Path, help=argparse.SUPPRESS)  # what a round asks its own process for
    options.add_argument("--also", type=Path, action="append", default=[], help="a folder of other logs")
    chosen = options.parse_args()
    if chosen.read:
        resource.setrlimit(resource.RLIMIT_CPU, (MOST_CPU_S, MOST_CPU_S))
        found, wrong = _read(chosen.read)
        said = {"found": found, "wrong": wrong, "most_bytes": _most_bytes()}
        (chosen.read / "outcome.json").write_text(json.dumps(said))
        return 0
    logs = [path for folder in (SAMPLES, *chosen.also) for path in sorted(folder.rglob("*")) if path.is_file()]
    outcome = Outcome()
    folder = Path(tempfile.mkdtemp(prefix="mutations-"))
    attack = Attack(folder, logs)
    end, number = time.monotonic() + chosen.minutes * 60, 0
    while time.monotonic() < end:
        known = len(outcome.wrong)
        attack.round(chosen.seed * 1_000_000 + number, outcome)
        number += 1
        for one in outcome.wrong[known:]:
            print(one, flush=True)
    print(dict(outcome.changes), dict(outcome.became), sep="\n")
    left = f", files in {folder}" if outcome.wrong else ""
    print(
        f"{number} rounds, at most {outcome.most_bytes / 1e6:,.0f} MB and {outcome.most_cpu_s:.1f} s of processor time"
    )
    print(f"{len(outcome.wrong)} wrong{left}")
    return 1 if outcome.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
