"""Opik's spans, of which those of type `llm` are calls.

`usage` is flat: OpenAI's three totals, and the provider's own object under `original_usage.` with dotted keys, which
tells what the totals leave out. Shape: comet-ml/opik, span view of the REST API (2026-10).
"""

from __future__ import annotations

from typing import Any

from ingest.format_contract import Context, Format, Outcome, stateless
from ingest.formats.flat_rows import RowLayout
from ingest.records.call import Skip, mapping_or_empty, text_or_none
from ingest.records.json_paths import nested

LAYOUT = RowLayout({
    "start": ("start_time",),
    "end": ("end_time",),
    "first_chunk": ("ttft",),
    "request_model": ("model", "metadata.model"),
    "response_model": ("model", "metadata.model"),
    "provider": ("provider",),
    "usage": ("original_usage", "usage"),
    "cost": ("total_estimated_cost",),
    "error": ("error_info",),
    "messages": ("input.messages", "input.input"),
    "answer": ("output.choices.0.message", "output.output"),
    "metadata": ("metadata",),
    "tags": ("tags",),
    "trace_id": ("trace_id",),
    "span_id": ("id",),
    "parent_span_id": ("parent_span_id",),
    "conversation_id": ("thread_id", "metadata.thread_id"),
    "span_name": ("name",),
})  # fmt: skip
_PREFIX = "original_usage."


def read(record: Any, context: Context) -> Outcome:
    """The outcomes of one record. Raises BadRecordError if it cannot be used."""
    if record.get("type") != "llm":
        return Skip("span without a model call")
    usage = mapping_or_empty(record.get("usage"))
    # the provider's usage object, whose keys were joined by dots
    original = nested({key.removeprefix(_PREFIX): usage[key] for key in usage if key.startswith(_PREFIX)})
    call = LAYOUT.call({**record, "original_usage": original} if original else record, context)
    call.identity = text_or_none(record.get("id"))
    return call


FORMAT = Format(
    name="opik",
    title="Opik span export",
    fingerprints=(frozenset({"id", "trace_id", "type", "start_time", "usage", "model"}),),
    matches=lambda record: (
        isinstance(record, dict)
        and record.keys() >= {"id", "trace_id", "type", "start_time"}
        and record["type"] in ("llm", "tool", "general", "guardrail")
        and bool(record.keys() & {"project_id", "project_name", "total_estimated_cost", "usage", "parent_span_id"})
    ),
    open=stateless(read),
    rank=35,
)
