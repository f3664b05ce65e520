"""Ollama's own answers (`/api/chat`, `/api/generate`, `/api/embed`), after its docs/api.md (2026-10).

Durations count nanoseconds. A prompt that was cached whole has no `prompt_eval_count`: its tokens are not told.
"""

from __future__ import annotations

from typing import Any

from ingest.records.call import Call, text_or_none
from ingest.records.token_usage import apply_usage

_NS_PER_MS = 1_000_000


def matches_response(body: Any) -> bool:
    """Whether the body is an answer of Ollama, or the last chunk of one."""
    if not isinstance(body, dict) or "model" not in body or "choices" in body:
        return False
    return "eval_count" in body or "prompt_eval_count" in body or ("done" in body and "total_duration" in body)


def apply_response(call: Call, body: dict[str, Any]) -> None:
    """Take what an answer of Ollama tells."""
    get = body.get
    call.response_model = text_or_none(get("model"))
    call.provider_name = call.provider_name or "ollama"
    call.operation_name = "embeddings" if "embeddings" in body or "embedding" in body else "chat"
    made = get("eval_count", 0 if call.operation_name == "embeddings" else None)
    if get("prompt_eval_count") is not None or made is not None:
        apply_usage(call, {"prompt_tokens": get("prompt_eval_count"), "completion_tokens": made}, "$")
    else:
        call.tokens_source = "missing"
    spent = get("total_duration")
    if isinstance(spent, int | float) and spent > 0:
        call.duration_ms = spent / _NS_PER_MS
    call.finish_reason = text_or_none(get("done_reason")) or ("stop" if get("done") is True else None)
    message = get("message")
    if isinstance(message, dict):
        call.output = [message]
    elif isinstance(get("response"), str):
        call.output = [{"role": "assistant", "content": get("response")}]
