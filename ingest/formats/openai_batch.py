"""OpenAI Batch output files: half price, which only the kind of the file tells. An input file holds no calls."""

from __future__ import annotations

from typing import Any

from ingest.format_contract import Context, Format, Outcome, stateless
from ingest.records.call import BadRecordError, Call, Skip, mapping_or_empty, text_or_none
from ingest.records.timestamps import time_us
from ingest.wire.request_response import apply_bodies, opened, provider_of, take_file_time


def read(record: Any, context: Context) -> Outcome:
    """The outcomes of one record. Raises BadRecordError if it cannot be used."""
    if "method" in record and "response" not in record:
        return Skip("a batch's input, not yet answered")
    response = record.get("response")
    if response is None:
        failure = mapping_or_empty(record.get("error"))
        return Skip(f"batch request without an answer ({text_or_none(failure.get('code')) or 'expired'})"[:80])
    body = opened(mapping_or_empty(response).get("body"))
    if not isinstance(body, dict):
        raise BadRecordError("no response body", "$.response.body")
    call = Call(is_batch=True)
    created = apply_bodies(call, None, body)
    call.service_tier = "batch"
    call.provider_name = provider_of(call.response_model) or "openai"
    if created is not None:
        call.start_us, call.time_precision = time_us(created, "$.response.body.created", zone=context.zone)
    else:
        take_file_time(call, context)
    status = mapping_or_empty(response).get("status_code")
    if type(status) is int:
        call.http_status = status
        call.status = "error" if status >= 400 else call.status
    call.tags = [f"custom_id:{record['custom_id']}"] if text_or_none(record.get("custom_id")) else None
    call.identity = call.response_id or text_or_none(record.get("id"))
    return call


def _matches(record: Any) -> bool:
    if not isinstance(record, dict) or "custom_id" not in record:
        return False
    return ("response" in record and "error" in record) or {"method", "url", "body"} <= record.keys()


FORMAT = Format(
    name="openai_batch",
    title="OpenAI Batch output",
    fingerprints=(frozenset({"custom_id", "response", "error"}), frozenset({"custom_id", "method", "url", "body"})),
    matches=_matches,
    open=stateless(read),
    rank=16,
)
