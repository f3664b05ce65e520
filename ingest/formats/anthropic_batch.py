"""Anthropic Message Batches results: half price. Results carry no time, so the file's own is taken."""

from __future__ import annotations

from typing import Any

from ingest.format_contract import Context, Format, Outcome, stateless
from ingest.records.call import BadRecordError, Call, Skip, mapping_or_empty, text_or_none
from ingest.wire import anthropic
from ingest.wire.request_response import take_file_time


def read(record: Any, context: Context) -> Outcome | list[Outcome]:
    """The outcomes of one record. Raises BadRecordError if it cannot be used."""
    result = mapping_or_empty(record.get("result"))
    if result.get("type") != "succeeded":
        return Skip(f"batch request without an answer ({text_or_none(result.get('type'))})"[:80])
    message = result.get("message")
    if not isinstance(message, dict) or not text_or_none(message.get("model")):
        raise BadRecordError("no model", "$.result.message.model")
    call = Call(is_batch=True)
    anthropic.apply_response(call, message)
    call.service_tier = "batch"
    call.request_model = call.response_model
    take_file_time(call, context)
    call.tags = [f"custom_id:{record['custom_id']}"] if text_or_none(record.get("custom_id")) else None
    call.identity = call.response_id
    return list(anthropic.expand(call))


FORMAT = Format(
    name="anthropic_batch",
    title="Anthropic Message Batches results",
    fingerprints=(frozenset({"custom_id", "result"}),),
    matches=lambda record: (
        isinstance(record, dict)
        and "custom_id" in record
        and mapping_or_empty(record.get("result")).get("type") in ("succeeded", "errored", "canceled", "expired")
    ),
    open=stateless(read),
    rank=17,
)
