"""Streamed answers of OpenAI and Anthropic logged one chunk or event a row: one call per answer.

Chunks of OpenAI name their answer, so answers may lie between each other; events of Anthropic and of the Responses API
belong to the answer that began last.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from ingest.format_contract import Context, Format, Outcome, catch_reader_errors
from ingest.records.call import NOTHING, BadRecordError, Call, Skip, text_or_none
from ingest.wire import streaming
from ingest.wire.request_response import read_pair

_HELD = 1000  # answers that may be open at once
_PART = Skip("a further part of a streamed answer", claims=NOTHING)
_STARTS = ("message_start", "response.created")
_ANTHROPIC = frozenset({
    "message_start", "message_delta", "message_stop", "ping", "content_block_start", "content_block_delta",
    "content_block_stop",
})  # fmt: skip
# what a logger puts beside an event; the other keys are the event's own
_BESIDE = ("timestamp", "ts", "time", "@timestamp", "logged_at", "agent", "session_id", "user_id", "request_id")


class Chunks:
    """Puts the answers of one file together."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.open: OrderedDict[str, tuple[int, list[dict[str, Any]]]] = OrderedDict()
        self.answers = 0  # of those without an id of their own, how many began
        self.last = "0"

    def read(self, record: Any, row: int) -> list[Outcome]:
        """The outcomes that a chunk completes: the call of the oldest answer where too many are open."""
        key = self._key(record)
        if key is None:
            raise BadRecordError("not a chunk of a stream")
        held = self.open.get(key)
        if held is not None:
            held[1].append(record)
            return [_PART]
        self.open[key] = (row, [record])
        return self._take() if len(self.open) > _HELD else []

    def close(self) -> Iterable[Outcome]:
        """The calls of all answers."""
        while self.open:
            yield from self._take()

    def _key(self, record: dict[str, Any]) -> str | None:
        if _is_openai(record):
            return f"openai:{record.get('id')}"
        kind = record.get("type")
        if not _is_event(record):
            return None
        if kind in _STARTS:
            self.answers += 1
        family = "anthropic" if kind in _ANTHROPIC else "responses"
        return f"{family}:{self.answers}"

    def _take(self) -> list[Outcome]:
        row, chunks = self.open.popitem(last=False)[1]
        return catch_reader_errors(self._answer, chunks, row)

    def _answer(self, chunks: list[dict[str, Any]], row: int) -> list[Outcome]:
        body = streaming.assemble(chunks)
        if body is None:
            raise BadRecordError("a stream without an answer in it")
        beside = {name: chunks[0][name] for name in _BESIDE if text_or_none(chunks[0].get(name))}
        found = read_pair({**beside, "response": body}, self.context)
        calls = found if isinstance(found, list) else [found]
        for call in calls:
            if isinstance(call, Call):
                call.row, call.stream = row, True
        return calls


def _is_openai(record: Any) -> bool:
    return isinstance(record, dict) and record.get("object") == "chat.completion.chunk"


def _is_event(record: dict[str, Any]) -> bool:
    kind = record.get("type")
    if not isinstance(kind, str) or "event_id" in record:  # events of the Realtime API have an id
        return False
    if kind == "message_start":
        return isinstance(record.get("message"), dict)
    if kind in _ANTHROPIC:
        return kind in ("ping", "message_stop") or "index" in record or "delta" in record
    return kind.startswith("response.") and ("sequence_number" in record or isinstance(record.get("response"), dict))


FORMAT = Format(
    name="stream_chunks",
    title="streamed answers, one chunk a row (OpenAI, Anthropic)",
    fingerprints=(frozenset({"object", "choices", "created", "id"}), frozenset({"type", "sequence_number"})),
    matches=lambda record: isinstance(record, dict) and (_is_openai(record) or _is_event(record)),
    open=Chunks,
    rank=40,
    splittable=False,
    fields=(("input_tokens", "of the last chunk that tells"), ("identity", "id")),
)
