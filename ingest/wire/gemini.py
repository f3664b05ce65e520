"""Gemini's generateContent bodies (AI Studio and Vertex), after ai.google.dev/api/generate-content (2026-10)."""

from __future__ import annotations

from typing import Any

from ingest.records import server_tools
from ingest.records.call import Call, text_or_none
from ingest.records.token_counts import set_partial
from ingest.records.token_usage import apply_usage
from ingest.wire.streaming import CUT_OFF

_TRAFFIC = {  # Vertex AI's `trafficType` (litellm#37647) -> the tier that served
    "ON_DEMAND": None, "PROVISIONED_THROUGHPUT": "provisioned", "ON_DEMAND_FLEX": "flex", "FLEX": "flex",
    "ON_DEMAND_PRIORITY": "priority", "BATCH": "batch",
}  # fmt: skip


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
    _take_tier(call, body.get("serviceTier", body.get("service_tier")))


def _take_tier(call: Call, tier: Any) -> None:
    """What is asked for counts until the answer says what served it: a tier may fall back to the standard one."""
    named = (text_or_none(tier) or "").lower().removeprefix("service_tier_")
    if named:
        call.service_tier = None if named in ("standard", "unspecified") else named


def apply_response(call: Call, body: dict[str, Any]) -> None:
    """Take what an answer of the Gemini API tells."""
    get = body.get
    call.response_id = text_or_none(get("responseId", get("response_id")))
    call.response_model = text_or_none(get("modelVersion", get("model_version"))) or call.response_model
    call.operation_name = "chat"
    usage = get("usageMetadata", get("usage_metadata"))
    apply_usage(call, usage, "$.usageMetadata")
    if get(CUT_OFF):
        set_partial(call, "a stream without its end")
    if isinstance(usage, dict):
        _take_tier(call, usage.get("serviceTier", usage.get("service_tier")))
        traffic = text_or_none(usage.get("trafficType", usage.get("traffic_type")))
        if traffic in _TRAFFIC:
            call.service_tier = _TRAFFIC[traffic]
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
