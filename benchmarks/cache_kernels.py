"""Cache kernels beside libCacheSim and plain-Python loops, on Zipf, drifting and bursty traces, in one run.

    python -m benchmarks cache_kernels        (HINDCAST_BENCH_CALLS sets the length of the traces, default 2,000,000)

Each pair alternates in one process, three rounds, and the median of the rounds' ratios counts. libCacheSim (GPL) is
never imported by the program; where it is absent (`pip install libcachesim`) its rows say so. It reads the trace from
a file in its own format and hashes the ids itself, so its peer is shown twice: the kernel alone, which is what every
further question costs, and with the making of dense ids, which is paid once.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from replay.kernels.common.dense_ids import factorise
from replay.kernels.response_cache import lru_fifo_sieve, plain
from replay.outcomes import HIT
from replay.response_cache import curves, grid
from replay.response_cache.lookups import Demand
from replay.response_cache.simulate import Requests, Tier, simulate

CALLS = int(os.environ.get("HINDCAST_BENCH_CALLS", "2000000"))
ROUNDS = 3
DAYS = 10
NOTHING = np.empty(0, np.bool_)


def traces(n: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """(key, start in ms) of three loads over ten days; ids are scattered 64-bit numbers, as hashes are."""
    rng = np.random.default_rng(7)
    keys = n // 8
    weight = np.cumsum(1 / np.arange(1, keys + 1))
    rank = np.searchsorted(weight / weight[-1], rng.random(n))
    even = np.sort(rng.integers(0, DAYS * 86_400_000, n))
    drift = (rank + np.arange(n) // 16) % keys
    scan = np.where(rng.random(n) < 0.15, keys + np.arange(n) % (keys // 2), rank)
    within = (rng.beta(0.3, 0.3, n) * 21_600_000).astype(np.int64)  # crowded at the ends of each quarter of a day
    bursts = np.sort(within + rng.integers(0, 4 * DAYS, n) * 21_600_000)
    names = rng.permutation(2 * keys).astype(np.int64) * 6_364_136_223_846_793 + 1
    return {"zipf": (names[rank], even), "drifting": (names[drift], even), "bursts and scans": (names[scan], bursts)}


def paired(ours: Callable[[], Any], theirs: Callable[[], Any]) -> tuple[float, float, float]:
    """Seconds of both at their best, and the median over the rounds of theirs / ours."""
    pairs = []
    ours()
    for _ in range(ROUNDS):
        pairs.append((_seconds(ours), _seconds(theirs)))
    ratio = statistics.median(slow / fast for fast, slow in pairs)
    return min(fast for fast, _ in pairs), min(slow for _, slow in pairs), ratio


def _seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def line(name: str, calls: int, seconds: float, ratio: float | None, target: str) -> None:
    shown = f"{ratio:7.1f}x" if ratio is not None else " " * 8
    print(f"{name:58} {calls / seconds / 1e6:8.1f} M/s {shown}   {target}", flush=True)


def main() -> None:
    made = traces(CALLS)
    for name, (ids, start) in made.items():
        print(f"-- {name}: {len(ids):,} calls, {len(np.unique(ids)):,} keys")
        against_libcachesim(ids, start)
    ids, start = made["drifting"]
    key = factorise(ids)[0]
    against_a_dict(key, start)
    many_at_once(key, start)
    two_tiers(key, start)
    sweep(key, start)


def against_libcachesim(ids: np.ndarray, start: np.ndarray) -> None:
    try:
        import libcachesim
    except ImportError:
        print("libcachesim is not installed: pip install libcachesim to compare (GPL, a development tool only)")
        return
    key, firsts = factorise(ids)
    keys, n = len(firsts), len(ids)
    room = keys // 10
    outcomes = np.empty(n, np.int8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.oracleGeneral"
        record = np.dtype([("time", "<u4"), ("id", "<u8"), ("size", "<u4"), ("next", "<i8")])
        rows = np.zeros(n, record)
        rows["time"], rows["id"], rows["size"], rows["next"] = start // 1000, ids.view(np.uint64), 1, -2
        rows.tofile(path)
        for name, make in (("LRU", libcachesim.LRU), ("FIFO", libcachesim.FIFO), ("SIEVE", libcachesim.Sieve)):
            missed: list[float] = []

            def theirs(make: Any = make, missed: list[float] = missed) -> None:
                options = libcachesim.ReaderInitParam(ignore_obj_size=True)
                kind = libcachesim.TraceType.ORACLE_GENERAL_TRACE
                reader = libcachesim.TraceReader(str(path), kind, options)
                missed.append(make(cache_size=room, hashpower=20).process_trace(reader)[0])

            def ours(name: str = name) -> int:
                if name == "FIFO":
                    return int(plain.fifo(key, room, np.full(keys, -room, np.int32), outcomes))
                if name == "SIEVE":
                    queue, bits = np.empty(plain.LONGER * room, np.int32), plain.words(plain.LONGER * room)
                    place = np.zeros(keys, np.int32)
                    return int(plain.sieve(key, room, place, queue, bits, bits.copy(), outcomes))
                return int(plain.lru(key, room, np.zeros(keys, np.int32), plain.words(n), outcomes))

            fast, slow, ratio = paired(ours, theirs)
            line(f"{name}, {room:,} entries: libCacheSim", n, slow, None, "")
            line(f"{name}: kernel with an outcome per call", n, fast, ratio, ">= 12x")
            whole, slow, ratio = paired(lambda ours=ours: (factorise(ids), ours()), theirs)
            line(f"{name}: with the making of dense ids", n, whole, ratio, ">= 3x")
            rate = 1 - ours() / n
            same = f"{rate:.6f}" == f"{missed[-1]:.6f}"
            print(f"    miss ratio {rate:.6f}, libCacheSim {missed[-1]:.6f}: {'equal' if same else 'DIFFERENT'}")


def against_a_dict(key: np.ndarray, start: np.ndarray) -> None:
    keys, n, ttl = int(key.max()) + 1, len(key), 3_600_000
    outcomes = np.empty(n, np.int8)
    asked, times = key.tolist(), start.tolist()

    def loop() -> int:
        until: dict[int, int] = {}
        hits = 0
        for one, now in zip(asked, times, strict=True):
            alive = until.get(one)
            if alive is not None and now <= alive:
                hits += 1
            else:
                until[one] = now + ttl
        return hits

    def ours() -> int:
        return int(
            lru_fifo_sieve.unlimited(
                key, start, NOTHING, ttl, False, np.full(keys, lru_fifo_sieve.NEVER_STORED), outcomes
            )
        )

    assert loop() == ours()
    fast, slow, ratio = paired(ours, loop)
    line("TTL of an hour: a loop over a dict", n, slow, None, "")
    line("TTL of an hour: kernel with an outcome per call", n, fast, ratio, ">= 25x")


def requests(key: np.ndarray, start: np.ndarray, processes: int = 1) -> Requests:
    n = len(key)
    yes = np.ones(n, np.bool_)
    process = (np.arange(n) * 7919 % processes).astype(np.int32)
    return Requests(key, start, start, yes, yes, process, np.full(n, 1000, np.int64))


def many_at_once(key: np.ndarray, start: np.ndarray) -> None:
    n = len(key)
    calls, worth = requests(key, start), np.ones(n, np.int64)
    one = (3_600_000,)
    fast, slow, ratio = paired(lambda: curves.ttl_curve(calls, worth, one), lambda: curves.ttl_curve(calls, worth))
    line("hits and dollars of one TTL", n, fast, None, "")
    line(f"hits and dollars of {len(curves.TTLS)} TTLs in one pass", n, slow, ratio, "<= 4x one")
    fast, slow, ratio = paired(
        lambda: curves.capacity_curve(calls, worth), lambda: simulate(calls, [Tier("t", max_entries=1000)])
    )
    line("exact LRU hits and dollars at every capacity", n, fast, None, ">= 8 M/s")
    exact = curves.capacity_curve(calls, worth)
    began = time.perf_counter()
    sampled = curves.sampled_capacity_curve(calls, worth, rate=0.01)
    line("the same from 4 samples of 1 % of the keys", n, time.perf_counter() - began, None, "")
    error = np.abs(sampled.hits - exact.hits[sampled.at - 1])[sampled.at > 1000].max() / n
    print(f"    largest error of the hit rate above 1,000 entries: {100 * error:.2f} points")


def two_tiers(key: np.ndarray, start: np.ndarray) -> None:
    calls = requests(key, start, processes=4)
    keys = int(key.max()) + 1
    stack = [
        Tier("memory", "process", ttl_ms=300_000, max_entries=keys // 100),
        Tier("redis", ttl_ms=3_600_000, max_entries=keys // 5),
    ]
    simulate(calls, stack)
    seconds = min(_seconds(lambda: simulate(calls, stack)) for _ in range(ROUNDS))
    line("memory of 4 processes before one shared cache, LRU and TTL", len(key), seconds, None, ">= 10 M/s")


def sweep(key: np.ndarray, start: np.ndarray) -> None:
    n = min(1_000_000, len(key))
    calls = requests(factorise(key[:n].astype(np.int64))[0], start[:n])
    asks = Demand(calls, np.ones(n, np.int64), np.ones(n, np.bool_), np.full(n, -1, np.int32), DAYS)
    keys = int(calls.key.max()) + 1
    rooms = [max(1, int(keys * share)) for share in np.geomspace(0.002, 0.8, 8)]
    chosen = grid.settings(curves.TTLS[4:12], rooms, ("lru", "fifo", "sieve"), ("shared",))
    began = time.perf_counter()
    cells = grid.sweep(asks, chosen)
    seconds = time.perf_counter() - began
    assert all(cell.hits == int((simulate(calls, cell.setting.tiers()) == HIT).sum()) for cell in cells[:3])
    print(f"grid of {len(chosen)} settings on {n:,} calls: {seconds:.1f} s   < 10 s")


if __name__ == "__main__":
    main()
