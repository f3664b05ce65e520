"""OpenTelemetry spans in other envelopes than OTLP: Logfire's rows, the console exporter, Jaeger, Arize's columns,
Copilot Chat's `agent-traces.db`.

Each is put into OTLP's and read as that, so that every dialect of attributes is read the same way. Shapes: Logfire's
`records` table, opentelemetry-sdk's ConsoleSpanExporter, Jaeger's query API, Arize and Phoenix data frames (2026-10).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ingest.format_contract import Context, Format, Outcome
from ingest.formats import otlp
from ingest.records.call import Skip, mapping_or_empty
from ingest.records.timestamps import time_us
from ingest.wire.request_response import opened

_FRAME = "attributes."
# columns of `spans` in the agent-traces.db of Copilot Chat -> attributes
_COLUMNS = {
    "operation_name": "gen_ai.operation.name", "provider_name": "gen_ai.provider.name",
    "agent_name": "gen_ai.agent.name", "request_model": "gen_ai.request.model",
    "response_model": "gen_ai.response.model", "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens", "cached_tokens": "gen_ai.usage.cache_read.input_tokens",
    "reasoning_tokens": "gen_ai.usage.reasoning.output_tokens", "chat_session_id": "gen_ai.conversation.id",
}  # fmt: skip
_LOGFIRE_TIMES = ("start_timestamp", "end_timestamp")


class Spans:
    """Reads the spans of one file."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.export = otlp.Export(context)

    def read(self, record: Any, row: int) -> list[Outcome]:
        """The outcomes of one record. Raises BadRecordError if it cannot be used."""
        spans = list(self._spans(record))
        if not spans:
            return [Skip("a trace without spans")]
        return self.export.read({"resourceSpans": spans}, row)

    def close(self) -> Iterable[Outcome]:
        """The calls still held back at the end of the file."""
        return self.export.close()

    def _spans(self, record: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if record.get("database") == "agent_traces":
            yield self._traced(record)
        elif "operationName" in record or "spans" in record:
            yield from self._jaeger(record)
        elif "start_timestamp" in record:
            yield self._logfire(record)
        elif any(key.startswith(_FRAME) for key in record):
            yield self._frame(record)
        else:
            yield self._console(record)

    def _nanos(self, value: Any) -> str | None:
        if value in (None, ""):
            return None
        return str(time_us(value, "$.start_time", zone=self.context.zone)[0] * 1000)

    def _jaeger(self, record: dict[str, Any]) -> Iterator[dict[str, Any]]:
        processes = mapping_or_empty(record.get("processes"))
        for span in record.get("spans", [record]):
            start = int(span["startTime"])  # both count microseconds
            parents = [one.get("spanID") for one in span.get("references") or () if one.get("refType") == "CHILD_OF"]
            process = mapping_or_empty(processes.get(span.get("processID"))) or mapping_or_empty(span.get("process"))
            resource = {**_tags(process.get("tags")), "service.name": process.get("serviceName")}
            values = _tags(span.get("tags"))
            failed = values.get("error") is True or values.get("otel.status_code") == "ERROR"
            yield _enveloped(
                span.get("operationName"), span.get("traceID"), span.get("spanID"), parents[0] if parents else None,
                str(start * 1000), str((start + int(span.get("duration") or 0)) * 1000), values, resource,
                scope=values.get("otel.scope.name") or values.get("otel.library.name"), failed=failed,
            )  # fmt: skip

    def _logfire(self, record: dict[str, Any]) -> dict[str, Any]:
        started, ended = (self._nanos(record.get(name)) for name in _LOGFIRE_TIMES)
        resource = mapping_or_empty(opened(record.get("otel_resource_attributes")))
        failed = record.get("is_exception") is True or record.get("otel_status_code") == "ERROR"
        return _enveloped(
            record.get("span_name"), record.get("trace_id"), record.get("span_id"), record.get("parent_span_id"),
            started, ended, mapping_or_empty(opened(record.get("attributes"))),
            {**resource, "service.name": record.get("service_name")},
            scope=record.get("otel_scope_name"), failed=failed,
        )  # fmt: skip

    def _console(self, record: dict[str, Any]) -> dict[str, Any]:
        where = mapping_or_empty(record.get("context"))
        resource = mapping_or_empty(record.get("resource"))
        return _enveloped(
            record.get("name"), where.get("trace_id"), where.get("span_id"), record.get("parent_id"),
            self._nanos(record.get("start_time")), self._nanos(record.get("end_time")),
            mapping_or_empty(record.get("attributes")), mapping_or_empty(resource.get("attributes")),
            failed=mapping_or_empty(record.get("status")).get("status_code") == "ERROR",
            events=record.get("events"),
        )  # fmt: skip

    def _traced(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row of Copilot Chat's `spans`, whose columns repeat some of its attributes."""
        columns = {ours: row[theirs] for theirs, ours in _COLUMNS.items() if row.get(theirs) is not None}
        started, ended = (
            None if at is None else str(int(at) * 1_000_000)
            for at in (row.get("start_time_ms"), row.get("end_time_ms"))
        )
        return _enveloped(
            row.get("name"), row.get("trace_id"), row.get("span_id"), row.get("parent_span_id"), started, ended,
            {**mapping_or_empty(row.get("attributes")), **columns}, {"service.name": "copilot-chat"},
            failed=row.get("status_code") == 2,
        )  # fmt: skip

    def _frame(self, record: dict[str, Any]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, value in record.items():
            if key.startswith(_FRAME) and value is not None:
                _flatten(key.removeprefix(_FRAME), opened(value), values)
        kind = record.get("span_kind")
        if kind and "openinference.span.kind" not in values:
            values["openinference.span.kind"] = kind
        return _enveloped(
            record.get("name"), record.get("context.trace_id"), record.get("context.span_id"),
            record.get("parent_id") or None, self._nanos(record.get("start_time")),
            self._nanos(record.get("end_time")), values, {}, failed=record.get("status_code") == "ERROR",
        )  # fmt: skip


def _enveloped(
    name: Any, trace: Any, span_id: Any, parent: Any, started: str | None, ended: str | None,
    attributes: dict[str, Any], resource: dict[str, Any], *, scope: Any = None, failed: bool = False,
    events: Any = None,
) -> dict[str, Any]:  # fmt: skip
    """One span as the only one of an OTLP export."""
    span = {
        "name": name, "traceId": trace, "spanId": span_id, "parentSpanId": parent, "startTimeUnixNano": started,
        "endTimeUnixNano": ended, "attributes": attributes, "status": {"code": 2 if failed else 1},
        "events": [one for one in events if isinstance(one, dict)] if isinstance(events, list) else [],
    }  # fmt: skip
    scopes = [{"scope": {"name": scope}, "spans": [span]}]
    return {"resource": {"attributes": {key: one for key, one in resource.items() if one}}, "scopeSpans": scopes}


def _flatten(name: str, value: Any, into: dict[str, Any]) -> None:
    if isinstance(value, dict) and name not in ("metadata", "llm.invocation_parameters"):
        for key, inner in value.items():
            _flatten(f"{name}.{key}", inner, into)
    elif isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        for place, inner in enumerate(value):
            _flatten(f"{name}.{place}", inner, into)
    else:
        into[name] = value


def _tags(tags: Any) -> dict[str, Any]:
    found = {}
    for tag in tags if isinstance(tags, list) else ():
        if isinstance(tag, dict) and isinstance(tag.get("key"), str):
            value = tag.get("value")
            if isinstance(value, str) and tag.get("type") in ("int64", "float64"):
                value = int(value) if tag["type"] == "int64" else float(value)
            found[tag["key"]] = value
    return found


def _matches(record: Any) -> bool:
    if not isinstance(record, dict):
        return False
    keys = record.keys()
    if "database" in keys:
        return bool(record["database"] == "agent_traces")
    if keys >= {"traceID", "spans"} or keys >= {"traceID", "spanID", "operationName"}:
        return True
    if keys >= {"start_timestamp", "trace_id", "span_id", "attributes"}:
        return True
    if keys >= {"context.span_id", "start_time"}:
        return any(key.startswith(_FRAME) for key in keys)
    where = record.get("context")
    return isinstance(where, dict) and "span_id" in where and keys >= {"start_time", "attributes", "parent_id", "kind"}


FORMAT = Format(
    name="otel_rows",
    title="OpenTelemetry spans of Logfire, the console exporter, Jaeger, Arize or Copilot Chat",
    fingerprints=(
        frozenset({"start_timestamp", "end_timestamp", "trace_id", "span_id", "attributes"}),
        frozenset({"name", "context", "kind", "parent_id", "start_time", "attributes"}),
        frozenset({"traceID", "spans", "processes"}),
        frozenset({"context.span_id", "context.trace_id", "start_time", "span_kind"}),
    ),
    matches=_matches,
    open=Spans,
    rank=25,
    splittable=False,
    csv_columns=frozenset({"context.span_id", "start_time"}),
)
