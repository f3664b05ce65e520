"""Streamed answers put together again: server-sent events and lists of chunks of OpenAI, Anthropic, Gemini, Bedrock.

Usage in a stream: OpenAI sends it in a last chunk without choices (only if asked to); Anthropic's message_delta is
cumulative, so it replaces what message_start said; Gemini repeats it in every chunk, the last one holds.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

decode = msgspec.json.Decoder().decode
CUT_OFF = "hindcast_cut_off"  # key of a body put together from a stream without its end


def parse_events(text: str) -> list[dict[str, Any]]:
    """The JSON objects of the `data:` lines of an event stream; `[DONE]` and damaged ones are left out."""
    found = []
    for line in text.splitlines():
        if not line.startswith("data:"):
            continue
        payload = line[5:].strip()
        if not payload or payload == "[DONE]":
            continue
        try:
            value = decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        if isinstance(value, dict):
            found.append(value)
    return found


_CONVERSE = frozenset({"messageStart", "contentBlockDelta", "messageStop", "contentBlockStop"})


def is_stream(value: Any) -> bool:
    """Whether a logged response is a stream: event text, or a list of chunks."""
    if isinstance(value, str):
        return value.lstrip()[:6] in ("event:", "data: ") or value.lstrip().startswith("data:")
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict) and _kind(value[0]) is not None


def assemble(value: Any) -> dict[str, Any] | None:
    """One response body from a stream that holds one answer; None if it holds none."""
    events = parse_events(value) if isinstance(value, str) else [item for item in value if isinstance(item, dict)]
    bodies = assemble_all(events)
    return bodies[-1] if bodies else None


def assemble_all(events: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The response bodies of a stream that may hold several answers one after the other."""
    groups: list[tuple[str, list[dict[str, Any]]]] = []
    for event in events:
        kind = _kind(event)
        if kind is None:
            continue
        starts = event.get("type") in ("message_start", "response.created") or (
            kind == "openai" and groups and groups[-1][0] == "openai" and groups[-1][1][0].get("id") != event.get("id")
        )
        if starts or not groups or groups[-1][0] != kind:
            groups.append((kind, []))
        groups[-1][1].append(event)
    return [body for kind, group in groups if (body := _ASSEMBLE[kind](group)) is not None]


def _kind(event: dict[str, Any]) -> str | None:
    name = event.get("type")
    if isinstance(name, str):
        if name.startswith("response."):
            return "responses"
        if name.startswith(("message_", "content_block_")) or name == "ping":
            return "anthropic"
    if event.get("object") == "chat.completion.chunk" or ("choices" in event and "usage" not in event):
        return "openai"
    if "candidates" in event or "usageMetadata" in event:
        return "gemini"
    if event.keys() & {"messageStart", "contentBlockDelta", "messageStop", "contentBlockStop"} or [*event] == [
        "metadata"
    ]:
        return "converse"
    return None


def _openai(chunks: list[dict[str, Any]]) -> dict[str, Any] | None:
    first = chunks[0]
    body: dict[str, Any] = {name: first.get(name) for name in ("id", "created", "model")}
    body["object"] = "chat.completion"
    choices: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        usage = usage_of(chunk)
        if usage:
            body["usage"] = usage
        if chunk.get("service_tier"):
            body["service_tier"] = chunk["service_tier"]
        body["model"] = body["model"] or chunk.get("model")
        for part in chunk.get("choices") or ():
            choice = choices.setdefault(part.get("index", 0), {"message": {"role": "assistant"}, "finish_reason": None})
            _add_delta(choice["message"], part.get("delta") or {})
            choice["finish_reason"] = part.get("finish_reason") or choice["finish_reason"]
    body["choices"] = [{"index": index, **choice} for index, choice in sorted(choices.items())]
    return body


def usage_of(body: dict[str, Any]) -> Any:
    """The usage of a chat completion or chunk; Groq has it in `x_groq`, Moonshot in the last choice (2026-11)."""
    if body.get("usage"):
        return body["usage"]
    groq = body.get("x_groq")
    if isinstance(groq, dict) and groq.get("usage"):
        return groq["usage"]
    for choice in body.get("choices") or ():
        if isinstance(choice, dict) and choice.get("usage"):
            return choice["usage"]
    return body.get("usage")


def _add_delta(message: dict[str, Any], delta: dict[str, Any]) -> None:
    if isinstance(delta.get("content"), str):
        message["content"] = (message.get("content") or "") + delta["content"]
    if isinstance(delta.get("refusal"), str):
        message["refusal"] = (message.get("refusal") or "") + delta["refusal"]
    for part in delta.get("tool_calls") or ():
        calls = message.setdefault("tool_calls", [])
        place = part.get("index", len(calls))
        while len(calls) <= place < 1000:
            calls.append({"type": "function", "function": {"name": "", "arguments": ""}})
        call = calls[place]
        call["id"] = part.get("id") or call.get("id")
        function = part.get("function") or {}
        call["function"]["name"] += function.get("name") or ""
        call["function"]["arguments"] += function.get("arguments") or ""


def _anthropic(events: list[dict[str, Any]]) -> dict[str, Any] | None:
    body: dict[str, Any] | None = None
    blocks: dict[int, dict[str, Any]] = {}
    ended = False
    for event in events:
        name = event.get("type")
        if name == "message_start" and isinstance(event.get("message"), dict):
            body = dict(event["message"])
            body["usage"] = dict(body.get("usage") or {})
        elif name == "content_block_start":
            blocks[event.get("index", 0)] = dict(event.get("content_block") or {})
        elif name == "content_block_delta":
            block = blocks.setdefault(event.get("index", 0), {})
            delta = event.get("delta") or {}
            for key, field in (("text", "text"), ("thinking", "thinking"), ("partial_json", "input_json")):
                if isinstance(delta.get(key), str):
                    block[field] = (block.get(field) or "") + delta[key]
        elif name == "message_delta" and body is not None:
            body.update({key: value for key, value in (event.get("delta") or {}).items() if value is not None})
            usage = event.get("usage") or {}
            ended = ended or usage.get("output_tokens") is not None
            for key, value in usage.items():
                before = body["usage"].get(key)
                if value is not None and not (type(value) is type(before) is int and value < before):
                    body["usage"][key] = value  # counts are cumulative: proxies send zeros for what they do not know
    if body is None:
        return None
    content = []
    for _, block in sorted(blocks.items()):
        written = block.pop("input_json", None)
        if written is not None:
            try:
                block["input"] = decode(written) if written else {}
            except (msgspec.DecodeError, RecursionError):
                block["input"] = written
        content.append(block)
    body["content"] = content or body.get("content")
    if not ended:
        body[CUT_OFF] = True  # message_start holds a placeholder of one or a few output tokens
    return body


def _responses(events: list[dict[str, Any]]) -> dict[str, Any] | None:
    found = None
    for event in events:
        if isinstance(event.get("response"), dict):
            found = event["response"]  # the last one is the fullest
    return found


def _gemini(chunks: list[dict[str, Any]]) -> dict[str, Any] | None:
    body: dict[str, Any] = {}
    parts: list[Any] = []
    reason = grounding = None
    for chunk in chunks:
        for key in ("modelVersion", "responseId", "usageMetadata", "createTime"):
            if chunk.get(key):
                body[key] = chunk[key]
        for candidate in (chunk.get("candidates") or ())[:1]:
            parts.extend((candidate.get("content") or {}).get("parts") or ())
            reason = candidate.get("finishReason") or reason
            grounding = candidate.get("groundingMetadata") or grounding
    body["candidates"] = [
        {"content": {"role": "model", "parts": parts}, "finishReason": reason, "groundingMetadata": grounding}
    ]
    if parts and reason is None:
        body[CUT_OFF] = True
    return body


def _converse(events: list[dict[str, Any]]) -> dict[str, Any] | None:
    text = ""
    body: dict[str, Any] = {"output": {}, "usage": None, "stopReason": None}
    for event in events:
        delta = (event.get("contentBlockDelta") or {}).get("delta") or {}
        text += delta.get("text") or ""
        if "messageStop" in event:
            body["stopReason"] = (event["messageStop"] or {}).get("stopReason")
        if isinstance(event.get("metadata"), dict):
            body["usage"] = event["metadata"].get("usage") or body["usage"]
            body["metrics"] = event["metadata"].get("metrics") or {}
    body["output"] = {"message": {"role": "assistant", "content": [{"text": text}]}}
    return body


_ASSEMBLE = {
    "openai": _openai, "anthropic": _anthropic, "responses": _responses, "gemini": _gemini, "converse": _converse,
}  # fmt: skip
