"""The frame of calls under a strategy sums to the strategy's result, whatever the traffic and the stages."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from builder import build_in_memory
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.ledger import ledger
from analysis.money import dollars
from ingest.store.database import Store
from replay.engine.call_frame import OUTCOMES, replay_calls
from replay.engine.run import run
from replay.strategy.schema import parse

START = datetime(2024, 6, 5)
STAGES = {
    "route": "route: [{match: {task: summary}, model: gpt-3.5-turbo}]",
    "cascade": "route: [{match: {task: draft}, cascade: [gpt-3.5-turbo, gpt-4-turbo], escalate: {share: 0.4}}]",
    "classifier": "classifier: {model: gpt-3.5-turbo}",
    "cache": "cache: {in_flight: coalesced, tiers: [{name: memory, scope: process, ttl: 30m}, {name: redis, ttl: 2d}]}",
    "batch": "batch: [{match: {agent: nightly}}]",
    "provider_cache": "provider_cache: 'off'",
}


def store_of(path: Path, rows: list[dict[str, Any]]) -> Store:
    store = build_in_memory(rows)
    ledger.update(store)
    return store


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "start_time": st.integers(0, 4_000).map(lambda minutes: START + timedelta(minutes=minutes)),
            "duration_ms": st.sampled_from([None, 0.0, 90_000.0]),
            "agent": st.sampled_from(["writer", "nightly", None]),
            "task": st.sampled_from(["summary", "draft", None]),
            "model": st.sampled_from(["gpt-4-turbo", "gpt-3.5-turbo", "in-house-7b"]),
            "input_tokens": st.integers(0, 30_000),
            "output_tokens": st.integers(0, 3_000),
            "key_canonical": st.sampled_from([None, 0, 1, 2]),
            "attempt": st.sampled_from([None, 2]),
            "status": st.sampled_from(["ok", "ok", "error", "gateway_cache_hit"]),
            "process_id": st.sampled_from([None, "p0", "p1"]),
        }
    ),
    min_size=1,
    max_size=30,
)


@settings(max_examples=8)
@given(ROWS, st.sets(st.sampled_from(sorted(STAGES))), st.sampled_from([None, 6]))
def test_the_frame_sums_to_the_result(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], stages: set[str], since: int | None
) -> None:
    chosen = stages - {"cascade"} if "route" in stages else stages
    strategy = parse("\n".join(["name: any", *(STAGES[name] for name in sorted(chosen))]))
    store = store_of(tmp_path_factory.mktemp("s"), rows)
    first = date(2024, 6, since) if since else None
    result = run(store, [strategy], since=first).strategies[0]
    calls = replay_calls(store, strategy, since=first)

    assert calls.height == sum(first is None or row["start_time"].date() >= first for row in rows)
    assert calls["start_time"].is_sorted()
    priced = calls.drop_nulls("cost_usd")
    assert priced.height == result.priced_calls
    assert calls["logged_cost_usd"].null_count() == calls["cost_usd"].null_count()
    assert sum(priced["cost_usd"]) == dollars(result.cost_pico)
    assert sum(priced["logged_cost_usd"]) == dollars(result.baseline_pico)
    assert sum(priced["side_cost_usd"]) == dollars(sum(result.side_pico.values()))
    counts = dict(calls.group_by("outcome").len().iter_rows())
    assert set(counts) <= set(OUTCOMES)
    assert counts.get("hit", 0) == result.hits
    assert counts.get("coalesced", 0) == result.coalesced
    tiers = dict(calls.drop_nulls("cache_tier").group_by("cache_tier").len().iter_rows())
    assert {name: tiers.get(name, 0) for name in result.tier_hits} == result.tier_hits


def test_a_routed_call_and_a_call_as_logged_stand_in_the_frame(tmp_path: Path) -> None:
    rows = [
        {"start_time": START + timedelta(minutes=place), "task": task, "input_tokens": 1000, "output_tokens": 100}
        for place, task in enumerate(("summary", "draft"))
    ]
    calls = replay_calls(store_of(tmp_path, rows), parse(f"{{name: r, {STAGES['route']}}}"))
    moved, kept = calls.rows(named=True)
    assert (moved["logged_model"], moved["model"]) == ("gpt-4-turbo", "gpt-3.5-turbo")
    assert moved["cost_usd"] < moved["logged_cost_usd"]
    assert (kept["model"], kept["cost_usd"]) == (kept["logged_model"], kept["logged_cost_usd"])
    assert kept["call_no"] == 1
    assert calls.schema["cost_usd"] == pl.Decimal(38, 12)
    assert set(calls["tier"]) == {"standard"}
