"""MLflow traces: spans with `mlflow.*` attributes, whole traces or one span a record (MLflow 3)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ingest.format_contract import Context, Format, Outcome, catch_reader_errors
from ingest.otel import genai_attributes as attrs
from ingest.otel.emitters import emitter_of
from ingest.otel.span_tree import SpanTree
from ingest.records.call import Call, Skip, pico_dollars, text_or_none
from ingest.records.timestamps import time_us
from ingest.wire.request_response import provider_of


class Traces:
    """Reads the traces of one export."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.tree = SpanTree()

    def read(self, record: Any, row: int) -> list[Outcome]:
        """The outcomes of one record. Raises BadRecordError if it cannot be used."""
        found: list[Outcome] = []
        for span in _spans(record):
            found.extend(catch_reader_errors(self._span, span, row))
        return found if _spans(record) else [Skip("a trace without spans")]

    def close(self) -> Iterable[Outcome]:
        """The calls still held back at the end of the file."""
        return self.tree.close()

    def _span(self, span: dict[str, Any], row: int) -> list[Outcome]:
        values = {key: attrs.opened(value) for key, value in attrs.flat(span.get("attributes")).items()}
        span_id = attrs.hex_id(span.get("span_id"), 8)
        parent = attrs.hex_id(span.get("parent_span_id", span.get("parent_id")), 8)
        kind = attrs.operation(values)
        agent = text_or_none(span.get("name")) if kind == "agent" else None
        usage = "mlflow.chat.tokenUsage" in values
        if kind != "llm":
            return self.tree.pass_over(span_id, parent, values, "span without a model call", agent=agent)
        trace = attrs.hex_id(span.get("trace_id"), 16) or text_or_none(values.get("mlflow.traceRequestId"))
        call = Call(trace_id=trace, span_id=span_id, parent_span_id=parent, row=row)
        attrs.apply(call, values, text=self.context.want_text, emitter=emitter_of("mlflow"))
        asked = values.get("mlflow.spanInputs")
        if call.request_model is None and isinstance(asked, dict):
            call.request_model = text_or_none(asked.get("model"))
        made = values.get("mlflow.spanOutputs")
        if isinstance(made, dict):
            call.response_id = call.response_id or text_or_none(made.get("id"))
            call.response_model = call.response_model or text_or_none(made.get("model"))
            choices = made.get("choices")
            if isinstance(choices, list) and self.context.want_text:
                call.output = [one["message"] for one in choices if isinstance(one, dict) and "message" in one] or None
        cost = values.get("mlflow.llm.cost")
        if isinstance(cost, dict):
            call.logged_cost_pico = pico_dollars(cost.get("total_cost"), "mlflow.llm.cost.total_cost")
        started = span.get("start_time_unix_nano", span.get("start_time_ns", span.get("start_time")))
        ended = span.get("end_time_unix_nano", span.get("end_time_ns", span.get("end_time")))
        call.start_us, call.time_precision = time_us(started, "$.start_time_unix_nano", zone=self.context.zone)
        if ended:
            call.end_us = time_us(ended, "$.end_time_unix_nano", zone=self.context.zone)[0]
        status = span.get("status")
        code = status.get("code") if isinstance(status, dict) else span.get("status_code")
        if code in ("ERROR", "STATUS_CODE_ERROR", 2):
            call.status = "error"
        call.provider_name = call.provider_name or provider_of(call.response_model or call.request_model)
        call.identity = call.response_id or (f"{trace}:{span_id}" if trace and span_id else None)
        return self.tree.add(span_id, parent, agent=agent, call=call, usage=usage)


def _spans(record: dict[str, Any]) -> list[dict[str, Any]]:
    data = record.get("data")
    spans = data.get("spans") if isinstance(data, dict) else record.get("spans")
    if isinstance(spans, list):
        return [span for span in spans if isinstance(span, dict)]
    return [record]


def _matches(record: Any) -> bool:
    if not isinstance(record, dict):
        return False
    spans = _spans(record)
    if not spans or "attributes" not in spans[0]:
        return False
    values = spans[0].get("attributes")
    return isinstance(values, dict) and any(str(key).startswith("mlflow.") for key in values)


FORMAT = Format(
    name="mlflow",
    title="MLflow trace",
    fingerprints=(frozenset({"span_id", "start_time_unix_nano", "attributes"}),),
    matches=_matches,
    open=Traces,
    rank=19,
    splittable=False,
)
