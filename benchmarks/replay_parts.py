"""A replay by parts of a log beside the replay of the whole: CPU per call, growth, memory, two processes.

    python -m benchmarks.replay_parts

Every run is a process of its own, after one over a small store so that kernels are compiled. Ratios are of CPU seconds,
which a shared machine stretches least; runs that are compared alternate. `HINDCAST_BENCH_PARTS` gives the numbers of
calls (default 250000,500000,1000000).
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

SIZES: Final = [int(size) for size in os.environ.get("HINDCAST_BENCH_PARTS", "250000,500000,1000000").split(",")]
PAIRS: Final = int(os.environ.get("HINDCAST_BENCH_PAIRS", "3"))
PARTS: Final = 4
MODES: Final = ("whole", "parts", "processes")
STRATEGY: Final = """
name: routed and cached
route:
  - {match: {task: task_1}, model: gpt-3.5-turbo-0125}
  - {match: {agent: agent_2, input_tokens: {lt: 1500}}, model: gpt-3.5-turbo}
cache:
  tiers:
    - {name: near, scope: process, ttl: 5m, max_entries: 100000}
    - {name: shared, ttl: 24h}
"""


@dataclass(frozen=True)
class Run:
    """What one run took: CPU seconds of its process (not of workers), seconds of the clock, peak MB of its process."""

    cpu: float
    wall: float
    own_mb: float
    result: str


def measure(path: str, mode: str, warm: str) -> None:
    """One run in this process: the whole, its parts one after the other, or two at a time on two processes."""
    from ingest.lake.executors import Processes
    from ingest.store.database import Store
    from replay.engine.run import run
    from replay.partition.run_parts import by_buckets
    from replay.strategy.schema import parse

    def go(at: str) -> str:
        ways = Processes(2).map if mode == "processes" else map
        parts = None if mode == "whole" else by_buckets(Store(at), PARTS, run=ways)
        return json.dumps(run(Store(at), [parse(STRATEGY)], timed=True, parts=parts).to_json())

    go(warm)
    cpu, wall = time.process_time(), time.perf_counter()
    result = go(path)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps([time.process_time() - cpu, time.perf_counter() - wall, peak, result]))


def child(path: Path, mode: str, warm: Path) -> Run:
    """`measure` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.replay_parts", str(path), mode, str(warm)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return Run(*json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """All sizes, each in pairs."""
    from benchmarks.main_job import synthetic_store

    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors; {PARTS} parts, median of {PAIRS}")
    with tempfile.TemporaryDirectory() as folder:
        warm = Path(folder) / "warm.duckdb"
        synthetic_store(warm, 5_000)
        for size in SIZES:
            path = Path(folder) / f"{size}.duckdb"
            synthetic_store(path, size)
            runs: dict[str, list[Run]] = {mode: [] for mode in MODES}
            for _ in range(PAIRS):
                for mode, kept in runs.items():
                    kept.append(child(path, mode, warm))
            equal = len({one.result for kept in runs.values() for one in kept}) == 1
            print(f"{size:,} calls; results equal: {equal}")
            for mode, kept in runs.items():
                ratio = median(one.cpu / whole.cpu for one, whole in zip(kept, runs["whole"], strict=True))
                faster = median(one.wall / whole.wall for one, whole in zip(kept, runs["whole"], strict=True))
                cpu = median(one.cpu for one in kept)
                told = (
                    "" if mode == "processes" else f" {cpu / size * 1e6:.2f} us CPU a call, {ratio:.2f} x the whole's,"
                )
                print(f"  {mode:10}{told} {faster:.2f} x its time; peak {kept[0].own_mb:.0f} MB", flush=True)
            path.unlink()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(sys.argv[1], sys.argv[2], sys.argv[3])
    else:
        main()
