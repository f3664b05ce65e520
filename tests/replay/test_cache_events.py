"""Restarts and invalidations of a strategy file: read, refused with a reason, and equal to plain Python."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import oracles
import pytest
from builder import build_in_memory
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.ledger import ledger
from ingest.errors import StrategyError
from replay.outcomes import HIT, MISS
from replay.response_cache import invalidation, simulate, stage
from replay.strategy import schema
from replay.strategy.cache_schema import Cache
from replay.strategy.schedule import expand, moment
from replay.traffic import load_traffic
from replay.traffic.traffic import Traffic

START = datetime(2024, 3, 5, 1, tzinfo=UTC)
HOUR = 3_600_000
BASE = int(START.timestamp() * 1000)


def calls(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Calls of three days, of eight keys, four tasks and three processes; some answers take hours."""
    rng = np.random.default_rng(seed)
    minutes = np.sort(rng.integers(0, 3 * 24 * 60, count))
    return [
        {
            "start_time": START + timedelta(minutes=int(minute)),
            "duration_ms": float(rng.choice([0, 1000, 2 * HOUR])),
            "key_canonical": int(key),
            "task": f"task_{key % 4}",
            "process_id": f"worker-{rng.integers(3)}",
            "input_tokens": 10,
            "output_tokens": 10,
            "finish_reason": "stop",
        }
        for minute, key in zip(minutes, rng.integers(0, 8, count), strict=True)
    ]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Traffic:
    return loaded(tmp_path_factory.mktemp("events"), calls(600))


def loaded(folder: Path, rows: list[dict[str, Any]]) -> Traffic:
    store = build_in_memory(rows)
    ledger.update(store)
    return load_traffic.load(store)


def parsed(cache: str, folder: Path | None = None) -> schema.Strategy:
    where = str(folder / "s.yaml") if folder else "s.yaml"
    return schema.parse(
        f"name: e\ncache:\n  tiers:\n    - {{name: memory, scope: process, ttl: 20h, max_entries: 5}}\n"
        f"    - {{name: redis, ttl: 40h}}\n{cache}",
        where,
    )


def outcomes(log: Traffic, spec: schema.Strategy) -> list[int]:
    assert spec.cache is not None
    return list(stage.simulate(log, spec.cache, log.key, log.model).tolist())


def naive(log: Traffic, spec: schema.Strategy, happens: list[tuple[int, int, int]]) -> list[int]:
    """By the oracle, from events (time, key, process) that are simply written down for every key."""
    assert spec.cache is not None
    happens = sorted(happens)
    rows = [np.array([one[place] for one in happens]) for place in range(3)]
    asked = simulate.Requests(
        log.key, log.start_ms, log.end_ms, log.storable, log.demand, stage.processes(log, spec.cache),
        log.size_bytes,
    )  # fmt: skip
    given = simulate.Events(rows[0], rows[1].astype(np.int32), rows[2].astype(np.int32))
    return list(oracles.tiers(asked, stage.tier_list(spec.cache), events=given).tolist())


def test_a_daily_restart_empties_the_memory_of_every_process_as_in_plain_python(log):
    spec = parsed("  restarts: daily at 03:00")
    happens = [(BASE + (2 + 24 * day) * HOUR, -1, worker) for day in range(4) for worker in range(3)]
    found = outcomes(log, spec)
    assert found == naive(log, spec, happens)
    assert found != outcomes(log, parsed(""))


def test_one_process_restarts_at_a_time(log):
    spec = parsed("  restarts: [{at: 2024-03-06 12:00, process: worker-1}]")
    assert outcomes(log, spec) == naive(log, spec, [(BASE + 35 * HOUR, -1, log.processes.index("worker-1"))])


@settings(max_examples=12, deadline=None)
@given(every=st.sampled_from(["2h", "5h", "7h", "1d"]), task=st.integers(0, 3))
def test_deleting_by_rule_is_deleting_each_key_that_the_rule_holds(log, every, task):
    spec = parsed(f"  invalidate: [{{at: every {every}, match: {{task: task_{task}}}}}]")
    times = expand((f"every {every}",), BASE, BASE + 80 * HOUR).tolist()
    keys = sorted({int(key) for key in log.key[log.task == log.tasks.index(f"task_{task}")]})
    assert outcomes(log, spec) == naive(log, spec, [(at, key, 0) for at in times for key in keys])


def test_without_a_selection_everything_is_deleted(log):
    spec = parsed("  invalidate: 2024-03-06 12:00")
    assert outcomes(log, spec) == naive(log, spec, [(BASE + 35 * HOUR, key, 0) for key in range(8)])
    first = np.searchsorted(log.start_ms, BASE + 35 * HOUR)
    assert MISS <= outcomes(log, spec)[first] < HIT


def test_a_file_of_invalidations_says_the_same_as_the_rules_it_holds(log, tmp_path):
    (tmp_path / "gone.csv").write_text("time,task\n2024-03-06 12:00,task_1\n2024-03-07T02:00:00Z,task_1\n2024-03-06,\n")
    (tmp_path / "gone.jsonl").write_text(
        '{"time": "2024-03-06 12:00", "task": "task_1"}\n{"time": "2024-03-07 02:00", "task": "task_1"}\n'
        '{"time": "2024-03-06"}\n'
    )
    by_rule = parsed(
        "  invalidate: [{at: [2024-03-06 12:00, 2024-03-07 02:00], match: {task: task_1}}, 2024-03-06]", tmp_path
    )
    for name in ("gone.csv", "gone.jsonl"):
        by_file = parsed(f"  invalidate: [{{file: {name}}}]", tmp_path)
        assert by_file.canonical_json() == by_rule.canonical_json()  # the rows are part of the run's identity
    assert outcomes(log, by_file) == outcomes(log, by_rule) != outcomes(log, parsed(""))


def test_times_have_one_way_to_be_written_and_are_unfolded_within_the_log():
    assert moment("Daily at 3:05") == "daily at 03:05"
    assert moment("every 60m") == "every 1h"
    assert moment("2024-03-05T14:30:00+02:00") == "2024-03-05T12:30:00.000Z"
    assert expand(("daily at 03:00",), BASE, BASE + 26 * HOUR).tolist() == [BASE + 2 * HOUR, BASE + 26 * HOUR]
    assert expand(("every 1h", "2024-03-05 02:00"), BASE, BASE + HOUR).tolist() == [BASE, BASE + HOUR]
    with pytest.raises(StrategyError, match="more than 1,000,000 times"):
        expand(("every 1ms",), BASE, BASE + 26 * HOUR)


@pytest.mark.parametrize(
    ("cache", "why"),
    [
        ("  restarts: daily at 25:00", "s.yaml:6.*not a time of day"),
        ("  restarts: sometimes", "s.yaml:6.*is not a time"),
        ("  restarts: [{when: daily at 03:00}]", "unknown key 'when'"),
        ("  invalidate: [{at: daily at 03:00, match: {tsk: a}}]", "Did you mean 'task'"),
        ("  invalidate: [{file: absent.csv}]", "there is no file 'absent.csv' beside"),
        ("  invalidate: [{file: ../x.csv}]", "must be a .csv or .jsonl file beside"),
        ("  invalidate: [{file: bad.csv}]", "bad.csv:3.*unknown column|bad.csv:2.*unknown column"),
        ("  invalidate: [{file: late.csv}]", "late.csv:2.*is not a time"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(cache, why, tmp_path):
    (tmp_path / "bad.csv").write_text("time,tsk\n2024-03-06,a\n")
    (tmp_path / "late.csv").write_text("time,task\nsoon,a\n")
    with pytest.raises(StrategyError) as told:
        parsed(cache, tmp_path)
    assert re.search(why, str(told.value)), str(told.value)


def test_a_process_that_the_log_does_not_have_is_refused(log):
    spec = parsed("  restarts: [{at: daily at 03:00, process: worker-9}]")
    with pytest.raises(StrategyError, match="no process 'worker-9'"):
        outcomes(log, spec)
    assert spec.cache is not None
    assert invalidation.events(log, replace_cache(spec), log.key, log.process) is None


def replace_cache(spec: schema.Strategy) -> Cache:
    assert spec.cache is not None
    return spec.cache.model_copy(update={"restarts": ()})


def test_the_slots_of_a_small_memory_change_no_outcome(log, monkeypatch):
    spec = parsed("")
    plain = outcomes(log, spec)
    monkeypatch.setattr(simulate, "MANY_PAIRS", 0)
    monkeypatch.setattr(simulate, "FEW_SLOTS", 0)
    assert outcomes(log, spec) == plain
