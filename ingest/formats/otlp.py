"""OTLP JSON: traces, and the logs that carry message contents, as collectors and SDK file exporters write them.

Dialects by span: OpenTelemetry GenAI, OpenInference, OpenLLMetry, Vercel AI SDK (see `ingest.otel.genai_attributes`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ingest.format_contract import Context, Format, Outcome, catch_reader_errors
from ingest.otel import agent_events, metric_points
from ingest.otel import genai_attributes as attrs
from ingest.otel.emitters import emitter_of
from ingest.otel.span_tree import SpanTree
from ingest.records.call import NOTHING, Call, Skip, mapping_or_empty, text_or_none
from ingest.records.timestamps import time_us
from ingest.wire.request_response import provider_of

_ENVELOPES = ("resourceSpans", "resource_spans", "resourceLogs", "resource_logs")
_DETAILS = "gen_ai.client.inference.operation.details"


class Export:
    """Reads the exports of one file; spans of a trace may be spread over its lines."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.tree = SpanTree()
        self.metrics = metric_points.Metrics()
        self.calls = False  # whether anything was a call
        self.waiting: dict[str, dict[str, Any]] = {}  # contents of spans that come later

    def read(self, record: Any, row: int) -> list[Outcome]:
        """The outcomes of one record. Raises BadRecordError if it cannot be used."""
        found: list[Outcome] = []
        for resource, scope, span in _spans(record):
            found.extend(catch_reader_errors(self._span, resource, scope, span, row, item=span))
        for resource, event in _log_records(record):
            found.extend(catch_reader_errors(self._event, resource, event, item=event))
        if metric_points.is_metrics(record):
            self.metrics.add(record)
        elif not found and not attrs.named(record, "resourceSpans"):
            found.append(Skip("an export without spans"))
        return found

    def close(self) -> Iterable[Outcome]:
        """The calls still held back at the end of the file."""
        yield from self.tree.close()
        yield from self.metrics.close(calls=self.calls)

    def _span(self, resource: dict[str, Any], scope: dict[str, Any], span: dict[str, Any], row: int) -> list[Outcome]:
        values = attrs.flat(span.get("attributes"))
        trace = attrs.hex_id(attrs.named(span, "traceId"), 16)
        span_id = attrs.hex_id(attrs.named(span, "spanId"), 8)
        parent = attrs.hex_id(attrs.named(span, "parentSpanId"), 8)
        if span.get("name") == agent_events.CLAUDE_SPAN and "input_tokens" in values:
            ended = _nanos(attrs.named(span, "endTimeUnixNano"))
            call = agent_events.response_call(agent_events.CLAUDE_SPAN, values, ended, unit="ns")
            call.trace_id, call.span_id, call.parent_span_id, call.row = trace, span_id, parent, row
            call.status = "error" if values.get("success") in (False, "false") else "ok"
            self._place(call, resource)
            return [call]
        kind = attrs.operation(values)
        agent = None
        if kind == "agent":
            agent = text_or_none(attrs.first(values, attrs.AGENT)) or text_or_none(values.get("traceloop.entity.name"))
            agent = agent or text_or_none(span.get("name"))
        workflow = text_or_none(attrs.first(values, attrs.WORKFLOW))
        usage = attrs.has_usage(values)
        if kind == "other" or (kind == "agent" and not usage):
            return self.tree.pass_over(
                span_id, parent, values, "span without a model call", agent=agent, workflow=workflow
            )
        call = Call(trace_id=trace, span_id=span_id, parent_span_id=parent, row=row)
        sdk = values.get("telemetry.sdk.name", resource.get("telemetry.sdk.name"))
        emitter = emitter_of(text_or_none(scope.get("name")), text_or_none(sdk))
        attrs.apply(call, values, text=self.context.want_text, emitter=emitter)
        started, ended = attrs.named(span, "startTimeUnixNano"), attrs.named(span, "endTimeUnixNano")
        call.start_us, call.time_precision = time_us(_nanos(started), "$.startTimeUnixNano", unit="ns")
        if ended not in (None, 0, "0"):
            call.end_us = time_us(_nanos(ended), "$.endTimeUnixNano", unit="ns")[0]
        status = span.get("status")
        if isinstance(status, dict) and status.get("code") in (2, "STATUS_CODE_ERROR"):
            call.status = "error"
        self._place(call, resource)
        call.provider_name = call.provider_name or provider_of(call.response_model or call.request_model)
        call.identity = call.response_id or (f"{trace}:{span_id}" if trace and span_id else None)
        for event in span.get("events") or ():
            _take_event(call, event.get("name"), attrs.flat(event.get("attributes")))
        held = self.waiting.pop(f"{trace}:{span_id}", None)
        if held is not None:
            _take_event(call, _DETAILS, held)
        return self.tree.add(span_id, parent, agent=agent, workflow=workflow, call=call, usage=usage)

    def _place(self, call: Call, resource: dict[str, Any]) -> None:
        """Take what the resource says of where the call was made."""
        self.calls = True
        call.service_name = text_or_none(resource.get("service.name"))
        call.environment = text_or_none(
            attrs.first(resource, ("deployment.environment.name", "deployment.environment"))
        )
        call.process_id = text_or_none(attrs.first(resource, ("service.instance.id", "process.pid", "host.name")))

    def _agent_event(
        self, name: str, values: dict[str, Any], resource: dict[str, Any], event: dict[str, Any]
    ) -> Outcome:
        if not agent_events.is_response(name, values):
            return agent_events.NO_RESPONSE
        when = attrs.named(event, "timeUnixNano")
        if when in (None, 0, "0"):
            when = attrs.named(event, "observedTimeUnixNano")
        call = agent_events.response_call(name, values, _nanos(when), unit="ns")
        self._place(call, resource)
        return call

    def _event(self, resource: dict[str, Any], event: dict[str, Any]) -> list[Outcome]:
        values = attrs.flat(event.get("attributes"))
        body = attrs.value_of(event.get("body"))
        told = agent_events.event_name({"event.name": attrs.named(event, "eventName"), **values}, body)
        if told is not None:
            return [self._agent_event(told, values, resource, event)]
        name = text_or_none(attrs.named(event, "eventName")) or text_or_none(values.get("event.name"))
        if not name or not name.startswith("gen_ai."):
            return [Skip("log record of something else")]
        if isinstance(body, dict):
            values = {**body, **values}
        span_id = attrs.hex_id(attrs.named(event, "spanId"), 8)
        call = self.tree.find(span_id) if span_id else None
        if call is not None:
            _take_event(call, name, values)
        elif name == _DETAILS and span_id and len(self.waiting) < 100_000:
            self.waiting[f"{attrs.hex_id(attrs.named(event, 'traceId'), 16)}:{span_id}"] = values
        return [Skip("contents of a call", claims=NOTHING)]


def _take_event(call: Call, name: Any, values: dict[str, Any]) -> None:
    """Messages that were logged as events of a span, in any of the conventions' generations."""
    if name == _DETAILS or "gen_ai.input.messages" in values:
        attrs.apply_contents(call, values)
    elif name in ("gen_ai.content.prompt", "gen_ai.content.completion"):
        side = "gen_ai.prompt" if str(name).endswith("prompt") else "gen_ai.completion"
        found = attrs.messages_of(attrs.opened(values.get(side)), "user" if side == "gen_ai.prompt" else "assistant")
        if side == "gen_ai.prompt":
            call.messages = call.messages or found
        else:
            call.output = call.output or found
    elif isinstance(name, str) and name.startswith("gen_ai.") and name.endswith(".message"):
        role = name.split(".")[1]
        content = values.get("content")
        if content is not None:
            call.messages = [*(call.messages or []), {"role": role, "content": content}]
    elif name == "gen_ai.choice":
        message = values.get("message")
        if isinstance(message, dict):
            call.output = [*(call.output or []), {"role": "assistant", **message}]


def _spans(record: Any) -> Iterator[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]]:
    """(resource attributes, instrumentation scope, span)."""
    for group in attrs.named(record, "resourceSpans") or ():
        resource = attrs.flat((group.get("resource") or {}).get("attributes"))
        for scope in attrs.named(group, "scopeSpans") or group.get("instrumentationLibrarySpans") or ():
            for span in scope.get("spans") or ():
                yield resource, mapping_or_empty(scope.get("scope", scope.get("instrumentationLibrary"))), span


def _log_records(record: Any) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for group in attrs.named(record, "resourceLogs") or ():
        resource = attrs.flat((group.get("resource") or {}).get("attributes"))
        for scope in attrs.named(group, "scopeLogs") or ():
            for event in attrs.named(scope, "logRecords") or ():
                yield resource, event


def _nanos(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isdigit() else value


def _matches(record: Any) -> bool:
    if metric_points.is_metrics(record):
        return "resource" not in record  # else what the SDK's own writer prints
    return isinstance(record, dict) and not record.keys().isdisjoint(_ENVELOPES)


FORMAT = Format(
    name="otlp",
    title="OTLP JSON traces with GenAI attributes",
    fingerprints=(frozenset({"resourceSpans"}), frozenset({"resourceLogs"})),
    matches=_matches,
    open=Export,
    rank=10,
    splittable=False,
)
