"""Writers of the logs of command-line tools and editors, one function each: the file's text from a list of calls.

Shapes after the tools' own code and documentation as of 2026-10; nothing is copied from anybody's logs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sample_logs.formats.shapes import chat_usage, iso, lines, seconds
from sample_logs.formats.truth import TrueCall


def aider(calls: Sequence[TrueCall]) -> str:
    """The file of `aider --analytics-log`: an event at the start, one per reply."""
    records: list[dict[str, Any]] = [
        {"event": "launched", "properties": {"aider_version": "0.86.1"}, "user_id": "sample",
         "time": seconds(calls[0].start)}
    ]  # fmt: skip
    spent = 0.0
    for call in calls:
        spent += float(call.cost)
        told = {"main_model": f"openai/{call.model}", "weak_model": None, "editor_model": None, "edit_format": "diff",
                "prompt_tokens": call.input_tokens, "completion_tokens": call.output_tokens,
                "total_tokens": call.input_tokens + call.output_tokens, "cost": float(call.cost),
                "total_cost": round(spent, 12)}  # fmt: skip
        records.append({"event": "message_send", "properties": told, "user_id": "sample", "time": seconds(call.end)})
    return lines(records)


def editor_tokens(calls: Sequence[TrueCall]) -> str:
    """Continue's `tokensGenerated.jsonl`."""
    return lines([
        {"eventName": "tokensGenerated", "schema": "0.2.0", "timestamp": iso(call.start), "userId": call.user,
         "selectedProfileId": "local", "model": call.model, "provider": "openai", "promptTokens": call.input_tokens,
         "generatedTokens": call.output_tokens}
        for call in calls
    ])  # fmt: skip


def gemini_print(calls: Sequence[TrueCall]) -> str:
    """The result of a run of `gemini -p --output-format json` for each call."""
    records = []
    for call in calls:
        tokens = {
            "input": call.input_tokens - call.cached_tokens, "prompt": call.input_tokens,
            "candidates": call.output_tokens - call.reasoning_tokens, "cached": call.cached_tokens,
            "thoughts": call.reasoning_tokens, "tool": 0, "total": call.input_tokens + call.output_tokens,
        }  # fmt: skip
        api = {"totalRequests": 1, "totalErrors": 0, "totalLatencyMs": call.duration_ms}
        models = {"gemini-2.5-pro": {"api": api, "tokens": tokens}}
        records.append({"session_id": call.id, "response": call.answer, "stats": {"models": models}})
    return lines(records)


def llm_cli(calls: Sequence[TrueCall]) -> str:
    """What `llm logs --json` prints."""
    records = []
    for call in calls:
        usage = chat_usage(call)
        names = ("prompt_tokens_details", "completion_tokens_details")
        records.append({
            "id": f"01{call.span_id}", "model": call.model, "resolved_model": None,
            "prompt": call.messages[-1]["content"], "system": call.messages[0]["content"], "options_json": {},
            "response": call.answer, "response_json": {}, "conversation_id": call.session,
            "duration_ms": call.duration_ms, "datetime_utc": iso(call.start), "input_tokens": call.input_tokens,
            "output_tokens": call.output_tokens,
            "token_details": {name: usage[name] for name in names if name in usage},
        })  # fmt: skip
    return json.dumps(records, indent=2) + "\n"
