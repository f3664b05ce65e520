"""LiteLLM's SpendLogs table, exported as JSON or CSV: `metadata` and `request_tags` are JSON in strings."""

from __future__ import annotations

from typing import Any

from ingest.format_contract import Context, Format, Outcome, stateless
from ingest.formats.litellm import _CALLS, take_identity, take_outcome
from ingest.records.call import BadRecordError, Call, Skip, pico_dollars, text_or_none
from ingest.records.provider_names import provider_name
from ingest.records.timestamps import time_us
from ingest.records.token_usage import apply_usage
from ingest.wire.request_response import opened


def read(record: Any, context: Context) -> Outcome:
    """The outcomes of one record. Raises BadRecordError if it cannot be used."""
    get = record.get
    kind = text_or_none(get("call_type")) or "completion"
    if not any(word in kind for word in _CALLS):
        return Skip(f"LiteLLM {kind[:40]}: not a token-priced call")
    call = Call()
    call.operation_name = "embeddings" if "embedding" in kind else "chat"
    metadata = opened(get("metadata"))
    metadata = metadata if isinstance(metadata, dict) else {}
    usage = metadata.get("usage_object")
    if not isinstance(usage, dict) or not usage:
        usage = {name: get(name) for name in ("prompt_tokens", "completion_tokens", "total_tokens")}
    apply_usage(call, usage, "$.prompt_tokens")
    call.response_model = text_or_none(get("model"))
    call.request_model = text_or_none(get("model_group")) or call.response_model
    if call.request_model is None:
        raise BadRecordError("no model", "$.model")
    call.provider_name = provider_name(text_or_none(get("custom_llm_provider")))
    call.start_us, call.time_precision = time_us(get("startTime"), "$.startTime", zone=context.zone)
    if get("endTime"):
        call.end_us = time_us(get("endTime"), "$.endTime", zone=context.zone)[0]
    if get("completionStartTime"):
        gap = time_us(get("completionStartTime"), "$.completionStartTime", zone=context.zone)[0] - call.start_us
        call.time_to_first_chunk_ms = gap / 1000 if gap >= 0 else None
    call.logged_cost_pico = pico_dollars(get("spend"), "$.spend")
    call.identity = text_or_none(get("request_id"))
    call.response_id = call.identity
    call.conversation_id = text_or_none(get("session_id"))
    messages = opened(get("messages"))
    call.messages = messages if isinstance(messages, list) and messages else None
    response = opened(get("response"))
    if isinstance(response, dict) and isinstance(response.get("choices"), list):
        call.output = [one["message"] for one in response["choices"] if isinstance(one, dict) and "message" in one]
    if str(metadata.get("status")).lower() == "failure":
        record = {**record, "status": "failure", "error_information": metadata.get("error_information")}
    take_outcome(call, record)
    take_identity(call, record, metadata)
    return call


_KEYS = frozenset({"request_id", "call_type", "spend", "startTime"})
FORMAT = Format(
    name="litellm_spend",
    title="LiteLLM SpendLogs",
    fingerprints=(_KEYS,),
    matches=lambda record: isinstance(record, dict) and record.keys() >= _KEYS,
    open=stateless(read),
    rank=13,
    csv_columns=_KEYS,
)
