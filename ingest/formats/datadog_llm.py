"""Datadog LLM Observability: spans as they are sent (`data.attributes.spans`), and as the export API lists them.

Durations and `start_ns` count nanoseconds, `start_ms` milliseconds. `input_tokens` includes the cache. Shapes:
docs.datadoghq.com/llm_observability, HTTP API and export API (2026-10).
"""

from __future__ import annotations

from typing import Any

from ingest.format_contract import Context, Format, Outcome, catch_reader_errors, stateless
from ingest.formats.flat_rows import RowLayout
from ingest.records.call import Skip, mapping_or_empty, text_or_none

LAYOUT = RowLayout(
    {
        "start": ("start_ns", "start_ms", "timestamp"),
        "duration": ("duration",),
        "request_model": ("meta.model_name", "model_name", "meta.metadata.model_name"),
        "provider": ("meta.model_provider", "model_provider"),
        "input": ("metrics.input_tokens", "metrics.prompt_tokens"),
        "output": ("metrics.output_tokens", "metrics.completion_tokens"),
        "total": ("metrics.total_tokens",),
        "cache_read": ("metrics.cache_read_input_tokens",),
        "cache_write": ("metrics.cache_write_input_tokens",),
        "cache_write_1h": ("metrics.ephemeral_1h_input_tokens",),
        "reasoning": ("metrics.reasoning_output_tokens",),
        "messages": ("meta.input.messages", "input.messages", "meta.input.value"),
        "answer": ("meta.output.messages", "output.messages", "meta.output.value"),
        "metadata": ("meta.metadata", "metadata"),
        "tags": ("tags",),
        "trace_id": ("trace_id",),
        "span_id": ("span_id",),
        "parent_span_id": ("parent_id",),
        "conversation_id": ("session_id",),
        "span_name": ("name",),
        "service_name": ("ml_app", "service"),
        "error_type": ("meta.error.type",),
    },
    ms_per_unit=1e-6,
)
_MODEL_KINDS = {"llm": "chat", "embedding": "embeddings"}


def read(record: Any, context: Context) -> list[Outcome]:
    """The outcomes of one record. Raises BadRecordError if it cannot be used."""
    found: list[Outcome] = []
    for beside, span in _spans(record):
        found.extend(catch_reader_errors(_span, {**beside, **span}, context))
    return found or [Skip("an export without spans")]


def _span(span: dict[str, Any], context: Context) -> list[Outcome]:
    kind = _kind(span)
    if kind not in _MODEL_KINDS:
        return [Skip("span without a model call")]
    call = LAYOUT.call(span, context)
    call.operation_name = _MODEL_KINDS[kind]
    if span.get("status") == "error":
        call.status = "error"
    call.identity = f"{call.trace_id}:{call.span_id}" if call.span_id else None
    return [call]


def _kind(span: dict[str, Any]) -> str | None:
    meta = mapping_or_empty(span.get("meta"))
    return text_or_none(meta.get("kind") or meta.get("span.kind") or span.get("span_kind"))


def _spans(record: Any) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Each span with what its batch tells of all of them."""
    if not isinstance(record, dict):
        return []
    data = record.get("data", record)
    if isinstance(data, dict):
        attributes = mapping_or_empty(data.get("attributes")) or data
        spans = attributes.get("spans")
        if isinstance(spans, list):
            beside = {name: attributes[name] for name in ("ml_app", "session_id") if attributes.get(name)}
            return [(beside, span) for span in spans if isinstance(span, dict)]
        data = [data]
    items = [item for item in data if isinstance(item, dict)] if isinstance(data, list) else []
    return [({}, mapping_or_empty(item.get("attributes")) or item) for item in items]


def _matches(record: Any) -> bool:
    spans = _spans(record)
    if not spans:
        return False
    span = spans[0][1]
    return _kind(span) is not None and bool(span.keys() & {"start_ns", "start_ms"}) and "span_id" in span


FORMAT = Format(
    name="datadog_llm",
    title="Datadog LLM Observability spans",
    fingerprints=(frozenset({"span_id", "trace_id", "meta", "metrics", "start_ns"}),),
    matches=_matches,
    open=stateless(read),
    rank=34,
)
