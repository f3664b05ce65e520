"""Anthropic's Messages bodies. Shapes after anthropics/anthropic-sdk-python and the Messages API reference (2026-10).

`usage.iterations` lists the model runs behind one answer (compaction, an advisor on another model). The top level
shows only part of them, so each iteration becomes a call of its own, with its own model.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ingest.records import agent_names, server_tools
from ingest.records.call import Call, text_or_none
from ingest.records.token_counts import set_partial
from ingest.records.token_usage import apply_usage
from ingest.wire.streaming import CUT_OFF

MOST_BEGUN = 16  # output tokens of a `message_start`
_NOT_PARAMS = frozenset({"model", "messages", "tools", "system"})


def matches_response(body: Any) -> bool:
    """Whether the body is an answer of the Anthropic Messages API."""
    return isinstance(body, dict) and body.get("type") == "message" and "usage" in body and "model" in body


def matches_request(body: Any) -> bool:
    """A request that only Anthropic's API takes: it must name max_tokens, and has its own fields."""
    if not isinstance(body, dict) or "messages" not in body:
        return False
    return "anthropic_version" in body or "anthropic_beta" in body or ("system" in body and "max_tokens" in body)


def apply_request(call: Call, body: dict[str, Any]) -> None:
    """Take what a request of the Anthropic Messages API tells."""
    get = body.get
    call.request_model = text_or_none(get("model")) or call.request_model
    messages: list[Any] = []
    system = get("system")
    if system:
        messages.append({"role": "system", "content": system})
    given = get("messages")
    if isinstance(given, list):
        messages.extend(given)
    call.messages = messages or None
    tools = get("tools")
    call.tools = tools if isinstance(tools, list) and tools else None
    call.params = {name: value for name, value in body.items() if name not in _NOT_PARAMS} or None
    temperature = get("temperature")
    if isinstance(temperature, int | float) and not isinstance(temperature, bool):
        call.temperature = float(temperature)
    if type(get("max_tokens")) is int:
        call.max_tokens = get("max_tokens")
    if isinstance(get("stream"), bool):
        call.stream = get("stream")
    metadata = get("metadata")
    if isinstance(metadata, dict):
        call.user_id = text_or_none(metadata.get("user_id")) or call.user_id
        agent_names.from_metadata(call, metadata)


def apply_response(call: Call, body: dict[str, Any]) -> None:
    """Take what an answer of the Anthropic Messages API tells."""
    get = body.get
    call.response_id = text_or_none(get("id"))
    call.response_model = text_or_none(get("model"))
    call.operation_name = "chat"
    call.provider_name = call.provider_name or "anthropic"
    call.finish_reason = text_or_none(get("stop_reason"))
    usage = get("usage")
    apply_usage(call, usage, "$.usage")
    if isinstance(usage, dict):
        apply_tier(call, usage)
        take_iterations(call, usage)
    content = get("content")
    if get(CUT_OFF):
        set_partial(call, "a stream without its end")
    elif is_placeholder(call.output_tokens, content):
        set_partial(call, "fewer tokens than the text can have")
    if isinstance(content, list) and content:
        for block in content:
            if isinstance(block, dict) and block.get("type") == "fallback" and isinstance(block.get("to"), dict):
                served = text_or_none(block["to"].get("model"))
                if served:  # the message keeps the model that was asked; another one answered
                    call.request_model = call.request_model or call.response_model
                    call.response_model = served
                    call.issue("model_fallback", f"{call.request_model} -> {served}")
        call.output = [{"role": "assistant", "content": content}]


def is_placeholder(output_tokens: int | None, content: Any) -> bool:
    """Whether an output count is the one with which a stream begins (one to a few), over an answer far longer.

    No tokenizer needs less than one token for 40 characters of an answer this long, bar runs of one character.
    """
    if output_tokens is None or output_tokens > MOST_BEGUN or not isinstance(content, list):
        return False
    return text_size(content) > least_size(output_tokens)


def text_size(content: Any) -> int:
    """The characters of the texts and thoughts of an answer's content."""
    texts = [block.get("text") or block.get("thinking") for block in content if isinstance(block, dict)]
    return sum(len(text) for text in texts if isinstance(text, str))


def least_size(output_tokens: int) -> int:
    """More characters than this are never so few tokens."""
    return 200 + 40 * output_tokens


def apply_tier(call: Call, usage: dict[str, Any]) -> None:
    """Take the service tier, the speed and the region that the usage names."""
    tier = text_or_none(usage.get("service_tier"))
    call.service_tier = tier if tier not in (None, "standard", "auto") else call.service_tier
    if usage.get("speed") == "fast":
        call.service_tier = "fast"
    region = text_or_none(usage.get("inference_geo"))
    if region not in (None, "global", "not_available"):
        call.region = region


def take_iterations(call: Call, usage: dict[str, Any]) -> None:
    """Remember the iterations where there is more to them than the top level shows."""
    found = usage.get("iterations")
    if isinstance(found, list) and any(isinstance(item, dict) and item.get("type") != "message" for item in found):
        call.iterations = [item for item in found if isinstance(item, dict)]


def expand(call: Call) -> list[Call]:
    """One call per iteration; the call itself where there are none. The last plain one keeps the contents."""
    iterations = call.iterations
    if not iterations:
        return [call]
    call.iterations = None
    plain = [place for place, item in enumerate(iterations) if item.get("type") == "message"]
    bearer = plain[-1] if plain else len(iterations) - 1
    parts = []
    for place, item in enumerate(iterations):
        part = msgspec.structs.replace(call, issues=list(call.issues) if call.issues and place == bearer else None)
        part.iterations = None
        tools = {kind: getattr(part, kind) for kind in ("server_tool_calls", *server_tools.KINDS)}
        apply_usage(part, item, f"$.usage.iterations[{place}]")
        for kind, uses in tools.items():  # the top level counts those of all runs
            setattr(part, kind, uses if place == bearer else None)
        if part.output_tokens == 0 and any(
            later.get("type") == "fallback_message" for later in iterations[place + 1 :]
        ):
            part.finish_reason = "refusal"  # another model took over before this one wrote anything
        part.response_model = text_or_none(item.get("model")) or call.response_model
        part.operation_name = "chat" if item.get("type") == "message" else text_or_none(item.get("type"))
        if place != bearer:
            part.messages = part.tools = part.output = part.params = None
            part.logged_cost_pico = None
            if call.identity is not None:
                part.identity = f"{call.identity}#iteration-{place}"
        parts.append(part)
    return parts
