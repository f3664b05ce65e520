"""Published price lists as a book of the user's own: used for what ours lacks, and for nothing else."""

from __future__ import annotations

import json
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from builder import build_in_memory

from analysis.ledger.ledger import update
from analysis.price_book.price_lists import read_price_list, remove_price_list, store_price_list
from analysis.reports.price_explanation import ModelPrices
from analysis.reports.unpriced_models import unpriced_models
from ingest.errors import InputError
from ingest.store.database import Store

LITELLM = {
    "sample_spec": {"input_cost_per_token": 1, "litellm_provider": "none"},
    "newhost/star-9": {
        "litellm_provider": "newhost", "input_cost_per_token": 2e-06, "output_cost_per_token": 8e-06,
        "cache_read_input_token_cost": 2e-07, "input_cost_per_token_above_200k_tokens": 4e-06,
        "input_cost_per_token_batches": 1e-06, "output_cost_per_token_batches": 4e-06,
    },
    "gpt-4-turbo": {"litellm_provider": "openai", "input_cost_per_token": 1e-03, "output_cost_per_token": 1e-03},
    "newhost/ranges": {
        "litellm_provider": "newhost",
        "tiered_pricing": [
            {"range": [0, 32000], "input_cost_per_token": 1e-06, "output_cost_per_token": 5e-06},
            {"range": [32000, 256000], "input_cost_per_token": 3e-06, "output_cost_per_token": 9e-06},
        ],
    },
    "newhost/zero": {"litellm_provider": "newhost", "input_cost_per_token": 0, "output_cost_per_token": 0},
    "otherhost/star-9": {"litellm_provider": "otherhost", "input_cost_per_token": 3e-6, "output_cost_per_token": 9e-6},
    "newhost/alone": {"litellm_provider": "newhost", "input_cost_per_token": 5e-06, "output_cost_per_token": 5e-06},
}  # fmt: skip
MODELS_DEV = {
    "newhost": {"id": "newhost", "models": {
        "star-9": {"cost": {"input": 2, "output": 8, "context_over_200k": {"input": 4, "output": 12}}},
        "planned": {"cost": {"input": 0, "output": 0}}, "nothing": {},
    }},
}  # fmt: skip
OPENROUTER = {
    "data": [
        {"id": "maker/star-9", "pricing": {"prompt": "0.000002", "completion": "0.000008", "web_search": "0.004"}},
        {"id": "maker/star-9:free", "pricing": {"prompt": "0", "completion": "0"}},
        {"id": "openrouter/auto", "pricing": {"prompt": "-1", "completion": "-1"}},
    ]
}


def call(provider: str | None, model: str, **columns: Any) -> dict[str, Any]:
    base = {"start_time": datetime(2026, 6, 10), "input_tokens": 1000, "output_tokens": 100}
    return {**base, "provider_name": provider, "model": model, **columns}


def store_with(tmp_path: Path, document: Any, *calls: dict[str, Any], day: date = date(2026, 11, 1)) -> Store:
    path = tmp_path / "list.json"
    path.write_text(json.dumps(document))
    store = build_in_memory(calls)
    update(store)
    with store.write() as con:
        store_price_list(con, read_price_list(path), day)
    return store


def costs(store: Store) -> list[tuple[Decimal | None, str]]:
    update(store, rebuild=True)
    with store.read() as con:
        return con.execute("SELECT cost_usd, cost_status FROM costs ORDER BY call_no").fetchall()


CASES: dict[str, tuple[Any, dict[str, Any], str | None]] = {
    "its host's price": (LITELLM, call("newhost", "star-9"), "0.0028"),
    "cached tokens": (LITELLM, call("newhost", "star-9", cache_read_input_tokens=500), "0.0019"),
    "a batch": (LITELLM, call("newhost", "star-9", is_batch=True), "0.0014"),
    "a long request": (LITELLM, call("newhost", "star-9", input_tokens=300_000), "1.2008"),
    "a range": (LITELLM, call("newhost", "ranges", input_tokens=40_000), "0.1209"),
    "a short one": (LITELLM, call("newhost", "ranges"), "0.0015"),
    "zero is no price": (LITELLM, call("newhost", "zero"), None),
    "hosts that differ, none of them logged": (LITELLM, call(None, "star-9"), None),
    "a gateway that the list does not know": (LITELLM, call("somegateway", "alone"), "0.0055"),
    "a host without that model": (LITELLM, call("otherhost", "alone"), None),
    "an own machine": (LITELLM, call("vllm", "alone"), None),
    "models.dev": (MODELS_DEV, call("newhost", "star-9"), "0.0028"),
    "models.dev, long": (MODELS_DEV, call("newhost", "star-9", input_tokens=300_000), "1.2012"),
    "models.dev, a plan": (MODELS_DEV, call("newhost", "planned"), None),
    "OpenRouter": (OPENROUTER, call("openrouter", "maker/star-9"), "0.0028"),
    "OpenRouter, a search": (
        OPENROUTER, call("openrouter", "maker/star-9", server_tool_calls=1, web_search_calls=1), "0.0068",
    ),
    "OpenRouter, free": (OPENROUTER, call("openrouter", "maker/star-9:free"), "0"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_the_book_lacks_is_priced_by_the_list_and_says_so(name: str, tmp_path: Path) -> None:
    document, given, expected = CASES[name]
    [(usd, status)] = costs(store_with(tmp_path, document, given))
    if expected is None:
        assert (usd, status) == (None, "unknown_model")
    else:
        assert (usd, status) == (Decimal(expected), "priced_fallback")


def test_a_model_of_the_book_keeps_the_books_price(tmp_path: Path) -> None:
    [(usd, status)] = costs(store_with(tmp_path, LITELLM, call("openai", "gpt-4-turbo")))
    assert (usd, status) == (Decimal("0.013"), "priced")


def test_a_later_import_ends_the_earlier_one_and_leaves_its_days(tmp_path: Path) -> None:
    late = call("newhost", "star-9", start_time=datetime(2026, 11, 20))
    store = store_with(tmp_path, LITELLM, call("newhost", "star-9"), late)
    dearer = json.loads(json.dumps(LITELLM))
    dearer["newhost/star-9"]["input_cost_per_token"] = 4e-06
    (tmp_path / "later.json").write_text(json.dumps(dearer))
    with store.write() as con:
        store_price_list(con, read_price_list(tmp_path / "later.json"), date(2026, 11, 15))
    assert [usd for usd, _ in costs(store)] == [Decimal("0.0028"), Decimal("0.0048")]
    with store.read() as con:
        found = ModelPrices(con, "newhost", "star-9").at(date(2026, 11, 20))
    assert found.row is not None
    assert found.row["usd_per_million"]["input"] == "4"
    assert "imported as of 2026-11-15" in found.row["source"]


def test_a_removed_list_leaves_no_price(tmp_path: Path) -> None:
    store = store_with(tmp_path, LITELLM, call("newhost", "star-9"))
    assert costs(store)[0][0] is not None
    with store.write() as con:
        remove_price_list(con, "litellm")
    assert costs(store) == [(None, "unknown_model")]
    with store.write() as con, pytest.raises(InputError, match="no price list 'litellm'"):
        remove_price_list(con, "litellm")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"data": []}', '{"a": 1}', "not JSON", '{"a": {"models": {"b": {}}}}']
)
def test_a_file_without_prices_is_refused_in_words(text: str, tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    path.write_text(text)
    with pytest.raises(InputError):
        read_price_list(path)


def test_models_without_a_price_come_by_dollars_and_then_by_tokens(tmp_path: Path) -> None:
    calls = [
        call("newhost", "small"), call("newhost", "large", input_tokens=9_000_000), call("openai", "gpt-4-turbo"),
        call("newhost", "paid", logged_cost_usd=Decimal("0.5")), call("opencode", "kimi-for-coding", input_tokens=1),
    ]  # fmt: skip
    store = build_in_memory(calls)
    update(store)
    found = unpriced_models(store)
    assert [item.model for item in found] == ["paid", "large", "small", "kimi-for-coding"]
    assert [item.like for item in found] == [None, None, None, "moonshotai/kimi-k2-thinking"]
    assert found[0].logged_usd == Decimal("0.5")
