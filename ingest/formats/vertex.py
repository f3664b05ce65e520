"""Vertex AI request-response logging (a BigQuery table): Gemini bodies, as objects or as JSON in strings."""

from __future__ import annotations

from typing import Any

from ingest.format_contract import Context, Format, Outcome, stateless
from ingest.records.call import NOTHING, BadRecordError, Call, Skip, text_or_none
from ingest.records.timestamps import time_us
from ingest.wire.request_response import apply_bodies, dialect_of, opened

_KEYS = frozenset({"api_method", "full_request", "full_response", "logging_time"})


def read(record: Any, context: Context) -> Outcome:
    """The outcomes of one record. Raises BadRecordError if it cannot be used."""
    get = record.get
    if "count" in str(get("api_method")).lower():
        return Skip("token counting request", claims=NOTHING)
    request, answer = opened(get("full_request")), opened(get("full_response"))
    call = Call()
    if dialect_of(answer) is None and not (isinstance(answer, dict) and answer.get("error")):
        raise BadRecordError("the response is no answer of a known kind", "$.full_response")
    apply_bodies(call, request, answer)
    model = text_or_none(get("model"))
    if model:
        call.request_model = model.rpartition("/")[2]
    call.response_model = call.response_model or call.request_model
    call.provider_name = "gcp.vertex_ai"
    call.start_us, call.time_precision = time_us(get("logging_time"), "$.logging_time", zone=context.zone)
    call.region = text_or_none(get("location"))
    call.stream = "stream" in str(get("api_method")).lower()
    call.identity = call.response_id or text_or_none(get("request_id"))
    return call


FORMAT = Format(
    name="vertex",
    title="Vertex AI request-response log",
    fingerprints=(_KEYS,),
    matches=lambda record: isinstance(record, dict) and record.keys() >= _KEYS,
    open=stateless(read),
    rank=14,
)
