"""GitHub Copilot CLI: a row for each request in `session-store.db`, and sums of a session in `events.jsonl`.

Input includes what was read from and written to the cache (checked against version 8 of the store, 2026-09). The sums
of `session.shutdown` go on from the leg before, or begin again: counts that fell say so. A session whose requests
stand in the store beside is counted there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from ingest.errors import InputError
from ingest.files.byte_stream import StreamCutError
from ingest.files.databases import database_rows, write_ahead_log
from ingest.format_contract import Context, Format, Outcome
from ingest.records.call import (
    NOTHING,
    SUM_OF_CALLS,
    BadRecordError,
    Call,
    Claimed,
    Skip,
    mapping_or_empty,
    text_or_none,
    token_count,
)
from ingest.records.timestamps import time_us
from ingest.records.token_counts import settle
from ingest.wire.agent_session import growth, session_call

_NAMES = ("inputTokens", "outputTokens", "cacheReadTokens", "cacheWriteTokens", "reasoningTokens")
_COLUMNS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
_STORED = Skip("a sum of requests that session-store.db has", duplicate=True)


class Session:
    """Reads one session, or the rows of the store."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.session: str | None = context.path.parent.name or None
        self.folder: str | None = None
        self.began: Any = None
        self.before: dict[str, dict[str, int]] = {}
        self.unsummed: list[int] = []  # output tokens of the messages that no sum has come for

    def read(self, record: Any, row: int) -> Outcome | list[Outcome]:
        """The outcomes of one record. Raises BadRecordError if it cannot be used."""
        if not isinstance(record, dict):
            raise BadRecordError("not a record of Copilot CLI")
        if record.get("database") == "copilot":
            return self._request(record)
        kind, data = record.get("type"), record.get("data")
        if not isinstance(kind, str) or not isinstance(data, dict):
            raise BadRecordError("not a record of Copilot CLI", "$.type")
        if kind in ("session.start", "session.resume"):
            self.session = text_or_none(data.get("sessionId")) or self.session
            self.folder = text_or_none(mapping_or_empty(data.get("context")).get("cwd")) or self.folder
            self.began = record.get("timestamp")
            return Skip("session header")
        models = data.get("modelMetrics")
        if kind == "assistant.message" and type(data.get("outputTokens")) is int:
            self.unsummed.append(data["outputTokens"])
            return []
        if kind != "session.shutdown" or not isinstance(models, dict):
            return Skip("event without token counts")
        summed: list[Outcome] = [Skip("message of a session", claims=NOTHING) for _ in self.unsummed]
        self.unsummed = []
        if self._in_store():
            return [*summed, _STORED]
        return [*summed, *(self._leg(record, models, row) or [Skip("a session without token counts")])]

    def close(self) -> Iterable[Outcome]:
        """The messages of a session that ended without its sum: they tell their output alone."""
        stored = self.unsummed and self._in_store()
        for tokens in self.unsummed:
            yield Skip("message of a session without its sum", claims=NOTHING if stored else Claimed(tokens))

    def _request(self, record: dict[str, Any]) -> Call:
        get = record.get
        call = session_call(
            "copilot-cli", self.context, model=get("copilot_usage_model") or get("model"), when=get("created_at"),
            session=get("session_id"), agent="subagent" if get("parent_tool_call_id") else "main",
        )  # fmt: skip
        _settle(call, {name: get(column) for name, column in zip(_NAMES, _COLUMNS, strict=True)})
        lasted = get("duration_ms")
        if isinstance(lasted, int | float) and 0 <= lasted < 1e9 and call.start_us is not None:
            call.end_us = call.start_us  # a row is written when the answer is there
            call.start_us -= round(lasted * 1000)
        call.finish_reason = text_or_none(get("finish_reason"))
        call.reasoning_effort = text_or_none(get("reasoning_effort"))
        call.identity = f"copilot:{get('session_id')}:{get('row_number')}"
        return call

    def _leg(self, record: dict[str, Any], models: dict[str, Any], row: int) -> list[Outcome]:
        found: list[Outcome] = []
        for model, metrics in models.items():
            usage = mapping_or_empty(mapping_or_empty(metrics).get("usage"))
            totals = {name: token_count(usage.get(name), f"$.{name}") or 0 for name in _NAMES}
            counts = growth(totals, self.before.get(model, {}))
            self.before[model] = totals
            if not any(counts.values()):
                continue
            when = record.get("timestamp")
            call = session_call(
                "copilot-cli", self.context, model=model, when=self.began or when, session=self.session,
                folder=self.folder,
            )  # fmt: skip
            _settle(call, counts)
            call.end_us = time_us(when, "$.timestamp", zone=self.context.zone)[0]
            call.identity = f"copilot:{self.session}:{model}:{row}"
            call.issue(SUM_OF_CALLS, "the counts are those of a session's requests to a model")
            found.append(call)
        return found

    def _in_store(self) -> bool:
        """Whether the store beside has the requests of the session."""
        for folder in self.context.path.parents[1:3]:
            store = folder / "session-store.db"
            with contextlib.suppress(OSError):
                if self.session in _sessions_of(store, _state(store), _state(write_ahead_log(store))):
                    return True
        return False


def _state(path: Path | None) -> tuple[int, int] | None:
    stat = path.stat() if path else None
    return (stat.st_mtime_ns, stat.st_size) if stat else None


@lru_cache(maxsize=4)  # a store lies beside hundreds of sessions
def _sessions_of(store: Path, *_: tuple[int, int] | None) -> frozenset[str]:
    """The sessions of a store in this state of its files, as far as it can be read."""
    found: set[str] = set()
    with contextlib.suppress(OSError, InputError, StreamCutError):
        for row in database_rows(store):
            found.add(str(mapping_or_empty(row.record).get("session_id")))
    return frozenset(found)


def _settle(call: Call, counts: dict[str, Any]) -> None:
    given = {name: token_count(counts.get(name), f"$.{name}") for name in _NAMES}
    settle(
        call,
        input_tokens=given["inputTokens"],
        output_tokens=given["outputTokens"],
        cache_read=given["cacheReadTokens"],
        cache_write=given["cacheWriteTokens"],
        reasoning=given["reasoningTokens"] or None,
    )


def _matches(record: Any) -> bool:
    if not isinstance(record, dict):
        return False
    if "database" in record:
        return record["database"] == "copilot"
    data = record.get("data")
    if not isinstance(data, dict) or "timestamp" not in record:
        return False
    return (record.get("type") == "session.start" and "sessionId" in data) or (
        record.get("type") == "session.shutdown" and "modelMetrics" in data
    )


FORMAT = Format(
    name="copilot",
    title="Session of GitHub Copilot CLI",
    fingerprints=(frozenset({"type", "data", "id", "timestamp"}),),
    matches=_matches,
    open=Session,
    rank=37,
    splittable=False,
    strict=True,
    fields=(
        ("start_time", "created_at - duration_ms, or the session's start"), ("model", "model"),
        ("input_tokens", "input_tokens"), ("cache_read_input_tokens", "cache_read_tokens"),
        ("cache_creation_input_tokens", "cache_write_tokens"), ("output_tokens", "output_tokens"),
        ("conversation_id", "session_id"),
    ),
)  # fmt: skip
