"""A changed prompt changes the provider's prompt cache: cost follows the simulated prefix, not the tokens alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.ledger import ledger
from ingest.contents.tokenizer import count_content
from ingest.pipeline.run import ingest
from ingest.store.database import Store
from ingest.store.memory import MemoryStore
from replay.engine.engine import Engine
from replay.engine.run import run
from replay.strategy.schema import parse
from replay.traffic.load_traffic import load

WORDS = ("tide", "moon", "shore", "basin", "harbour", "current", "gauge", "ebb", "flood", "lagoon", "estuary")
START = datetime(2025, 3, 5, 9, tzinfo=UTC)


def text(seed: int, size: int, gap: str = " ") -> str:
    rng = np.random.default_rng(seed)
    return gap.join(WORDS[number] for number in rng.integers(0, len(WORDS), size))


def conversation(turns: int, gap: str) -> list[dict[str, Any]]:
    """One chat that resends its history; the provider cached the prefix of each call but the first, in steps of 128."""
    messages: list[dict[str, str]] = [{"role": "system", "content": text(0, 1500, gap)}]
    lines = []
    before = 0
    for turn in range(turns):
        messages.append({"role": "user", "content": text(turn + 1, 160, gap)})
        tokens = 3 + sum(count_content(json.dumps(m, sort_keys=True), "message", "o200k_base") for m in messages)
        answer = {"role": "assistant", "content": text(1000 + turn, 40)}
        lines.append(
            {
                "hindcast": 1,
                "call_id": f"c{turn}",
                "start_time": (START + timedelta(seconds=40 * turn)).isoformat(),
                "provider_name": "openai",
                "request_model": "gpt-4.1",
                "conversation_id": "chat",
                "input_tokens": tokens,
                "cache_read_input_tokens": before // 128 * 128 if before >= 1024 else 0,
                "output_tokens": 40,
                "input_messages": list(messages),
                "output_messages": [answer],
            }
        )
        before = tokens
        messages.append(answer)
    return lines


@pytest.fixture
def store(tmp_path: Path, request: pytest.FixtureRequest) -> Store:
    log = tmp_path / "chat.jsonl"
    log.write_text("".join(json.dumps(line) + "\n" for line in conversation(14, getattr(request, "param", " "))))
    made = MemoryStore(tmp_path / "s.duckdb")
    ingest(made, [log])
    ledger.update(made)
    return made


def test_unchanged_traffic_keeps_the_logged_cached_tokens(store: Store) -> None:
    engine = Engine(load(store), parse("{name: l}"))
    outcome = engine.evaluate(frozenset())
    assert (outcome.cost_pico == engine.traffic.cost).all()
    assert engine.traffic.tokens("cache_read").max() > 1024


def test_the_simulation_foresees_the_logged_cached_tokens(store: Store) -> None:
    engine = Engine(load(store), parse("{name: w, compress: [whitespace]}"))
    simulated = engine.provider.simulated_as_logged[0]
    logged = engine.traffic.tokens("cache_read")
    assert abs(int(simulated.sum()) - int(logged.sum())) <= 128 * len(logged)


def test_a_history_window_saves_tokens_and_costs_more(store: Store) -> None:
    engine = Engine(load(store), parse("{name: w, compress: [{history_window: 6}]}"))
    outcome = engine.evaluate(engine.everything)
    assert outcome.input_tokens.sum() < engine.traffic.tokens("input").sum()
    result = run(store, [engine.strategy]).strategies[0]
    assert result.cost_pico > result.baseline_pico
    assert result.savings_pico["compress"] == result.baseline_pico - result.cost_pico < 0


@pytest.mark.parametrize("store", ["   \n\n\n\n\n"], indirect=True)
def test_a_compressor_that_keeps_prefixes_saves(store: Store) -> None:
    result = run(store, [parse("{name: w, compress: [whitespace]}")]).strategies[0]
    assert result.cost_pico < result.baseline_pico


def test_a_call_that_our_cache_serves_neither_reads_nor_refreshes_the_providers(store: Store) -> None:
    engine = Engine(load(store), parse("{name: c, cache: {tiers: [{name: m}]}}"))
    outcome = engine.evaluate(engine.everything)
    assert (outcome.cost_pico[outcome.hits] == 0).all()


def test_switching_the_provider_cache_off_costs_its_discount(store: Store) -> None:
    result = run(store, [parse("{name: o, provider_cache: 'off'}")]).strategies[0]
    assert result.cost_pico > result.baseline_pico
    assert set(result.savings_pico) == {"provider_cache"}


def test_a_result_that_rests_on_the_simulation_shows_it_beside_the_log_and_takes_its_band(store: Store) -> None:
    result = run(store, [parse("{name: w, compress: [{history_window: 6}]}")]).strategies[0]
    (check,) = result.to_json()["prompt_cache"]
    assert check["logged_tokens"] > 1024
    assert check["factor_low"] <= check["factor"] <= check["factor_high"]
    assert any("the rules foresee" in limit for limit in result.limits)
    assert result.low_pico <= result.cost_pico <= result.high_pico


def test_a_result_that_does_not_rest_on_it_shows_none(store: Store) -> None:
    result = run(store, [parse("{name: l}")]).strategies[0]
    assert result.prompt_cache == ()


def test_a_past_day_does_not_depend_on_whether_later_days_ask_for_a_prompt_cache(tmp_path: Path) -> None:
    lines = conversation(6, " ")
    for line in lines:
        line |= {"provider_name": "anthropic", "request_model": "claude-sonnet-4-5", "cache_read_input_tokens": 0}
    later = [line | {"call_id": f"l{n}", "start_time": (START + timedelta(days=2, seconds=40 * n)).isoformat(),
                     "cache_read_input_tokens": 1000 * (n > 0)} for n, line in enumerate(lines)]  # fmt: skip
    log = tmp_path / "chat.jsonl"
    log.write_text("".join(json.dumps(line) + "\n" for line in [*lines, *later]))
    made = MemoryStore(tmp_path / "s.duckdb")
    ingest(made, [log])
    ledger.update(made)
    spec = parse("{name: o, route: [{default: claude-opus-4-1}]}")
    days = [run(made, [spec], until=(START + timedelta(days=n)).date()).strategies[0].daily[0] for n in (0, 2)]
    assert days[0].cost_pico == days[1].cost_pico
