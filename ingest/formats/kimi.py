"""Kimi CLI and Kimi Code: `wire.jsonl` of a session; the four counts are disjoint.

Kimi CLI names no model: the default one of its `config.toml` is taken where that names one. In Kimi Code an
`llm.request` before the count names the model behind an alias.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from typing import Any

from ingest.format_contract import Context, Format, Outcome
from ingest.records.call import BadRecordError, Call, Skip, mapping_or_empty, text_or_none
from ingest.wire.agent_session import session_call, settle_disjoint

_CODE_TYPES = ("usage.record", "llm.request")


class Wire:
    """Reads one session."""

    def __init__(self, context: Context) -> None:
        self.context = context
        parts = context.path.parts
        self.session = parts[-2] if len(parts) > 1 else None
        self.agent = "main"
        if len(parts) > 3 and parts[-3] == "agents":  # Kimi Code: SESSION/agents/NAME/wire.jsonl
            self.session, self.agent = parts[-4], parts[-2]
        self.model: str | None = None
        self.aliases: dict[str, str] = {}
        self._configured: list[str | None] = []

    def read(self, record: Any, row: int) -> Outcome:
        """The outcomes of one record. Raises BadRecordError if it cannot be used."""
        if not isinstance(record, dict):
            raise BadRecordError("not a record of Kimi")
        message = mapping_or_empty(record.get("message"))
        kind = record.get("type") or message.get("type")
        if not isinstance(kind, str):
            raise BadRecordError("not a record of Kimi", "$.type")
        if kind == "llm.request":
            self.model = text_or_none(record.get("model")) or self.model
            alias = text_or_none(record.get("modelAlias"))
            if alias and self.model:
                self.aliases[alias] = self.model
            return Skip("request header")
        if kind == "usage.record" and isinstance(record.get("usage"), dict):
            alias = text_or_none(record.get("model")) or ""
            call = self._call("kimi-code", self.aliases.get(alias) or self.model or alias, record.get("time"))
            settle_disjoint(
                call, record["usage"], "inputOther", "inputCacheRead", "inputCacheCreation", "output"
            )  # fmt: skip
            call.identity = f"kimi_code:{self.session}:{self.agent}:{row}"
            return call
        payload = mapping_or_empty(message.get("payload"))
        usage = payload.get("token_usage")
        if kind != "StatusUpdate" or not isinstance(usage, dict):
            return Skip("event without token counts")
        call = self._call("kimi-cli", self._default_model(), record.get("timestamp"))
        settle_disjoint(call, usage, "input_other", "input_cache_read", "input_cache_creation", "output")
        name = text_or_none(payload.get("message_id"))
        call.identity = f"kimi:{self.session}:{name}" if name else None
        return call

    def close(self) -> Iterable[Outcome]:
        """Nothing: no call is held back."""
        return ()

    def _call(self, tool: str, model: str | None, when: Any) -> Call:
        return session_call(tool, self.context, model=model, when=when, session=self.session, agent=self.agent)

    def _default_model(self) -> str | None:
        if not self._configured:
            parents = self.context.path.parents
            home = next((parent.parent for parent in parents if parent.name == "sessions"), None)
            name = None
            try:
                if home is not None:
                    config = tomllib.loads((home / "config.toml").read_text("utf-8"))
                    name = text_or_none(config.get("default_model"))
                    known = mapping_or_empty(mapping_or_empty(config.get("models")).get(name or ""))
                    name = text_or_none(known.get("model")) or name
            except (OSError, ValueError):
                name = None
            self._configured.append(name)
        return self._configured[0]


def _matches(record: Any) -> bool:
    if not isinstance(record, dict):
        return False
    kind = record.get("type")
    if kind in _CODE_TYPES:
        return "usage" in record or "modelAlias" in record or "turnStep" in record
    if kind == "metadata" and "protocol_version" in record:
        return True
    message = record.get("message")
    return (
        isinstance(message, dict)
        and "payload" in message
        and isinstance(message.get("type"), str)
        and isinstance(record.get("timestamp"), int | float)
    )


FORMAT = Format(
    name="kimi",
    title="Session of Kimi CLI or Kimi Code",
    fingerprints=(frozenset({"timestamp", "message"}), frozenset({"type", "time", "usage"})),
    matches=_matches,
    open=Wire,
    rank=36,
    splittable=False,
    strict=True,
    fields=(
        ("start_time", "timestamp or time"), ("model", "llm.request.model, or config.toml"),
        ("input_tokens", "input_other + input_cache_read + input_cache_creation"),
        ("cache_read_input_tokens", "input_cache_read"), ("output_tokens", "output"),
        ("conversation_id", "the session's folder"),
    ),
)  # fmt: skip
