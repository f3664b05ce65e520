"""What several log formats have in common: times as they write them, and the bodies of the providers' APIs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sample_logs.formats.truth import TrueCall

Writer = Callable[[Sequence[TrueCall]], str]
TICKS_TO_1970 = 621_355_968_000_000_000


def lines(records: Sequence[dict[str, Any]]) -> str:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"


def seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def millis(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def nanos(moment: datetime) -> int:
    return millis(moment) * 1_000_000


def chat_usage(call: TrueCall) -> dict[str, Any]:
    return {
        "prompt_tokens": call.input_tokens, "completion_tokens": call.output_tokens,
        "total_tokens": call.input_tokens + call.output_tokens,
        "prompt_tokens_details": {"cached_tokens": call.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": call.reasoning_tokens, "audio_tokens": 0},
    }  # fmt: skip


def chat_body(call: TrueCall) -> dict[str, Any]:
    return {
        "id": call.id, "object": "chat.completion", "created": seconds(call.start), "model": call.model,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": call.answer}, "finish_reason": "stop"}],
        "usage": chat_usage(call), "service_tier": "default",
    }  # fmt: skip


def chat_request(call: TrueCall) -> dict[str, Any]:
    return {"model": call.model, "messages": call.messages, "temperature": call.temperature}


def anthropic_message(call: TrueCall, number: int) -> dict[str, Any]:
    return {
        "id": f"msg_sample{number:06}", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5-20250929",
        "content": [{"type": "text", "text": call.answer}], "stop_reason": "end_turn", "stop_sequence": None,
        "usage": {"input_tokens": call.input_tokens - call.cached_tokens, "cache_creation_input_tokens": 0,
                  "cache_read_input_tokens": call.cached_tokens, "output_tokens": call.output_tokens,
                  "service_tier": "standard"},
    }  # fmt: skip


def gemini_body(call: TrueCall, number: int) -> dict[str, Any]:
    plain = call.output_tokens - call.reasoning_tokens
    return {
        "responseId": f"gemini-sample-{number}", "modelVersion": "gemini-2.5-flash",
        "candidates": [{"content": {"role": "model", "parts": [{"text": call.answer}]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": call.input_tokens, "cachedContentTokenCount": call.cached_tokens,
                          "candidatesTokenCount": plain, "thoughtsTokenCount": call.reasoning_tokens,
                          "totalTokenCount": call.input_tokens + call.output_tokens},
    }  # fmt: skip
