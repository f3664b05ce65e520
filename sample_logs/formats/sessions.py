"""Writers of coding assistants' session folders, one function each: the file's text from a list of calls.

Shapes after the vendors' schemas as of 2026-10; nothing is copied from anybody's logs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sample_logs.formats.shapes import anthropic_message, iso, lines, millis
from sample_logs.formats.truth import TrueCall


def claude_code(calls: Sequence[TrueCall]) -> str:
    """Two rows a message, the first with a partial count; the session's user turns between them."""
    records: list[dict[str, Any]] = []
    parent = None
    for number, call in enumerate(calls):
        message = anthropic_message(call, number)
        message["id"] = f"msg_transcript{number:05}"
        common = {"isSidechain": False, "sessionId": "5e551047-0000-4000-8000-000000000001", "version": "2.0.0",
                  "cwd": "/home/dev/atlas"}  # fmt: skip
        asked = f"u-{number}"
        records.append({**common, "type": "user", "uuid": asked, "parentUuid": parent, "timestamp": iso(call.start),
                        "message": {"role": "user", "content": call.messages[1]["content"]}})  # fmt: skip
        for part, made in enumerate((1, call.output_tokens)):
            row = f"a-{number}-{part}"
            records.append({
                **common, "type": "assistant", "uuid": row, "parentUuid": asked if part == 0 else f"a-{number}-0",
                "requestId": f"req_{number:05}", "timestamp": iso(call.end),
                "message": {**message, "content": [{"type": "text", "text": f"{call.answer} {part}"}],
                            "usage": {**message["usage"], "output_tokens": made}}})  # fmt: skip
            parent = row
    return lines(records)


def codex(calls: Sequence[TrueCall]) -> str:
    records: list[dict[str, Any]] = [
        {"timestamp": iso(calls[0].start), "type": "session_meta",
         "payload": {"id": "0199-sample", "cwd": "/home/dev/atlas", "model_provider": "openai"}},
        {"timestamp": iso(calls[0].start), "type": "turn_context",
         "payload": {"model": "gpt-5-codex", "cwd": "/home/dev/atlas"}},
    ]  # fmt: skip
    names = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_output_tokens")
    total = dict.fromkeys(names, 0)
    for call in calls:
        last = dict(zip(names, (call.input_tokens, call.cached_tokens, call.output_tokens, call.reasoning_tokens),
                        strict=True))  # fmt: skip
        total = {name: total[name] + last[name] for name in names}
        info = {
            "last_token_usage": {**last, "total_tokens": call.input_tokens + call.output_tokens},
            "total_token_usage": {**total, "total_tokens": total["input_tokens"] + total["output_tokens"]},
        }
        event = {"timestamp": iso(call.end), "type": "event_msg", "payload": {"type": "token_count", "info": info}}
        records += [event, event]  # the tool writes some events twice
    return lines(records)


def opencode(calls: Sequence[TrueCall]) -> str:
    """One message; the tool writes each to a file of its own."""
    call = calls[0]
    message = {"id": "msg_opencode1", "sessionID": "ses_1", "role": "assistant", "modelID": "claude-sonnet-4-5",
               "providerID": "anthropic", "mode": "build",
               "path": {"cwd": "/home/dev/atlas", "root": "/home/dev/atlas"},
               "time": {"created": millis(call.start), "completed": millis(call.end)}, "cost": 0.0123,
               "tokens": {"input": 900, "output": 120, "reasoning": 30,
                          "cache": {"read": 4000, "write": 250}}}  # fmt: skip
    return json.dumps(message, indent=2) + "\n"
