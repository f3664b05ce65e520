"""Gemini CLI chats: one document a session, or rows that rewrite a message: the last row of an id counts.

Cached tokens lie inside input; thoughts lie outside output, and prompts of tools outside input (2026-10).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ingest.format_contract import Context, Format, Outcome, catch_reader_errors
from ingest.records.call import BadRecordError, Call, Skip, mapping_or_empty, text_or_none, token_count
from ingest.records.token_counts import settle
from ingest.wire.agent_session import session_call

_TYPES = frozenset({"user", "gemini", "info", "error", "warning"})
_REPEAT = Skip("a later row of the same message counts", duplicate=True)
_UUID = 36


class Chat:
    """Reads one chat."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.session: str | None = None
        self.held: dict[str, Call] = {}
        parts = context.path.parts
        project = parts[parts.index("tmp") + 1] if "tmp" in parts[:-2] else ""
        self.project = project if len(project) < 64 else None  # else a hash of the folder

    def read(self, record: Any, row: int) -> Outcome | list[Outcome]:
        """The outcomes of one record. Raises BadRecordError if it cannot be used."""
        if not isinstance(record, dict):
            raise BadRecordError("not a record of Gemini CLI")
        if "sessionId" in record and ("messages" in record or "projectHash" in record or "startTime" in record):
            self.session = text_or_none(record["sessionId"]) or self.session
            return self._all(record.get("messages"), row) or Skip("session header")
        if "$set" in record:
            return self._all(mapping_or_empty(record["$set"]).get("messages"), row) or Skip("change of a session")
        if "$rewindTo" in record:
            return Skip("change of a session")  # what was taken back has been paid for
        if record.get("type") not in _TYPES or "id" not in record:
            raise BadRecordError("not a record of Gemini CLI", "$.type")
        return self._message(record, row)

    def close(self) -> Iterable[Outcome]:
        """The calls of the chat."""
        yield from self.held.values()

    def _all(self, messages: Any, row: int) -> list[Outcome]:
        found: list[Outcome] = []
        for message in messages if isinstance(messages, list) else ():
            found.extend(catch_reader_errors(self._listed, mapping_or_empty(message), row))
        return found if found or not self.held else [Skip("session header")]

    def _listed(self, message: dict[str, Any], row: int) -> list[Outcome]:
        outcome = self._message(message, row)
        return outcome if isinstance(outcome, list) else [outcome]

    def _message(self, record: dict[str, Any], row: int) -> Outcome | list[Outcome]:
        tokens = record.get("tokens")
        if record.get("type") != "gemini" or not isinstance(tokens, dict):
            return Skip("user or tool turn")
        counts = {name: token_count(tokens.get(name), f"$.tokens.{name}") for name in
                  ("input", "output", "cached", "thoughts", "tool", "total")}  # fmt: skip
        call = session_call(
            "gemini-cli", self.context, model=record.get("model"), when=record.get("timestamp"), session=self.session,
            provider="gcp.gemini", folder=self.project,
        )  # fmt: skip
        asked, made, thoughts = counts["input"], counts["output"], counts["thoughts"]
        settle(
            call,
            input_tokens=None if asked is None else asked + (counts["tool"] or 0),
            output_tokens=None if made is None else made + (thoughts or 0),
            cache_read=counts["cached"],
            reasoning=thoughts,
            total=counts["total"],
        )
        call.row = row
        name = text_or_none(record.get("id"))
        if name is None:
            return call
        # ids are UUIDs, which a resumed session keeps; any other is one of its session
        call.identity = f"gemini_cli:{name if len(name) == _UUID else f'{self.session}:{name}'}"
        if self.context.want_text and record.get("content"):
            call.output = [{"role": "assistant", "content": record["content"]}]
            call.content_state = "truncated"
        known = self.held.get(name)
        self.held[name] = call
        return [] if known is None else _REPEAT


def _matches(record: Any) -> bool:
    if not isinstance(record, dict):
        return False
    if "sessionId" in record and "projectHash" in record:
        return True
    if record.get("type") == "gemini" and "tokens" in record:
        return True
    return len(record) == 1 and bool(record.keys() & {"$set", "$rewindTo"})


FORMAT = Format(
    name="gemini_cli",
    title="Gemini CLI chat",
    fingerprints=(frozenset({"sessionId", "projectHash", "messages"}),),
    matches=_matches,
    open=Chat,
    rank=27,
    splittable=False,
    strict=True,
    fields=(
        ("start_time", "timestamp"), ("model", "model"), ("input_tokens", "tokens.input + tokens.tool"),
        ("cache_read_input_tokens", "tokens.cached"), ("output_tokens", "tokens.output + tokens.thoughts"),
        ("reasoning_output_tokens", "tokens.thoughts"), ("conversation_id", "sessionId"), ("identity", "id"),
    ),
)  # fmt: skip
