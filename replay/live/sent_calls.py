"""Calls that a strategy sends, until their answers are there: what the log says of them, and which answers are kept."""

from __future__ import annotations

import logging
import math
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ingest.capture.log_file import Log
from ingest.capture.log_line import Captured, answer_of, is_whole, make
from ingest.contents.messages import asks_for_tools
from ingest.records.call import INCOMPLETE, PENDING, Call
from ingest.wire.request_response import apply_bodies, dialect_of
from replay.live.answer_tiers import MOST_BYTES, Answer
from replay.live.compression import Compression
from replay.live.lookup import Flight, Lookups
from replay.traffic.policy_marks import CASCADE, STEP

_logger = logging.getLogger("hindcast.apply")


@dataclass
class Shared:
    """The look-up that a call made: under which key an answer of a model is kept, and who waits for it."""

    lookups: Lookups
    key: Callable[[str], bytes]
    started_us: int
    flight: Flight | None

    def land(self, answer: Answer | None) -> None:
        """Give those who wait for an equal call the answer; None sends them to the provider."""
        if self.flight is not None:
            self.lookups.land(self.flight, answer)
            self.flight = None


@dataclass
class SentCall:
    """One request on its way. `shared` is None for a call that asked no cache, and for what a policy asks by itself."""

    request: Any  # the bytes of its content name it to the log
    model: str
    body: dict[str, Any]
    shared: Shared | None = None
    compression: Compression | None = None
    step: int | None = None  # its place in a cascade
    judge: Callable[[Captured], bool] | None = None  # whether the cascade goes on
    escalated: bool = False
    tags: list[str] = field(default_factory=list)

    def ended(self, captured: Captured) -> Captured:
        """What the log is to say of it; its answer is kept, and its equals have it."""
        if self.judge is not None:
            self.escalated = self.judge(captured)
        if self.step is not None:
            self.tags = [f"{STEP}{self.step}", *([CASCADE] if self.escalated else [])]
        if self.tags:
            context = {**captured.context, "tags": [*(captured.context.get("tags") or ()), *self.tags]}
            captured = captured._replace(context=context)
        if self.shared is None or self.escalated:
            return captured
        captured = _from(captured, self.shared.started_us)
        answer = self._answer(captured)
        if answer is not None:
            self.shared.lookups.keep(self.shared.key(self.model), answer)
        self.shared.land(answer)
        return captured

    def _answer(self, captured: Captured) -> Answer | None:
        """An answer that may be served again: whole, not cut off, and asking for no tool."""
        if captured.status != 200:
            return None
        raw = b"".join(captured.got)
        stopped = captured.error is not None and not (isinstance(captured.error, GeneratorExit) and is_whole(raw))
        if stopped or len(raw) > MOST_BYTES or not _storable(self.body, raw):
            return None
        assert self.shared is not None
        kind = "text/event-stream" if self.body.get("stream") is True else "application/json"
        # as the store reads the line: its duration has three decimals, and a half is rounded up
        ended_ms = self.shared.started_us // 1000 + math.floor(round(captured.duration_ms, 3) + 0.5)
        return Answer(raw, kind, self.model, self.shared.started_us, ended_ms)


class CallLog(Log):
    """The log of captured calls, which hands each finished call to what sent it first."""

    def __init__(self, path: str | Path, *, text: bool, count: Callable[[str], None]) -> None:
        super().__init__(path, text=text)
        self.sent: dict[int, SentCall] = {}  # by the identity of the bytes that were sent
        self._count = count

    def expect(self, call: SentCall) -> None:
        """The request of a call is about to be sent."""
        self.sent[id(call.request.content)] = call

    def give_up(self, call: SentCall) -> None:
        """The request failed before anything was logged of it, or has been logged."""
        self.sent.pop(id(call.request.content), None)
        if call.shared is not None:
            call.shared.land(None)

    def put(self, make: Any, *arguments: Any) -> None:
        captured = arguments[0]
        call = self.sent.pop(id(captured.sent), None)
        if call is None:
            super().put(make, *arguments)
            return
        try:
            captured = call.ended(captured)
        except Exception as error:
            _logger.warning("an answer was not kept: %s", type(error).__name__)
            self._count(f"not kept: {type(error).__name__}")
            if call.shared is not None:
                call.shared.land(None)
        super().put(_line, captured, self.text, call)

    def put_hit(self, captured: Captured, tier: str | None, compression: Compression | None, model: str) -> None:
        """A call that a cache answered, or that waited for an equal one (`tier` None)."""
        super().put(_hit_line, captured, self.text, tier, compression, model)


def _from(captured: Captured, started_us: int) -> Captured:
    """The call as from its look-up: its place among the others, to the microsecond."""
    started = (started_us + 0.5) / 1e6  # in the middle of the microsecond, which a float then cannot miss
    return captured._replace(
        started=started, duration_ms=captured.duration_ms + max(captured.started - started, 0.0) * 1000
    )


def _storable(sent: dict[str, Any], raw: bytes) -> bool:
    """Whether an answer may be served again: as the replay has it, and never one of an unknown shape."""
    body = answer_of(raw)
    if dialect_of(body) is None:
        return False
    call = Call()
    apply_bodies(call, sent, body)
    if call.status not in (None, "ok") or (call.finish_reason or "stop") in INCOMPLETE:
        return False
    asks = call.pending_tool_calls or call.finish_reason in PENDING
    return not asks and not any(asks_for_tools(one) for one in call.output or () if isinstance(one, dict))


def _line(captured: Captured, text: bool, call: SentCall) -> dict[str, Any]:
    """The line of a call that was sent."""
    return make(captured, text) | _described(call.compression, captured.provider, call.model)


def _hit_line(
    captured: Captured, text: bool, tier: str | None, compression: Compression | None, model: str
) -> dict[str, Any]:
    """The line of a call that a cache answered: what it would have used, and that it was not sent."""
    line = make(captured, text)
    line.pop("response_id", None)  # is that of the call whose answer it is
    line |= {"call_id": f"hit-{uuid.uuid4()}", "status": "gateway_cache_hit"}
    line |= {"cache": "coalesced"} if tier is None else {"cache": "hit", "cache_tier": tier}
    return line | _described(compression, captured.provider, model)


def _described(compression: Compression | None, provider: str, model: str) -> dict[str, Any]:
    return {} if compression is None else {"compress": compression.described(provider, model)}
