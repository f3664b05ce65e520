"""Latency of a strategy comes from the log's own durations by model and size, with an interval, or is not known."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builder import build_in_memory

from analysis.ledger import ledger
from ingest.errors import StrategyError
from ingest.store.database import Store
from replay.advice.recommend import recommended
from replay.engine.engine import Engine
from replay.engine.latency import LatencyReport, latency
from replay.engine.latency_load import reaching
from replay.engine.run import run
from replay.strategy.schema import parse
from replay.traffic.load_traffic import load

FAST = "{name: f, behaviour: fixed, output_ratio: 1.0, route: [{match: {agent: a}, model: %s}]%s}"


def store_of(folder: Path) -> Store:
    """100 conversations of two overlapping calls and one after them at 10 ms a token; the fast model takes 2 ms."""
    rng = np.random.default_rng(4)
    rows: list[dict[str, Any]] = []
    for unit in range(200):
        model, agent, speed = ("gpt-4-turbo", "a", 10.0) if unit % 2 else ("gpt-3.5-turbo", "b", 2.0)
        begin = datetime(2024, 3, 5) + timedelta(minutes=unit)
        for place in range(3):
            output = int(rng.integers(50, 800))
            spent = speed * output * float(np.exp(rng.normal(0, 0.1)))
            offset = timedelta(seconds=0.02 * place if place < 2 else 30)
            rows.append({
                "start_time": begin + offset, "duration_ms": spent, "model": model, "agent": agent, "task": "t",
                "input_tokens": 1000, "output_tokens": output, "conversation_id": f"c{unit}",
                "key_canonical": len(rows) % 3,
            })  # fmt: skip
    store = build_in_memory(rows)
    ledger.update(store)
    return store


def report_of(store: Store, text: str) -> tuple[Engine, LatencyReport]:
    engine = Engine(load(store), parse(text))
    return engine, latency(engine, reaching(engine, engine.evaluate(engine.everything)))


def test_nothing_changes_where_nothing_moves(tmp_path: Path) -> None:
    _, found = report_of(store_of(tmp_path), "{name: l}")
    assert found.known == 1.0
    for row in (*found.calls, *found.paths):
        assert row.expected == row.logged
        assert (row.ratio_low, row.ratio_high) == (1.0, 1.0)
        assert row.low <= row.logged <= row.high


def test_moved_calls_take_as_long_as_the_models_own_calls_of_their_size(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    engine, found = report_of(store, FAST % ("gpt-3.5-turbo", ""))
    traffic = engine.traffic
    spent = (traffic.end_ms - traffic.start_ms).astype(float)
    mine = traffic.agent == traffic.agents.index("a")
    truth = np.where(mine, spent / 5, spent)
    median = float(np.quantile(truth, 0.5, method="inverted_cdf"))
    (p50, p95) = found.calls
    assert p50.expected == pytest.approx(median, rel=0.08)
    assert p50.low <= median <= p50.high
    assert p95.expected < p95.logged
    assert found.paths[1].expected < found.paths[1].logged / 3


def test_a_critical_path_takes_the_slowest_of_calls_that_overlap(tmp_path: Path) -> None:
    engine, found = report_of(store_of(tmp_path), "{name: l}")
    traffic = engine.traffic
    spent = (traffic.end_ms - traffic.start_ms).reshape(200, 3)
    # by its time, every call of a conversation of the log: two at once, then one
    paths = np.where(
        traffic.start_ms.reshape(200, 3)[:, 1] < traffic.end_ms.reshape(200, 3)[:, 0],
        np.maximum(spent[:, 0], spent[:, 1]), spent[:, 0] + spent[:, 1],
    ) + spent[:, 2]  # fmt: skip
    assert found.paths[0].logged == float(np.quantile(paths, 0.5, method="inverted_cdf"))


def test_a_model_that_the_log_does_not_time_leaves_latency_unknown(tmp_path: Path) -> None:
    _, found = report_of(store_of(tmp_path), FAST % ("gpt-4o", ", latency: {p95: 1.5}"))
    assert (found.calls, found.paths, found.untimed) == ((), (), ("gpt-4o",))
    assert found.known == pytest.approx(0.5)
    assert found.verdict == "unknown"


def test_a_hit_takes_no_time(tmp_path: Path) -> None:
    _, found = report_of(store_of(tmp_path), "{name: c, cache: {tiers: [{name: r, ttl: 24h}]}}")
    assert found.calls[0].expected == 0.0


@pytest.mark.parametrize(
    ("limit", "verdict"), [("{p95: 0.9}", "passes"), ("{p95: 0.2}", "fails"), ("{p50: 0.9, per: path}", "passes")]
)
def test_a_file_may_limit_its_latency(tmp_path: Path, limit: str, verdict: str) -> None:
    store = store_of(tmp_path)
    limited = parse(FAST % ("gpt-3.5-turbo", f", quality: {{floor: 0}}, latency: {limit}"))
    dearer = parse("{name: same, quality: {floor: 0}, batch: [{match: {agent: nobody}}]}")
    found = run(store, [limited, dearer]).strategies
    assert found[0].latency is not None
    assert found[0].latency.verdict == verdict
    assert found[1].latency is None
    assert found[0].to_json()["latency"]["verdict"] == verdict
    assert recommended(found[:1]) is found[0]


def test_a_latency_without_a_quantile_asks_for_nothing() -> None:
    with pytest.raises(StrategyError, match="p50 or p95"):
        parse("{name: x, latency: {per: call}}")


@pytest.mark.parametrize("queue", [True, False])
def test_durations_that_rise_with_the_load_are_no_measure_of_a_greater_one(tmp_path: Path, queue: bool) -> None:
    """The fast model has one slot, and waits for it; or as many as there are calls. It would get four times as many."""
    rng = np.random.default_rng(5)
    clock, free = 0.0, 0.0
    rows: list[dict[str, Any]] = []
    for number in range(1500):
        clock += rng.exponential(15)
        fast = number % 4 == 0
        spent = (12 if fast else 20) * float(rng.lognormal(0, 0.2))
        if fast and queue:
            spent += max(free - clock, 0.0)
            free = clock + spent
        rows.append({
            "start_time": datetime(2024, 3, 5) + timedelta(seconds=clock), "duration_ms": 1000 * spent, "task": "t",
            "model": "gpt-3.5-turbo" if fast else "gpt-4-turbo", "agent": "a", "input_tokens": 1000,
            "output_tokens": 100, "conversation_id": f"c{number}",
        })  # fmt: skip
    store = build_in_memory(rows)
    ledger.update(store)
    (result,) = run(store, [parse(FAST % ("gpt-3.5-turbo", ", latency: {p95: 1.2}"))]).strategies
    assert result.latency is not None
    assert result.latency.verdict == ("unknown" if queue else "passes")
    (load,) = result.latency.loads
    assert (load.rises, load.times) == (queue, pytest.approx(4.0))
    assert any("durations are taken at the logged load: gpt-3.5-turbo would get 4.0 times" in x for x in result.limits)
