"""What a strategy may know of a call that is about to be sent: the columns of rules, the cache key, the needs.

Read from the request's body by the modules that read a log, so that a rule and a key mean the same on both sides.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ingest.capture.log_line import described_request
from ingest.contents.cache_keys import POLICIES, RequestKeys, tenant
from ingest.contents.messages import TOOLS, Contents, Measures
from ingest.records.call import Call
from replay import message_text

_POLICY = {"canonical+mask": "masked"}  # name in a strategy -> name of the key where they differ


@dataclass(frozen=True)
class LiveRequest:
    """One request: `body` is the decoded JSON, `call` what a log of it would say."""

    body: dict[str, Any]
    path: str
    call: Call
    context: Mapping[str, Any]
    provider: str
    words: int | None
    images: bool
    text: str | None  # of the last message, as the store keeps it
    keys: tuple[bytes, ...] | None  # by the order of POLICIES; None without messages

    @property
    def model(self) -> str:
        """The model that the caller asked for."""
        return str(self.call.request_model or "")

    @property
    def fixed(self) -> bool:
        """Whether the address names the model too, so that another one in the body would change nothing (Azure)."""
        return "/deployments/" in self.path

    @property
    def size_bytes(self) -> int:
        """No token is shorter than a byte: an upper bound of the prompt's tokens."""
        return sum(len(str(value).encode()) for value in (self.call.messages, self.call.tools) if value)

    @property
    def spoken(self) -> str | None:
        """The texts of the last message; None where it has none."""
        messages = self.call.messages or [None]
        return "\n".join(message_text.texts(messages[-1])) or None

    def key(self, policy: str) -> bytes | None:
        """16 bytes that equal requests share under a key policy of a strategy, without the model."""
        return None if self.keys is None else self.keys[POLICIES.index(_POLICY.get(policy, policy))]

    def column(self, name: str) -> Any:
        """The value of a column of `replay.strategy.conditions.COLUMNS` that is known before the answer."""
        if name in ("hour", "weekday", "day"):
            now = time.gmtime()
            return {"hour": now.tm_hour, "weekday": now.tm_wday + 1, "day": time.strftime("%Y-%m-%d", now)}[name]
        known = {
            "model": self.call.request_model, "provider_name": self.provider, "text": self.text,
            "input_words": self.words, "has_images": self.images, "stream": bool(self.body.get("stream")),
            "tool_count": self.call.tool_count, "attempt": self.context.get("attempt"),
        }  # fmt: skip
        if name in known:
            return known[name]
        value = self.context.get(name)
        return getattr(self.call, name, None) if value is None else value


def read(body: dict[str, Any], path: str, provider: str, context: Mapping[str, Any]) -> LiveRequest:
    """The request of a decoded body. Raises what reading a log raises for a body that is none."""
    call, kept = described_request(body)
    call.params = kept or None
    contents = Contents(Measures())
    words = call.input_words
    keys = text = None
    images = bool(call.has_images)
    tools = contents.add(call.tools, TOOLS, "$.tools") if call.tools else None
    if call.messages:
        found = contents.add_all(call.messages, "$.messages")
        if words is None:
            words = sum(one.words for one in found)
        images = images or any(one.images for one in found)
        last = found[-1].measured.text
        text = None if last is None else last.decode()
        made = RequestKeys()
        user, tags = context.get("user_id") or call.user_id, context.get("tags")
        numbers = made.numbers(
            b"".join(one.key for one in found), b"".join(one.masked for one in found),
            b"".join(one.raw for one in found), tools, made.parameters(call.params),
            tenant(Call(user_id=user, tags=tags)),
        )  # fmt: skip
        keys = tuple(made.hashes[number] for number in numbers)
    return LiveRequest(body, path, call, context, provider, words, images, text, keys)
