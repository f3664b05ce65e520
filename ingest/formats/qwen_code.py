"""Qwen Code chats: Gemini's usage beside each answer; cached tokens inside the prompt, thoughts outside the answer."""

from __future__ import annotations

from typing import Any

from ingest.format_contract import Context, Format, Outcome, stateless
from ingest.records.agent_names import folder_name
from ingest.records.call import NOTHING, Call, Skip, text_or_none
from ingest.records.timestamps import time_us
from ingest.records.token_usage import apply_usage
from ingest.wire.request_response import provider_of


def read(record: Any, context: Context) -> Outcome:
    """The outcomes of one record. Raises BadRecordError if it cannot be used."""
    get = record.get
    if get("type") != "assistant":
        twin = get("subtype") == "ui_telemetry"
        return Skip("telemetry of an answer", claims=NOTHING) if twin else Skip("user or tool turn")
    if not isinstance(get("usageMetadata"), dict):
        return Skip("no usage")
    call = Call(operation_name="chat")
    call.request_model = call.response_model = text_or_none(get("model"))
    call.provider_name = provider_of(call.response_model)
    apply_usage(call, record["usageMetadata"], "$.usageMetadata")
    call.start_us, call.time_precision = time_us(get("timestamp"), "$.timestamp", zone=context.zone)
    call.conversation_id = text_or_none(get("sessionId"))
    call.agent, call.agent_source = "subagent" if get("isSidechain") is True else "main", "transcript"
    call.task = folder_name(text_or_none(get("cwd")))
    call.task_source = "project" if call.task else None
    call.service_name = "qwen-code"
    call.identity = text_or_none(get("uuid"))
    message = get("message")
    if context.want_text and isinstance(message, dict) and isinstance(message.get("parts"), list):
        call.output = [{"role": "assistant", "content": message["parts"]}]
        call.content_state = "truncated"
    return call


def _matches(record: Any) -> bool:
    if not isinstance(record, dict) or "sessionId" not in record or "uuid" not in record:
        return False
    if "usageMetadata" in record or record.get("subtype") == "ui_telemetry":
        return True
    message = record.get("message")
    return isinstance(message, dict) and isinstance(message.get("parts"), list) and "content" not in message


FORMAT = Format(
    name="qwen_code",
    title="Qwen Code chat",
    fingerprints=(frozenset({"uuid", "sessionId", "usageMetadata", "message"}),),
    matches=_matches,
    open=stateless(read),
    rank=29,
    fields=(
        ("start_time", "timestamp"), ("model", "model"), ("input_tokens", "usageMetadata.promptTokenCount"),
        ("cache_read_input_tokens", "usageMetadata.cachedContentTokenCount"),
        ("output_tokens", "usageMetadata.candidatesTokenCount + thoughtsTokenCount"),
        ("conversation_id", "sessionId"), ("task", "cwd"), ("identity", "uuid"),
    ),
)  # fmt: skip
