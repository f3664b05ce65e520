"""Writers of coding agents' telemetry files and chats, one function each: the file's text from a list of calls.

Shapes after the vendors' schemas as of 2026-10; nothing is copied from anybody's logs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sample_logs.formats.shapes import anthropic_message, iso, lines, millis, seconds
from sample_logs.formats.truth import TrueCall

_GEMINI = "gemini-2.5-pro"


def _gemini_tokens(call: TrueCall) -> tuple[int, int]:
    """(answer without thoughts, total)"""
    return call.output_tokens - call.reasoning_tokens, call.input_tokens + call.output_tokens


def agent_telemetry(calls: Sequence[TrueCall]) -> str:
    """Log records as the SDK for JavaScript prints them, an event without counts before each response."""
    records: list[dict[str, Any]] = []
    for call in calls:
        answer, total = _gemini_tokens(call)
        stamp = millis(call.end)
        common = {"hrTime": [stamp // 1000, stamp % 1000 * 1_000_000], "severityText": "",
                  "resource": {"attributes": {"service.name": "gemini-cli"}},
                  "instrumentationScope": {"name": "gemini-cli"}}  # fmt: skip
        event = {"session.id": call.session, "event.timestamp": iso(call.end), "model": _GEMINI}
        records += [
            {**common, "body": f"API request to {_GEMINI}.",
             "attributes": {**event, "event.name": "gemini_cli.api_request"}},
            {**common, "body": f"API response from {_GEMINI}.",
             "attributes": {**event, "event.name": "gemini_cli.api_response", "duration_ms": call.duration_ms,
                            "input_token_count": call.input_tokens, "output_token_count": answer,
                            "cached_content_token_count": call.cached_tokens,
                            "thoughts_token_count": call.reasoning_tokens, "tool_token_count": 0,
                            "total_token_count": total, "status_code": 200, "auth_type": "gemini-api-key"}},
        ]  # fmt: skip
    return lines(records)


def claude_print(calls: Sequence[TrueCall]) -> str:
    """A run with one answer for each call, and the result that sums them up."""
    session = {"session_id": "5e551047-0000-4000-8000-000000000002"}
    records: list[dict[str, Any]] = [
        {
            "type": "system",
            "subtype": "init",
            **session,
            "model": "claude-sonnet-4-5-20250929",
            "cwd": "/home/dev/atlas",
        }
    ]
    total = dict.fromkeys(("inputTokens", "outputTokens", "cacheReadInputTokens", "cacheCreationInputTokens"), 0)
    for number, call in enumerate(calls):
        message = anthropic_message(call, number)
        message["id"] = f"msg_printed{number:05}"
        records.append({"type": "assistant", **session, "uuid": f"a-{number}", "parent_tool_use_id": None,
                        "message": message})  # fmt: skip
        total["inputTokens"] += call.input_tokens - call.cached_tokens
        total["outputTokens"] += call.output_tokens
        total["cacheReadInputTokens"] += call.cached_tokens
    records.append({"type": "result", "subtype": "success", **session, "is_error": False, "num_turns": len(calls),
                    "duration_ms": sum(call.duration_ms for call in calls), "total_cost_usd": 0.25,
                    "modelUsage": {"claude-sonnet-4-5-20250929": {**total, "costUSD": 0.25}}})  # fmt: skip
    return lines(records)


def qwen_code(calls: Sequence[TrueCall]) -> str:
    """A user turn, the answer and its telemetry for each call."""
    records: list[dict[str, Any]] = []
    for number, call in enumerate(calls):
        answer, total = _gemini_tokens(call)
        common = {"sessionId": call.session, "cwd": "/home/dev/atlas", "version": "0.18.1"}
        asked = call.messages[1]["content"]
        records += [
            {"uuid": f"{call.id}-u", **common, "timestamp": iso(call.start), "type": "user",
             "message": {"role": "user", "parts": [{"text": asked}]}},
            {"uuid": call.id, "parentUuid": f"{call.id}-u", **common, "timestamp": iso(call.end), "type": "assistant",
             "model": "qwen3-coder-plus", "message": {"role": "model", "parts": [{"text": call.answer}]},
             "usageMetadata": {"promptTokenCount": call.input_tokens, "candidatesTokenCount": answer,
                               "thoughtsTokenCount": call.reasoning_tokens, "totalTokenCount": total,
                               "cachedContentTokenCount": call.cached_tokens}},
            {"uuid": f"{call.id}-t", "parentUuid": call.id, **common, "timestamp": iso(call.end), "type": "system",
             "subtype": "ui_telemetry",
             "systemPayload": {"uiEvent": {"event.name": "qwen-code.api_response", "input_token_count": number}}},
        ]  # fmt: skip
    return lines(records)


def pi(calls: Sequence[TrueCall]) -> str:
    records: list[dict[str, Any]] = [
        {"type": "session", "version": 3, "id": "pi-sample", "timestamp": iso(calls[0].start), "cwd": "/home/dev/atlas"}
    ]
    for call in calls:
        usage = {"input": call.input_tokens - call.cached_tokens, "output": call.output_tokens,
                 "cacheRead": call.cached_tokens, "cacheWrite": 0, "cost": {"total": float(call.cost)}}  # fmt: skip
        records.append({"type": "message", "id": call.id[-8:], "parentId": None, "timestamp": iso(call.end),
                        "message": {"role": "assistant", "content": [{"type": "text", "text": call.answer}],
                                    "provider": "openai", "model": call.model, "usage": usage, "stopReason": "stop",
                                    "timestamp": millis(call.start)}})  # fmt: skip
    return lines(records)


def gemini_cli(calls: Sequence[TrueCall]) -> str:
    """A chat as rows; each answer stands first without its counts."""
    records: list[dict[str, Any]] = [
        {"sessionId": "gemini-sample", "projectHash": "atlas", "startTime": iso(calls[0].start), "kind": "main"}
    ]
    for call in calls:
        answer, total = _gemini_tokens(call)
        message = {"id": call.id, "timestamp": iso(call.end), "type": "gemini", "content": call.answer,
                   "model": _GEMINI}  # fmt: skip
        tokens = {"input": call.input_tokens, "output": answer, "cached": call.cached_tokens,
                  "thoughts": call.reasoning_tokens, "tool": 0, "total": total}  # fmt: skip
        records += [
            {"id": f"{call.id}-u", "timestamp": iso(call.start), "type": "user",
             "content": call.messages[1]["content"]},
            message, {**message, "tokens": tokens}, {"$set": {"lastUpdated": iso(call.end)}},
        ]  # fmt: skip
    return lines(records)


def cline(calls: Sequence[TrueCall]) -> str:
    """The messages of one task, a text before each request."""
    records: list[dict[str, Any]] = []
    for call in calls:
        request = {"request": "...", "tokensIn": call.input_tokens - call.cached_tokens,
                   "tokensOut": call.output_tokens, "cacheWrites": 0, "cacheReads": call.cached_tokens,
                   "cost": float(call.cost)}  # fmt: skip
        records += [
            {"ts": millis(call.start) - 1, "type": "say", "say": "text", "text": call.messages[1]["content"]},
            {"ts": millis(call.start), "type": "say", "say": "api_req_started", "text": json.dumps(request),
             "modelInfo": {"providerId": "openai", "modelId": call.model, "mode": "act"}},
        ]  # fmt: skip
    return json.dumps(records) + "\n"


def amp(calls: Sequence[TrueCall]) -> str:
    messages: list[dict[str, Any]] = []
    for number, call in enumerate(calls):
        usage = {"model": call.model, "timestamp": iso(call.start), "outputTokens": call.output_tokens,
                 "inputTokens": call.input_tokens - call.cached_tokens, "cacheCreationInputTokens": 0,
                 "cacheReadInputTokens": call.cached_tokens, "totalInputTokens": call.input_tokens}  # fmt: skip
        messages += [{"role": "user", "messageId": 2 * number},
                     {"role": "assistant", "messageId": 2 * number + 1, "usage": usage}]  # fmt: skip
    thread = {"id": "T-sample", "created": millis(calls[0].start), "messages": messages, "usageLedger": {"events": []}}
    return json.dumps(thread) + "\n"


def kimi(calls: Sequence[TrueCall]) -> str:
    records: list[dict[str, Any]] = [{"type": "metadata", "protocol_version": "1.3"}]
    for number, call in enumerate(calls):
        usage = {"input_other": call.input_tokens - call.cached_tokens, "input_cache_read": call.cached_tokens,
                 "input_cache_creation": 0, "output": call.output_tokens}  # fmt: skip
        records.append({"timestamp": seconds(call.end), "message": {
            "type": "StatusUpdate", "payload": {"message_id": f"msg-{number}", "token_usage": usage}}})  # fmt: skip
    return lines(records)


def copilot(calls: Sequence[TrueCall]) -> str:
    """A session with a leg for each call, whose sums go on."""
    records: list[dict[str, Any]] = []
    total = dict.fromkeys(("inputTokens", "outputTokens", "cacheReadTokens", "cacheWriteTokens"), 0)
    for number, call in enumerate(calls):
        total = {"inputTokens": total["inputTokens"] + call.input_tokens,
                 "outputTokens": total["outputTokens"] + call.output_tokens,
                 "cacheReadTokens": total["cacheReadTokens"] + call.cached_tokens, "cacheWriteTokens": 0}  # fmt: skip
        metrics = {"gpt-4.1": {"requests": {"count": number + 1, "cost": number + 1}, "usage": total}}
        records += [
            {"type": "session.resume" if number else "session.start", "id": f"{number}-a",
             "timestamp": iso(call.start), "data": {"sessionId": "copilot-sample"}},
            {"type": "session.shutdown", "id": f"{number}-b", "timestamp": iso(call.end),
             "data": {"modelMetrics": metrics}},
        ]  # fmt: skip
    return lines(records)


def cursor(calls: Sequence[TrueCall]) -> str:
    """Usage events as the admin API lists them."""
    return lines([
        {"timestamp": str(millis(call.start)), "model": call.model, "kind": "Usage-based", "userEmail": call.user,
         "tokenUsage": {"inputTokens": call.input_tokens - call.cached_tokens, "outputTokens": call.output_tokens,
                        "cacheWriteTokens": 0, "cacheReadTokens": call.cached_tokens,
                        "totalCents": float(call.cost) * 100}, "chargedCents": 4}
        for call in calls
    ])  # fmt: skip


def grok_build(calls: Sequence[TrueCall]) -> str:
    records: list[dict[str, Any]] = []
    for number, call in enumerate(calls):
        counts = {"inputTokens": call.input_tokens, "outputTokens": call.output_tokens,
                  "cachedReadTokens": call.cached_tokens, "modelCalls": 1,
                  "totalTokens": call.input_tokens + call.output_tokens}  # fmt: skip
        update = {"sessionUpdate": "turn_completed", "prompt_id": f"prompt-{number}", "stop_reason": "end_turn",
                  "usage": {**counts, "modelUsage": {"grok-code-fast-1": counts}}}  # fmt: skip
        method = {"timestamp": seconds(call.end), "method": "session/update"}
        records += [
            {**method, "params": {"sessionId": call.session, "update": {"sessionUpdate": "agent_message_chunk",
                                                                       "content": {"text": call.answer}}}},
            {**method, "params": {"sessionId": call.session, "update": update}},
        ]  # fmt: skip
    return lines(records)


def agent_sums(calls: Sequence[TrueCall]) -> str:
    """The sums of a session of Vibe; the tool writes each session to a file of its own."""
    asked, made = sum(call.input_tokens for call in calls), sum(call.output_tokens for call in calls)
    stats = {"session_prompt_tokens": asked, "session_completion_tokens": made, "session_cost": 0.0125}
    session = {"session_id": "vibe-sample", "start_time": iso(calls[0].start), "end_time": iso(calls[-1].end),
               "environment": {"working_directory": "/home/dev/atlas"}, "stats": stats,
               "config": {"active_model": "devstral-medium-latest"}}  # fmt: skip
    return json.dumps(session) + "\n"
