"""What routing itself costs: classifiers, cascades, fallbacks and rework, each by hand."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from builder import build_in_memory

from analysis.ledger import ledger
from ingest.contents import tokenizer
from ingest.pipeline.run import ingest
from ingest.store.database import Store
from replay.engine.engine import Engine
from replay.engine.run import run
from replay.outcomes import HIT
from replay.strategy.schema import parse
from replay.traffic.load_traffic import load

TURBO_IN, TURBO_OUT, CHEAP_IN, CHEAP_OUT = (
    10_000_000,
    30_000_000,
    500_000,
    1_500_000,
)  # pico-dollars a token, March 2024
TOKENS_IN, TOKENS_OUT = 1_000, 100
TURBO = TOKENS_IN * TURBO_IN + TOKENS_OUT * TURBO_OUT
CHEAP = TOKENS_IN * CHEAP_IN + TOKENS_OUT * CHEAP_OUT


def engine(folder: Path, text: str, **columns: list[Any]) -> Engine:
    count = len(next(iter(columns.values())))
    rows = [
        {
            "start_time": datetime(2024, 3, 5) + timedelta(minutes=number),
            "input_tokens": TOKENS_IN,
            "output_tokens": TOKENS_OUT,
            "task": "draft",
            "key_canonical": number,
            **{name: values[number] for name, values in columns.items()},
        }
        for number in range(count)
    ]
    store = build_in_memory(rows)
    ledger.update(store)
    return Engine(load(store), parse(text))


def test_a_classifier_is_paid_on_every_demand_call_also_on_a_cache_hit(tmp_path: Path) -> None:
    text = """{name: c, route: [{match: {task: none}, model: gpt-3.5-turbo}],
               classifier: {model: gpt-3.5-turbo, input_tokens: 200, output_tokens: 5},
               cache: {tiers: [{name: m}]}}"""
    made = engine(tmp_path, text, key_canonical=[0, 0, 0], attempt=[1, 1, 2])
    outcome = made.evaluate(made.everything)
    classifier = 200 * CHEAP_IN + 5 * CHEAP_OUT
    assert outcome.codes[1] == HIT
    assert outcome.cost_pico.tolist() == [TURBO + classifier, classifier, TURBO]


def test_a_classifier_behind_the_cache_is_not_paid_on_a_hit(tmp_path: Path) -> None:
    text = """{name: c, route: [{match: {task: none}, model: gpt-3.5-turbo}],
               classifier: {model: gpt-3.5-turbo, placed: after_cache}, cache: {tiers: [{name: m}]}}"""
    made = engine(tmp_path, text, key_canonical=[0, 0])
    assert made.evaluate(made.everything).cost_pico[1] == 0


def test_a_cascade_pays_both_steps_where_the_score_is_low(tmp_path: Path) -> None:
    text = """{name: c, route: [{match: {task: draft}, cascade: [gpt-3.5-turbo, gpt-4-turbo],
               escalate: {score_below: 0.7}}]}"""
    made = engine(tmp_path, text, start_time=[datetime(2024, 3, 5), datetime(2024, 3, 5, 1)])
    with made.traffic.store.write() as con:
        con.execute("INSERT INTO scores VALUES (0, 'gpt-3.5-turbo', 0.9, 't'), (1, 'gpt-3.5-turbo', 0.4, 't')")
    outcome = made.evaluate(made.everything)
    assert outcome.cost_pico.tolist() == [CHEAP, TURBO + CHEAP]
    assert outcome.side_pico["cascade"].tolist() == [0, CHEAP]


@pytest.mark.parametrize(("share", "expected"), [(1.0, TURBO + CHEAP), (0.0, CHEAP)])
def test_a_cascade_by_share_goes_up_that_often(tmp_path: Path, share: float, expected: int) -> None:
    text = f"""{{name: c, route: [{{match: {{task: draft}}, cascade: [gpt-3.5-turbo, gpt-4-turbo],
                escalate: {{share: {share}}}}}]}}"""
    made = engine(tmp_path, text, task=["draft"] * 5)
    assert made.evaluate(made.everything).cost_pico.tolist() == [expected] * 5


def test_a_cascade_goes_up_by_what_the_logged_answer_showed(tmp_path: Path) -> None:
    text = """{name: c, route: [{match: {task: draft}, cascade: [gpt-3.5-turbo, gpt-4-turbo],
               escalate: {when: "finish_reason = 'length' OR output_tokens < 50"}}]}"""
    made = engine(tmp_path, text, finish_reason=["stop", "length", "stop"], output_tokens=[TOKENS_OUT, TOKENS_OUT, 40])
    short = TOKENS_IN * (TURBO_IN + CHEAP_IN) + 40 * (TURBO_OUT + CHEAP_OUT)
    assert made.evaluate(made.everything).cost_pico.tolist() == [CHEAP, CHEAP + TURBO, short]
    assert not any(
        "cascades have no score" in line for line in run(made.traffic.store, [made.strategy]).strategies[0].limits
    )


def test_a_cascade_skips_unpaid_a_step_that_the_call_does_not_fit(tmp_path: Path) -> None:
    text = """{name: c, route: [{match: {task: draft}, cascade: [gpt-3.5-turbo, gpt-4-turbo],
               escalate: {share: 1.0}}]}"""
    made = engine(tmp_path, text, input_tokens=[20_000])
    assert made.evaluate(made.everything).cost_pico[0] == made.traffic.cost[0]


def test_a_failed_call_falls_back_to_an_answer_of_usual_length(tmp_path: Path) -> None:
    text = "{name: f, on_error: gpt-3.5-turbo}"
    made = engine(tmp_path, text, status=["ok", "error"], output_tokens=[TOKENS_OUT, 0])
    outcome = made.evaluate(made.everything)
    assert outcome.cost_pico.tolist() == [TURBO, TOKENS_IN * TURBO_IN + CHEAP]


def test_rework_is_paid_by_moved_calls_only_and_is_always_listed(tmp_path: Path) -> None:
    text = """{name: r, route: [{match: {task: draft}, model: gpt-3.5-turbo}],
               rework: [{model: gpt-3.5-turbo, extra_calls: 0.5}]}"""
    made = engine(tmp_path, text, task=["draft", "other"])
    assert made.evaluate(made.everything).cost_pico.tolist() == [CHEAP + CHEAP // 2, TURBO]
    result = run(made.traffic.store, [made.strategy]).strategies[0]
    assert any("rework" in line for line in result.limits)
    assert sum(result.savings_pico.values()) == result.baseline_pico - result.cost_pico


def test_a_summary_costs_what_it_reads_and_writes(tmp_path: Path) -> None:
    """One request of ten long messages, of which the last six stay: the others are read, and 40 tokens are written."""
    texts = [f"message {number}: " + "one two three four five six seven eight " * 30 for number in range(10)]
    line = {
        "hindcast": 1, "call_id": "a", "start_time": "2024-09-02T10:00:00Z", "provider_name": "openai",
        "request_model": "gpt-4o", "input_tokens": 3000, "output_tokens": 10,
        "input_messages": [
            {"role": "user" if number % 2 == 0 else "assistant", "content": text} for number, text in enumerate(texts)
        ],
    }  # fmt: skip
    log = tmp_path / "log.jsonl"
    log.write_text(json.dumps(line) + "\n")
    store = Store(tmp_path / "s.duckdb")
    ingest(store, [log], workers=1)
    ledger.update(store)
    result = run(store, [parse("{name: x, compress: [{summary_budget: {tokens: 40, messages: 6}}]}")])
    entry = result.strategies[0]
    read = sum(tokenizer.count(text, "o200k_base") for text in texts[:4])
    paid = entry.side_pico["summary"]
    per_read, per_written = 5_000_000, 15_000_000  # pico-dollars of a token of gpt-4o in September 2024
    around = read * per_read + 40 * per_written
    frames = 4 * (tokenizer.FRAME_TOKENS + 2) * per_read  # what a message's frame may count
    assert around <= paid <= around + frames
    assert entry.cost_pico > paid
    assert any("summaries of 1 call are priced" in limit for limit in entry.limits)
