"""A model written `vendor/model` in a strategy keeps the scores and the prices that are its own under either name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analysis.ledger import ledger
from analysis.pricing.overrides import parse_override
from analysis.pricing.stored_overrides import store_overrides
from ingest.pipeline.run import ingest
from ingest.store.database import Store
from ingest.store.memory import MemoryStore
from replay.engine.run import run
from replay.strategy.schema import parse


def store_of(folder: Path, scores: dict[str, float]) -> Store:
    lines = [
        {"hindcast": 1, "call_id": f"c{n}", "start_time": f"2024-08-11T00:00:{n:02}Z", "provider_name": "openai",
         "request_model": "gpt-4-turbo", "task": "t", "input_tokens": 1000, "output_tokens": 100, "score": 1.0,
         "scores": scores}
        for n in range(40)
    ]  # fmt: skip
    log = folder / "log.jsonl"
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    made = MemoryStore(folder / "s.duckdb")
    ingest(made, [log])
    ledger.update(made)
    return made


@pytest.mark.parametrize("scored", ["mistralai/mixtral-8x7b", "mixtral-8x7b"])
@pytest.mark.parametrize("routed", ["mistralai/mixtral-8x7b", "mixtral-8x7b"])
def test_scores_are_found_by_either_spelling(tmp_path: Path, scored: str, routed: str) -> None:
    spec = parse(f"{{name: s, quality: {{floor: 0.5}}, route: [{{default: {routed}}}]}}")
    (result,) = run(store_of(tmp_path, {scored: 0.9}), [spec]).strategies
    assert result.quality["verdict"] == "passes"


def test_a_score_of_the_same_name_from_another_vendor_is_another_models(tmp_path: Path) -> None:
    spec = parse("{name: s, quality: {floor: 0.5}, route: [{default: azure/own/mixtral-8x7b}]}")
    (result,) = run(store_of(tmp_path, {"mistralai/mixtral-8x7b": 0.9}), [spec]).strategies
    assert result.quality["verdict"] == "unknown"


def test_a_price_of_the_users_own_is_found_by_provider_and_model(tmp_path: Path) -> None:
    store = store_of(tmp_path, {})
    spec = parse("{name: s, output_ratio: 1.0, route: [{default: somebody/new-model}]}")
    assert run(store, [spec]).strategies[0].priced_calls == 0
    item = parse_override(match={"model": "somebody/new-model"}, input="1", output="2")
    with store.write() as con:
        store_overrides(con, [item], replace_all=True)
    result = run(store, [spec]).strategies[0]
    assert (result.priced_calls, result.cost_pico) == (40, 40 * (1000 * 1 + 100 * 2) * 10**6)
