"""One call with known counts, written in every dialect that tokens are logged in, reads back as the same call."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.format_contract import Context, Outcome
from ingest.formats import formats
from ingest.records.call import BadRecordError, Call

CLAUDE, GPT, GEMINI = "claude-sonnet-4-5", "gpt-5-mini", "gemini-2.5-flash"
TIME, END = "2026-03-02T10:00:00Z", "2026-03-02T10:00:02Z"
TEXT = [{"role": "user", "content": "hello"}]


@dataclass(frozen=True)
class Truth:
    """Counts that exclude each other."""

    fresh: int
    read: int
    written: int
    hour: int  # of `written`
    shown: int
    thought: int

    @property
    def cached(self) -> int:
        return self.read + self.written

    @property
    def asked(self) -> int:
        return self.fresh + self.cached

    @property
    def made(self) -> int:
        return self.shown + self.thought

    @property
    def total(self) -> int:
        return self.asked + self.made


Write = Callable[[Truth], Any]
DIALECTS: dict[str, tuple[frozenset[str], Write]] = {}  # name -> (what it tells beside input and output, writer)


def dialect(*tells: str) -> Callable[[Write], Write]:
    def add(write: Write) -> Write:
        DIALECTS[write.__name__] = frozenset(tells), write
        return write

    return add


def pair(response: Any, model: str) -> dict[str, Any]:
    return {"timestamp": TIME, "request": {"model": model, "messages": TEXT}, "response": response}


def sse(*events: dict[str, Any]) -> str:
    return "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"


def chat(usage: dict[str, Any] | None, model: str = GPT, **more: Any) -> dict[str, Any]:
    body = {"id": "c1", "object": "chat.completion", "created": 1772445600, "model": model,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}}]}  # fmt: skip
    return {**body, **({"usage": usage} if usage else {}), **more}


def chat_usage(t: Truth, asked: int, total: int | None) -> dict[str, Any]:
    usage = {"prompt_tokens": asked, "completion_tokens": t.made,
             "prompt_tokens_details": {"cached_tokens": t.read, "cache_write_tokens": t.written},
             "completion_tokens_details": {"reasoning_tokens": t.thought}}  # fmt: skip
    return usage if total is None else {**usage, "total_tokens": total}


def chunk(**more: Any) -> dict[str, Any]:
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1772445600, "model": GPT,
            "choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}], **more}  # fmt: skip


ALL = ("read", "written", "reasoning")


@dialect(*ALL)
def openai_chat(t: Truth) -> Any:
    return pair(chat(chat_usage(t, t.asked, t.total)), GPT)


@dialect(*ALL)
def openai_chat_without_total(t: Truth) -> Any:
    return pair(chat(chat_usage(t, t.asked, None)), GPT)


@dialect(*ALL)
def openai_chat_of_a_gateway_that_leaves_the_cache_out(t: Truth) -> Any:
    return pair(chat(chat_usage(t, t.fresh, t.total), CLAUDE), CLAUDE)


@dialect(*ALL)
def openai_chat_streamed(t: Truth) -> Any:
    return pair(sse(chunk(), chunk(choices=[], usage=chat_usage(t, t.asked, t.total))), GPT)


@dialect(*ALL)
def groq_streamed(t: Truth) -> Any:
    return pair(sse(chunk(), chunk(x_groq={"usage": chat_usage(t, t.asked, t.total)})), GPT)


@dialect(*ALL)
def openai_responses(t: Truth) -> Any:
    usage = {"input_tokens": t.asked, "output_tokens": t.made, "total_tokens": t.total,
             "input_tokens_details": {"cached_tokens": t.read, "cache_write_tokens": t.written},
             "output_tokens_details": {"reasoning_tokens": t.thought}}  # fmt: skip
    body = {"id": "r1", "object": "response", "created_at": 1772445600, "model": GPT, "status": "completed",
            "output": [], "usage": usage}  # fmt: skip
    return pair(body, GPT)


def claude_usage(t: Truth) -> dict[str, Any]:
    split = {"ephemeral_5m_input_tokens": t.written - t.hour, "ephemeral_1h_input_tokens": t.hour}
    return {"input_tokens": t.fresh, "output_tokens": t.made, "cache_read_input_tokens": t.read,
            "cache_creation_input_tokens": t.written, "cache_creation": split}  # fmt: skip


def claude_body(usage: dict[str, Any]) -> dict[str, Any]:
    return {"id": "m1", "type": "message", "role": "assistant", "model": CLAUDE, "stop_reason": "end_turn",
            "content": [{"type": "text", "text": "hi"}], "usage": usage}  # fmt: skip


@dialect("read", "written", "hour")
def anthropic(t: Truth) -> Any:
    return pair(claude_body(claude_usage(t)), CLAUDE)


@dialect("read", "written", "hour")
def anthropic_streamed(t: Truth) -> Any:
    start = {"type": "message_start", "message": claude_body({**claude_usage(t), "output_tokens": 1})}
    delta = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": t.made}}
    return pair(sse(start, delta), CLAUDE)


@dialect("read", "reasoning")
def gemini(t: Truth) -> Any:
    usage = {"promptTokenCount": t.asked, "cachedContentTokenCount": t.read, "candidatesTokenCount": t.shown,
             "thoughtsTokenCount": t.thought, "totalTokenCount": t.total}  # fmt: skip
    answer = {"content": {"role": "model", "parts": [{"text": "hi"}]}, "finishReason": "STOP"}
    return pair({"responseId": "g1", "modelVersion": GEMINI, "candidates": [answer], "usageMetadata": usage}, GEMINI)


@dialect("read", "written")
def bedrock_log(t: Truth) -> Any:
    return {"schemaType": "ModelInvocationLog", "timestamp": TIME, "requestId": "b1", "region": "us-east-1",
            "operation": "Converse", "modelId": "anthropic.claude-sonnet-4-5-20250929-v1:0",
            "input": {"inputTokenCount": t.fresh, "cacheReadInputTokenCount": t.read,
                      "cacheWriteInputTokenCount": t.written},
            "output": {"outputTokenCount": t.made}}  # fmt: skip


def langsmith(t: Truth, asked: int) -> Any:
    usage = {"input_tokens": asked, "output_tokens": t.made, "total_tokens": t.total,
             "input_token_details": {"cache_read": t.read, "cache_creation": t.written},
             "output_token_details": {"reasoning": t.thought}}  # fmt: skip
    return {"id": "l1", "trace_id": "t1", "dotted_order": "x", "run_type": "llm", "name": "Chat", "start_time": TIME,
            "end_time": END, "inputs": {}, "outputs": {"usage_metadata": usage}, "total_cost": "0.000001",
            "extra": {"metadata": {"ls_model_name": CLAUDE, "ls_provider": "anthropic"}}}  # fmt: skip


@dialect(*ALL, "cost")
def langsmith_with_the_cache_inside(t: Truth) -> Any:
    return langsmith(t, t.asked)


@dialect(*ALL, "cost")
def langsmith_with_the_cache_outside(t: Truth) -> Any:
    return langsmith(t, t.fresh)


def langfuse(usage: dict[str, Any]) -> dict[str, Any]:
    return {"id": "f1", "traceId": "t1", "type": "GENERATION", "startTime": TIME, "endTime": END, "model": CLAUDE,
            "parentObservationId": None, "usageDetails": usage, "costDetails": {"total": 0.000001}}  # fmt: skip


def buckets(t: Truth) -> dict[str, Any]:
    return {"input": t.fresh, "input_cached_tokens": t.read, "input_cache_creation": 0,
            "input_cache_creation_5m": t.written - t.hour, "input_cache_creation_1h": t.hour, "output": t.shown,
            "output_reasoning_tokens": t.thought}  # fmt: skip


@dialect(*ALL, "hour", "cost")
def langfuse_buckets(t: Truth) -> Any:
    return langfuse({**buckets(t), "total": t.total})


@dialect(*ALL, "hour", "cost")
def langfuse_buckets_without_total(t: Truth) -> Any:
    return langfuse(buckets(t))


@dialect(*ALL, "cost")
def langfuse_with_the_usage_of_the_provider(t: Truth) -> Any:
    return langfuse(chat_usage(t, t.asked, t.total))


@dialect(*ALL)
def langfuse_events(t: Truth) -> Any:
    created = {"id": "f1", "traceId": "t1", "startTime": TIME, "model": CLAUDE}
    updated = {"id": "f1", "endTime": END, "usageDetails": {**buckets(t), "total": t.total}}
    return {"batch": [{"id": "e1", "type": "generation-create", "body": created},
                      {"id": "e2", "type": "generation-update", "body": updated}]}  # fmt: skip


def otlp(scope: str, model: str, attributes: dict[str, Any]) -> Any:
    def value(given: Any) -> dict[str, Any]:
        return {"intValue": str(given)} if isinstance(given, int) else {"stringValue": given}

    named = {"gen_ai.request.model": model, "gen_ai.provider.name": "anthropic" if model == CLAUDE else "openai"}
    span = {"traceId": "a" * 32, "spanId": "b" * 16, "name": "chat", "startTimeUnixNano": "1772445600000000000",
            "endTimeUnixNano": "1772445602000000000",
            "attributes": [{"key": key, "value": value(v)} for key, v in {**named, **attributes}.items()]}  # fmt: skip
    return {"resourceSpans": [{"resource": {}, "scopeSpans": [{"scope": {"name": scope}, "spans": [span]}]}]}


def semconv(t: Truth, asked: int) -> dict[str, Any]:
    return {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": asked, "gen_ai.usage.output_tokens": t.made,
            "gen_ai.usage.cache_read.input_tokens": t.read, "gen_ai.usage.cache_creation.input_tokens": t.written,
            "gen_ai.usage.reasoning.output_tokens": t.thought, "gen_ai.usage.cost": "0.000001"}  # fmt: skip


@dialect(*ALL, "cost")
def spans_of_the_convention(t: Truth) -> Any:
    return otlp("my.tracer", CLAUDE, semconv(t, t.asked))


@dialect(*ALL, "cost")
def spans_of_openlit(t: Truth) -> Any:
    return otlp("openlit.otel.tracing", CLAUDE, semconv(t, t.fresh))


@dialect(*ALL, "cost")
def spans_of_openlit_for_openai(t: Truth) -> Any:
    return otlp("openlit.otel.tracing", GPT, semconv(t, t.asked))


@dialect("read", "written", "reasoning")
def spans_of_the_ai_sdk_5(t: Truth) -> Any:
    metadata = {"anthropic": {"usage": {"cache_creation_input_tokens": t.written, "cache_read_input_tokens": t.read}}}
    return otlp("ai", CLAUDE, {
        "ai.operationId": "ai.streamText.doStream", "ai.model.provider": "anthropic.messages",
        "ai.usage.inputTokens": t.fresh, "ai.usage.outputTokens": t.made, "ai.usage.totalTokens": t.fresh + t.made,
        "ai.usage.cachedInputTokens": t.read, "ai.usage.reasoningTokens": t.thought,
        "ai.response.providerMetadata": json.dumps(metadata)})  # fmt: skip


@dialect("read", "written", "reasoning")
def spans_of_the_ai_sdk_6(t: Truth) -> Any:
    return otlp("ai", CLAUDE, {
        "ai.operationId": "ai.streamText.doStream", "ai.model.provider": "anthropic.messages",
        "ai.usage.inputTokens": t.asked, "ai.usage.outputTokens": t.made, "ai.usage.totalTokens": t.total,
        "ai.usage.inputTokenDetails.noCacheTokens": t.fresh, "ai.usage.inputTokenDetails.cacheReadTokens": t.read,
        "ai.usage.inputTokenDetails.cacheWriteTokens": t.written, "ai.usage.reasoningTokens": t.thought})  # fmt: skip


@dialect(*ALL)
def spans_of_openinference(t: Truth) -> Any:
    return otlp("openinference.instrumentation.anthropic", CLAUDE, {
        "openinference.span.kind": "LLM", "llm.token_count.prompt": t.asked, "llm.token_count.completion": t.made,
        "llm.token_count.total": t.total, "llm.token_count.prompt_details.cache_read": t.read,
        "llm.token_count.prompt_details.cache_write": t.written,
        "llm.token_count.completion_details.reasoning": t.thought})  # fmt: skip


@dialect("read", "written", "hour")
def mlflow(t: Truth) -> Any:
    usage = {"input_tokens": t.asked, "output_tokens": t.made, "total_tokens": t.total,
             "cache_read_input_tokens": t.read, "cache_creation_input_tokens": t.written,
             "cache_creation_input_tokens_above_1hr": t.hour}  # fmt: skip
    return {"trace_id": "tr-1", "span_id": "AAAAAAAAAAE=", "name": "chat", "start_time_unix_nano": 1772445600000000000,
            "end_time_unix_nano": 1772445602000000000,
            "attributes": {"mlflow.spanType": '"CHAT_MODEL"', "mlflow.llm.model": f'"{CLAUDE}"',
                           "mlflow.chat.tokenUsage": json.dumps(usage)}}  # fmt: skip


def posthog(t: Truth, asked: int, **more: Any) -> Any:
    return {"uuid": "p1", "event": "$ai_generation", "timestamp": END, "distinct_id": "u",
            "properties": {"$ai_model": CLAUDE, "$ai_input_tokens": asked, "$ai_output_tokens": t.made,
                           "$ai_cache_read_input_tokens": t.read, "$ai_cache_creation_input_tokens": t.written,
                           "$ai_cache_creation_1h_input_tokens": t.hour, "$ai_total_cost_usd": 0.000001,
                           **more}}  # fmt: skip


@dialect("read", "written", "hour", "cost")
def posthog_of_anthropic(t: Truth) -> Any:
    return posthog(t, t.fresh, **{"$ai_provider": "anthropic"})


@dialect("read", "written", "hour", "cost")
def posthog_of_claude_on_vertex(t: Truth) -> Any:
    return posthog(t, t.fresh, **{"$ai_provider": "vertex"})


@dialect("read", "written", "hour", "cost")
def posthog_with_its_flag(t: Truth) -> Any:
    return posthog(t, t.asked, **{"$ai_provider": "anthropic", "$ai_cache_reporting_exclusive": False})


@dialect(*ALL)
def helicone_columns(t: Truth) -> Any:
    return {"request_id": "h1", "request_created_at": TIME, "response_status": 200, "request_model": CLAUDE,
            "prompt_tokens": t.fresh, "completion_tokens": t.shown, "prompt_cache_read_tokens": t.read,
            "prompt_cache_write_tokens": t.written, "reasoning_tokens": t.thought}  # fmt: skip


def read(record: Any) -> list[Outcome]:
    found = next(one for one in sorted(formats(), key=lambda one: one.rank) if one.matches(record))
    reader = found.open(Context())
    outcomes = reader.read(record, 1)
    return [*(outcomes if isinstance(outcomes, list) else [outcomes]), *reader.close()]


truths = st.builds(
    lambda fresh, read_, written, share, shown, thought: Truth(
        fresh, read_, written, round(written * share), shown, thought
    ),
    st.integers(1, 10**6), st.integers(0, 10**6), st.integers(0, 10**6), st.sampled_from([0.0, 0.5, 1.0]),
    st.integers(1, 10**5), st.integers(0, 10**5),
)  # fmt: skip


@pytest.mark.parametrize("name", DIALECTS)
@given(truth=truths)
def test_the_same_call_in_every_dialect(name: str, truth: Truth) -> None:
    tells, write = DIALECTS[name]
    if "written" not in tells:
        truth = Truth(truth.fresh, truth.read, 0, 0, truth.shown, truth.thought)
    calls = [one for one in read(write(truth)) if isinstance(one, Call)]
    assert len(calls) == 1
    call = calls[0]
    assert (call.input_tokens, call.output_tokens) == (truth.asked, truth.made), call.issues
    told = {"read": (call.cache_read_input_tokens, truth.read),
            "written": (call.cache_creation_input_tokens, truth.written),
            "hour": (call.cache_creation_1h_input_tokens, truth.hour),
            "reasoning": (call.reasoning_output_tokens, truth.thought)}  # fmt: skip
    for part, (found, right) in told.items():
        if part in tells:
            assert (found or 0) == right, part
    assert not call.issues or all(code == "cache_outside_input" for code, _ in call.issues)
    if "cost" in tells:
        assert call.logged_cost_pico == 1_000_000


@pytest.mark.parametrize("name", DIALECTS)
@given(data=st.data())
def test_a_row_with_usage_is_never_without_an_outcome(name: str, data: st.DataObject) -> None:
    """Whatever key is missing beside the usage, the row is a call or is set aside with a reason."""
    record = DIALECTS[name][1](Truth(10, 5, 3, 1, 7, 2))
    places = [record, *(value for value in record.values() if isinstance(value, dict))]
    place = data.draw(st.sampled_from([one for one in places if one]))
    del place[data.draw(st.sampled_from(sorted(place)))]
    if not any(one.matches(record) for one in formats()):
        return  # the file is passed over, and says so
    with suppress(BadRecordError):
        assert read(record)
