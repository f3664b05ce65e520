"""Codex sessions: rollouts with running totals per turn, and what `codex exec --json` prints.

A rollout names the model (`turn_context`) and the service tier (`thread_settings_applied`) on lines of their own. A
response is counted by a `token_count` event and, since 2026-08, by a `token_usage_record` before it; the call of a
remote compaction has only the latter. An event that repeats the running total is no new turn. A file of a forked
session or of a sub-agent begins with its parent's history, written in one go with new times: those rows are the
parent's calls. Replayed rows that keep the parent's times are recognised by their identity.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ingest.format_contract import Context, Format, Outcome
from ingest.records.agent_names import folder_name
from ingest.records.call import BadRecordError, Call, Skip, mapping_or_empty, text_or_none, token_count
from ingest.records.timestamps import time_us
from ingest.records.token_counts import settle
from ingest.wire.request_response import flag_file_time

_TYPES = frozenset({
    "session_meta", "turn_context", "event_msg", "response_item", "compacted", "token_usage_record", "world_state",
    "retained_context", "inter_agent_communication",
})  # fmt: skip
_PRINTED = ("thread.", "turn.", "item.")  # the beginnings of the types of `codex exec --json`
_PARTS = ("input_tokens", "cached_input_tokens", "cache_write_input_tokens", "output_tokens", "reasoning_output_tokens")
_REPEAT = Skip("repeats the running total", duplicate=True)
_RECORDED = Skip("usage record of a counted turn", duplicate=True)
_REPLAYED = Skip("replays the session that this one was forked from", duplicate=True)
_PLAIN_TIERS = frozenset({"auto", "default", "standard"})
_REPLAY_GAP_US = 1_000_000  # no model answers within a second of the line before; a replay is written in one go
_NAME = re.compile(r"[a-z][a-z0-9_.]{0,39}")


@dataclass
class _Usage:
    """A `token_usage_record` whose `token_count` has not come yet."""

    counts: dict[str, int | None]
    when: Any
    row: int
    response_id: str | None
    tier: str | None
    model: str | None


class Session:
    """Reads one session file."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.model: str | None = None
        self.tier: str | None = None
        self.session: str | None = None
        self.folder: str | None = None
        self.agent = "main"
        self.provider = "openai"
        self.totals: dict[str, int] | None = None
        self.printed: dict[str, int] = {}
        self.recorded: list[_Usage] = []
        self.forked = False
        self.replaying = False
        self.began_us: int | None = None
        self.latest_us: int | None = None
        self.prompt: list[Any] = []
        self.answer: list[Any] = []

    def read(self, record: Any, row: int) -> Outcome | list[Outcome]:
        """The outcomes of one record. Raises BadRecordError if it cannot be used."""
        kind = record.get("type") if isinstance(record, dict) else None
        if not isinstance(kind, str):
            raise BadRecordError("not a record of a Codex session", "$.type")
        if "payload" not in record:
            return self._printed(record, kind)
        payload = mapping_or_empty(record.get("payload"))
        if self.replaying:
            self._watch(record)
        if kind == "session_meta":
            return self._header(record, payload)
        if kind == "turn_context":
            self.model = text_or_none(payload.get("model")) or self.model
            self.folder = text_or_none(payload.get("cwd")) or self.folder
            self._settings(payload)
            return Skip("turn header")
        if kind == "response_item":
            return self._item(payload)
        if kind == "token_usage_record":
            return self._record(record, payload, row)
        if kind == "event_msg" and payload.get("type") == "token_count":
            return self._count(record, payload)
        if kind == "event_msg" and payload.get("type") == "thread_settings_applied":
            self._settings(mapping_or_empty(payload.get("thread_settings")))
            return Skip("turn header")
        if kind not in _TYPES:
            if record.get("timestamp") is None or _NAME.fullmatch(kind) is None:
                raise BadRecordError("not a record of a Codex session", "$.type")
            return Skip(f"{kind} record")
        return Skip("event without token counts")

    def close(self) -> Iterable[Outcome]:
        """The calls of usage records that no count followed."""
        yield from self._uncounted()

    # -- what names a turn -------------------------------------------------------------------------------------------

    def _header(self, record: dict[str, Any], payload: dict[str, Any]) -> Outcome:
        source = payload.get("source")
        name = text_or_none(payload.get("id"))
        if self.session is None:
            self.session = name
            spawned = isinstance(source, dict) and "subagent" in source
            self.agent = "subagent" if spawned else self.agent
            self.began_us = self.latest_us = _time(record)
            self.forked = self.replaying = spawned or payload.get("forked_from_id") is not None
        elif name != self.session and not self.forked:  # the header of a parent that the own one does not name
            self.forked = True
            self.replaying = self.totals is None
        self.folder = text_or_none(payload.get("cwd")) or self.folder
        self.provider = text_or_none(payload.get("model_provider")) or self.provider
        return Skip("session header")

    def _settings(self, settings: dict[str, Any]) -> None:
        self.model = text_or_none(settings.get("model")) or self.model
        if "service_tier" in settings:
            self.tier = text_or_none(settings["service_tier"])

    def _watch(self, record: dict[str, Any]) -> None:
        """Notice the end of a replay: the first line that comes more than a second after the one before it."""
        now = _time(record)
        if now is None or self.latest_us is None or (self.began_us is not None and now < self.began_us):
            return  # a line that keeps the parent's time
        self.replaying = now - self.latest_us < _REPLAY_GAP_US
        self.latest_us = max(now, self.latest_us)

    def _is_replayed(self, record: dict[str, Any]) -> bool:
        if not self.replaying:
            return False
        now = _time(record)
        return now is None or self.began_us is None or now >= self.began_us

    def _item(self, payload: dict[str, Any]) -> Outcome:
        if self.context.want_text and payload.get("type") in ("message", "function_call", "function_call_output"):
            kept = {key: value for key, value in payload.items() if key in ("type", "role", "content", "name",
                                                                            "arguments", "output")}  # fmt: skip
            mine = payload.get("role") == "assistant" or payload.get("type") == "function_call"
            (self.answer if mine else self.prompt).append(kept)
        return Skip("message of a turn")

    # -- counts ------------------------------------------------------------------------------------------------------

    def _record(self, record: dict[str, Any], payload: dict[str, Any], row: int) -> Outcome | list[Outcome]:
        if self._is_replayed(record):
            return _REPLAYED
        usage = payload.get("usage")
        if not isinstance(usage, dict):
            return Skip("a usage record without usage")
        counts = {name: token_count(usage.get(name), f"$.payload.usage.{name}") for name in _PARTS}
        time_us(record.get("timestamp"), "$.timestamp")  # refused now, while the row can be set aside
        model, response = text_or_none(payload.get("model")), text_or_none(payload.get("response_id"))
        tier = text_or_none(payload.get("service_tier"))
        self.recorded.append(_Usage(counts, record.get("timestamp"), row, response, tier, model))
        return []

    def _uncounted(self, before: _Usage | None = None) -> list[Outcome]:
        """The calls of the usage records before this one (of all, where none is given)."""
        found: list[Outcome] = []
        while self.recorded and self.recorded[0] is not before:
            one = self.recorded.pop(0)
            call = self._call(one.counts, one.when, one)
            call.row = one.row
            call.identity = f"codex:response:{one.response_id}" if one.response_id else None
            found.append(call)
        return found

    def _count(self, record: dict[str, Any], payload: dict[str, Any]) -> Outcome | list[Outcome]:
        info = payload.get("info")
        if not isinstance(info, dict):
            if not payload.keys() & {"input_tokens", "output_tokens"}:
                return Skip("rate limits only")
            info = {"last_token_usage": payload}  # Codex of 2025-08: the counts of the response stand in the event
        total = mapping_or_empty(info.get("total_token_usage"))
        totals = {name: token_count(total.get(name), f"$.total_token_usage.{name}") or 0 for name in _PARTS}
        last = info.get("last_token_usage")
        before = self.totals
        if total:
            self.totals = totals
        if self._is_replayed(record):
            return _REPLAYED
        if total and before == totals:
            return [*self._uncounted(), _REPEAT] if self.recorded else _REPEAT
        if isinstance(last, dict):
            usage = {name: token_count(last.get(name), f"$.last_token_usage.{name}") for name in _PARTS}
        elif total:
            usage = dict(_growth(totals, before))
        else:
            return Skip("a count without counts")
        self.model = text_or_none(info.get("model")) or text_or_none(payload.get("model")) or self.model
        self._settings({name: place["service_tier"] for place in (payload, info) for name in place.keys()
                        & {"service_tier"}})  # fmt: skip
        paired = next((one for one in self.recorded if _same(one.counts, usage)), None)
        earlier = self._uncounted(paired) if paired is not None else []
        call = self._call(usage, record.get("timestamp"), paired)
        # the running totals and the time identify the turn, also where a fork or an archive repeats it
        running = ",".join(str(totals[name]) for name in _PARTS)
        call.identity = f"codex:{record.get('timestamp')}:{running}" if total else None
        if paired is None:
            return call
        self.recorded.pop(0)
        return [*earlier, call, _RECORDED]

    def _printed(self, record: dict[str, Any], kind: str) -> Outcome:
        """A line of `codex exec --json`: it tells no model and no time, and the sum of the calls of a turn."""
        if kind == "thread.started":
            thread = text_or_none(record.get("thread_id"))
            self.printed = self.printed if thread == self.session else {}
            self.session = thread
        elif kind == "turn.completed":
            usage = mapping_or_empty(record.get("usage"))
            counts = {name: token_count(usage.get(name), f"$.usage.{name}") for name in _PARTS}
            totals = {name: count or 0 for name, count in counts.items()}
            # what is printed is the running total of the thread (codex-rs/exec, event_processor_with_jsonl_output)
            grown = _growth(totals, self.printed)
            self.printed = totals
            call = self._call(
                {name: grown[name] if counts[name] is not None else None for name in _PARTS},
                record.get("timestamp") or self.context.mtime_us,
            )
            running = ",".join(str(totals[name]) for name in _PARTS)
            call.identity = f"codex:exec:{self.session}:{running}" if self.session else None
            if record.get("timestamp") is None:
                flag_file_time(call)
            call.issue("sum_of_calls", "the counts are those of all calls of a turn")
            call.printed = True
            return call
        elif not kind.startswith(_PRINTED) and kind != "error":
            raise BadRecordError("not a record of a Codex session", "$.type")
        return Skip("event without token counts")

    def _call(self, usage: dict[str, int | None], when: Any, recorded: _Usage | None = None) -> Call:
        """A call with these counts. Its model stays unknown where nothing has named it: then it has no price."""
        call = Call(provider_name=self.provider, operation_name="chat")
        call.request_model = call.response_model = (recorded and recorded.model) or self.model
        tier = (recorded and recorded.tier) or self.tier
        # the tool's fast mode asks for the priority tier
        call.service_tier = None if tier in _PLAIN_TIERS else "priority" if tier == "fast" else tier
        call.response_id = recorded.response_id if recorded else None
        settle(
            call, input_tokens=usage["input_tokens"], output_tokens=usage["output_tokens"],
            cache_read=usage["cached_input_tokens"], cache_write=usage["cache_write_input_tokens"],
            reasoning=usage["reasoning_output_tokens"],
        )  # fmt: skip
        call.start_us, call.time_precision = time_us(when, "$.timestamp", zone=self.context.zone)
        call.conversation_id = self.session or self.context.path.stem
        call.agent, call.agent_source = self.agent, "transcript"
        if self.folder:
            call.task, call.task_source = folder_name(self.folder), "project"
        call.service_name = "codex"
        if self.context.want_text and (self.prompt or self.answer):
            call.messages = list(self.prompt) or None
            call.output = list(self.answer) or None
            call.content_state = "truncated"
            self.prompt.extend(self.answer)
            self.answer = []
        return call


def _growth(totals: dict[str, int], before: dict[str, int] | None) -> dict[str, int]:
    """What came since the running totals `before`; all of it where a total fell, which says that counting restarted."""
    if not before or any(totals[name] < before[name] for name in ("input_tokens", "output_tokens")):
        return totals
    return {name: max(0, totals[name] - before[name]) for name in _PARTS}


def _same(one: dict[str, int | None], other: dict[str, int | None]) -> bool:
    return all((one[name] or 0) == (other[name] or 0) for name in _PARTS)


def _time(record: dict[str, Any]) -> int | None:
    try:
        return time_us(record.get("timestamp"), "$.timestamp")[0]
    except BadRecordError:
        return None


def _matches(record: Any) -> bool:
    if not isinstance(record, dict) or not isinstance(kind := record.get("type"), str):
        return False
    if "payload" in record:
        return kind in _TYPES
    return kind in ("thread.started", "turn.started", "turn.completed", "item.started", "item.updated",
                    "item.completed")  # fmt: skip


FORMAT = Format(
    name="codex",
    title="Codex session",
    fingerprints=(frozenset({"type", "payload", "timestamp"}),),
    matches=_matches,
    open=Session,
    rank=31,
    splittable=False,
    strict=True,
    fields=(
        ("start_time", "timestamp"), ("model", "turn_context.model"), ("input_tokens", "last_token_usage.input_tokens"),
        ("cache_read_input_tokens", "cached_input_tokens"), ("output_tokens", "output_tokens"),
        ("service_tier", "thread_settings.service_tier"), ("response_id", "token_usage_record.response_id"),
        ("conversation_id", "session_meta.id"), ("task", "cwd"),
    ),
)  # fmt: skip
