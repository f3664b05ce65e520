"""`hindcast.apply` while Redis is killed, paused, filled or restarted, the provider fails, and the program is killed.

    python -m benchmarks.live_faults --seconds 12

Each fault meets programs of several threads in the middle of their run. Counted are wrong answers (each holds the
digest of its question), exceptions that a plain client would not raise, and what the provider was asked beside what
the programs logged: a call that it answered and nobody logged is money that nobody knows of.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks._openai_server import digest
from benchmarks.proxy_overhead import free_port, started

STRATEGY = """
name: routed and cached
route: [{match: {agent: writer}, model: gpt-4o-mini}]
cache:
  tiers:
    - {name: memory, scope: process, ttl: 1s, max_entries: 50}
    - {name: redis, scope: shared, ttl: 1h}
"""
ROOT = str(Path(__file__).resolve().parents[1])
QUESTIONS = 400


def work(folder: str, port: int, redis: int, seconds: float, threads: int, seed: int) -> None:
    """The program: asks until the time is over, checks every answer, and writes what happened beside its log."""
    import openai

    from ingest.capture import context
    from replay.live.apply import apply

    client = openai.OpenAI(api_key="k", base_url=f"http://127.0.0.1:{port}/v1", max_retries=0)
    apply(
        client, Path(folder) / "s.yaml", log=Path(folder) / f"calls-{seed}.jsonl", redis=f"redis://127.0.0.1:{redis}/0"
    )
    until = time.monotonic() + seconds
    found: Counter[str] = Counter()
    slowest = 0.0

    def ask(thread: int) -> None:
        nonlocal slowest
        rng = random.Random(seed * 1000 + thread)
        while time.monotonic() < until:
            messages: list[Any] = [{"role": "user", "content": f"question {rng.randrange(QUESTIONS)} " + "why? " * 40}]
            clock = time.monotonic()
            try:
                with context(agent=rng.choice(["writer", "reader"])):
                    answer = client.chat.completions.create(model="gpt-4o", temperature=0, messages=messages)
                found["right" if str(answer.choices[0].message.content).endswith(digest(messages)) else "WRONG"] += 1
            except openai.APIStatusError as error:
                found[f"status {error.status_code}"] += 1
            except Exception as error:
                found[f"RAISED {type(error).__name__}"] += 1
            slowest = max(slowest, time.monotonic() - clock)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(ask, range(threads)))
    client.hindcast.log.close()
    told = {"found": found, "counts": dict(client.hindcast.counts), "slowest": slowest}
    (Path(folder) / f"told-{seed}.json").write_text(json.dumps(told))


class Redis:
    """A real server that can be harmed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = shutil.which("redis-server")
        assert program is not None
        words = [program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder)]
        self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        for _ in range(500):
            with socket.socket() as probe:
                if not probe.connect_ex(("127.0.0.1", self.port)):
                    return
            time.sleep(0.01)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def say(self, *words: str) -> None:
        with socket.create_connection(("127.0.0.1", self.port)) as line:
            line.sendall(b"".join([b"*%d\r\n" % len(words), *[b"$%d\r\n%b\r\n" % (len(w), w.encode()) for w in words]]))
            line.recv(1000)


@dataclass(frozen=True)
class Fault:
    """What is done at a third of the run, and at two thirds."""

    name: str
    begin: Callable[[Redis], None] = lambda redis: None
    end: Callable[[Redis], None] = lambda redis: None
    fails: float = 0.0
    kills: bool = False  # the first program


FAULTS = (
    Fault("nothing"),
    Fault("Redis killed", lambda redis: redis.kill()),
    Fault("Redis restarted empty", lambda redis: redis.kill(), lambda redis: redis.start()),
    Fault(
        "Redis stopped (SIGSTOP)", lambda redis: redis.send(signal.SIGSTOP), lambda redis: redis.send(signal.SIGCONT)
    ),
    Fault("Redis paused (CLIENT PAUSE)", lambda redis: redis.say("CLIENT", "PAUSE", "3000", "ALL")),
    Fault("Redis full (maxmemory)", lambda redis: redis.say("CONFIG", "SET", "maxmemory", "1100000")),
    Fault("provider fails 30 %", fails=0.3),
    Fault("program killed (kill -9)", kills=True),
)


@contextmanager
def running(program: subprocess.Popen[Any]) -> Iterator[subprocess.Popen[Any]]:
    try:
        yield program
    finally:
        program.kill()
        program.wait()


def meet(fault: Fault, *, seconds: float, threads: int, processes: int) -> dict[str, Any]:
    """Run the programs through a fault; what happened, by name."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder, port, redis = Path(name), free_port(), Redis(Path(name))
        (folder / "s.yaml").write_text(STRATEGY)
        stack.enter_context(
            started([sys.executable, "-m", "benchmarks._openai_server", str(port), str(fault.fails)], folder,
                    f"http://127.0.0.1:{port}/count", PYTHONPATH=ROOT)
        )  # fmt: skip
        redis.start()
        stack.callback(redis.kill)
        stack.callback(lambda: redis.send(signal.SIGCONT))
        programs = []
        for seed in range(processes):
            code = (f"from benchmarks.live_faults import work; "
                    f"work({name!r}, {port}, {redis.port}, {seconds}, {threads}, {seed})")  # fmt: skip
            programs.append(
                stack.enter_context(
                    running(subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": ROOT}))
                )
            )
        _until_logged(folder, processes)
        time.sleep(seconds / 3)
        fault.begin(redis)
        if fault.kills:
            programs[0].kill()
        time.sleep(seconds / 3)
        fault.end(redis)
        for program in programs:
            program.wait()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", "/count")
        asked = sum(json.loads(connection.getresponse().read()).values())
        return _told(folder, asked)


def _until_logged(folder: Path, processes: int) -> None:
    """Until every program has begun."""
    for _ in range(3000):
        if len([log for log in folder.glob("calls-*.jsonl") if log.stat().st_size]) == processes:
            return
        time.sleep(0.02)


def _told(folder: Path, asked: int) -> dict[str, Any]:
    told = [json.loads(path.read_text()) for path in folder.glob("told-*.json")]
    found: Counter[str] = sum((Counter(one["found"]) for one in told), Counter())
    counts: Counter[str] = sum((Counter(one["counts"]) for one in told), Counter())
    sent = hits = torn = 0
    for path in folder.glob("calls-*.jsonl"):
        for line in path.read_text().splitlines():
            try:
                hit = json.loads(line).get("status") == "gateway_cache_hit"
            except json.JSONDecodeError:
                torn += 1
                continue
            hits, sent = hits + hit, sent + (not hit)
    return {
        "wrong": found["WRONG"],
        "raised": sum(number for what, number in found.items() if what.startswith("RAISED")),
        "failed": sum(number for what, number in found.items() if what.startswith("status")),
        "answered": found["right"], "hits": hits, "sent": sent, "asked": asked, "unlogged": asked - sent, "torn": torn,
        "slowest_s": max((one["slowest"] for one in told), default=0.0),
        "fell_open": sum(number for what, number in counts.items() if what.startswith("fell open")),
        "redis": {what.removeprefix("redis: "): number for what, number in counts.items() if what.startswith("redis")},
    }  # fmt: skip


def main() -> None:
    """Print a line for each fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=9.0)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    if shutil.which("redis-server") is None:
        print("redis-server is not installed")
        return
    load = os.getloadavg()[0]
    print(f"load {load:.1f}; {given.processes} programs of {given.threads} threads, {given.seconds:g} s each")
    heads = ("answered", "wrong", "raised", "500", "hits", "asked", "unlogged", "slowest")
    print(f"{'':<28}" + "".join(f"{head:>10}" for head in heads) + "   counted of Redis")
    names = ("answered", "wrong", "raised", "failed", "hits", "asked", "unlogged")
    for fault in FAULTS:
        one = meet(fault, seconds=given.seconds, threads=given.threads, processes=given.processes)
        numbers = "".join(f"{one[name]:>10,}" for name in names)
        print(f"{fault.name:<28}{numbers}{one['slowest_s']:>8.2f} s   {one['redis'] or ''}", flush=True)


if __name__ == "__main__":
    main()
