"""OTLP exports in protobuf (opentelemetry-proto 1.x), as the documents of OTLP JSON; ids become base64."""

from __future__ import annotations

from typing import Any, Final

# by signal: its groups, their scopes, and the records in those
GROUPS: Final = {
    "traces": ("resourceSpans", "scopeSpans", "spans"),
    "logs": ("resourceLogs", "scopeLogs", "logRecords"),
    "metrics": ("resourceMetrics", "scopeMetrics", "metrics"),
}
_MESSAGES: Final = {
    "traces": ("trace.v1.trace_service_pb2", "ExportTraceServiceRequest"),
    "logs": ("logs.v1.logs_service_pb2", "ExportLogsServiceRequest"),
    "metrics": ("metrics.v1.metrics_service_pb2", "ExportMetricsServiceRequest"),
}
_DATA: Final = ("gauge", "sum", "histogram", "exponentialHistogram", "summary")  # of which a metric has one


class NotOtlpError(ValueError):
    """Bytes that are no export of the signal."""


def decode_export(signal: str, data: bytes) -> dict[str, Any]:
    """The export of a signal (traces, logs, metrics).

    Raises NotOtlpError, ImportError where the extra `watch` is not installed.
    """
    from importlib import import_module

    from google.protobuf.json_format import MessageToDict
    from google.protobuf.message import DecodeError

    module, name = _MESSAGES[signal]
    message = getattr(import_module(f"opentelemetry.proto.collector.{module}"), name)
    try:
        document: dict[str, Any] = MessageToDict(message.FromString(data))
    except (DecodeError, ValueError, RecursionError):
        raise NotOtlpError(f"not a protobuf export of {signal}, or cut short") from None
    # the other signals share field numbers, so that their bodies decode into records without what every record has
    groups, scopes, records = GROUPS[signal]
    found = [
        record
        for group in document.get(groups, ())
        for scope in group.get(scopes, ())
        for record in scope.get(records, ())
    ]
    if data and (not document or (found and not any(_whole(signal, record) for record in found))):
        raise NotOtlpError(f"not a protobuf export of {signal}")
    return document


def decode_any(data: bytes) -> dict[str, Any]:
    """The export in bytes of an unknown signal. Raises NotOtlpError, ImportError."""
    for signal in GROUPS:
        try:
            return decode_export(signal, data)
        except NotOtlpError:
            continue
    raise NotOtlpError("not a protobuf export of traces, logs or metrics, or cut short")


def _whole(signal: str, record: dict[str, Any]) -> bool:
    if signal == "traces":
        return bool(record.get("traceId") and record.get("spanId"))
    if signal == "logs":
        return any(record.get(name) for name in ("timeUnixNano", "observedTimeUnixNano", "attributes"))
    return any(name in record for name in _DATA)
