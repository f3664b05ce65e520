"""One call in the attributes of every instrumentation: its names, and where it counts the cache."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.otel import genai_attributes
from ingest.otel.emitters import EMITTERS, emitter_of
from ingest.records.call import Call
from ingest.records.count_names import part_of

FRESH, READ, WRITTEN, OUT = 700, 200, 100, 50
WHOLE = FRESH + READ + WRITTEN
ANTHROPIC = {"gen_ai.provider.name": "anthropic", "gen_ai.request.model": "claude-sonnet-4-5"}
PLAIN = {**ANTHROPIC, "gen_ai.usage.output_tokens": OUT}


def read(attributes: dict[str, Any], scope: str | None = None, sdk: str | None = None) -> Call:
    call = Call()
    genai_attributes.apply(call, attributes, text=False, emitter=emitter_of(scope, sdk))
    return call


def counts(call: Call) -> tuple[int | None, ...]:
    return (
        call.input_tokens, call.output_tokens, call.cache_read_input_tokens, call.cache_creation_input_tokens
    )  # fmt: skip


SPANS: tuple[tuple[str | None, str | None, dict[str, Any]], ...] = (
    ("x", None, {**PLAIN, "gen_ai.usage.input_tokens": WHOLE, "gen_ai.usage.cache_read.input_tokens": READ,
                 "gen_ai.usage.cache_write.input_tokens": WRITTEN}),
    ("x", None, {**PLAIN, "gen_ai.usage.input_tokens": str(WHOLE), "gen_ai.usage.cache_read.input_tokens": str(READ),
                 "gen_ai.usage.cache_creation.input_tokens": str(WRITTEN)}),
    ("openlit.otel.tracing", None, {**PLAIN, "gen_ai.usage.input_tokens": FRESH,
                                    "gen_ai.usage.cache_read.input_tokens": READ,
                                    "gen_ai.usage.cache_creation.input_tokens": WRITTEN}),
    ("anything", "openlit", {**PLAIN, "gen_ai.usage.input_tokens": FRESH, "gen_ai.usage.cache_read.input_tokens": READ,
                             "gen_ai.usage.cache_creation.input_tokens": WRITTEN}),
    ("pydantic-ai", None, {**PLAIN, "gen_ai.usage.input_tokens": WHOLE, "gen_ai.usage.cache_read_tokens": READ,
                           "gen_ai.usage.cache_write_tokens": WRITTEN}),
    ("pydantic-ai", None, {**PLAIN, "gen_ai.usage.input_tokens": WHOLE, "gen_ai.usage.details.input_tokens": FRESH,
                           "gen_ai.usage.details.cache_read_input_tokens": READ,
                           "gen_ai.usage.details.cache_creation_input_tokens": WRITTEN}),
    ("opentelemetry.instrumentation.anthropic", None,
     {**ANTHROPIC, "gen_ai.usage.prompt_tokens": WHOLE, "gen_ai.usage.completion_tokens": OUT,
      "llm.usage.total_tokens": WHOLE + OUT, "gen_ai.usage.cache_read_input_tokens": READ,
      "gen_ai.usage.cache_creation_input_tokens": WRITTEN}),
    ("openinference.instrumentation.anthropic", None,
     {"llm.model_name": "claude-sonnet-4-5", "llm.token_count.prompt": WHOLE, "llm.token_count.completion": OUT,
      "llm.token_count.prompt_details.cache_read": READ, "llm.token_count.prompt_details.cache_write": WRITTEN}),
    ("strands.telemetry.tracer", None,
     {**PLAIN, "gen_ai.usage.input_tokens": FRESH, "gen_ai.usage.total_tokens": WHOLE + OUT,
      "gen_ai.usage.cache_read_input_tokens": READ, "gen_ai.usage.cache_write_input_tokens": WRITTEN}),
    ("strands.telemetry.tracer", None,
     {**PLAIN, "gen_ai.usage.input_tokens": WHOLE, "gen_ai.usage.total_tokens": WHOLE + OUT,
      "gen_ai.usage.cache_read_input_tokens": READ, "gen_ai.usage.cache_write_input_tokens": WRITTEN}),
    ("ai", None,
     {"ai.operationId": "ai.generateText.doGenerate", "ai.model.provider": "anthropic.messages",
      "ai.model.id": "claude-sonnet-4-5", "ai.usage.inputTokens": FRESH, "ai.usage.outputTokens": OUT,
      "ai.usage.totalTokens": FRESH + OUT, "ai.usage.cachedInputTokens": READ,
      "ai.response.providerMetadata": json.dumps(
          {"anthropic": {"usage": {"input_tokens": FRESH, "cache_creation_input_tokens": WRITTEN,
                                   "cache_read_input_tokens": READ}, "cacheCreationInputTokens": WRITTEN}})}),
    ("ai", None,
     {"ai.operationId": "ai.generateText.doGenerate", "ai.model.provider": "amazon-bedrock",
      "ai.model.id": "anthropic.claude-sonnet-4-5", "ai.usage.inputTokens": FRESH, "ai.usage.outputTokens": OUT,
      "ai.response.providerMetadata": json.dumps(
          {"bedrock": {"usage": {"cacheReadInputTokens": READ, "cacheWriteInputTokens": WRITTEN}}})}),
    ("ai", None,
     {"ai.operationId": "ai.streamText.doStream", "ai.model.provider": "anthropic.messages",
      "ai.model.id": "claude-sonnet-4-5", "ai.usage.inputTokens": WHOLE, "ai.usage.outputTokens": OUT,
      "ai.usage.totalTokens": WHOLE + OUT, "ai.usage.inputTokenDetails.noCacheTokens": FRESH,
      "ai.usage.inputTokenDetails.cacheReadTokens": READ, "ai.usage.inputTokenDetails.cacheWriteTokens": WRITTEN}),
    ("mlflow", None,
     {"mlflow.spanType": "CHAT_MODEL", "mlflow.llm.model": "claude-sonnet-4-5",
      "mlflow.chat.tokenUsage": {"input_tokens": WHOLE, "output_tokens": OUT, "total_tokens": WHOLE + OUT,
                                 "cache_read_input_tokens": READ, "cache_creation_input_tokens": WRITTEN}}),
    ("langfuse-sdk", None,
     {"langfuse.observation.type": "generation", "langfuse.observation.model.name": "claude-sonnet-4-5",
      "langfuse.observation.usage_details": json.dumps({"input": FRESH, "output": OUT, "input_cache_read": READ,
                                                        "input_cache_creation": WRITTEN})}),
    ("langtrace-python-sdk", None,
     {"gen_ai.system": "openai", "gen_ai.request.model": "gpt-5", "gen_ai.usage.input_tokens": WHOLE,
      "gen_ai.usage.output_tokens": OUT, "gen_ai.usage.cached_tokens": READ,
      "gen_ai.usage.cache_write_tokens": WRITTEN}),
    ("x", None,
     {"gen_ai.system": "openai", "gen_ai.request.model": "gpt-5", "gen_ai.usage.input_tokens": WHOLE,
      "gen_ai.usage.output_tokens": OUT, "gen_ai.usage.prompt_tokens_details.cached_tokens": READ,
      "gen_ai.usage.details.cache_creation_tokens": WRITTEN}),
)  # fmt: skip


@pytest.mark.parametrize(("scope", "sdk", "attributes"), SPANS)
def test_one_call_is_the_same_in_the_names_of_every_instrumentation(
    scope: str | None, sdk: str | None, attributes: dict[str, Any]
) -> None:
    call = read(attributes, scope, sdk)
    assert counts(call) == (WHOLE, OUT, READ, WRITTEN)
    assert genai_attributes.operation(attributes) == "llm"


def test_a_span_of_nobody_known_leaves_the_input_unknown() -> None:
    names = {"gen_ai.usage.input_tokens": 3000, "gen_ai.usage.cached_tokens": 2000}
    unknown = read({**PLAIN, **names}, "my.own.tracer")
    assert (unknown.input_tokens, unknown.tokens_source) == (None, "ambiguous")
    inside = read({**names, "gen_ai.usage.output_tokens": OUT, "gen_ai.request.model": "gpt-5",
                   "gen_ai.system": "openai"}, "my.own.tracer")  # fmt: skip
    assert inside.input_tokens == 3000


def test_an_hour_of_cache_and_audio_are_told_by_any_name() -> None:
    call = read({**PLAIN, "gen_ai.usage.input_tokens": 5000, "gen_ai.usage.cache_read.input_tokens": 500,
                 "gen_ai.usage.details.ephemeral_5m_input_tokens": 1000,
                 "gen_ai.usage.details.ephemeral_1h_input_tokens": 3000,
                 "gen_ai.usage.details.input_audio_tokens": 30, "gen_ai.usage.details.output_audio_tokens": 7,
                 "gen_ai.usage.details.cached_audio_tokens": 3})  # fmt: skip
    assert (call.cache_creation_input_tokens, call.cache_creation_1h_input_tokens) == (4000, 3000)
    assert (call.audio_input_tokens, call.audio_output_tokens) == (30, 7)


@pytest.mark.parametrize(
    ("attributes", "pico"),
    [
        ({"operation.cost": 0.00045}, 450_000_000),
        ({"opencode.llm.cost.total": "0.002"}, 2_000_000_000),
        ({"gen_ai.usage.input_cost": 0.001, "gen_ai.usage.output_cost": 0.0005}, 1_500_000_000),
        ({"langfuse.observation.cost_details": '{"input": 0.001, "output": 0.002}'}, 3_000_000_000),
        ({"ai.response.providerMetadata": '{"openrouter": {"usage": {"cost": 0.003}}}'}, 3_000_000_000),
        ({}, None),
    ],
)
def test_a_cost_that_a_span_states_is_the_logged_cost(attributes: dict[str, Any], pico: int | None) -> None:
    assert read({**PLAIN, "gen_ai.usage.input_tokens": 5, **attributes}).logged_cost_pico == pico


@given(
    st.sampled_from(["gen_ai.usage.", "llm.usage.", "ai.usage."]), st.sampled_from(["cost", "price", "miss", "rate"])
)
def test_a_name_of_another_fact_is_no_count(prefix: str, word: str) -> None:
    assert part_of(f"{prefix}cache_read_{word}") is None


def test_every_emitter_names_its_source_with_a_date() -> None:
    for emitter in EMITTERS:
        assert emitter.source.rstrip(")").endswith("2026-11"), emitter.name
        assert emitter.scopes
