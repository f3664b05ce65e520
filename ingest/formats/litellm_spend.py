"""LiteLLM's SpendLogs table, exported as JSON or CSV: `metadata` and `request_tags` are JSON in strings."""

from __future__ import annotations

from typing import Any

from ingest.format_contract import Context, Format, Outcome, stateless
from ingest.formats.litellm import (
    operation_of,
    take_batch,
    take_identity,
    take_models,
    take_outcome,
    take_tier,
    take_times,
    take_usage,
    without_nulls,
)
from ingest.records.call import Call, Skip, pico_dollars, text_or_none
from ingest.wire.request_response import opened


def read(record: Any, context: Context) -> Outcome:
    """The outcomes of one record. Raises BadRecordError if it cannot be used."""
    record = without_nulls(record)
    get = record.get
    cost = pico_dollars(get("spend"), "$.spend")
    operation = operation_of(record, cost)
    if isinstance(operation, Skip):
        return operation
    call = Call(operation_name=operation, logged_cost_pico=cost)
    metadata = opened(get("metadata"))
    metadata = metadata if isinstance(metadata, dict) else {}
    take_usage(call, record, None, metadata, "$.prompt_tokens")
    take_models(call, record, None)
    take_times(call, record, context)
    take_tier(call, None, metadata.get("cost_breakdown"), metadata.get("usage_object"))
    take_batch(call, record)
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
