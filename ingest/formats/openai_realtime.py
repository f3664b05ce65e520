"""Server events of OpenAI's Realtime API, one a record: `response.done` carries the usage, its session the model.

A record is the event, or holds it under `event`, `data`, `message` or `payload` with a time beside it. Transcriptions
of what the user said are billed beside the responses, on a model of their own. Shapes: openai-openapi (2026-10).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ingest.format_contract import Context, Format, Outcome
from ingest.records.call import Call, Skip, mapping_or_empty, text_or_none
from ingest.records.token_usage import apply_usage
from ingest.wire.request_response import apply_wrapper, opened, take_file_time

_INSIDE = ("event", "data", "message", "payload")
_KINDS = ("session.", "response.", "conversation.", "input_audio_buffer.", "output_audio_buffer.", "rate_limits.",
          "transcription_session.", "error")  # fmt: skip
_HEARD = "conversation.item.input_audio_transcription.completed"
_OTHER = Skip("an event without usage")


class Events:
    """Reads the events of one file; sessions follow one another in it."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.session: dict[str, Any] = {}
        self.said: list[Any] = []  # what the user said since the last answer

    def read(self, record: Any, row: int) -> Outcome:  # noqa: ARG002
        """The outcome of one event. Raises BadRecordError if it cannot be used."""
        event = _event(record) or {}
        kind = event.get("type")
        session = event.get("session")
        if isinstance(session, dict):
            self.session = session if kind == "session.created" else {**self.session, **session}
        if kind == _HEARD:
            return self._heard(record, event)
        answer = event.get("response")
        if kind != "response.done" or not isinstance(answer, dict):
            return _OTHER
        call = Call(operation_name="realtime", provider_name="openai")
        call.response_id = text_or_none(answer.get("id"))
        call.response_model = text_or_none(answer.get("model")) or text_or_none(self.session.get("model"))
        apply_usage(call, answer.get("usage"), "$.response.usage")
        state = text_or_none(answer.get("status"))
        if state in ("failed", "cancelled"):
            call.status = "error" if state == "failed" else "cancelled"
            details = mapping_or_empty(answer.get("status_details"))
            call.error_type = text_or_none(mapping_or_empty(details.get("error")).get("code"))
        call.finish_reason = "stop" if state == "completed" else state
        call.output = [item for item in answer.get("output") or () if isinstance(item, dict)] or None
        call.messages = self.said or None
        self.said = []
        return self._finished(call, record)

    def close(self) -> Iterable[Outcome]:
        """Nothing: no call is held back."""
        return ()

    def _heard(self, record: dict[str, Any], event: dict[str, Any]) -> Outcome:
        text = text_or_none(event.get("transcript"))
        if text:
            self.said.append({"role": "user", "content": text})
        usage = mapping_or_empty(event.get("usage"))
        if not usage:
            return _OTHER
        call = Call(operation_name="transcription", provider_name="openai")
        asked = mapping_or_empty(self.session.get("input_audio_transcription"))
        heard = mapping_or_empty(mapping_or_empty(self.session.get("audio")).get("input"))
        call.response_model = text_or_none(
            asked.get("model") or mapping_or_empty(heard.get("transcription")).get("model")
        )
        item = text_or_none(event.get("item_id"))
        call.response_id = f"{item}:{event.get('content_index', 0)}" if item else None
        if usage.get("type") == "duration":
            call.tokens_source = "missing"
            call.issue("usage_without_tokens", f"seconds: {usage.get('seconds')}"[:80])
        else:
            apply_usage(call, usage, "$.usage")
        call.output = [{"role": "assistant", "content": text}] if text else None
        return self._finished(call, record)

    def _finished(self, call: Call, record: dict[str, Any]) -> Call:
        call.request_model = call.response_model
        beside = {key: value for key, value in record.items() if key not in ("status", *_INSIDE)}
        apply_wrapper(call, beside, self.context)
        call.conversation_id = call.conversation_id or text_or_none(self.session.get("id"))
        if call.start_us is None:
            take_file_time(call, self.context)
        call.identity = call.response_id
        return call


def _event(record: Any) -> dict[str, Any] | None:
    """The Realtime event that a record is or holds."""
    if not isinstance(record, dict):
        return None
    for event in (record, *(opened(record[key]) for key in _INSIDE if isinstance(record.get(key), dict | str))):
        if isinstance(event, dict) and isinstance(event.get("type"), str) and event["type"].startswith(_KINDS):
            answer = event.get("response")
            session = event.get("session")
            realtime = (isinstance(answer, dict) and answer.get("object") == "realtime.response") or (
                isinstance(session, dict) and str(session.get("object", session.get("type"))).startswith("realtime")
            )
            if realtime or "event_id" in event:
                return event
    return None


FORMAT = Format(
    name="openai_realtime",
    title="OpenAI Realtime events",
    fingerprints=(frozenset({"type", "event_id", "response"}), frozenset({"type", "event_id", "session"})),
    matches=lambda record: _event(record) is not None,
    open=Events,
    rank=28,
    splittable=False,
    fields=(("model", "session.model of the session before"), ("tokens", "response.usage of response.done")),
)
