"""Rows in the layouts that tools write today and wrote before: each is read with its counts, cost and time, or told."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ingest.pipeline.run import ingest
from ingest.store.database import Store
from ingest.store.memory import MemoryStore

SECONDS = 1_780_304_400  # 2026-06-01T09:00:00Z
TIME = "2026-06-01T09:00:00Z"
USAGE = {
    "prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200,
    "prompt_tokens_details": {"cached_tokens": 300}, "completion_tokens_details": {"reasoning_tokens": 50},
}  # fmt: skip
FULL = {"input": 1000, "output": 200, "read": 300, "reasoning": 50}
CLAUDE = {"input": 550, "output": 20, "read": 400, "written": 50}
BODY = {"id": "chatcmpl-1", "object": "chat.completion", "created": SECONDS, "model": "gpt-5.2", "choices": [],
        "usage": USAGE}  # fmt: skip
COLUMNS = {
    "input": "input_tokens", "output": "output_tokens", "read": "cache_read_input_tokens",
    "written": "cache_creation_input_tokens", "reasoning": "reasoning_output_tokens", "model": "model",
    "dollars": "logged_cost_usd", "ms": "duration_ms", "at": "strftime(start_time, '%H:%M:%S')", "no": "call_no",
}  # fmt: skip


def jsonl(*rows: Any) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def chunk(name: str = "chatcmpl-1", **given: Any) -> dict[str, Any]:
    delta = {"index": 0, "delta": {"content": "x"}, "finish_reason": None}
    return {"id": name, "object": "chat.completion.chunk", "created": SECONDS, "model": "gpt-5.2",
            "choices": [delta], "usage": None, **given}  # fmt: skip


def started(usage: dict[str, int]) -> dict[str, Any]:
    return {"type": "message_start", "message": {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-6", "content": [],
        "stop_reason": None, "usage": usage}}  # fmt: skip


def ended(usage: dict[str, int]) -> list[dict[str, Any]]:
    return [{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage},
            {"type": "message_stop"}]  # fmt: skip


def observation(name: str, second: int, answer: str, asked: int, made: int) -> dict[str, Any]:
    return {"id": name, "traceId": "t", "type": "GENERATION", "name": "g", "model": "gpt-4o",
            "startTime": f"2026-06-01T09:00:{second:02}.000Z", "endTime": f"2026-06-01T09:00:{second + 1:02}.000Z",
            "output": {"id": answer},
            "usageDetails": {"input": asked, "output": made, "total": asked + made}}  # fmt: skip


def span(attributes: dict[str, Any]) -> dict[str, Any]:
    return {"resourceSpans": [{"scopeSpans": [{"scope": {"name": "x"}, "spans": [{
        "traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "00f067aa0ba90201", "name": "chat",
        "startTimeUnixNano": str(SECONDS * 10**9), "endTimeUnixNano": str((SECONDS + 2) * 10**9),
        "attributes": [{"key": key, "value": {"intValue": str(value)} if isinstance(value, int)
                        else {"stringValue": value}} for key, value in attributes.items()]}]}]}]}  # fmt: skip


INVOCATION = {
    "schemaType": "ModelInvocationLog", "timestamp": TIME, "requestId": "r", "region": "us-east-1",
    "operation": "InvokeModel", "modelId": "amazon.nova-pro-v1:0", "input": {"inputTokenCount": 100},
    "output": {"outputTokenCount": 20, "outputBodyJson": {
        "output": {"message": {"role": "assistant", "content": [{"text": "x"}]}}, "stopReason": "end_turn",
        "usage": {"inputTokens": 100, "outputTokens": 20, "cacheReadInputTokenCount": 400,
                  "cacheWriteInputTokenCount": 50}}},
}  # fmt: skip
CURSOR = (
    "Date,Kind,Model,Max Mode,Input (w/ Cache Write),Input (w/o Cache Write),Cache Read,Output Tokens,Total Tokens,"
)
CURSOR_ROW = f"{TIME},On-Demand,claude-4-sonnet,No,50,100,400,20,570,"
CHUNKS = (chunk(), chunk(choices=[], usage=USAGE))

# file name, contents, what its calls are
LAYOUTS: dict[str, tuple[str, str, list[dict[str, Any]]]] = {
    "chunks of OpenAI": ("x.jsonl", jsonl(*CHUNKS), [FULL]),
    "chunks of two answers between each other": (
        "x.jsonl",
        jsonl(chunk("a"), chunk("b"), chunk("b", usage=USAGE, choices=[]), chunk("a", usage=USAGE, choices=[])),
        [FULL, FULL],
    ),
    "chunks without usage": ("x.jsonl", jsonl(chunk(), chunk()), [{"input": None, "output": None}]),
    "events of Anthropic": (
        "x.jsonl",
        jsonl(started({"input_tokens": 100, "cache_read_input_tokens": 400, "cache_creation_input_tokens": 50,
                       "output_tokens": 1}), *ended({"output_tokens": 20})),
        [CLAUDE],
    ),
    "events of Anthropic without their end": (
        "x.jsonl", jsonl(started({"input_tokens": 100, "output_tokens": 1}), *ended({})[:1]),
        [{"input": 100, "output": None}],
    ),
    "events of the Responses API": (
        "x.jsonl",
        jsonl({"type": "response.created", "sequence_number": 0, "response": {
                  "id": "resp_1", "object": "response", "created_at": SECONDS, "model": "gpt-5.2", "usage": None}},
              {"type": "response.output_text.delta", "sequence_number": 1, "delta": "x"},
              {"type": "response.completed", "sequence_number": 2, "response": {
                  "id": "resp_1", "object": "response", "created_at": SECONDS, "status": "completed",
                  "model": "gpt-5.2", "output": [], "usage": {
                      "input_tokens": 1000, "input_tokens_details": {"cached_tokens": 300}, "output_tokens": 200,
                      "output_tokens_details": {"reasoning_tokens": 50}, "total_tokens": 1200}}}),
        [FULL],
    ),
    "chunks of Gemini": (
        "x.jsonl",
        jsonl(*({"candidates": [{"content": {"role": "model", "parts": [{"text": "x"}]}}], "responseId": "g1",
                 "modelVersion": "gemini-2.5-pro", "createTime": TIME,
                 "usageMetadata": {"promptTokenCount": 100, "candidatesTokenCount": made,
                                   "totalTokenCount": 100 + made}} for made in (1, 5, 20))),
        [{"input": 100, "output": 20}],
    ),
    "a proxy's constant id": (
        "x.jsonl",
        jsonl(BODY, {**BODY, "created": SECONDS + 60, "usage": {**USAGE, "prompt_tokens": 2000, "total_tokens": 2200}}),
        [FULL, {"input": 2000}],
    ),
    "one answer logged twice": ("x.jsonl", jsonl(*2 * [{"ts": TIME, "response": BODY}]), [FULL]),
    "first without its usage, then with it": (
        "x.jsonl", jsonl({"ts": TIME, "response": {**BODY, "usage": None}}, {"ts": TIME, "response": BODY}), [FULL],
    ),
    "two observations of one run": (
        "x.jsonl", jsonl(observation("a", 0, "run_9", 10, 1), observation("b", 2, "run_9", 20, 2)),
        [{"input": 10}, {"input": 20}],
    ),
    "two observations of one answer": (
        "x.jsonl", jsonl(observation("a", 0, "chatcmpl-9", 10, 1), observation("b", 0, "chatcmpl-9", 10, 1)),
        [{"input": 10}],
    ),
    "two calls under an answer's id": (
        "x.jsonl", jsonl(observation("a", 0, "id-9", 10, 1), observation("b", 30, "id-9", 20, 2)),
        [{"input": 10}, {"input": 20}],
    ),
    "Semantic Kernel's first names": (
        "x.jsonl",
        jsonl(span({"gen_ai.operation.name": "chat.completions", "gen_ai.request.model": "gpt-4o",
                    "gen_ai.response.prompt_tokens": 1000, "gen_ai.response.completion_tokens": 200})),
        [{"input": 1000, "output": 200, "model": "gpt-4o"}],
    ),
    "Sentry's first names": (
        "x.jsonl",
        jsonl(span({"ai.model_id": "gpt-4o", "ai.prompt_tokens.used": 1000, "ai.completion_tokens.used": 200})),
        [{"input": 1000, "output": 200, "model": "gpt-4o"}],
    ),
    "Nova, its cache in the answer alone": (
        "x.jsonl", jsonl(INVOCATION), [{"input": 550, "output": 20, "read": 400, "written": 50}],
    ),
    "a subscription of CloudWatch": (
        "x.json",
        json.dumps({"messageType": "DATA_MESSAGE", "logEvents": [
            {"id": "1", "timestamp": SECONDS * 1000, "message": json.dumps(INVOCATION)}]}),
        [{"input": 550, "output": 20}],
    ),
    "Cursor's costs without a sign": ("x.csv", f"{CURSOR}Cost\n{CURSOR_ROW}0.12\n", [{**CLAUDE, "dollars": "0.12"}]),
    "Cursor's costs with a sign": ("x.csv", f"{CURSOR}Cost ($)\n{CURSOR_ROW}$0.12\n", [{**CLAUDE, "dollars": "0.12"}]),
    "Cursor's included requests": ("x.csv", f"{CURSOR}Cost\n{CURSOR_ROW}Included\n", [{**CLAUDE, "dollars": None}]),
    "xAI's cost in ticks": (
        "x.jsonl", jsonl({**BODY, "model": "grok-4", "usage": {**USAGE, "cost_in_usd_ticks": 35_000_000}}),
        [{**FULL, "dollars": "0.0035"}],
    ),
    "LiteLLM's rows before its payload": (
        "x.jsonl",
        jsonl({"call_type": "acompletion", "startTime": "2026-06-01 09:00:00.000001", "model": "gpt-5.2",
               "endTime": "2026-06-01 09:00:02.500001", "messages": [], "response": BODY, "response_cost": 0.0035}),
        [{**FULL, "dollars": "0.0035", "at": "09:00:00"}],
    ),
    "a table of Helicone's": (
        "x.csv",
        "request_id,request_created_at,request_model,response_status,prompt_tokens,completion_tokens,total_tokens,"
        f"delay_ms,cost\nr1,{TIME},gpt-5.2,200,1000,200,1200,2000,0.0035\n",
        [{"input": 1000, "output": 200, "dollars": "0.0035", "ms": 2000}],
    ),
}  # fmt: skip


def calls(store: Store) -> list[dict[str, Any]]:
    with store.read() as con:
        rows = con.execute(f"SELECT {', '.join(COLUMNS.values())} FROM calls ORDER BY start_time, call_no").fetchall()
    return [dict(zip(COLUMNS, row, strict=True)) for row in rows]


def same(got: Any, wanted: Any) -> bool:
    return (
        bool(Decimal(got) == Decimal(wanted)) if isinstance(wanted, str) and isinstance(got, Decimal) else got == wanted
    )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_public_layout_is_read_with_its_counts_and_costs(layout: str, tmp_path: Path) -> None:
    name, text, wanted = LAYOUTS[layout]
    path = tmp_path / name
    path.write_text(text)
    store = MemoryStore(tmp_path / "store.duckdb")
    report = ingest(store, [path])
    found = calls(store)
    assert len(found) == len(wanted)
    for call, facts in zip(found, wanted, strict=True):
        assert {name: call[name] for name, value in facts.items() if not same(call[name], value)} == {}
    assert report.left_out["rows"] == 0
    again = ingest(MemoryStore(tmp_path / "again.duckdb"), [path, path])
    assert again.calls == report.calls
    path.write_text(text + "\n")  # a file that changed is read again
    assert ingest(store, [path]).calls == 0
    assert calls(store) == found


def test_counts_under_unknown_names_are_flagged_and_not_taken_for_none(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(jsonl(span({"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "acme.tokens.input": 7})))
    report = ingest(MemoryStore(tmp_path / "store.duckdb"), [path])
    assert (report.calls, report.unread) == (1, 1)
