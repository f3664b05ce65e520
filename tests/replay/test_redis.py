"""The simulated Redis against a real redis-server: expiry, both sampled policies and the boundary millisecond."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest

from replay.outcomes import HIT
from replay.response_cache.simulate import Requests, Tier, simulate

pytestmark = pytest.mark.redis


@dataclass
class Redis:
    """A connection that speaks just enough of the protocol, because a client library costs more than the server."""

    connection: socket.socket
    stream: IO[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.stream = self.connection.makefile("rb")

    def ask(self, *words: object) -> Any:
        parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        message = b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)
        self.connection.sendall(message)
        return self.answer()

    def answer(self) -> Any:
        line = self.stream.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"$":
            size = int(rest)
            return None if size < 0 else self.stream.read(size + 2)[:-2]
        if kind == b"*":
            return [self.answer() for _ in range(int(rest))]
        if kind == b"-":
            raise AssertionError(rest.decode())
        return int(rest) if kind == b":" else rest


@pytest.fixture
def redis(redis_server: str, tmp_path: Path) -> Iterator[Redis]:
    path = tmp_path / "r.sock"
    if len(str(path)) > 100:  # the kernel's limit on the name of a socket
        path = Path("/tmp") / f"hindcast-{os.getpid()}.sock"
    settings = ["--port", "0", "--unixsocket", str(path), "--save", "", "--appendonly", "no", "--dir", str(tmp_path)]
    server = subprocess.Popen([redis_server, *settings], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        for _ in range(100):
            try:
                connection.connect(str(path))
                break
            except OSError:
                time.sleep(0.05)
        with connection:
            yield Redis(connection)
    finally:
        server.terminate()
        server.wait(10)
        path.unlink(missing_ok=True)


def traffic(n: int, seed: int, *, keys: int, days: float) -> Requests:
    """A Zipf load whose popular keys drift, with bursts; instantaneous calls."""
    rng = np.random.default_rng(seed)
    rank = np.minimum(rng.zipf(1.2, n), keys) - 1
    key = (rank + np.arange(n) * keys // (4 * n)) % keys
    gap = rng.exponential(1.0, n) * np.where(rng.random(n) < 0.2, 0.01, 1.0)
    start = (np.cumsum(gap) / gap.sum() * days * 86_400_000).astype(np.int64)
    return requests(key, start)


def requests(key: np.ndarray, start: np.ndarray) -> Requests:
    n = len(key)
    _, dense = np.unique(key, return_inverse=True)
    yes = np.ones(n, bool)
    return Requests(dense.astype(np.int32), start, start, yes, yes, np.zeros(n, np.int32), np.full(n, 1000, np.int64))


def test_redis_own_expiry_on_a_compressed_clock_decides_as_the_simulation_of_the_actual_times(redis):
    n, wall, ttl_ms = 15_000, 4.0, 500
    asked = traffic(n, 1, keys=3000, days=1)
    due = asked.start_ms / asked.start_ms[-1] * wall
    hits, issued = np.zeros(n, bool), np.zeros(n)
    began = time.time()
    for row in range(n):
        while time.time() < began + due[row]:
            pass  # sleeping wakes up late by more than the gaps between the calls
        issued[row] = time.time()
        # SET ... NX GET PX: one round trip that answers with the old value, and stores only where there is none
        hits[row] = redis.ask("SET", f"k{asked.key[row]}", "x", "NX", "GET", "PX", ttl_ms) is not None
    simulated = simulate(requests(asked.key, (issued * 1000).astype(np.int64)), [Tier("redis", ttl_ms=ttl_ms)]) == HIT
    print(f"hits {hits.sum()} and {simulated.sum()} of {n}, {(simulated != hits).sum()} decisions differ")
    assert 0.2 < hits.mean() < 0.95
    assert int((simulated != hits).sum()) <= n // 1000
    assert abs(int(simulated.sum()) - int(hits.sum())) <= n // 1000


def test_on_a_logical_clock_no_decision_differs(redis):
    """The harness deletes what has expired before each call, so Redis needs no clock: GET, then SET on a miss."""
    n, ttl_ms = 50_000, 3_600_000
    asked = traffic(n, 2, keys=20_000, days=3)
    until: dict[int, int] = {}
    queue: list[int] = []  # keys in order of insertion: with one time to live that is the order of expiry
    head = 0
    hits = np.zeros(n, bool)
    for row in range(n):
        now, key = int(asked.start_ms[row]), int(asked.key[row])
        while head < len(queue) and until[queue[head]] < now:
            redis.ask("DEL", f"k{queue[head]}")
            head += 1
        hits[row] = redis.ask("GET", f"k{key}") is not None
        if not hits[row]:
            redis.ask("SET", f"k{key}", "x")
            until[key] = now + ttl_ms
            queue.append(key)
    assert (hits == (simulate(asked, [Tier("redis", ttl_ms=ttl_ms)]) == HIT)).all()
    assert 0.2 < hits.mean() < 0.98


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-lfu"])
def test_the_sampled_policies_hit_as_often_as_redis_within_half_a_point(redis, policy):
    n = 100_000 if policy == "allkeys-lfu" else 160_000  # recency is known to the second: let some pass
    asked = traffic(n, 4, keys=60_000, days=1)
    for setting in (("maxmemory-policy", policy), ("maxmemory-samples", 5), ("maxmemory", "6mb")):
        redis.ask("CONFIG", "SET", *setting)
    hits, issued, sizes = np.zeros(n, bool), np.zeros(n), []
    value = b"x" * 1000
    for row in range(n):
        issued[row] = time.time()
        hits[row] = redis.ask("GET", f"k{asked.key[row]}") is not None
        if not hits[row]:
            redis.ask("SET", f"k{asked.key[row]}", value)
        if row % 2000 == 1999:
            sizes.append(redis.ask("DBSIZE"))
    room = int(np.median(sizes[len(sizes) // 2 :]))
    assert int(redis.ask("DBSIZE")) < len(np.unique(asked.key)), "nothing was evicted"
    again = requests(asked.key, (issued * 1000).astype(np.int64))
    simulated = [
        (simulate(again, [Tier("redis", max_entries=room, policy=policy)], seed=seed) == HIT).mean()
        for seed in range(3)
    ]
    print(f"{policy}: {hits.mean():.4f} in Redis, {np.mean(simulated):.4f} simulated, {room} entries")
    assert abs(float(np.mean(simulated)) - hits.mean()) <= 0.005


def test_an_entry_is_alive_at_the_millisecond_of_its_expiry_and_dead_at_the_next(redis):
    script = (
        "local t = redis.call('TIME') return {t[1] * 1000 + math.floor(t[2] / 1000), redis.call('EXISTS', KEYS[1])}"
    )
    at_expiry, after = [], []
    for trial in range(400):
        if len(at_expiry) > 60:  # a busy machine may miss the millisecond of many a trial
            break
        key = f"b{trial}"
        redis.ask("SET", key, "x", "PX", 8)
        expiry = redis.ask("PEXPIRETIME", key)
        while True:
            now, alive = redis.ask("EVAL", script, 1, key)
            if now == expiry:
                at_expiry.append(alive)
            elif now > expiry:
                after.append(alive)
            if now > expiry + 1:
                break
    assert len(at_expiry) > 20
    assert np.mean(at_expiry) > 0.9  # the script's clock is read a moment after the server fixed its own
    assert np.mean(after) < 0.1
