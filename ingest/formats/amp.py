"""Amp threads kept on the machine: one document each, usage beside its messages; cache outside input."""

from __future__ import annotations

from typing import Any

from ingest.format_contract import Context, Format, Outcome, catch_reader_errors, stateless
from ingest.records.call import Skip, mapping_or_empty
from ingest.wire.agent_session import session_call, settle_disjoint


def read(record: Any, context: Context) -> list[Outcome]:
    """The outcomes of one record. Raises BadRecordError if it cannot be used."""
    found: list[Outcome] = []
    for message in record["messages"]:
        found.extend(catch_reader_errors(_message, mapping_or_empty(message), record, context))
    return found or [Skip("a thread without messages")]


def _message(message: dict[str, Any], thread: dict[str, Any], context: Context) -> list[Outcome]:
    usage = message.get("usage")
    if not isinstance(usage, dict):
        return [Skip("user or tool turn")]
    when = usage.get("timestamp")
    call = session_call(
        "amp", context, model=usage.get("model"), when=when or thread.get("created"), unit=None if when else "ms",
        session=thread.get("id"),
    )  # fmt: skip
    settle_disjoint(
        call, usage, "inputTokens", "cacheReadInputTokens", "cacheCreationInputTokens", "outputTokens"
    )  # fmt: skip
    call.identity = f"amp:{thread.get('id')}:{message.get('messageId')}"
    if not when:
        call.issue("time_of_thread", "the message has no time; the thread's beginning was taken")
    return [call]


FORMAT = Format(
    name="amp",
    title="Amp thread",
    fingerprints=(frozenset({"id", "messages", "usageLedger"}),),
    matches=lambda record: (
        isinstance(record, dict)
        and isinstance(record.get("messages"), list)
        and str(record.get("id", "")).startswith("T-")
        and ("usageLedger" in record or "created" in record)
    ),
    open=stateless(read),
    rank=35,
    fields=(
        ("start_time", "usage.timestamp"), ("model", "usage.model"),
        ("input_tokens", "inputTokens + cacheReadInputTokens + cacheCreationInputTokens"),
        ("cache_read_input_tokens", "cacheReadInputTokens"), ("output_tokens", "outputTokens"),
        ("conversation_id", "id"), ("identity", "id and messageId"),
    ),
)  # fmt: skip
