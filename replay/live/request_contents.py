"""The tools and messages of a request's body, taken out in the order of a log and put back where they stood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_TOOLS = ("tools", "functions")


@dataclass(frozen=True)
class RequestContents:
    """What a body holds of each API: `tools` is its list or None, `messages` as a log of it has them.

    `head` is the key whose text became the first message (`instructions`, `system`), `list_key` that of the others.
    """

    body: dict[str, Any]
    tools: list[Any] | None
    messages: list[Any]
    head: str | None
    list_key: str

    def put(self, tools: list[Any] | None, messages: list[Any]) -> dict[str, Any]:
        """The body with other tools and messages. The first message stays the head's. Raises ValueError otherwise."""
        body = dict(self.body)
        if tools is not None:
            body[next(key for key in _TOOLS if body.get(key))] = tools
        if self.head is not None:
            if not messages or messages[0].get("role") != "system":
                raise ValueError("the instructions are gone")
            body[self.head] = messages[0]["content"]
            messages = messages[1:]
        given = self.body[self.list_key]
        if isinstance(given, str):
            if len(messages) != 1:
                raise ValueError("one text became several messages")
            body[self.list_key] = messages[0]["content"]
        else:
            body[self.list_key] = messages
        return body


def contents_of(body: dict[str, Any], path: str) -> RequestContents | None:
    """The contents of a request that asks for an answer; None for any other, and for one of an unknown shape."""
    tools = next((body[key] for key in _TOOLS if body.get(key)), None)
    if tools is not None and not isinstance(tools, list):
        return None
    if path.endswith("/chat/completions"):
        head, key = None, "messages"
    elif path.endswith("/messages"):
        head, key = ("system" if body.get("system") else None), "messages"
    elif path.endswith("/responses"):
        head, key = ("instructions" if body.get("instructions") else None), "input"
    elif path.endswith("/completions"):
        head, key = None, "prompt"
    else:
        return None
    given = body.get(key)
    if isinstance(given, str) and key != "messages":
        messages: list[Any] = [{"role": "user", "content": given}]
    elif isinstance(given, list) and given and key != "prompt":
        messages = list(given)
    else:
        return None
    if not all(isinstance(message, dict) for message in messages):
        return None
    if head is not None:
        messages.insert(0, {"role": "system", "content": body[head]})
    return RequestContents(body, tools, messages, head, key)
