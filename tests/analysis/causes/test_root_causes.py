"""Causes are named from the calls, placed where they are, and never lost in traffic."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from builder import build_in_memory

from analysis.attribution.factors import FACTORS
from analysis.causes.call_counts import Sizes
from analysis.causes.counted_causes import GrowthPool
from analysis.causes.segment_localization import Effect
from analysis.diagnosis import document
from analysis.diagnosis.diagnose import diagnose
from analysis.ledger.ledger import update
from benchmarks.diagnosis.suite import run

DAYS = 15
MONDAY = datetime(2024, 9, 2)


def calls(day, count, *, agent="writer", task="draft", requests=None, tokens=20_000, session=None, user=None, **more):
    for i in range(count):
        yield {
            "start_time": MONDAY + timedelta(days=day, minutes=5 + 7 * i), "agent": agent, "task": task,
            "model": "gpt-4-turbo", "input_tokens": tokens, "output_tokens": 500,
            "request_id": f"{agent}{task}{day}-{i % (requests or count)}",
            "conversation_id": session or f"s{agent}{day}-{i // 3}", "user_id": user or f"u{i % 5}", **more,
        }  # fmt: skip


def quiet(days=DAYS):
    for day in range(days):
        yield from calls(day, 9)
        yield from calls(day, 6, agent="editor", task="review")


def top(tmp_path, rows):
    store = build_in_memory(rows)
    update(store)
    found = diagnose(store, day=(MONDAY + timedelta(days=DAYS)).date())
    parts = sum((f.delta for f in found.causes), Decimal(0)) + found.residual
    assert parts == found.delta  # causes add up as drivers do
    return found, (found.causes or [None])[0]


def test_retries_are_retries_and_not_more_work(tmp_path):
    again = [{**row, "attempt": 2 + n} for n in range(3) for row in calls(DAYS, 9)]
    _, first = top(tmp_path, [*quiet(DAYS + 1), *again])
    assert first.cause.cause == "retry_storm"
    assert first.cause.segments in ([{"agent": "writer"}], [{"task": "draft"}], [{"agent": "writer", "task": "draft"}])
    assert "27 retries instead of 0" in first.cause.evidence[0]


def test_the_same_request_again_is_duplicates_and_not_traffic(tmp_path):
    rows = [{**row, "key_canonical": n} for n, row in enumerate(quiet(DAYS + 1))]
    rows += [{**row, "key_canonical": 5000, "request_id": f"r{n}"} for n, row in enumerate(calls(DAYS, 40))]
    _, first = top(tmp_path, rows)
    assert first.cause.cause == "duplicate_calls"


def test_what_a_loop_costs_is_what_its_calls_cost(tmp_path):
    extra = [*calls(DAYS, 40, requests=1, user="u1", session="round")]
    _, first = top(tmp_path, [*quiet(DAYS + 1), *extra])
    assert first.cause.cause == "loop"
    assert first.cause.factors[0] == "calls_per_request"
    # 40 calls of one request, where a request makes one: 39 calls of 20,000 x $10 + 500 x $30 per million are too many
    assert first.undo_saves == pytest.approx(Decimal("0.215") * 39, rel=Decimal("0.03"))


def test_one_session_is_told_from_a_loop_by_its_requests(tmp_path):
    usual = [{**row, "attempt": 1} for row in quiet(DAYS + 1)]
    retries = [{**row, "attempt": 2} for day in range(DAYS + 1) for row in calls(day, 1)]  # ids tell requests apart
    extra = [{**row, "request_id": f"x{n}"} for n, row in enumerate(calls(DAYS, 50, session="endless", user="u3"))]
    _, first = top(tmp_path, [*usual, *retries, *extra])
    assert first.cause.cause == "long_session"
    assert "50 calls" in first.cause.evidence[0]


def test_longer_prompts_with_the_same_cached_part_broke_no_cache(tmp_path):
    rows = [{**row, "cache_read_input_tokens": 8_000} for row in quiet(DAYS)]
    rows += [{**row, "cache_read_input_tokens": 8_000} for row in calls(DAYS, 9, tokens=60_000)]
    rows += [{**row, "cache_read_input_tokens": 8_000} for row in calls(DAYS, 6, agent="editor", task="review")]
    found, first = top(tmp_path, rows)
    assert first.cause.cause == "prompt_growth"
    assert not any(f.cause.cause == "cache_breakage" and f.cause.surprising for f in found.causes)
    assert first.undo_saves == Decimal("3.6")


def test_a_quiet_day_of_everybody_is_no_segment_s_news(tmp_path):
    """Five agents; on the last day all of them do a third less, and one writes prompts twice as long."""
    rows = []
    for day in range(DAYS + 1):
        for n in range(5):
            count = 8 if day == DAYS else 12
            rows += calls(day, count, agent=f"a{n}", tokens=40_000 if (day, n) == (DAYS, 2) else 20_000)
    found, first = top(tmp_path, rows)
    assert first.cause.cause == "prompt_growth"
    assert "a2" in first.cause.segments[0].values()
    traffic = [f for f in found.causes if f.cause.cause == "traffic"]
    assert [f.cause.segments for f in traffic if abs(f.delta) > Decimal("0.5")] == [[{}]]


def test_lost_usage_is_told_and_priced_like_the_other_calls(tmp_path):
    lost = {"input_tokens": None, "output_tokens": None, "tokens_source": "missing"}
    asked = list(calls(DAYS, 9))
    rows = [*quiet(DAYS), asked[0], *({**row, **lost} for row in asked[1:])]
    rows += calls(DAYS, 6, agent="editor", task="review")
    _, first = top(tmp_path, rows)
    assert first.cause.cause == "usage_missing"
    assert first.undo_saves == -Decimal("0.215") * 8


def test_one_user_is_named(tmp_path):
    rows = [*quiet(DAYS + 1)]
    for n in range(12):
        rows += calls(DAYS, 4, user="u77", session=f"long{n}", requests=4)
    rows = [{**row, "request_id": f"q{n}"} for n, row in enumerate(rows)]
    _, first = top(tmp_path, rows)
    assert first.cause.cause == "user_surge"
    assert first.cause.segments[0]["user"] == "u77"


def test_longer_prompts_in_one_task_are_placed_there(tmp_path):
    rows = [*quiet(), *calls(DAYS, 9, tokens=60_000), *calls(DAYS, 6, agent="editor", task="review")]
    found, first = top(tmp_path, rows)
    assert first.cause.cause == "prompt_growth"
    assert all("writer" in s.values() or "draft" in s.values() for s in first.cause.segments)
    assert first.undo_saves == Decimal("3.6")  # 9 calls x 40,000 tokens x $10 / 1M
    assert "each call reads 60,000 tokens instead of 20,000" in document.summary(found)


def test_a_new_agent_is_new_since_a_day(tmp_path):
    _, first = top(tmp_path, [*quiet(DAYS + 1), *calls(DAYS, 20, agent="scout", task="search")])
    assert first.cause.cause == "new_agent"
    assert "scout" in first.cause.segments[0].values()
    assert any("first seen on 2024-09-17" in line for line in first.cause.evidence)


def test_agents_that_go_round_more_are_a_loop(tmp_path):
    rows = []
    for day in range(DAYS + 1):
        rounds = 12 if day == DAYS else 4
        for session in range(3):
            for step in range(2 * rounds):
                agent = ("coder", "critic")[step % 2]
                rows += calls(
                    day, 1, agent=agent, task="review", session=f"s{day}-{session}",
                    start_time=MONDAY + timedelta(days=day, hours=2 * session, minutes=step),
                    request_id=f"run{day}-{session}",
                )  # fmt: skip
    _, first = top(tmp_path, rows)
    assert first.cause.cause == "loop"
    assert first.cause.segments == [{"agent": "coder"}, {"agent": "critic"}]
    assert "12.0 rounds a session" not in first.cause.evidence[0]  # eleven and a half answers follow the first call
    assert "11.5 rounds a session (3.5 before)" in first.cause.evidence[0]


def test_an_ordinary_day_claims_nothing(tmp_path):
    found, _ = top(tmp_path, [*quiet(DAYS + 1)])
    assert not any(f.cause.surprising for f in found.causes)
    assert not found.flagged


@pytest.mark.spread
@pytest.mark.parametrize(
    "cause", ["new_agent", "prompt_growth", "retry_storm", "output_growth", "price_change", "tool_bloat"]
)
@pytest.mark.parametrize("worlds", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_generated_worlds_name_their_cause(tmp_path, cause, worlds):
    every = (run(tmp_path, seed, [cause], 1.0) for seed in range(900, 912))
    scores = list(islice((score for score in every if score is not None), worlds))
    assert scores
    assert all(score.cause_first for score in scores)


@pytest.mark.data
def test_chatdev_names_the_review_loops(tmp_path, data):
    from ingest.pipeline.run import ingest
    from ingest.store.database import Store

    store = Store(tmp_path / "chatdev.duckdb")
    ingest(
        store,
        [data / "chatdev_calls.jsonl.zst"],
        mapping=Path(__file__).resolve().parents[3] / "sample_logs" / "mappings" / "chatdev.yaml",
    )
    update(store)
    found = diagnose(store, day=date(2023, 8, 25))
    assert found.low_history
    assert len(found.baseline.weights) == 5
    first = found.causes[0].cause
    assert first.cause == "loop"
    assert {segment["agent"] for segment in first.segments} == {"Programmer", "Code Reviewer"}
    assert "488 of the day's 617 calls (79.1 %" in first.evidence[1]
    assert sum((line.delta for line in found.drivers), Decimal(0)) + found.residual == found.delta


def test_a_rise_of_the_last_days_is_a_change_under_way_and_no_wobble(tmp_path):
    rows = [row for row in quiet(DAYS + 1) if row["agent"] != "editor"]
    for day in range(DAYS + 1):
        rising = max(day - (DAYS - 4), 0)
        rows += calls(day, 6, agent="editor", task="review", tokens=20_000 + 12_000 * rising)
    _, first = top(tmp_path, rows)
    assert first.cause.cause == "prompt_growth"
    assert first.cause.surprising
    assert {"agent": "editor"} in [{k: v for k, v in s.items() if k == "agent"} for s in first.cause.segments]


def test_a_busy_user_among_many_more_calls_of_everybody_is_traffic(tmp_path):
    rows = [*quiet(DAYS + 1), *calls(DAYS, 60)]  # u0..u4 take turns, as before
    _, first = top(tmp_path, rows)
    assert first.cause.cause == "traffic"


def test_what_counted_calls_did_to_the_mix_of_models_is_not_told_again():
    key = (("agent", "writer"),)
    changes = {factor: {key: (0.0, 0.1)} for factor in FACTORS}
    changes |= {"volume": {key: (2.0, 0.2)}, "model_mix": {key: (0.6, 0.05)}}
    drivers = [
        Effect(dict(key), "volume", 900, 2.0, 0.2, 1.0, whole=900),
        Effect(dict(key), "model_mix", -600, 0.6, 0.05, 1.0, whole=-600),
    ]
    pool = GrowthPool(drivers, changes)
    whole = Sizes([100.0, 1000.0, 0.0, 100.0, 0.0], {"dear": 40.0, "cheap": 60.0})
    own = Sizes([60.0, 600.0, 0.0, 60.0, 0.0], {"cheap": 60.0})
    pool.without(dict(key), whole, own, {"dear": 400.0})
    left = {effect.factor: effect for effect in pool.rest()}
    assert pool.universe["model_mix"][key][0] == left["model_mix"].change == 0.0
    assert (left["volume"].delta, left["model_mix"].delta) == (300, 0)


def test_a_cause_is_led_by_the_factor_that_moved_by_itself(tmp_path):
    """Longer prompts read less of themselves from the cache, which can be worth more than their tokens."""
    rows = []
    for day in range(DAYS + 1):
        size = 60_000 if day == DAYS else 20_000
        rows += calls(day, 9, tokens=size, cache_read_input_tokens=18_000)
        rows += calls(day, 6, agent="editor", task="review")
    _, first = top(tmp_path, rows)
    assert first.cause.cause == "prompt_growth"
    assert first.cause.factors[0] == "input_tokens"


def test_users_who_come_and_go_are_no_news(tmp_path):
    """Segments of a call or two: some stay away each day, some were never seen before."""
    rows = []
    for day in range(DAYS + 1):
        for user in range(200):
            if (user * 7919 + day * 104_729) % 11 < 4:
                rows += calls(day, 1, agent="writer", user=f"u{user}", session=f"s{day}-{user}")
    store = build_in_memory(rows)
    update(store)
    found = diagnose(store, day=(MONDAY + timedelta(days=DAYS)).date(), by=("agent", "user"))
    assert sum((f.delta for f in found.causes), Decimal(0)) + found.residual == found.delta
    assert not [f for f in found.causes if f.cause.cause in ("gone", "new_agent") and f.cause.surprising]


def test_one_user_is_worth_no_more_than_the_user_moved(tmp_path):
    rng = np.random.default_rng(0)
    rows = []
    for day in range(DAYS + 1):
        for user in range(12):
            count, tokens = int(rng.poisson(12)), 1000
            if day == DAYS and user == 3:
                count, tokens = 4 * count, 3000
            for number in range(count):
                name = f"{day}-{user}-{number}"
                rows += calls(day, 1, user=f"u{user}", tokens=tokens, session=name, request_id=name)
    store = build_in_memory(rows)
    update(store)
    found = diagnose(store, day=(MONDAY + timedelta(days=DAYS)).date(), by=["user"], metric="tokens")
    place = {"user": "u3"}
    moved = sum(driver.delta for driver in found.drivers if driver.segment == place)
    own = [cause for cause in found.causes if place in cause.cause.segments]
    assert {cause.cause.cause for cause in own} == {"user_surge", "prompt_growth"}
    assert float(sum(cause.delta for cause in own)) == pytest.approx(float(moved), rel=0.01)
    assert all(0 < cause.delta < moved for cause in own)
