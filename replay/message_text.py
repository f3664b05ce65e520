"""The text inside a message object, whatever the wire format keeps it in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any


def rewrite(message: Any, function: Callable[[str], str]) -> Any:
    """The message with `function` applied to each of its texts: a string content, text parts, tool results."""
    if not isinstance(message, dict) or "content" not in message:
        return message
    content = _rewritten(message["content"], function)
    return message if content is message["content"] else {**message, "content": content}


def _rewritten(content: Any, function: Callable[[str], str]) -> Any:
    if isinstance(content, str):
        new = function(content)
        return content if new == content else new
    if not isinstance(content, list):
        return content
    parts = []
    changed = False
    for part in content:
        new_part = part
        if isinstance(part, str):
            new_part = function(part)
        elif isinstance(part, dict):
            if isinstance(part.get("text"), str):
                new_part = {**part, "text": function(part["text"])}
            elif "content" in part:  # a tool result holds a content of its own
                new_part = {**part, "content": _rewritten(part["content"], function)}
        changed |= new_part != part
        parts.append(new_part)
    return parts if changed else content


def texts(message: Any) -> Iterator[str]:
    """Each text of a message, in order."""
    if isinstance(message, dict):
        yield from _texts(message.get("content"))


def _texts(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for part in content:
            if isinstance(part, str):
                yield part
            elif isinstance(part, dict):
                if isinstance(part.get("text"), str):
                    yield part["text"]
                elif "content" in part:
                    yield from _texts(part["content"])
