"""The body of an OTLP export request: inflated within bounds, decoded, and cut down to what a call can be made of.

Protobuf and JSON bodies become the same lines of OTLP JSON (opentelemetry-proto 1.x, "JSON Protobuf Encoding"; ids of
protobuf bodies are base64). Log records that tell no call are left out, and of spans that are no call only what links
and names their descendants is kept: URLs, statements and headers of other instrumentations never reach the disk.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Final

import msgspec

from ingest.files.otlp_protobuf import GROUPS, NotOtlpError, decode_export
from ingest.format_contract import READER_ERRORS
from ingest.formats.otlp_received import MARK
from ingest.otel import agent_events
from ingest.otel import genai_attributes as attrs
from ingest.receive.open_traces import OpenTraces

MOST_BYTES: Final = 64 << 20  # of a body, packed or not
RECORDS_A_LINE: Final = 64
_LINKS: Final = ("traceId", "trace_id", "spanId", "span_id", "parentSpanId", "parent_span_id")
_AGENT_LINKS: Final = {"agent": ("name",), "llm": (), "other": ()}  # the name of an agent's span may be the agent's
_NAMES: Final = (
    *attrs.WORKFLOW, *attrs.AGENT, "traceloop.entity.name", "gen_ai.operation.name", "traceloop.span.kind",
    "openinference.span.kind", "mlflow.spanType", "langfuse.observation.type",
)  # fmt: skip
_BLOCK: Final = 1 << 20
_encode = msgspec.json.Encoder().encode


class RefusedError(Exception):
    """A request that is not taken: the HTTP status, one line that says why, and when to try again (None: never)."""

    def __init__(self, status: int, message: str, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.retry_after_s = retry_after_s


@dataclass
class Export:
    """What one request brought: `lines` for the journal, how many records are in them, and how many were left out."""

    lines: list[bytes] = field(default_factory=list)
    kept: int = 0
    left_out: int = 0


def inflated(data: bytes, encoding: str) -> bytes:
    """The body without its content encoding. Raises RefusedError for an unknown, cut, damaged or too large one."""
    if encoding in ("", "identity"):
        return data
    if encoding not in ("gzip", "x-gzip"):
        raise RefusedError(415, f"content encoding {encoding[:40]!r} is not supported: use gzip or none")
    found: list[bytes] = []
    size = 0
    while data:  # a gzip stream may have several members
        member = zlib.decompressobj(wbits=31)
        try:
            while data and not member.eof:
                block = member.decompress(data, _BLOCK)
                size += len(block)
                if size > MOST_BYTES:
                    raise RefusedError(413, f"more than {MOST_BYTES >> 20} MiB when decompressed: send smaller batches")
                found.append(block)
                data = member.unconsumed_tail
        except zlib.error:
            raise RefusedError(400, "the body is not gzip as its content encoding says") from None
        if not member.eof:
            raise RefusedError(400, "the gzip body is cut short")
        data = member.unused_data
    return b"".join(found)


def read_export(signal: str, content_type: str, data: bytes, traces: OpenTraces) -> Export:
    """The export in a body of `signal` (logs, traces), with its spans added to `traces`.

    Raises RefusedError where it is none.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/json":
        document = _json(signal, data)
    elif kind == "application/x-protobuf":
        document = _protobuf(signal, data)
    else:
        raise RefusedError(
            415, f"content type {kind[:60]!r} is not supported: use application/x-protobuf or application/json"
        )
    export = Export()
    try:
        take_document(signal, document, export, traces)
    except READER_ERRORS:
        raise RefusedError(400, f"the body is not an OTLP export of {signal}") from None
    return export


def _json(signal: str, data: bytes) -> dict[str, Any]:
    try:
        document = msgspec.json.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise RefusedError(400, f"the body is not JSON: {str(error)[:120]}") from None
    if not isinstance(document, dict):
        raise RefusedError(400, f"the body is not an OTLP export of {signal}")
    for other, (name, *_) in GROUPS.items():
        if other != signal and attrs.named(document, name) is not None:
            raise RefusedError(400, f"an export of {other} was sent to /v1/{signal}")
    top = GROUPS[signal][0]
    if document and attrs.named(document, top) is None:
        raise RefusedError(400, f"the body is not an OTLP export of {signal}: it has no {top}")
    return document


def has_protobuf() -> bool:
    """Whether protobuf bodies can be read: the extra `watch` is installed."""
    try:
        return find_spec("opentelemetry.proto.collector") is not None
    except ImportError:  # of a package above it
        return False


def _protobuf(signal: str, data: bytes) -> dict[str, Any]:
    try:
        return decode_export(signal, data)
    except ImportError:
        raise RefusedError(
            415,
            "protobuf cannot be read here: pip install 'llm-hindcast[watch]', or send "
            "OTEL_EXPORTER_OTLP_PROTOCOL=http/json",
        ) from None
    except NotOtlpError as error:
        raise RefusedError(400, f"the body is {error}") from None


def take_document(signal: str, document: dict[str, Any], export: Export, traces: OpenTraces) -> None:
    """Add the lines of a decoded body to `export`. Raises READER_ERRORS for what is no export."""
    top, scopes, records = GROUPS[signal]
    for group in attrs.named(document, top) or ():
        inner = attrs.named(group, scopes) or group.get("instrumentationLibrarySpans") or ()
        for scope in inner:
            kept = []
            for record in attrs.named(scope, records) or ():
                found = _kept_log(record) if signal == "logs" else _kept_span(record, traces)
                if found is None:
                    export.left_out += 1
                else:
                    kept.append(found)
            export.kept += len(kept)
            named = scope.get("scope", scope.get("instrumentationLibrary"))
            for chunk in _chunks(kept):
                line = {
                    MARK: 1,
                    top: [{"resource": _resource(group.get("resource")), scopes: [{"scope": named, records: chunk}]}],
                }
                export.lines.append(_encode(line))


def _resource(resource: Any) -> dict[str, Any]:
    """What a call takes of its resource; command lines and environments stay out."""
    values = attrs.flat((resource or {}).get("attributes"))
    return {"attributes": {name: value for name, value in values.items() if name in RESOURCE}}


RESOURCE: Final = (
    "service.name", "deployment.environment.name", "deployment.environment", "service.instance.id", "process.pid",
    "host.name", "telemetry.sdk.name",
)  # fmt: skip


def _kept_log(record: dict[str, Any]) -> dict[str, Any] | None:
    """The record if it is a response of an agent or tells the contents of a call."""
    values = attrs.flat(record.get("attributes"))
    body = attrs.value_of(record.get("body"))
    name = attrs.named(record, "eventName")
    told = agent_events.event_name({"event.name": name, **values}, body)
    if told is not None:
        return record if agent_events.is_response(told, values) else None
    name = name or values.get("event.name")
    return record if isinstance(name, str) and name.startswith("gen_ai.") else None


def _kept_span(span: dict[str, Any], traces: OpenTraces) -> dict[str, Any]:
    """The span; of one that is no model call of its own only its ids and what names those below it."""
    values = attrs.flat(span.get("attributes"))
    kind = attrs.operation(values)
    repeats = traces.add(span, values, kind)
    if span.get("name") == agent_events.CLAUDE_SPAN or (kind != "other" and not repeats):
        return span
    kept: dict[str, Any] = {name: span[name] for name in (*_LINKS, *_AGENT_LINKS[kind]) if name in span}
    return {**kept, "attributes": {name: values[name] for name in _NAMES if name in values}}


def _chunks(records: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    for start in range(0, len(records), RECORDS_A_LINE):
        yield records[start : start + RECORDS_A_LINE]
