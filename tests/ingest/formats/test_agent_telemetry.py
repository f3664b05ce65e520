"""What coding agents send as OpenTelemetry: log records and spans of one response each, in every packing."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ingest.pipeline.run import ingest
from ingest.store.database import Store
from ingest.store.memory import MemoryStore

END = "2026-09-15T10:00:03.000Z"
NANOS = 1_789_466_403_000_000_000
# agent -> (attributes of its event, inclusive input, cache read, cache write, output, reasoning, provider, model)
EVENTS: dict[str, tuple[dict[str, Any], tuple[Any, ...]]] = {
    "claude": (
        {"event.name": "api_request", "model": "claude-opus-4-8", "input_tokens": 70, "cache_read_tokens": 900,
         "cache_creation_tokens": 300, "output_tokens": 40, "cost_usd": 0.0123, "request_id": "req_1",
         "session.id": "s1"},
        (1270, 900, 300, 40, None, "anthropic", "claude-opus-4-8"),
    ),
    "codex": (
        {"event.name": "codex.sse_event", "event.kind": "response.completed", "model": "gpt-5.2-codex",
         "input_token_count": 1270, "cached_token_count": 900, "output_token_count": 40, "reasoning_token_count": 30,
         "tool_token_count": 1310, "conversation.id": "s1"},
        (1270, 900, None, 40, 30, "openai", "gpt-5.2-codex"),
    ),
    "gemini": (
        {"event.name": "gemini_cli.api_response", "model": "gemini-2.5-pro", "input_token_count": 1200,
         "cached_content_token_count": 900, "output_token_count": 10, "thoughts_token_count": 30,
         "tool_token_count": 70, "total_token_count": 1310, "auth_type": "vertex-ai", "session.id": "s1"},
        (1270, 900, None, 40, 30, "gcp.vertex_ai", "gemini-2.5-pro"),
    ),
    "qwen": (
        {"event.name": "qwen-code.api_response", "model": "qwen3-coder-plus", "input_token_count": 1270,
         "cached_content_token_count": 900, "output_token_count": 40, "thoughts_token_count": 0,
         "tool_token_count": 0, "session.id": "s1"},
        (1270, 900, None, 40, 0, None, "qwen3-coder-plus"),
    ),
}  # fmt: skip
OTHERS = [
    {"event.name": "user_prompt", "prompt_length": 12},
    {"event.name": "codex.sse_event", "event.kind": "response.created"},
    {"event.name": "gemini_cli.api_request", "model": "gemini-2.5-pro"},
]  # fmt: skip


def typed(value: Any, *, as_text: bool) -> dict[str, Any]:
    if as_text or isinstance(value, str):
        return {"stringValue": str(value)}
    return {"doubleValue": value} if isinstance(value, float) else {"intValue": str(value)}


def otlp(events: list[dict[str, Any]], *, as_text: bool = False) -> dict[str, Any]:
    records = [
        {"timeUnixNano": str(NANOS), "body": {"stringValue": "claude_code." + one["event.name"].rpartition(".")[2]},
         "attributes": [{"key": key, "value": typed(value, as_text=as_text)} for key, value in one.items()]}
        for one in events
    ]  # fmt: skip
    return {"resourceLogs": [{"resource": {"attributes": []}, "scopeLogs": [{"logRecords": records}]}]}


def printed(one: dict[str, Any]) -> dict[str, Any]:
    return {"hrTime": [NANOS // 10**9, 0], "resource": {"attributes": {"service.name": "x"}},
            "body": f"claude_code.{one['event.name']}", "attributes": one}  # fmt: skip


PACKINGS = {
    "otlp": lambda events: [otlp(events)],
    "otlp, numbers as text": lambda events: [otlp(events, as_text=True)],
    "sdk": lambda events: [printed(one) for one in events],
    "table": lambda events: [
        {"Timestamp": END, "Body": f"claude_code.{one['event.name']}", "LogAttributes": one} for one in events
    ],
}


def read(tmp_path: Path, *files: list[dict[str, Any]]) -> Store:
    store = MemoryStore(tmp_path / "s.duckdb")
    for number, records in enumerate(files):
        path = tmp_path / f"{number}.jsonl"
        path.write_text("".join(json.dumps(one) + "\n" for one in records))
        report = ingest(store, [path], workers=1)
        assert report.quarantined == 0
        assert report.rows == report.calls + report.duplicates + report.skipped
    return store


def calls(store: Store) -> list[tuple[Any, ...]]:
    with store.read() as con:
        return con.execute(
            """SELECT input_tokens, cache_read_input_tokens, cache_creation_input_tokens, output_tokens,
                      reasoning_output_tokens, provider_name, model FROM calls ORDER BY call_no"""
        ).fetchall()


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("agent", EVENTS)
def test_a_response_event_is_a_call_in_every_packing(tmp_path: Path, agent: str, packing: str) -> None:
    event, expected = EVENTS[agent]
    store = read(tmp_path, PACKINGS[packing]([{**event, "event.timestamp": END, "duration_ms": 2000}, *OTHERS]))
    assert calls(store) == [expected]
    with store.read() as con:
        times = con.execute("SELECT epoch_us(start_time), epoch_us(end_time), conversation_id FROM calls").fetchall()
    assert times == [(NANOS // 1000 - 2_000_000, NANOS // 1000, "s1")]


def test_the_logged_cost_and_the_fast_mode_are_kept(tmp_path: Path) -> None:
    store = read(tmp_path, [otlp([{**EVENTS["claude"][0], "speed": "fast"}])])
    with store.read() as con:
        assert con.execute("SELECT logged_cost_usd, service_tier FROM calls").fetchall() == [
            (Decimal("0.0123"), "fast")
        ]


def test_a_span_and_an_event_of_one_request_are_one_call(tmp_path: Path) -> None:
    event, expected = EVENTS["claude"]
    attributes = [{"key": key, "value": typed(value, as_text=False)} for key, value in event.items()]
    attributes.append({"key": "gen_ai.request.model", "value": {"stringValue": event["model"]}})
    span = {"traceId": "a" * 32, "spanId": "b" * 16, "name": "claude_code.llm_request", "attributes": attributes,
            "startTimeUnixNano": str(NANOS - 10**9), "endTimeUnixNano": str(NANOS)}  # fmt: skip
    traces = {"resourceSpans": [{"resource": {}, "scopeSpans": [{"spans": [span]}]}]}
    assert calls(read(tmp_path, [traces], [otlp([event])])) == [expected]


@pytest.mark.parametrize("transcript_first", [True, False])
def test_a_call_of_a_transcript_is_counted_once(tmp_path: Path, transcript_first: bool) -> None:
    event, expected = EVENTS["claude"]
    usage = {"input_tokens": 70, "cache_read_input_tokens": 900, "cache_creation_input_tokens": 300,
             "output_tokens": 40}  # fmt: skip
    row = {"type": "assistant", "sessionId": "s1", "uuid": "u", "requestId": "req_1", "timestamp": END,
           "message": {"id": "msg_1", "role": "assistant", "model": "claude-opus-4-8", "usage": usage}}  # fmt: skip
    # the transcript's time is that of the answer, the event's that of the request: 90 s before
    events = [otlp([{**event, "event.timestamp": END, "duration_ms": 90_000}])]
    files = ([row], events) if transcript_first else (events, [row])
    assert [one[:4] for one in calls(read(tmp_path, *files))] == [expected[:4]]
