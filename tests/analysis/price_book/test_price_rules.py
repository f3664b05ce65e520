"""Rules of the price book: tools, modalities, tiers and regions cost what their sources say, from their dates on."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from builder import build_in_memory, build_store

from analysis.ledger.ledger import update
from analysis.price_book.book import compile_book
from analysis.price_book.history import load_history
from analysis.price_book.rows import HISTORY
from analysis.price_book.vocabulary import KINDS
from analysis.pricing.overrides import parse_override
from analysis.pricing.stored_overrides import store_overrides
from ingest.store.database import Store
from ingest.store.schema import SCHEMA_VERSION


def call(provider: str, model: str, **columns: Any) -> dict[str, Any]:
    base = {"start_time": datetime(2026, 6, 10), "input_tokens": 1000, "output_tokens": 100}
    return {**base, "provider_name": provider, "model": model, **columns}


def costs(store: Store) -> list[tuple[str | None, str]]:
    update(store)
    with store.read() as con:
        rows = con.execute("SELECT cost_usd, cost_status FROM costs ORDER BY call_no").fetchall()
    return [(None if usd is None else str(usd.normalize()), status) for usd, status in rows]


OPUS, GEMINI, GPT = ("anthropic", "claude-opus-4-6"), ("gcp.gemini", "gemini-2.5-flash"), ("openai", "gpt-5.4")
PRICED = {
    "a search costs a cent": (call(*OPUS, server_tool_calls=2, web_search_calls=2), "0.0275"),
    "a search in files costs a quarter of a cent": (call(*GPT, server_tool_calls=2, file_search_calls=2), "0.009"),
    "grounding before Gemini 3 is paid by the prompt": (
        call(*GEMINI, server_tool_calls=5, web_search_calls=5), "0.03555",
    ),
    "grounding since Gemini 3 is paid by the query": (
        call("gcp.gemini", "gemini-3-flash-preview", server_tool_calls=2, web_search_calls=2), "0.0288",
    ),
    "maps": (call(*GEMINI, server_tool_calls=1, maps_calls=1), "0.02555"),
    "results of a plugin": (
        call("openrouter", "openai/gpt-5-mini", server_tool_calls=5, web_search_results=5), "0.02045",
    ),
    "a low search context": (call("perplexity", "sonar-pro", search_context_size="low"), "0.0105"),
    "audio in and out": (
        call("openai", "gpt-4o-audio-preview", audio_input_tokens=900, audio_output_tokens=80), "0.04285",
    ),
    "images that a model makes": (
        call("openai", "gpt-image-1", input_tokens=150, image_input_tokens=100, output_tokens=4200), "0.16925",
    ),
    "fast mode, six times the price": (call(*OPUS, service_tier="fast"), "0.045"),
    "priority before the catalogue lists it": (call("openai", "gpt-5.5", service_tier="priority"), "0.02"),
    "a batch": (call("gcp.gemini", "gemini-2.5-flash", is_batch=True), "0.000275"),
    "data kept in the US": (call(*OPUS, region="us"), "0.00825"),
    "data kept nowhere": (call(*OPUS, region="global"), "0.0075"),
    "a region of Vertex AI": (call("gcp.vertex_ai", "claude-opus-4-6", region="us-east5"), "0.00825"),
    "the global endpoint of Vertex AI": (call("gcp.vertex_ai", "claude-opus-4-6", region="global"), "0.0075"),
    "a data zone in the name": (call("azure", "azure/eu/gpt-4.1"), "0.00308"),
    "no data zone": (call("azure", "azure/gpt-4.1"), "0.0028"),
    "a government region": (call("aws.bedrock", "bedrock/us-gov-west-1/amazon.nova-pro-v1:0"), "0.001344"),
    "a refusal before any output": (call(*OPUS, finish_reason="refusal", output_tokens=0), "0"),
    "a refusal after some output": (call(*OPUS, finish_reason="refusal"), "0.0075"),
    "a refusal before the rule": (
        call(*OPUS, finish_reason="refusal", output_tokens=0, start_time=datetime(2026, 6, 1)), "0.005",
    ),
}  # fmt: skip
UNKNOWN = {
    "a tool without a column": call(*OPUS, server_tool_calls=1),
    "a tool beside the searches": call(*OPUS, server_tool_calls=3, web_search_calls=2),
    "images that an answer made": call(*GPT, server_tool_calls=1, image_generation_calls=1),
    "audio to a model of text": call("openai", "gpt-4o", audio_input_tokens=10),
    "searches of a host without a price": call(
        "groq", "llama-3.3-70b-versatile", server_tool_calls=1, web_search_calls=1
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PRICED)
def test_a_call_costs_what_the_rule_of_its_source_says(name: str, tmp_path: Path) -> None:
    given, expected = PRICED[name]
    [(usd, _)] = costs(build_in_memory([given]))
    assert Decimal(usd or "nan") == Decimal(expected)


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_no_source_prices_is_an_unknown_kind_and_never_text_or_a_search(name: str, tmp_path: Path) -> None:
    assert costs(build_in_memory([UNKNOWN[name]])) == [(None, "unknown_kind")]


def test_audio_at_one_price_with_text_is_priced_and_no_fallback(tmp_path: Path) -> None:
    given = call("gcp.gemini", "gemini-2.5-pro", audio_input_tokens=900)
    assert costs(build_in_memory([given])) == [("0.00225", "priced")]


def test_an_override_may_speak_of_a_region_alone(tmp_path: Path) -> None:
    store = build_store(
        tmp_path / "s.duckdb", [call(*GPT, region="westeurope"), call(*GPT, region="eastus"), call(*GPT)]
    )
    with store.write() as con:
        store_overrides(con, [parse_override(match={"region": "west*"}, multiplier=2)], replace_all=True)
    assert [usd for usd, _ in costs(store)] == ["0.008", "0.004", "0.004"]


def test_a_regional_price_has_a_row_of_its_own_that_names_its_source(tmp_path: Path) -> None:
    store = build_in_memory([call(*OPUS, region="us")])
    update(store)
    with store.read() as con:
        [(price, source)] = con.execute(
            "SELECT prices.input, prices.source FROM ledger JOIN prices USING (price_id)"
        ).fetchall()
    assert price == Decimal("5.5")
    assert "inference_geo" in source


def test_every_rule_speaks_for_some_model_of_the_book_and_names_its_source() -> None:
    history = load_history(HISTORY)
    rows = compile_book().rows
    for rule in (*history.one_price, *history.tool_prices, *history.search_by_prompt, *history.tier_rules):
        assert rule.source
        assert any(row.provider == rule.provider for row in rows), rule
    for tool in history.tool_prices:
        assert set(tool.prices) <= set(KINDS)


def test_an_old_store_is_read_and_priced_by_the_columns_that_it_has(tmp_path: Path) -> None:
    store = build_store(tmp_path / "s.duckdb", [call(*GPT), call(*OPUS, server_tool_calls=2)])
    with store.write() as con:
        for column in ("web_search_calls", "file_search_calls", "cache_read_audio_input_tokens", "search_context_size"):
            con.execute(f"ALTER TABLE calls DROP COLUMN {column}")
        con.execute("UPDATE meta SET value = '1' WHERE key = 'schema_version'")
    assert costs(store) == [("0.004", "priced"), (None, "unknown_kind")]
    with store.read() as con:
        assert con.execute("SELECT count(web_search_calls) FROM calls").fetchall() == [(0,)]
        assert con.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchall() == [(str(SCHEMA_VERSION),)]
