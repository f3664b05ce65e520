"""Before a projection: what is simulated must reproduce the log, or its dollars are a range, or refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builder import build_in_memory

from analysis.ledger import ledger
from ingest.contents.tokenizer import count_content
from ingest.pipeline.run import ingest
from ingest.store.database import Store
from replay.advice.recommend import recommended
from replay.advice.result_in_words import cost_text, sentence
from replay.engine.engine import Engine
from replay.engine.reproduction import reproductions
from replay.engine.run import run
from replay.strategy.schema import parse
from replay.traffic.load_traffic import load

MINI = parse("{name: mini, output_ratio: 1.0, route: [{default: gpt-4.1-mini}]}")
CACHED = parse("{name: ours, cache: {tiers: [{name: r, ttl: 24h}]}}")
WORDS = ("tide", "moon", "shore", "basin", "harbour", "current", "gauge", "ebb", "flood", "lagoon", "estuary")


def words(seed: int, size: int) -> str:
    return " ".join(WORDS[number] for number in np.random.default_rng(seed).integers(0, len(WORDS), size))


def chats(folder: Path, logged: Callable[[int, int], int | None]) -> Store:
    """Eight chats on as many days; `logged(what the rule gives, input tokens)` is each call's cached-token count."""
    lines = []
    for chat in range(8):
        messages = [{"role": "system", "content": words(chat, 1300)}]
        before = 0
        for turn in range(6):
            messages.append({"role": "user", "content": words(100 * chat + turn, 150)})
            tokens = 3 + sum(count_content(json.dumps(m, sort_keys=True), "message", "o200k_base") for m in messages)
            answer = {"role": "assistant", "content": words(5000 + 100 * chat + turn, 40)}
            line: dict[str, Any] = {
                "hindcast": 1, "call_id": f"{chat}-{turn}", "provider_name": "openai", "request_model": "gpt-4.1",
                "start_time": (datetime(2025, 5, 5 + chat, 9, tzinfo=UTC) + timedelta(seconds=30 * turn)).isoformat(),
                "conversation_id": f"chat-{chat}", "input_tokens": tokens, "output_tokens": 40,
                "input_messages": list(messages), "output_messages": [answer],
                "cache_read_input_tokens": logged(before // 128 * 128 if before >= 1024 else 0, tokens),
            }  # fmt: skip
            lines.append({name: value for name, value in line.items() if value is not None})
            before = tokens
            messages.append(answer)
    log = folder / "chats.jsonl"
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    store = Store(folder / "s.duckdb")
    ingest(store, [log])
    ledger.update(store)
    return store


def test_a_log_that_follows_the_rules_is_reproduced_and_its_dollars_are_told(tmp_path: Path) -> None:
    store = chats(tmp_path, lambda by_rule, _: by_rule)
    (found,) = reproductions(Engine(load(store), parse("{name: l}")))
    assert (found.verdict, found.unit, found.units, found.calls) == ("holds", "day", 8, 48)
    assert found.bias is not None
    assert abs(found.bias) < 0.02
    (result,) = run(store, [MINI]).strategies
    assert result.dollars == "told"
    assert result.to_json()["cost_usd"] is not None
    assert [one["verdict"] for one in result.calibration] == ["holds"]


def test_a_log_that_the_simulation_does_not_reproduce_has_its_dollars_refused(tmp_path: Path) -> None:
    number = count()  # whole chats are cached or not, which no rule tells
    store = chats(tmp_path, lambda _, tokens: next(number) // 6 % 3 // 2 * tokens // 128 * 128)
    result, cheaper = run(store, [MINI, parse("{name: batch, batch: [{match: {model: gpt-4.1}}]}")]).strategies
    assert result.dollars == "refused"
    shown = result.to_json()
    assert (shown["cost_usd"], shown["usd_per_day"], shown["saved_share"]) == (None, None, None)
    assert shown["cost_low_usd"] is not None
    assert "refused" in result.limits[0]
    assert cost_text(result) == "refused"
    assert "not told" in sentence(result)
    assert recommended([result, cheaper]) is cheaper


def test_without_anything_to_check_a_prompt_cache_against_its_dollars_are_a_range(tmp_path: Path) -> None:
    (result,) = run(chats(tmp_path, lambda *_: None), [MINI]).strategies
    assert result.dollars == "range"
    assert result.low_pico < result.high_pico
    assert " to " in cost_text(result)


@pytest.mark.parametrize(("keyed", "verdict"), [(True, "told"), (False, "refused")])
def test_a_gateways_own_hits_must_follow_from_the_keys(tmp_path: Path, keyed: bool, verdict: str) -> None:
    rng = np.random.default_rng(5)
    filled: dict[int, int] = {}  # minute at which a key was answered; the gateway keeps it for an hour
    rows = []
    for number in range(600):
        day, key = number // 100, int(rng.integers(40))
        now = 1440 * day + number % 100
        hit = now - filled.get(key, -99) <= 60 if keyed else bool(rng.random() < 0.05 + 0.15 * (day % 3))
        if not hit:
            filled[key] = now
        rows.append({
            "start_time": datetime(2024, 5, 1 + day) + timedelta(minutes=number % 100), "key_canonical": key,
            "input_tokens": 1000, "output_tokens": 100, "status": "gateway_cache_hit" if hit else "ok",
        })  # fmt: skip
    store = build_in_memory(rows)
    ledger.update(store)
    (result,) = run(store, [CACHED]).strategies
    assert result.dollars == verdict
    assert [one["quantity"] for one in result.calibration] == ["gateway cache"]
