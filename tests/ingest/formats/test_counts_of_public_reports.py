"""Situations of public bug reports in which counts stand under a name, or in a shape, that few logs have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ingest.format_contract import Context
from ingest.formats import detect_record
from ingest.records.call import Call

TIME, STAMP, NOW_US = "2026-09-02T10:00:00Z", 1_788_343_200, 1_788_343_200_000_000
CLAUDE, GPT, GEMINI = "claude-sonnet-4-6", "gpt-5-mini", "gemini-2.5-flash"


def pair(response: Any, model: str, **request: Any) -> dict[str, Any]:
    return {"timestamp": TIME, "request": {"model": model, "messages": [], **request}, "response": response}


def chat(**usage: Any) -> dict[str, Any]:
    return pair({"id": "c", "object": "chat.completion", "created": STAMP, "model": GPT, "choices": [],
                 "usage": usage}, GPT)  # fmt: skip


def gemini(snake: bool = False, request: dict[str, Any] | None = None, **usage: Any) -> dict[str, Any]:
    counts = {"promptTokenCount": 1000, "candidatesTokenCount": 50, "totalTokenCount": 1050}
    if snake:
        counts = {"prompt_token_count": 1000, "candidates_token_count": 50, "total_token_count": 1050}
    response = {"candidates": [], ("usage_metadata" if snake else "usageMetadata"): {**counts, **usage}}
    return {"timestamp": TIME, "request": {"model": GEMINI, "contents": [], **(request or {})}, "response": response}


def stream(start: dict[str, Any], end: dict[str, Any]) -> dict[str, Any]:
    message = {"id": "m", "type": "message", "role": "assistant", "model": CLAUDE, "content": [], "usage": start}
    delta = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": end}
    return pair("".join(f"data: {json.dumps(one)}\n\n" for one in ({"type": "message_start", "message": message},
                                                                   delta)), CLAUDE)  # fmt: skip


def agents(usage: dict[str, Any]) -> dict[str, Any]:
    data = {"type": "generation", "model": GPT, "input": [], "output": [], "usage": usage}
    return {"object": "trace.span", "id": "s", "trace_id": "t", "parent_id": None, "started_at": TIME, "ended_at": TIME,
            "error": None, "span_data": data}  # fmt: skip


def langfuse(**usage: Any) -> dict[str, Any]:
    return {"id": "f", "traceId": "t", "type": "GENERATION", "startTime": TIME, "endTime": TIME, "model": CLAUDE,
            "parentObservationId": None, "usageDetails": usage}  # fmt: skip


def adk(**attributes: Any) -> dict[str, Any]:
    values = {"gen_ai.operation.name": "generate_content", "gen_ai.request.model": GEMINI,
              "gen_ai.usage.input_tokens": "1000", "gen_ai.usage.output_tokens": "500", **attributes}  # fmt: skip
    span = {"traceId": "a" * 32, "spanId": "b" * 16, "name": "c", "startTimeUnixNano": f"{STAMP}000000000",
            "endTimeUnixNano": f"{STAMP}000000000",
            "attributes": [{"key": key, "value": {"stringValue": one}} for key, one in values.items()]}  # fmt: skip
    scope = {"scope": {"name": "gcp.vertex.agent"}, "spans": [span]}
    return {"resourceSpans": [{"resource": {}, "scopeSpans": [scope]}]}


def converse(**more: Any) -> dict[str, Any]:
    return {"timestamp": TIME, "request": {"modelId": "arn:aws:bedrock:us-east-1:1:default-prompt-router/anthropic:1"},
            "response": {"output": {"message": {}}, "stopReason": "end_turn",
                         "usage": {"inputTokens": 1000, "outputTokens": 100, "totalTokens": 1100}, **more}}  # fmt: skip


def realtime(**details: Any) -> list[dict[str, Any]]:
    usage = {"total_tokens": 1100, "input_tokens": 1000, "output_tokens": 100, "input_token_details": details}
    done = {"object": "realtime.response", "id": "r", "status": "completed", "usage": usage, "output": []}
    return [{"timestamp": TIME, "event": {"type": "response.done", "event_id": "2", "response": done}}]


def opencode(fresh: int, read: int, total: int) -> dict[str, Any]:
    return {"id": "m", "sessionID": "s", "role": "assistant", "modelID": CLAUDE, "providerID": "anthropic",
            "time": {"created": STAMP * 1000, "completed": STAMP * 1000}, "cost": 0,
            "tokens": {"input": fresh, "output": 60, "reasoning": 0, "total": total,
                       "cache": {"read": read, "write": 81}}}  # fmt: skip


def langsmith(**metadata: Any) -> dict[str, Any]:
    return {"id": "l", "trace_id": "t", "dotted_order": "x", "run_type": "llm", "name": "Chat", "start_time": TIME,
            "end_time": TIME, "inputs": {}, "outputs": {},
            "extra": {"metadata": {"ls_model_name": GPT, "ls_provider": "openai", **metadata}}}  # fmt: skip


RESPONSES_USAGE = {"input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100,
                   "input_tokens_details": {"cached_tokens": 400}}  # fmt: skip
VOYAGE = {"object": "list", "model": "voyage-3.5", "usage": {"total_tokens": 120}}
# name -> (records, what the call has)
SITUATIONS: dict[str, tuple[Any, dict[str, Any]]] = {
    "a compaction is a run of the model (openai-agents-python#4434)": (
        pair({"object": "response.compaction", "id": "r", "created_at": STAMP, "output": [], "usage": RESPONSES_USAGE},
             GPT), {"input_tokens": 1000, "cache_read_input_tokens": 400, "request_model": GPT}),
    "cache writes of DashScope": (
        chat(prompt_tokens=2500, completion_tokens=50, total_tokens=2550,
             prompt_tokens_details={"cached_tokens": 300, "cache_creation": {"ephemeral_5m_input_tokens": 2000},
                                    "cache_creation_input_tokens": 2000}),
        {"input_tokens": 2500, "cache_read_input_tokens": 300, "cache_creation_input_tokens": 2000}),
    "details in the singular, of Mistral": (
        chat(prompt_tokens=1000, completion_tokens=50, total_tokens=1050, prompt_token_details={"cached_tokens": 640}),
        {"input_tokens": 1000, "cache_read_input_tokens": 640}),
    "embeddings with a total alone": (
        pair({**VOYAGE, "data": [{"embedding": [0.1]}]}, "voyage-3.5"),
        {"input_tokens": 120, "output_tokens": 0, "operation_name": "embeddings"}),
    "ranks with a total alone": (
        pair({**VOYAGE, "data": [{"relevance_score": 0.4, "index": 0}]}, "rerank-2.5"),
        {"input_tokens": 120, "output_tokens": 0, "operation_name": "rerank"}),
    "the traffic type FLEX (litellm#37647)": (gemini(trafficType="FLEX"), {"service_tier": "flex"}),
    "a tier of Gemini that was asked for": (gemini(request={"service_tier": "flex"}), {"service_tier": "flex"}),
    "a tier of Gemini that fell back (llmgateway#2549)": (
        gemini(request={"serviceTier": "priority"}, serviceTier="standard"), {"service_tier": None}),
    "the SDK's names of modalities and traffic": (
        gemini(snake=True, traffic_type="ON_DEMAND_FLEX",
               prompt_tokens_details=[{"modality": "AUDIO", "token_count": 800}]),
        {"input_tokens": 1000, "audio_input_tokens": 800, "service_tier": "flex"}),
    "cached audio and images of Realtime (litellm#31565)": (
        realtime(text_tokens=200, audio_tokens=500, image_tokens=300, cached_tokens=600,
                 cached_tokens_details={"audio_tokens": 400, "image_tokens": 100}),
        {"audio_input_tokens": 500, "image_input_tokens": 300, "cache_read_input_tokens": 600,
         "cache_read_audio_input_tokens": 400, "cache_read_image_input_tokens": 100}),
    "usage of the Agents SDK for JavaScript": (
        agents({"requests": 1, "inputTokens": 1000, "outputTokens": 100, "totalTokens": 1100,
                "inputTokensDetails": [{"cached_tokens": 600}], "outputTokensDetails": [{"reasoning_tokens": 30}]}),
        {"input_tokens": 1000, "cache_read_input_tokens": 600, "reasoning_output_tokens": 30}),
    "usage as a provider hands it to the AI SDK (openai-agents-js#955)": (
        agents({"inputTokens": {"total": 1000, "noCache": 300, "cacheRead": 500, "cacheWrite": 200},
                "outputTokens": {"total": 100, "reasoning": 20}}),
        {"input_tokens": 1000, "cache_read_input_tokens": 500, "cache_creation_input_tokens": 200}),
    "thoughts beside the output, in Google ADK 2.0": (
        adk(**{"gen_ai.usage.experimental.reasoning_tokens": "300"}),
        {"output_tokens": 800, "reasoning_output_tokens": 300}),
    "thoughts inside the output, in Google ADK 2.13": (
        adk(**{"gen_ai.usage.reasoning.output_tokens": "300"}),
        {"output_tokens": 500, "reasoning_output_tokens": 300}),
    "usage that a program set on a run of LangSmith": (
        langsmith(usage_metadata={"input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100,
                                  "input_token_details": {"cache_read": 600}}),
        {"input_tokens": 1000, "cache_read_input_tokens": 600, "output_tokens": 100}),
    "a tier under the name of the convention": (
        adk(**{"gen_ai.response.service_tier": "flex"}), {"service_tier": "flex"}),
    "latency-optimized inference": (
        converse(performanceConfig={"latency": "optimized"}), {"service_tier": "latency_optimized"}),
    "the model that a prompt router chose": (
        converse(trace={"promptRouter": {"invokedModelId": "us.anthropic.claude-3-5-sonnet-20240620-v1:0"}}),
        {"response_model": "us.anthropic.claude-3-5-sonnet-20240620-v1:0"}),
    "zeros at the end of a stream (mcp-use#2127)": (
        stream({"input_tokens": 1000, "cache_read_input_tokens": 5000, "output_tokens": 1},
               {"input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 50}),
        {"input_tokens": 6000, "cache_read_input_tokens": 5000, "output_tokens": 50}),
    "counts that a stream tells at its end": (
        stream({"input_tokens": 0, "output_tokens": 0},
               {"input_tokens": 1000, "cache_read_input_tokens": 5000, "output_tokens": 50}),
        {"input_tokens": 6000, "cache_read_input_tokens": 5000, "output_tokens": 50}),
    "the provider's details joined by dots, in Langfuse": (
        langfuse(**{"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100,
                    "prompt_tokens_details.cached_tokens": 600}),
        {"input_tokens": 1000, "cache_read_input_tokens": 600}),
    "buckets by the names of the AI SDK, in Langfuse": (
        langfuse(input=300, output=80, input_cache_read_tokens=500, input_cache_write_tokens=200,
                 output_reasoning_tokens=20, total=1100),
        {"input_tokens": 1000, "cache_read_input_tokens": 500, "cache_creation_input_tokens": 200,
         "output_tokens": 100}),
    "a cache that opencode counted twice (opencode#19757)": (
        opencode(139_499, 139_417, 279_057), {"input_tokens": 139_499, "cache_read_input_tokens": 139_417}),
    "a cache that opencode counted once": (
        opencode(900, 139_417, 140_458), {"input_tokens": 140_398, "cache_read_input_tokens": 139_417}),
}  # fmt: skip


@pytest.mark.parametrize("name", SITUATIONS)
def test_the_counts_of_a_public_report(name: str) -> None:
    given, right = SITUATIONS[name]
    records = given if isinstance(given, list) else [given]
    found = detect_record(records[0])
    assert found is not None
    reader = found.open(Context(path=Path("home/x.jsonl"), mtime_us=NOW_US))
    outcomes = []
    for number, record in enumerate(records, 1):
        one = reader.read(record, number)
        outcomes.extend(one if isinstance(one, list) else [one])
    calls = [one for one in [*outcomes, *reader.close()] if isinstance(one, Call)]
    assert [{key: getattr(call, key) for key in right} for call in calls] == [right]


def test_a_span_of_several_requests_is_their_sum() -> None:
    record = agents({"requests": 3, "input_tokens": 3000, "output_tokens": 100, "total_tokens": 3100})
    found = detect_record(record)
    assert found is not None
    reader = found.open(Context())
    calls = [*reader.read(record, 1), *reader.close()]  # type: ignore[misc]
    assert [code for call in calls if isinstance(call, Call) for code, _ in call.issues or ()] == ["sum_of_calls"]
