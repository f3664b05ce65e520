"""Cohere's own answers: chat (v1, v2), generate, embed and rerank, after docs.cohere.com/reference (2026-10).

An answer names no model; the request or the URL does. What is billed stands in `billed_units`: tokens, or search units
of a rerank, which no token count can stand for.
"""

from __future__ import annotations

from typing import Any

from ingest.records.call import Call, mapping_or_empty, text_or_none
from ingest.records.token_usage import apply_usage


def matches_response(body: Any) -> bool:
    """Whether the body is an answer of Cohere's API."""
    return isinstance(body, dict) and "billed_units" in _usage(body) and "choices" not in body


def apply_response(call: Call, body: dict[str, Any]) -> None:
    """Take what an answer of Cohere's API tells."""
    get = body.get
    usage = _usage(body)
    billed = mapping_or_empty(usage.get("billed_units"))
    call.response_id = text_or_none(get("id")) or text_or_none(get("response_id")) or text_or_none(get("generation_id"))
    call.response_model = text_or_none(get("model"))
    call.provider_name = call.provider_name or "cohere"
    if "search_units" in billed or "results" in body:
        call.operation_name = "rerank"
    else:
        call.operation_name = "embeddings" if "embeddings" in body else "chat"
    if "input_tokens" in billed or "output_tokens" in billed:
        apply_usage(call, usage, "$.billed_units")
    else:
        call.tokens_source = "missing"
        if "search_units" in billed:
            call.issue("usage_without_tokens", f"search units: {billed['search_units']}")
    reason = text_or_none(get("finish_reason"))
    call.finish_reason = reason.lower() if reason else None
    if isinstance(get("message"), dict):
        call.output = [get("message")]
    elif isinstance(get("text"), str):
        call.output = [{"role": "assistant", "content": get("text")}]


def _usage(body: dict[str, Any]) -> dict[str, Any]:
    """The usage of v2, which v1 has under `meta`."""
    found = body.get("usage")
    return found if isinstance(found, dict) else mapping_or_empty(body.get("meta"))
