"""Codex sessions: `token_count` events with cumulative totals; the model stands on an earlier line.

An event that repeats the running total is no new turn. A forked session replays its parent's history within one
second; those events carry totals that the parent has already, and are dropped by their identity.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePath
from typing import Any

from ingest.format_contract import Context, Format, Outcome
from ingest.records.call import BadRecordError, Call, Skip, mapping_or_empty, text_or_none, token_count
from ingest.records.timestamps import time_us
from ingest.records.token_usage import settle

_TYPES = frozenset({"session_meta", "turn_context", "event_msg", "response_item", "compacted"})
_PARTS = ("input_tokens", "cached_input_tokens", "cache_write_input_tokens", "output_tokens", "reasoning_output_tokens")
_REPEAT = Skip("repeats the running total", duplicate=True)


class Session:
    """Reads one session file."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.model: str | None = None
        self.session: str | None = None
        self.folder: str | None = None
        self.agent = "main"
        self.provider = "openai"
        self.totals: dict[str, int] | None = None
        self.prompt: list[Any] = []
        self.answer: list[Any] = []

    def read(self, record: Any, row: int) -> Outcome:  # noqa: ARG002
        """The outcomes of one record. Raises BadRecordError if it cannot be used."""
        payload = mapping_or_empty(record.get("payload"))
        kind = record.get("type")
        if kind == "session_meta":
            self.session = self.session or text_or_none(payload.get("id"))
            self.folder = text_or_none(payload.get("cwd")) or self.folder
            self.provider = text_or_none(payload.get("model_provider")) or self.provider
            source = payload.get("source")
            if isinstance(source, dict) and "subagent" in str(source):
                self.agent = "subagent"
            return Skip("session header")
        if kind == "turn_context":
            self.model = text_or_none(payload.get("model")) or self.model
            self.folder = text_or_none(payload.get("cwd")) or self.folder
            return Skip("turn header")
        if kind == "response_item":
            return self._item(payload)
        if kind == "event_msg" and payload.get("type") == "token_count":
            return self._count(record, payload)
        if record.get("type") == "turn.completed":
            return self._headless(record)
        if record.get("type") == "thread.started":
            self.session = text_or_none(record.get("thread_id"))
        return Skip("event without token counts")

    def close(self) -> Iterable[Outcome]:
        """The calls still held back at the end of the file."""
        return ()

    def _item(self, payload: dict[str, Any]) -> Outcome:
        if self.context.want_text and payload.get("type") in ("message", "function_call", "function_call_output"):
            kept = {key: value for key, value in payload.items() if key in ("type", "role", "content", "name",
                                                                            "arguments", "output")}  # fmt: skip
            mine = payload.get("role") == "assistant" or payload.get("type") == "function_call"
            (self.answer if mine else self.prompt).append(kept)
        return Skip("message of a turn")

    def _count(self, record: dict[str, Any], payload: dict[str, Any]) -> Outcome:
        info = payload.get("info")
        if not isinstance(info, dict):
            return Skip("rate limits only")
        total = mapping_or_empty(info.get("total_token_usage"))
        totals = {name: token_count(total.get(name), f"$.total_token_usage.{name}") or 0 for name in _PARTS}
        last = info.get("last_token_usage")
        before = self.totals
        if total:
            if before == totals:
                return _REPEAT
            self.totals = totals
        if isinstance(last, dict):
            usage = {name: token_count(last.get(name), f"$.last_token_usage.{name}") for name in _PARTS}
        elif total:
            usage = {name: max(0, totals[name] - (before or {}).get(name, 0)) for name in _PARTS}
        else:
            return Skip("a count without counts")
        self.model = text_or_none(info.get("model")) or text_or_none(payload.get("model")) or self.model
        call = self._call(usage, record.get("timestamp"))
        # the running totals and the time identify the turn, also where a fork or an archive repeats it
        running = ",".join(str(totals[name]) for name in _PARTS)
        call.identity = f"codex:{record.get('timestamp')}:{running}" if total else None
        return call

    def _headless(self, record: dict[str, Any]) -> Outcome:
        usage = mapping_or_empty(record.get("usage"))
        counts = {name: token_count(usage.get(name), f"$.usage.{name}") for name in _PARTS}
        when = record.get("timestamp") or self.context.mtime_us
        call = self._call(counts, when)
        if record.get("timestamp") is None:
            call.issue("time_of_file", "the record has no time; the file's own was taken")
        return call

    def _call(self, usage: dict[str, int | None], when: Any) -> Call:
        if self.model is None:
            raise BadRecordError("a turn before any model was named", "$.payload.model")
        call = Call(provider_name=self.provider, operation_name="chat")
        call.request_model = call.response_model = self.model
        settle(
            call, input_tokens=usage["input_tokens"], output_tokens=usage["output_tokens"],
            cache_read=usage["cached_input_tokens"], cache_write=usage["cache_write_input_tokens"],
            reasoning=usage["reasoning_output_tokens"],
        )  # fmt: skip
        call.start_us, call.time_precision = time_us(when, "$.timestamp", zone=self.context.zone)
        call.conversation_id = self.session or self.context.path.stem
        call.agent, call.agent_source = self.agent, "transcript"
        if self.folder:
            call.task, call.task_source = PurePath(self.folder.replace("\\", "/")).name, "project"
        call.service_name = "codex"
        if self.context.want_text and (self.prompt or self.answer):
            call.messages = list(self.prompt) or None
            call.output = list(self.answer) or None
            call.content_state = "truncated"
            self.prompt.extend(self.answer)
            self.answer = []
        return call


FORMAT = Format(
    name="codex",
    title="Codex session",
    fingerprints=(frozenset({"type", "payload", "timestamp"}),),
    matches=lambda record: (
        isinstance(record, dict)
        and (
            (record.get("type") in _TYPES and "payload" in record)
            or record.get("type") in ("thread.started", "turn.completed", "turn.started", "item.completed")
        )
    ),
    open=Session,
    rank=31,
    splittable=False,
)
