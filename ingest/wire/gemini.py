"""Gemini's generateContent bodies (AI Studio and Vertex), after ai.google.dev/api/generate-content (2026-10)."""

from __future__ import annotations

from typing import Any

from ingest.records import server_tools
from ingest.records.call import Call, text_or_none
from ingest.records.token_usage import apply_usage, set_partial
from ingest.wire.streaming import CUT_OFF

_TIERS = {"PROVISIONED_THROUGHPUT": "provisioned", "ON_DEMAND_FLEX": "flex", "ON_DEMAND_PRIORITY": "priority"}


def matches_response(body: Any) -> bool:
    """Whether the body is an answer of the Gemini API."""
    return isinstance(body, dict) and ("usageMetadata" in body or ("usage_metadata" in body and "candidates" in body))


def matches_request(body: Any) -> bool:
    """Whether the body is a request of the Gemini API."""
    return isinstance(body, dict) and "contents" in body


def apply_request(call: Call, body: dict[str, Any]) -> None:
    """Take what a request of the Gemini API tells."""
    messages: list[Any] = []
    system = body.get("systemInstruction", body.get("system_instruction"))
    if isinstance(system, dict):
        messages.append({"role": "system", "parts": system.get("parts")})
    contents = body.get("contents")
    if isinstance(contents, dict):
        contents = [contents]
    for item in contents if isinstance(contents, list) else ():
        messages.append(item if isinstance(item, dict) else {"role": "user", "content": str(item)})
    call.messages = messages or None
    tools = body.get("tools")
    call.tools = tools if isinstance(tools, list) and tools else None
    config = body.get("generationConfig", body.get("generation_config"))
    if isinstance(config, dict):
        call.params = config
        if isinstance(config.get("temperature"), int | float):
            call.temperature = float(config["temperature"])
        if type(config.get("maxOutputTokens")) is int:
            call.max_tokens = config["maxOutputTokens"]
    call.request_model = text_or_none(body.get("model")) or call.request_model


def apply_response(call: Call, body: dict[str, Any]) -> None:
    """Take what an answer of the Gemini API tells."""
    get = body.get
    call.response_id = text_or_none(get("responseId"))
    call.response_model = text_or_none(get("modelVersion")) or call.response_model
    call.operation_name = "chat"
    usage = get("usageMetadata", get("usage_metadata"))
    apply_usage(call, usage, "$.usageMetadata")
    if get(CUT_OFF):
        set_partial(call, "a stream without its end")
    if isinstance(usage, dict):
        traffic = text_or_none(usage.get("trafficType"))
        tier = text_or_none(usage.get("serviceTier"))
        call.service_tier = _TIERS.get(traffic or "") or (tier if tier not in (None, "standard") else call.service_tier)
    call.replaces = True  # each chunk of a stream counts what came before it too
    candidates = get("candidates")
    server_tools.from_grounding(call, candidates)
    if isinstance(candidates, list) and candidates:
        answers = []
        for candidate in candidates:
            if isinstance(candidate, dict):
                if isinstance(candidate.get("content"), dict):
                    answers.append({"role": "assistant", "parts": candidate["content"].get("parts")})
                reason = text_or_none(candidate.get("finishReason"))
                call.finish_reason = reason.lower() if reason else call.finish_reason
        call.output = answers or None
