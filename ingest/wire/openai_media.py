"""OpenAI's answers that are no chat: images, and transcriptions and translations of speech (openai-openapi, 2026-10).

None names its model; the request does. An image's output tokens are image tokens. A transcription counts tokens or
seconds; seconds, and images of models without tokens, have no count here.
"""

from __future__ import annotations

from typing import Any

from ingest.records.call import Call, mapping_or_empty, text_or_none
from ingest.records.token_usage import apply_usage

_CHAT_DETAILS = "completion_tokens_details"  # of gateways that count images in the shape of chat completions


def matches_image(body: Any) -> bool:
    """Whether the body is an answer with images."""
    if not isinstance(body, dict) or "created" not in body or "object" in body:
        return False
    made = body.get("data")
    return isinstance(made, list) and all(isinstance(one, dict) and one.keys() & {"b64_json", "url"} for one in made)


def matches_transcription(body: Any) -> bool:
    """Whether the body is a transcription or translation as JSON."""
    if not isinstance(body, dict) or not isinstance(body.get("text"), str) or "choices" in body:
        return False
    usage = body.get("usage")
    if isinstance(usage, dict):
        return usage.get("type") in ("tokens", "duration")
    return body.get("task") in ("transcribe", "translate") and "duration" in body


def with_image_tokens(usage: dict[str, Any]) -> dict[str, Any]:
    """The usage of an answer with images, whose output tokens are those of images where it does not tell them apart."""
    for counted, details in (("output_tokens", "output_tokens_details"), ("completion_tokens", _CHAT_DETAILS)):
        made = mapping_or_empty(usage.get(details))
        if usage.get(counted) and not made.keys() & {"image_tokens", "text_tokens"}:
            usage = {**usage, details: {**made, "image_tokens": usage[counted]}}
    return usage


def apply_image(call: Call, body: dict[str, Any]) -> None:
    """Take what an answer with images tells."""
    call.operation_name = "image_generation"
    call.response_model = text_or_none(body.get("model"))
    usage = body.get("usage")
    if isinstance(usage, dict) and "output_tokens" in usage:
        apply_usage(call, with_image_tokens(usage), "$.usage")
    else:
        call.tokens_source = "missing"
        call.issue("usage_without_tokens", f"images: {len(body.get('data') or ())}")


def apply_transcription(call: Call, body: dict[str, Any]) -> None:
    """Take what a transcription tells."""
    call.operation_name = "transcription"
    call.response_model = text_or_none(body.get("model"))
    usage = mapping_or_empty(body.get("usage"))
    call.output = [{"role": "assistant", "content": body["text"]}]
    if usage.get("type") == "tokens":
        apply_usage(call, usage, "$.usage")
    else:
        call.tokens_source = "missing"
        spoken = text_or_none(usage.get("seconds")) or text_or_none(body.get("duration"))
        call.issue("usage_without_tokens", f"seconds: {spoken}"[:80])
