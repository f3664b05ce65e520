"""The messages of a span, from attributes, events or JSON in strings, in one shape: `role` and `content`."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from ingest.records.call import Call

_INDEXED = re.compile(r"^(gen_ai\.(?:prompt|completion)|llm\.(?:input|output)_messages)\.(\d+)\.(?:message\.)?(.+)$")


def first(attributes: dict[str, Any], names: tuple[str, ...]) -> Any:
    """The first of the named attributes that is neither absent, None nor empty."""
    for name in names:
        value = attributes.get(name)
        if value is not None and value != "":
            return value
    return None


def opened(value: Any) -> Any:
    """The value, or what its JSON text holds."""
    if isinstance(value, str) and value[:1] in ("{", "[", '"'):
        try:
            return msgspec.json.decode(value)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return value
    return value


def apply_contents(call: Call, attributes: dict[str, Any]) -> None:
    """Take the messages, answers and tools from a span's attributes, in any of the conventions that log them."""
    system = opened(attributes.get("gen_ai.system_instructions"))
    asked = opened(first(attributes, ("gen_ai.input.messages", "ai.prompt.messages", "gen_ai.prompt")))
    made = opened(first(attributes, ("gen_ai.output.messages", "gen_ai.completion")))
    indexed = _indexed(attributes)
    if asked is None:
        asked = indexed.get("gen_ai.prompt") or indexed.get("llm.input_messages")
    if made is None:
        made = indexed.get("gen_ai.completion") or indexed.get("llm.output_messages")
    if asked is None:
        asked = opened(
            first(attributes, ("input.value", "mlflow.spanInputs", "ai.prompt", "langfuse.observation.input"))
        )
        if isinstance(asked, dict):
            asked = asked.get("messages") or asked.get("prompt") or asked.get("input")
    if made is None:
        made = first(
            attributes, ("ai.response.text", "output.value", "mlflow.spanOutputs", "langfuse.observation.output")
        )
    call.messages = messages_of(asked, "user")
    if system:
        parts = system if isinstance(system, list) else [system]
        first_message = messages_of([{"role": "system", "parts": parts}], "system") or []
        call.messages = [*first_message, *(call.messages or [])]
    call.output = messages_of(opened(made), "assistant")
    tools = opened(first(attributes, ("gen_ai.tool.definitions", "llm.tools", "mlflow.chat.tools", "ai.prompt.tools")))
    call.tools = tools if isinstance(tools, list) and tools else None


def _indexed(attributes: dict[str, Any]) -> dict[str, list[Any]]:
    """Messages spread over attributes: `gen_ai.prompt.0.role`, `llm.input_messages.0.message.content`."""
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for key, value in attributes.items():
        match = _INDEXED.match(key)
        if match:
            message = found.setdefault(match.group(1), {}).setdefault(int(match.group(2)), {})
            message[match.group(3)] = value
    lists = {}
    for name, numbered in found.items():
        lists[name] = [
            {key: value for key, value in message.items() if "." not in key} | _nested(message)
            for _, message in sorted(numbered.items())
        ]
    return lists


def _nested(message: dict[str, Any]) -> dict[str, Any]:
    """The tool calls and content parts of a message spread over attributes, kept as they were named."""
    rest = {key: value for key, value in message.items() if "." in key}
    return {"parts": [{key: rest[key]} for key in sorted(rest)]} if rest else {}


def messages_of(value: Any, role: str) -> list[Any] | None:
    """Messages in one shape, `role` and `content`, from the shapes that tools write them in."""
    if value is None or value in ("", [], {}):
        return None
    if isinstance(value, str):
        return [{"role": role, "content": value}]
    if isinstance(value, dict):
        listed = value.get("messages")
        if isinstance(listed, list):
            return messages_of(listed, role)
        value = [value]
    if not isinstance(value, list):
        return None
    found = []
    for item in value:
        if isinstance(item, str):
            found.append({"role": role, "content": item})
        elif isinstance(item, list):
            found.extend(messages_of(item, role) or [])
        elif isinstance(item, dict):
            inner = item.get("message")
            found.append(_one_message(inner if isinstance(inner, dict) else item, role))
    return found or None


def _one_message(message: dict[str, Any], role: str) -> dict[str, Any]:
    parts = message.get("parts")
    if isinstance(parts, list) and parts and all(
        isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("content"), str) for part in parts
    ):  # fmt: skip
        # OpenTelemetry's text parts read as plain content, so that equal messages are equal in every format
        text = parts[0]["content"] if len(parts) == 1 else [{"type": "text", "text": p["content"]} for p in parts]
        return {"role": message.get("role") or role, "content": text}
    kept = {key: value for key, value in message.items() if value is not None and key != "finish_reason"}
    kept.setdefault("role", role)
    return kept
