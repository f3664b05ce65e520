"""Writers of coding agents' telemetry files and chats, one function each: the file's text from a list of calls.

Shapes after the vendors' schemas as of 2026-10; nothing is copied from anybody's logs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sample_logs.formats.shapes import anthropic_message, iso, lines, millis
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
