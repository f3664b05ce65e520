"""Small inputs that ask for much: each is told within seconds and a bounded memory, and Ctrl-C ends it at once.

`python -m tests.attack.bombs` makes the bombs at their full size and prints a table; `test_bombs.py` tiny ones. Every
command is a process of its own: its processor seconds and peak memory are those the system counts, and it is run once
more and interrupted.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import zstandard

ROOT = Path(__file__).resolve().parents[2]
MOST_CPU_S, MOST_BYTES, MOST_STOP_S = 10.0, 1_000_000_000, 1.0
MB = 1 << 20
LINE = json.dumps({
    "hindcast": 1, "call_id": "a", "start_time": "2026-03-02T10:00:00Z", "request_model": "gpt-4o", "input_tokens": 5,
    "output_tokens": 1, "input_messages": [{"role": "user", "content": "Hello."}],
}).encode() + b"\n"  # fmt: skip
COMMAND = "from cli.entry import main; main()"


@dataclass(frozen=True)
class Told:
    """How a command ended, and what it took. `stop_s`: processor seconds from Ctrl-C to its end; None where it was over
    before."""

    name: str
    code: int
    cpu_s: float
    most_bytes: int
    stop_s: float | None
    words: str

    @property
    def wrong(self) -> list[str]:
        """What must not be."""
        found = [] if self.code in (0, 1, 2) and "Traceback" not in self.words else [f"exit {self.code}: {self.words}"]
        found += [f"{self.cpu_s:.1f} s"] if self.cpu_s > MOST_CPU_S else []
        found += [f"{self.most_bytes / 1e6:,.0f} MB"] if self.most_bytes > MOST_BYTES else []
        return found + ([f"Ctrl-C took {self.stop_s:.1f} s"] if self.stop_s and self.stop_s > MOST_STOP_S else [])


def _zst(path: Path, *parts: tuple[bytes, int]) -> None:
    """Each part so many times."""
    packer = zstandard.ZstdCompressor(level=1).compressobj()
    with path.open("wb") as file:
        for data, times in parts:
            for _ in range(times):
                file.write(packer.compress(data))
        file.write(packer.flush())


def _gz(path: Path, start: bytes, data: bytes, times: int, end: bytes) -> None:
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(start)
        for _ in range(times):
            file.write(data)
        file.write(end)


def _wide(path: Path) -> None:
    """A frame whose header asks for a window of 2 GB."""
    parameters = zstandard.ZstdCompressionParameters(window_log=31, compression_level=1)
    path.write_bytes(zstandard.ZstdCompressor(compression_params=parameters).compress(LINE * 50))


def _keys(path: Path, size: int) -> None:
    line = json.loads(LINE)
    line["input_messages"][0]["content"] = "-----BEGIN RSA PRIVATE KEY-----" * (size // 31)
    path.write_text(json.dumps(line) + "\n")


def _names(path: Path, count: int) -> None:
    """As many models and agents that nobody knows as calls."""
    line = json.loads(LINE)
    with path.open("w") as file:
        for number in range(count):
            line |= {"call_id": f"n{number}", "request_model": f"model-{number}", "agent": f"agent-{number}"}
            file.write(json.dumps(line) + "\n")


def _words(path: Path, count: int) -> None:
    line = json.loads(LINE)
    line["input_messages"][0]["content"] = "error: line failed to fix it\n" * count
    path.write_text(json.dumps(line) + "\n")


GLOB = 'name: g\nroute: [{match: {text: "*error*error*fix*error*fix*z"}, model: gpt-4o-mini}]\n'
ALIASES = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
)


def bombs(size: float) -> dict[str, tuple[Callable[[Path], None], list[str]]]:
    """By name: what writes the file, and the command that meets it; `{}` is the file. `size` 1 is the full size."""

    def many(full: int) -> int:
        return max(int(full * size), 1)

    ingest = ["ingest", "{}"]
    return {
        "newlines.jsonl.zst": (lambda p: _zst(p, (LINE, 1), (b"\n" * MB, many(6000))), ingest),
        "zeros.jsonl.zst": (lambda p: _zst(p, (bytes(MB), many(10_240))), ingest),
        "one_string.jsonl.zst": (lambda p: _zst(p, (b'{"a":"', 1), (b"x" * MB, many(4000)), (b'"}\n', 1)), ingest),
        "blanks.jsonl.zst": (lambda p: _zst(p, (LINE[:-2], 1), (b" " * MB, many(4000)), (b"}\n", 1)), ingest),
        "one_line.jsonl.gz": (lambda p: _gz(p, b'{"a":"', b"x" * MB, many(1500), b'"}\n'), ingest),
        "wide_window.jsonl.zst": (_wide, ingest),
        "deep.json": (lambda p: p.write_text("[" * many(100_000) + "]" * many(100_000)) and None, ingest),
        "deep_line.jsonl": (lambda p: p.write_bytes(LINE + b'{"a":' * many(100_000) + b"\n" + LINE) and None, ingest),
        "long_number.jsonl": (
            lambda p: p.write_bytes(LINE.replace(b": 5,", b": " + b"9" * many(1_000_000) + b",")) and None,
            ingest,
        ),
        "keys.jsonl": (lambda p: _keys(p, many(620_000)), [*ingest, "--redact"]),
        "unknown_models.jsonl": (lambda p: _names(p, many(20_000)), ingest),
        "glob.yaml": (lambda p: p.write_text(GLOB) and None, ["replay", "{}"]),
        "aliases.yaml": (lambda p: p.write_text(f"name: x\n{ALIASES}") and None, ["replay", "{}"]),
    }


def tried(folder: Path, size: float, names: set[str] | None = None) -> Iterator[Told]:
    """Run each bomb to its end, and once more until Ctrl-C."""
    rng = random.Random(5)
    for name, (write, arguments) in bombs(size).items():
        if names and name not in names:
            continue
        place = folder / name.split(".")[0]
        place.mkdir()
        write(place / name)
        if "replay" in arguments:
            _words(place / "prompt.jsonl", max(int(2000 * size), 10))
            _ended(_start(place, ["ingest", "prompt.jsonl"]))
        command = [one.format(name) for one in arguments]
        code, cpu_s, most_bytes, words = _ended(_start(place, command))
        process = _start(place, command)
        time.sleep(rng.uniform(1.0, 3.0))
        stop_s: float | None = None
        if process.poll() is None:
            before = _cpu_s(process.pid)
            process.send_signal(signal.SIGINT)
            stop_s = max(_ended(process)[1] - before, 0.0)
        process.communicate()
        yield Told(name, code, cpu_s, most_bytes, stop_s, words)


def _start(place: Path, arguments: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, *arguments, "--store", "s.duckdb"], cwd=place, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "HINDCAST_NOW": "2026-03-03"}, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, preexec_fn=_bounded, start_new_session=True,
    )  # fmt: skip


def _cpu_s(pid: int) -> float:
    """Processor seconds so far, its ended children's with it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(fields[at]) for at in (11, 12, 13, 14)) / os.sysconf("SC_CLK_TCK")


def _bounded() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (120, 120))


def _ended(process: subprocess.Popen[str]) -> tuple[int, float, int, str]:
    assert process.stderr is not None
    words = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024, words[-400:]


def main() -> int:
    """Print the table; 1 where something was wrong."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--size", type=float, default=1.0)
    options.add_argument("--only", action="append", default=[])
    chosen = options.parse_args()
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="bombs-") as folder:
        for told in tried(Path(folder), chosen.size, set(chosen.only)):
            stop = "over before" if told.stop_s is None else f"{told.stop_s:.2f} s"
            said = told.words.strip().splitlines()[:1]
            print(f"{told.name:24} exit {told.code:>3}  {told.cpu_s:6.1f} s  {told.most_bytes / 1e6:6,.0f} MB  "
                  f"Ctrl-C {stop:12} {'WRONG: ' + '; '.join(told.wrong) if told.wrong else ' '.join(said)[:90]}",
                  flush=True)  # fmt: skip
            wrong += bool(told.wrong)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
