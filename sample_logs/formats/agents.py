"""Writers of coding agents' telemetry files and chats, one function each: the file's text from a list of calls.

Shapes after the vendors' schemas as of 2026-10; nothing is copied from anybody's logs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sample_logs.formats.shapes import iso, lines, millis
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
