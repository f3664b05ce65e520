"""Braintrust's log rows (API, BTQL and dataset exports): spans, of which those of type `llm` are calls.

`metrics.start` and `end` count seconds; `prompt_tokens` includes cached tokens. Shape: braintrust SDK and its API
reference (2026-10).
"""

from __future__ import annotations

from typing import Any

from ingest.format_contract import Context, Format, Outcome, stateless
from ingest.formats.flat_rows import RowLayout
from ingest.records.call import Skip, mapping_or_empty, text_or_none

LAYOUT = RowLayout(
    {
        "start": ("metrics.start", "created"),
        "end": ("metrics.end",),
        "first_chunk": ("metrics.time_to_first_token",),
        "request_model": ("metadata.model",),
        "response_model": ("output.model", "metadata.response_model", "metadata.model"),
        "provider": ("metadata.provider",),
        "input": ("metrics.prompt_tokens",),
        "output": ("metrics.completion_tokens",),
        "cache_read": ("metrics.prompt_cached_tokens",),
        "cache_write": ("metrics.prompt_cache_creation_tokens",),
        "cache_write_1h": ("metrics.prompt_cache_creation_1h_tokens",),
        "reasoning": ("metrics.completion_reasoning_tokens",),
        "total": ("metrics.tokens", "metrics.total_tokens"),
        "audio_input_tokens": ("metrics.prompt_audio_tokens",),
        "audio_output_tokens": ("metrics.completion_audio_tokens",),
        "cost": ("metrics.estimated_cost", "metrics.cost"),
        "error": ("error",),
        "messages": ("input",),
        "answer": ("output",),
        "metadata": ("metadata",),
        "tags": ("tags",),
        "trace_id": ("root_span_id",),
        "span_id": ("span_id",),
        "parent_span_id": ("span_parents.0",),
        "conversation_id": ("metadata.session_id", "metadata.thread_id"),
        "user_id": ("metadata.user_id", "metadata.user"),
        "span_name": ("span_attributes.name",),
    },
    ms_per_unit=1000,
)


def read(record: Any, context: Context) -> Outcome:
    """The outcomes of one record. Raises BadRecordError if it cannot be used."""
    kind = text_or_none(mapping_or_empty(record.get("span_attributes")).get("type"))
    if kind != "llm":
        return Skip("span without a model call")
    call = LAYOUT.call(record, context)
    if str(mapping_or_empty(record.get("metrics")).get("cached")).lower() in ("1", "true", "1.0"):
        call.status = "gateway_cache_hit"
    call.identity = text_or_none(record.get("id")) or text_or_none(record.get("span_id"))
    return call


FORMAT = Format(
    name="braintrust",
    title="Braintrust span export",
    fingerprints=(frozenset({"span_attributes", "metrics", "root_span_id", "span_id"}),),
    matches=lambda record: (
        isinstance(record, dict)
        and record.keys() >= {"span_attributes", "metrics"}
        and bool(record.keys() & {"root_span_id", "span_id", "span_parents"})
    ),
    open=stateless(read),
    rank=33,
)
