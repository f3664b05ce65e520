"""Telemetry files of coding agents: log records as the OpenTelemetry SDK for JavaScript prints them.

Gemini CLI and Qwen Code write them to `telemetry.outfile`; Claude Code and Codex print the same to a console exporter.
Also rows of a table of log records, as ClickHouse and Loki exports have them. The counts: `ingest.otel.agent_events`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ingest.format_contract import Context, Format, Outcome
from ingest.otel import agent_events
from ingest.otel.genai_attributes import first, flat
from ingest.otel.metric_points import Metrics, is_metrics
from ingest.records.call import Call, Skip, text_or_none

_ATTRIBUTES = ("attributes", "LogAttributes", "log_attributes")
_RESOURCES = ("ResourceAttributes", "resource_attributes")
_TIMES = ("timestamp", "Timestamp", "time")
_BODIES = ("body", "Body")


class Telemetry:
    """Reads the events of one file, and the metrics between them."""

    def __init__(self, context: Context) -> None:  # noqa: ARG002
        self.metrics = Metrics()
        self.calls = False  # whether any record was a call

    def read(self, record: Any, row: int) -> Outcome | list[Outcome]:  # noqa: ARG002
        """The outcomes of one record. Raises BadRecordError if it cannot be used."""
        if is_metrics(record):
            self.metrics.add(record)
            return []
        outcome = _event(record)
        self.calls = self.calls or isinstance(outcome, Call)
        return outcome

    def close(self) -> Iterable[Outcome]:
        """The metrics, whose calls the events may have."""
        return self.metrics.close(calls=self.calls)


def _event(record: Any) -> Outcome:
    values = flat(first(record, _ATTRIBUTES))
    name = agent_events.event_name(values, first(record, _BODIES))
    if name is None:
        return Skip("log record of something else")
    if not agent_events.is_response(name, values):
        return agent_events.NO_RESPONSE
    clock = record.get("hrTime")
    if isinstance(clock, list) and len(clock) == 2 and all(type(part) is int for part in clock):
        call = agent_events.response_call(name, values, clock[0] * 1_000_000_000 + clock[1], unit="ns")
    else:
        call = agent_events.response_call(name, values, first(record, _TIMES))
    resource = record.get("resource")
    inner = resource.get("attributes") if isinstance(resource, dict) else None
    call.service_name = (
        text_or_none(flat(inner or first(record, _RESOURCES)).get("service.name")) or name.partition(".")[0]
    )
    return call


def _matches(record: Any) -> bool:
    if not isinstance(record, dict):
        return False
    if "hrTime" in record or "scopeMetrics" in record:
        return "resource" in record
    return agent_events.event_name(flat(first(record, _ATTRIBUTES)), first(record, _BODIES)) is not None


FORMAT = Format(
    name="agent_telemetry",
    title="Telemetry file of a coding agent",
    fingerprints=(frozenset({"hrTime", "attributes", "resource"}),),
    matches=_matches,
    open=Telemetry,
    rank=12,
    fields=(
        ("start_time", "event.timestamp - duration_ms"), ("model", "model"), ("input_tokens", "input_token_count"),
        ("cache_read_input_tokens", "cached_content_token_count"),
        ("output_tokens", "output_token_count + thoughts_token_count"), ("conversation_id", "session.id"),
        ("identity", "request_id"),
    ),
)  # fmt: skip
