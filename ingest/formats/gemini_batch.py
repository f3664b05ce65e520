"""Batch outputs of the Gemini API (`key`, `response`) and of Vertex AI (`request`, `response`, `processed_time`; of
Claude `custom_id`).

Half price, which only the kind of the file tells. The Gemini API's lines carry no time, so the file's own is taken.
Shapes: ai.google.dev/gemini-api/docs/batch-api and cloud.google.com/vertex-ai batch prediction (2026-10).
"""

from __future__ import annotations

from typing import Any

from ingest.format_contract import Context, Format, Outcome, stateless
from ingest.records.call import BadRecordError, Call, Skip, mapping_or_empty, text_or_none
from ingest.records.timestamps import time_us
from ingest.wire import anthropic
from ingest.wire.request_response import apply_bodies, dialect_of, opened, take_file_time

_BESIDE = frozenset({"key", "response", "error", "status", "metadata"})


def read(record: Any, context: Context) -> Outcome | list[Outcome]:
    """The outcomes of one record. Raises BadRecordError if it cannot be used."""
    get = record.get
    vertex = "request" in record
    answer = opened(get("response"))
    if not answer:
        failure = get("error") or get("status")
        code = mapping_or_empty(failure).get("code", failure if isinstance(failure, str) else None)
        return Skip(f"batch request without an answer ({text_or_none(code) or 'failed'})"[:80])
    if dialect_of(answer) is None:
        raise BadRecordError("the response is no answer of a known kind", "$.response")
    call = Call(is_batch=True, provider_name="gcp.vertex_ai" if vertex else "gcp.gemini")
    created = apply_bodies(call, opened(get("request")), answer)
    call.service_tier = "batch"
    if record.get("processed_time"):
        call.start_us, call.time_precision = time_us(get("processed_time"), "$.processed_time", zone=context.zone)
    elif created is not None:
        call.start_us, call.time_precision = time_us(created, "$.response.createTime", zone=context.zone)
    else:
        take_file_time(call, context)
    name = _name(record)
    call.tags = [f"key:{name}"] if name else None
    call.identity = call.response_id
    return list(anthropic.expand(call))


def _name(record: dict[str, Any]) -> str | None:
    """The name that the user gave to the request."""
    return (
        text_or_none(record.get("key"))
        or text_or_none(record.get("custom_id"))
        or text_or_none(mapping_or_empty(record.get("metadata")).get("key"))
    )


def _matches(record: Any) -> bool:
    if not isinstance(record, dict):
        return False
    keys = record.keys()
    if keys >= {"processed_time", "request", "response"}:
        return True
    if keys >= {"custom_id", "request", "response"} and "error" not in keys:  # Claude on Vertex AI
        return anthropic.matches_response(opened(record["response"]))
    if not keys <= _BESIDE or _name(record) is None:
        return False
    answer = record.get("response")
    if isinstance(answer, dict) and answer:
        return "usageMetadata" in answer or "candidates" in answer
    return "key" in keys and isinstance(record.get("error"), dict)


FORMAT = Format(
    name="gemini_batch",
    title="Gemini or Vertex AI batch output",
    fingerprints=(frozenset({"key", "response"}), frozenset({"status", "processed_time", "request", "response"})),
    matches=_matches,
    open=stateless(read),
    rank=15,
    fields=(("start_time", "processed_time (Vertex)"), ("tags", "key or custom_id")),
)
