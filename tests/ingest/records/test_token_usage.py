"""One truth for tokens: each provider's usage object, and what proxies are known to get wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from genai_prices import extract_usage
from hypothesis import given
from hypothesis import strategies as st

from ingest.records.call import BadRecordError, Call, token_count
from ingest.records.token_counts import settle
from ingest.records.token_usage import apply_usage
from ingest.wire import anthropic

_ORACLES = (
    ("openai", "chat"), ("openai", "responses"), ("openai", "embeddings"), ("anthropic", "default"),
    ("aws", "default"), ("google", "default"), ("cohere", "default"), ("mistral", "default"), ("groq", "default"),
)  # fmt: skip


def read(usage: Any) -> Call:
    call = Call()
    apply_usage(call, usage)
    return call


def four(call: Call) -> tuple[int, int, int, int]:
    return (
        call.input_tokens or 0, call.output_tokens or 0, call.cache_read_input_tokens or 0,
        call.cache_creation_input_tokens or 0,
    )  # fmt: skip


def _bodies(data: Path) -> list[dict[str, Any]]:
    return [row["body"] for row in json.loads((data / "fixtures/genai_prices/usages_distinct_shapes.json").read_text())]


def _usage_of(body: dict[str, Any]) -> Any:
    return body.get("usage") or body.get("usageMetadata") or body.get("meta")


def test_sixty_recorded_shapes_agree_with_an_independent_extractor(data: Path) -> None:
    confirmed = 0
    for body in _bodies(data):
        call = read(_usage_of(body))
        assert call.tokens_source != "missing", body
        found = []
        for provider, flavor in _ORACLES:
            try:
                other = extract_usage(body, provider_id=provider, api_flavor=flavor).usage
            except (ValueError, LookupError, TypeError):
                continue
            if other.input_tokens is not None or other.output_tokens is not None:
                found.append((other.input_tokens or 0, other.output_tokens or 0, other.cache_read_tokens or 0,
                              other.cache_write_tokens or 0))  # fmt: skip
        if "num_cached_tokens" in _usage_of(body):
            continue  # the extractor overlooks Mistral's cached tokens
        if found:
            assert four(call) in found, (body, found)
            confirmed += 1
    assert confirmed >= 50


def test_the_parts_of_every_recorded_shape_sum_to_its_total(data: Path) -> None:
    checked = 0
    for body in _bodies(data):
        usage = _usage_of(body)
        total = usage.get("total_tokens", usage.get("totalTokens", usage.get("totalTokenCount")))
        call = read(usage)
        assert (call.cache_read_input_tokens or 0) + (call.cache_creation_input_tokens or 0) <= (call.input_tokens or 0)
        assert (call.reasoning_output_tokens or 0) <= (call.output_tokens or 0)
        if total is not None:
            assert (call.input_tokens or 0) + (call.output_tokens or 0) == total, body
            checked += 1
    assert checked >= 30


def test_iterations_become_calls_of_their_own_model(data: Path) -> None:
    compaction = next(b for b in _bodies(data) if "compaction_usage_with_cache" in b["file"])
    call = Call(identity="msg_1")
    anthropic.apply_response(call, {"type": "message", "id": "msg_1", **compaction})
    parts = anthropic.expand(call)
    given_parts = compaction["usage"]["iterations"]
    assert len(parts) == len(given_parts) > 1
    for part, item in zip(parts, given_parts, strict=True):
        asked = item["input_tokens"] + item["cache_creation_input_tokens"] + item["cache_read_input_tokens"]
        assert (part.input_tokens, part.output_tokens) == (asked, item["output_tokens"])
    assert len({part.identity for part in parts}) == len(parts)
    # the top level shows a fraction of what was billed
    assert sum(part.input_tokens or 0 for part in parts) > 100 * compaction["usage"]["input_tokens"]


def test_an_advisor_runs_on_another_model(data: Path) -> None:
    body = next(b for b in _bodies(data) if b["file"].endswith("test_anthropic_advisor_tool.yaml"))
    call = Call(identity="msg_2")
    anthropic.apply_response(call, {"type": "message", "id": "msg_2", **body})
    parts = anthropic.expand(call)
    assert {part.response_model for part in parts} == {
        item.get("model") or body["model"] for item in body["usage"]["iterations"]
    }


def test_hidden_reasoning_is_output() -> None:
    call = read({"prompt_tokens": 35, "completion_tokens": 12, "total_tokens": 109})
    assert (call.input_tokens, call.output_tokens, call.reasoning_output_tokens) == (35, 74, 62)
    assert call.tokens_source == "recovered_from_total"


def test_reasoning_beside_the_output_is_added_once() -> None:
    call = read({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 35,
                 "completion_tokens_details": {"reasoning_tokens": 20}})  # fmt: skip
    assert (call.output_tokens, call.reasoning_output_tokens) == (25, 20)


def test_cache_larger_than_input_means_input_without_cache() -> None:
    call = read({"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 500}})
    assert call.input_tokens == 510
    assert call.issues
    assert call.issues[0][0] == "cache_outside_input"


def test_one_hour_cache_writes_are_told_apart() -> None:
    call = read({"input_tokens": 3, "output_tokens": 7, "cache_read_input_tokens": 100,
                 "cache_creation": {"ephemeral_5m_input_tokens": 40, "ephemeral_1h_input_tokens": 60},
                 "cache_creation_input_tokens": 100})  # fmt: skip
    assert (call.input_tokens, call.cache_creation_input_tokens, call.cache_creation_1h_input_tokens) == (203, 100, 60)


def test_no_usage_is_missing_and_not_zero() -> None:
    for nothing in (None, {}, {"unheard_of": 1}):
        call = read(nothing)
        assert (call.input_tokens, call.output_tokens, call.tokens_source) == (None, None, "missing")


@pytest.mark.parametrize(
    "value", [-1, 1.5, float("nan"), float("inf"), 2**40, "many", True, [3], "1e400", "1.000", "12.345.678"]
)
def test_impossible_counts_are_refused(value: Any) -> None:
    with pytest.raises(BadRecordError):
        token_count(value, "$.x")


@given(st.integers(0, 2**40 - 1))
def test_possible_counts_are_read_however_they_are_written(value: int) -> None:
    assert token_count(value, "$") == token_count(str(value), "$") == value
    if value < 2**50:
        assert token_count(float(value), "$") == value


_COUNT = st.integers(0, 10**6)


@given(_COUNT, _COUNT, _COUNT, _COUNT, _COUNT)
def test_anthropic_and_openai_shapes_of_one_call_agree(
    fresh: int, read_: int, write: int, out: int, think: int
) -> None:
    native = read({"input_tokens": fresh, "cache_read_input_tokens": read_, "cache_creation_input_tokens": write,
                   "output_tokens": out + think, "output_tokens_details": {"thinking_tokens": think}})  # fmt: skip
    gateway = read({"prompt_tokens": fresh + read_ + write, "completion_tokens": out + think,
                    "total_tokens": fresh + read_ + write + out + think,
                    "prompt_tokens_details": {"cached_tokens": read_, "cache_write_tokens": write},
                    "completion_tokens_details": {"reasoning_tokens": think}})  # fmt: skip
    assert four(native) == four(gateway)
    assert native.reasoning_output_tokens == gateway.reasoning_output_tokens


def settled(**counts: Any) -> Call:
    call = Call()
    settle(call, **counts)
    return call


def codes(call: Call) -> set[str]:
    return {code for code, _ in call.issues or ()}


_SOME = st.integers(1, 10**6)


@given(fresh=_SOME, read_=_COUNT, write=_COUNT, out=_SOME, think=_COUNT, apart=st.booleans(), beside=st.booleans(),
       known=st.sampled_from([True, False, None]))  # fmt: skip
def test_a_total_of_the_whole_tells_where_cache_and_reasoning_lie(
    fresh: int, read_: int, write: int, out: int, think: int, apart: bool, beside: bool, known: bool | None
) -> None:
    inclusive, made = fresh + read_ + write, out + think
    logged_in, logged_out = fresh if apart else inclusive, out if beside else made
    if logged_in + logged_out == inclusive + made and read_ + write and known is not True:
        return  # such a total is the two counts added: it tells nothing about the cache
    readings = {(a, b) for a in (logged_in, logged_in + read_ + write, logged_in + read_, logged_in + write)
                for b in (logged_out, logged_out + think) if a + b == inclusive + made}  # fmt: skip
    call = settled(input_tokens=logged_in, output_tokens=logged_out, cache_read=read_, cache_write=write,
                   reasoning=think, total=inclusive + made, cache_inside=known)  # fmt: skip
    assert (call.input_tokens, call.output_tokens) in readings
    if len(readings) == 1:
        assert (call.input_tokens, call.output_tokens) == (inclusive, made)


@given(fresh=_SOME, cached=_SOME, out=_COUNT, with_total=st.booleans(), apart=st.booleans())
def test_an_emitter_that_is_known_is_believed_where_the_total_says_nothing(
    fresh: int, cached: int, out: int, with_total: bool, apart: bool
) -> None:
    logged = fresh if apart else fresh + cached
    total = logged + out if with_total else None
    call = settled(input_tokens=logged, output_tokens=out, cache_read=cached, total=total, cache_inside=not apart)
    assert (call.input_tokens, call.output_tokens) == (fresh + cached, out)
    assert not call.issues


@given(cached=_SOME, more=_COUNT, out=_COUNT, with_total=st.booleans())
def test_an_emitter_that_is_not_known_leaves_the_input_unknown(
    cached: int, more: int, out: int, with_total: bool
) -> None:
    logged = cached + more  # could hold its cache
    total = logged + out if with_total else None
    call = settled(input_tokens=logged, output_tokens=out, cache_read=cached, total=total, cache_inside=None)
    assert (call.input_tokens, call.output_tokens, call.tokens_source) == (None, out, "ambiguous")
    assert codes(call) == {"ambiguous_usage"}
    sure = settled(input_tokens=cached - 1, output_tokens=out, cache_read=cached, cache_inside=None)
    assert sure.input_tokens == 2 * cached - 1  # less than its cache: it cannot hold it


@given(_SOME, _SOME, _SOME, _SOME)
def test_whatever_is_logged_the_parts_stay_inside_their_whole(count: int, read_: int, think: int, total: int) -> None:
    for inside in (True, False, None):
        for reasoned in (True, False):
            call = settled(input_tokens=count, output_tokens=count, cache_read=read_, reasoning=think, total=total,
                           cache_inside=inside, reasoning_inside=reasoned)  # fmt: skip
            if call.input_tokens is not None:
                assert (call.cache_read_input_tokens or 0) <= call.input_tokens
            assert (call.reasoning_output_tokens or 0) <= (call.output_tokens or 0)


def test_reasoning_above_an_output_that_the_total_confirms_is_not_believed() -> None:
    call = read({"prompt_tokens": 500, "completion_tokens": 90, "total_tokens": 590,
                 "completion_tokens_details": {"reasoning_tokens": 97}})  # fmt: skip
    assert (call.output_tokens, call.reasoning_output_tokens) == (90, None)
    assert "reasoning_above_output" in codes(call)


_WITH_CACHE = (  # one call in the words of each: 700 fresh, 200 read, 100 written, 50 out
    {"prompt_tokens": 700, "completion_tokens": 50, "total_tokens": 1050, "cached_tokens": 200,
     "cache_creation_input_tokens": 100},
    {"promptTokens": 1000, "completionTokens": 50, "totalTokens": 1050, "cachedPromptTokens": 200,
     "cache_write_tokens": 100},
    {"input_tokens": 700, "output_tokens": 50, "total_tokens": 1050, "input_tokens_cache_read": 200,
     "input_tokens_cache_write": 100},
    {"input_tokens": 700, "output_tokens": 50, "cache_read_input_tokens": 200, "cache_creation_input_tokens": 100},
    {"inputTokens": 700, "outputTokens": 50, "totalTokens": 1050, "cacheReadInputTokens": 200,
     "cacheWriteInputTokens": 100},
    {"inputTokens": 1000, "outputTokens": 50, "totalTokens": 1050,
     "inputTokenDetails": {"noCacheTokens": 700, "cacheReadTokens": 200, "cacheWriteTokens": 100},
     "outputTokenDetails": {"textTokens": 50}},
    {"input_tokens": 700, "output_tokens": 50, "total_tokens": 1050,
     "input_token_details": {"cache_read": 200, "cache_creation": 100}},
    {"input_tokens": 1000, "output_tokens": 50, "total_tokens": 1050,
     "input_token_details": {"cache_read": 200, "cache_creation": 100}},
    {"input_tokens": 1000, "output_tokens": 50, "total_tokens": 1050,
     "input_tokens_details": {"cached_tokens": 200, "cache_write_tokens": 100}},
)  # fmt: skip


@pytest.mark.parametrize("usage", _WITH_CACHE)
def test_one_call_is_the_same_in_every_dialect(usage: dict[str, Any]) -> None:
    assert four(read(usage)) == (1000, 50, 200, 100)


@pytest.mark.parametrize(
    ("usage", "pico"),
    [
        ({"cost": 0.00045, "is_byok": False, "cost_details": {"upstream_inference_cost": None}}, 450_000_000),
        ({"cost": 0.0018, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.036}}, 37_800_000_000),
        ({"cost": {"request_cost": 0.008, "total_cost": 0.0165}}, 16_500_000_000),
        ({"estimated_cost": 8.775e-06}, 8_775_000),
        ({"cost": None}, None),
        ({}, None),
    ],
)
def test_a_cost_that_the_provider_states_is_the_logged_cost(usage: dict[str, Any], pico: int | None) -> None:
    assert read({"prompt_tokens": 10, "completion_tokens": 1, **usage}).logged_cost_pico == pico
