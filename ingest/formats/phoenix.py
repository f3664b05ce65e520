"""Arize Phoenix span exports: OpenInference attributes, one span a record."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ingest.format_contract import Context, Format, Outcome
from ingest.otel import genai_attributes as attrs
from ingest.otel.emitters import emitter_of
from ingest.otel.span_tree import SpanTree
from ingest.records.call import Call, text_or_none
from ingest.records.timestamps import time_us
from ingest.wire.request_response import provider_of


class Spans:
    """Reads the spans of one export."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.tree = SpanTree()

    def read(self, record: Any, row: int) -> list[Outcome]:
        """The outcomes of one record. Raises BadRecordError if it cannot be used."""
        where = record.get("context") or {}
        span_id = attrs.hex_id(where.get("span_id"), 8)
        parent = attrs.hex_id(record.get("parent_id"), 8)
        values = _flattened(record.get("attributes") or {})
        kind = str(record.get("span_kind") or "").upper()
        agent = text_or_none(record.get("name")) if kind == "AGENT" else None
        if kind not in ("LLM", "EMBEDDING"):
            return self.tree.pass_over(span_id, parent, values, "span without a model call", agent=agent)
        call = Call(trace_id=attrs.hex_id(where.get("trace_id"), 16), span_id=span_id, parent_span_id=parent, row=row)
        attrs.apply(call, values, text=self.context.want_text, emitter=emitter_of("openinference"))
        call.operation_name = "embeddings" if kind == "EMBEDDING" else "chat"
        call.start_us, call.time_precision = time_us(record.get("start_time"), "$.start_time", zone=self.context.zone)
        if record.get("end_time"):
            call.end_us = time_us(record["end_time"], "$.end_time", zone=self.context.zone)[0]
        if record.get("status_code") == "ERROR":
            call.status = "error"
        call.provider_name = call.provider_name or provider_of(call.response_model or call.request_model)
        call.identity = call.response_id or (f"{call.trace_id}:{span_id}" if span_id else None)
        return self.tree.add(span_id, parent, agent=agent, call=call, usage=attrs.has_usage(values))

    def close(self) -> Iterable[Outcome]:
        """The calls still held back at the end of the file."""
        return self.tree.close()


def _flattened(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested attributes as dotted names; lists keep their place as a number."""
    found: dict[str, Any] = {}
    for key, item in value.items():
        name = f"{prefix}{key}"
        if isinstance(item, dict) and name not in ("metadata", "llm.invocation_parameters"):
            found.update(_flattened(item, f"{name}."))
        elif isinstance(item, list) and item and isinstance(item[0], dict):
            for place, inner in enumerate(item):
                if isinstance(inner, dict):
                    found.update(_flattened(inner, f"{name}.{place}."))
        else:
            found[name] = item
    return found


FORMAT = Format(
    name="phoenix",
    title="Arize Phoenix span export",
    fingerprints=(frozenset({"context", "span_kind", "attributes", "start_time"}),),
    matches=lambda record: (
        isinstance(record, dict)
        and {"context", "span_kind", "attributes"} <= record.keys()
        and isinstance(record["context"], dict)
        and "span_id" in record["context"]
    ),
    open=Spans,
    rank=20,
    splittable=False,
)
