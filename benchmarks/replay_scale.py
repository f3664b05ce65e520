"""Replay of ten million calls from the store: one evaluation, the savings split beside, peak memory.

Three cases, each in a process of its own so that its peak memory is its own: without text; with the provider's prompt
cache at 24 blocks a call; ten strategies of rules over a million calls. CPU seconds stand beside wall seconds, because
a shared machine stretches only the latter. Kernels are compiled before, on a small store.
"""

from __future__ import annotations

import contextlib
import io
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from benchmarks.main_job import STRATEGY, synthetic_store

CALLS = int(os.environ.get("HINDCAST_BENCH_SCALE", "10000000"))
RULE_CALLS = int(os.environ.get("HINDCAST_BENCH_RULES", "1000000"))
WARM = 20_000
T = TypeVar("T")

PROMPT_STRATEGY = STRATEGY.replace("gpt-3.5-turbo", "gpt-4o-mini")
RULES = """
{name: all, route: [{default: gpt-3.5-turbo}]}
{name: one-agent, route: [{match: {agent: agent_1}, model: gpt-3.5-turbo}, {default: gpt-4o}]}
{name: globs, route: [{match: {task: 'task_*', agent: [agent_0, agent_2]}, model: gpt-4o-mini}]}
{name: short, route: [{match: {input_tokens: {lt: 1000}}, model: gpt-3.5-turbo}]}
{name: long, route: [{when: "input_tokens > 2000 AND task LIKE '%_3'", model: gpt-4o}, {default: gpt-4o-mini}]}
{name: sum, route: [{when: "input_tokens + output_tokens < 1500 OR agent = 'agent_3'", model: gpt-4o-mini}]}
{name: clock, route: [{match: {hour: {ge: 18}}, model: gpt-4o-mini}, {match: {weekday: [6, 7]}, model: gpt-3.5-turbo}]}
{name: words, route: [{match: {task: {contains: '5'}}, model: gpt-4o}, {default: gpt-4o-mini}]}
{name: night, route: [{when: "LOWER(agent) = 'agent_2' OR hour BETWEEN 2 AND 5", model: gpt-3.5-turbo}]}
{name: bounds, route: [{match: {agent: {ne: agent_0}, input_tokens: {ge: 500, lt: 1500}}, model: gpt-3.5-turbo}]}
"""


def timed(name: str, work: Callable[[], T]) -> T:
    """Run and print wall and CPU seconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = work()
    print(f"  {name:44} {time.perf_counter() - wall:6.2f} s wall  {time.process_time() - cpu:6.2f} s CPU", flush=True)
    return result


def one_strategy(path: Path, text: str) -> None:
    """One evaluation, whose stages run side by side, then everything else that `hindcast replay` works out."""
    from ingest.store.database import Store
    from replay.engine import run
    from replay.engine.engine import Engine
    from replay.engine.outcome import Outcome
    from replay.strategy.schema import parse
    from replay.traffic.load_traffic import load

    strategy = parse(text, "bench.yaml")

    def evaluation() -> tuple[Engine, Outcome]:
        traffic = timed("load from the store", lambda: load(Store(path)))
        engine = Engine(traffic, strategy)
        outcome = timed("route, tiers, provider cache, prices", lambda: engine.evaluate(engine.everything))
        timed("daily sums", lambda: run._daily(traffic, outcome.cost_pico, traffic.window, outcome.hits))
        return engine, outcome

    engine, outcome = timed("ONE EVALUATION", evaluation)
    print(f"  peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")
    result = timed("split, interval, quality, limits, run id", lambda: run._replay_one(engine, (), "", None))
    assert sum(result.savings_pico.values()) == result.baseline_pico - result.cost_pico
    assert result.hits == int(outcome.hits.sum())
    print(f"  peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")


def ten_strategies(path: Path) -> None:
    from ingest.store.database import Store
    from replay.engine.run import run
    from replay.strategy.schema import parse

    strategies = [parse(line, "bench.yaml") for line in RULES.strip().splitlines()]
    timed(f"{len(strategies)} strategies, whole command", lambda: run(Store(path), strategies))
    print(f"  peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")


CASES: dict[str, tuple[str, int, bool, Callable[[Path], None]]] = {
    "plain": ("route + two tiers + prices + daily sums", CALLS, False, lambda path: one_strategy(path, STRATEGY)),
    "prompts": ("the same with the provider's cache, 24 blocks a call", CALLS, True,
                lambda path: one_strategy(path, PROMPT_STRATEGY)),
    "rules": ("ten strategies of rules", RULE_CALLS, False, ten_strategies),
}  # fmt: skip


def case(name: str) -> None:
    """One case, here."""
    about, calls, prompts, work = CASES[name]
    with tempfile.TemporaryDirectory() as folder:
        small, store = Path(folder) / "small.duckdb", Path(folder) / "large.duckdb"
        synthetic_store(small, WARM, prompts=prompts)
        subprocess.run(
            [sys.executable, "-c", _CALL.format("make"), name, str(store), str(calls)], check=True
        )  # its memory is not the replay's
        with contextlib.redirect_stdout(io.StringIO()):
            work(small)
        print(f"{about}: {calls:,} calls")
        work(store)


def make(name: str, path: str, calls: str) -> None:
    """Write the store of a case."""
    synthetic_store(Path(path), int(calls), prompts=CASES[name][2])


_CALL = "import sys; from benchmarks import replay_scale as scale; scale.{}(*sys.argv[1:])"


def main() -> None:
    for name in os.environ.get("HINDCAST_BENCH_CASES", ",".join(CASES)).split(","):
        subprocess.run([sys.executable, "-c", _CALL.format("case"), name], check=True)
