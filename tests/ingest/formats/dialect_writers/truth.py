"""The call that every dialect writes, and the bodies that several of them share."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

CLAUDE, GPT, GEMINI = "claude-sonnet-4-5", "gpt-5-mini", "gemini-2.5-flash"
TIME, END, STAMP = "2026-03-02T10:00:00Z", "2026-03-02T10:00:02Z", 1772445600
TEXT = [{"role": "user", "content": "hello"}]
COST = 0.000001  # dollars


@dataclass(frozen=True)
class Truth:
    """Counts that exclude each other, but for `hour` and the audio; the tier that served; whether the call failed."""

    fresh: int
    read: int
    written: int
    hour: int  # of `written`
    shown: int
    thought: int
    heard: int = 0  # of `fresh`, audio
    spoken: int = 0  # of `shown`, audio
    tier: str | None = None
    failed: bool = False

    @property
    def cached(self) -> int:
        return self.read + self.written

    @property
    def asked(self) -> int:
        return self.fresh + self.cached

    @property
    def made(self) -> int:
        return self.shown + self.thought

    @property
    def total(self) -> int:
        return self.asked + self.made


Write = Callable[[Truth], Any]


@dataclass(frozen=True)
class Dialect:
    """One way to write the call: `write` gives a record, or the records of a file, of the named format.

    `tells` names what it says beside input and output: read, written, hour, reasoning, heard, spoken (audio), tier,
    batch, region, cost, failed, or `sums` where its counts are those of several calls.
    """

    format: str
    tells: frozenset[str]
    write: Write


DIALECTS: dict[str, Dialect] = {}
ALL = ("read", "written", "reasoning")


def dialect(format: str, *tells: str) -> Callable[[Write], Write]:
    def add(write: Write) -> Write:
        assert write.__name__ not in DIALECTS, write.__name__
        DIALECTS[write.__name__] = Dialect(format, frozenset(tells), write)
        return write

    return add


def pair(response: Any, model: str, **beside: Any) -> dict[str, Any]:
    return {"timestamp": TIME, "request": {"model": model, "messages": TEXT}, "response": response, **beside}


def sse(*events: dict[str, Any]) -> str:
    return "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"


def chat(usage: dict[str, Any] | None, model: str = GPT, **more: Any) -> dict[str, Any]:
    body = {"id": "c1", "object": "chat.completion", "created": STAMP, "model": model,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}}]}  # fmt: skip
    return {**body, **({"usage": usage} if usage else {}), **more}


def chat_usage(t: Truth, asked: int | None = None, total: int | None = -1) -> dict[str, Any]:
    """OpenAI's usage; `asked` where the input is logged otherwise, `total` None where there is none."""
    usage = {"prompt_tokens": t.asked if asked is None else asked, "completion_tokens": t.made,
             "prompt_tokens_details": {"cached_tokens": t.read, "cache_write_tokens": t.written,
                                       "audio_tokens": t.heard},
             "completion_tokens_details": {"reasoning_tokens": t.thought, "audio_tokens": t.spoken}}  # fmt: skip
    return usage if total is None else {**usage, "total_tokens": t.total if total == -1 else total}


def chunk(**more: Any) -> dict[str, Any]:
    return {"id": "c1", "object": "chat.completion.chunk", "created": STAMP, "model": GPT,
            "choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}], **more}  # fmt: skip


def responses_body(t: Truth) -> dict[str, Any]:
    usage = {"input_tokens": t.asked, "output_tokens": t.made, "total_tokens": t.total,
             "input_tokens_details": {"cached_tokens": t.read, "cache_write_tokens": t.written},
             "output_tokens_details": {"reasoning_tokens": t.thought}}  # fmt: skip
    return {"id": "r1", "object": "response", "created_at": STAMP, "model": GPT, "status": "completed", "output": [],
            "usage": usage, "service_tier": t.tier or "default"}  # fmt: skip


def claude_usage(t: Truth) -> dict[str, Any]:
    split = {"ephemeral_5m_input_tokens": t.written - t.hour, "ephemeral_1h_input_tokens": t.hour}
    return {"input_tokens": t.fresh, "output_tokens": t.made, "cache_read_input_tokens": t.read,
            "cache_creation_input_tokens": t.written, "cache_creation": split,
            "service_tier": t.tier or "standard"}  # fmt: skip


def claude_body(usage: dict[str, Any]) -> dict[str, Any]:
    return {"id": "m1", "type": "message", "role": "assistant", "model": CLAUDE, "stop_reason": "end_turn",
            "content": [{"type": "text", "text": "hi"}], "usage": usage}  # fmt: skip


def gemini_usage(t: Truth) -> dict[str, Any]:
    text = {"modality": "TEXT", "tokenCount": t.asked - t.heard}
    sound = [{"modality": "AUDIO", "tokenCount": t.heard}] if t.heard else []
    spoken = [{"modality": "AUDIO", "tokenCount": t.spoken}] if t.spoken else []
    return {"promptTokenCount": t.asked, "cachedContentTokenCount": t.read, "candidatesTokenCount": t.shown,
            "thoughtsTokenCount": t.thought, "totalTokenCount": t.total, "promptTokensDetails": [text, *sound],
            "candidatesTokensDetails": [{"modality": "TEXT", "tokenCount": t.shown - t.spoken}, *spoken]}  # fmt: skip


def gemini_body(t: Truth, **usage: Any) -> dict[str, Any]:
    answer = {"content": {"role": "model", "parts": [{"text": "hi"}]}, "finishReason": "STOP"}
    return {"responseId": "g1", "modelVersion": GEMINI, "candidates": [answer],
            "usageMetadata": {**gemini_usage(t), **usage}}  # fmt: skip


def converse_body(t: Truth) -> dict[str, Any]:
    return {"output": {"message": {"role": "assistant", "content": [{"text": "hi"}]}}, "stopReason": "end_turn",
            "usage": {"inputTokens": t.fresh, "outputTokens": t.made, "totalTokens": t.total,
                      "cacheReadInputTokens": t.read, "cacheWriteInputTokens": t.written,
                      "cacheDetails": [{"ttl": "1h", "inputTokens": t.hour},
                                       {"ttl": "5m", "inputTokens": t.written - t.hour}]},
            "serviceTier": {"type": t.tier or "default"}}  # fmt: skip
