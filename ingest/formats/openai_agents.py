"""OpenAI Agents SDK traces: `trace` and `trace.span` objects (openai/openai-agents-python, src/agents/tracing)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ingest.format_contract import Context, Format, Outcome
from ingest.otel.span_tree import SpanTree
from ingest.records import agent_names
from ingest.records.call import SUM_OF_CALLS, Call, Skip, text_or_none
from ingest.records.timestamps import time_us
from ingest.records.token_usage import apply_usage
from ingest.wire.request_response import apply_bodies, dialect_of, provider_of


class Traces:
    """Reads the spans of one file; the workflow's name stands on the trace, the agent's on an ancestor span."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.tree = SpanTree()
        self.traces: dict[str, dict[str, Any]] = {}

    def read(self, record: Any, row: int) -> list[Outcome]:
        """The outcomes of one record. Raises BadRecordError if it cannot be used."""
        if record.get("object") == "trace":
            name = text_or_none(record.get("id"))
            if name:
                self.traces[name] = record
            return [Skip("trace header")]
        data = record.get("span_data") or {}
        span_id, parent = text_or_none(record.get("id")), text_or_none(record.get("parent_id"))
        kind = data.get("type")
        if kind not in ("generation", "response"):
            agent = text_or_none(data.get("name")) if kind == "agent" else None
            return self.tree.pass_over(span_id, parent, data, "span without a model call", agent=agent)
        call = Call(span_id=span_id, parent_span_id=parent, trace_id=text_or_none(record.get("trace_id")), row=row)
        call.provider_name = "openai"
        answer = data.get("response")
        if isinstance(answer, dict) and dialect_of(answer) is not None:
            apply_bodies(call, {"input": data.get("input"), "model": answer.get("model")}, answer)
        else:
            call.request_model = text_or_none(data.get("model"))
            call.response_id = text_or_none(data.get("response_id"))
            usage = data.get("usage")
            apply_usage(call, usage, "$.span_data.usage")
            requests = usage.get("requests") if isinstance(usage, dict) else None
            if type(requests) is int and requests > 1:
                call.issue(SUM_OF_CALLS, f"the counts are those of {requests} requests")
            call.messages = data.get("input") if isinstance(data.get("input"), list) else None
            call.output = data.get("output") if isinstance(data.get("output"), list) else None
            config = data.get("model_config")
            if isinstance(config, dict):
                call.params = config
                if isinstance(config.get("temperature"), int | float):
                    call.temperature = float(config["temperature"])
        call.provider_name = provider_of(call.response_model or call.request_model) or call.provider_name
        call.start_us, call.time_precision = time_us(record.get("started_at"), "$.started_at", zone=self.context.zone)
        if record.get("ended_at"):
            call.end_us = time_us(record["ended_at"], "$.ended_at", zone=self.context.zone)[0]
        failure = record.get("error")
        if failure:
            call.status = "error"
            call.error_type = text_or_none(failure.get("message") if isinstance(failure, dict) else failure)
        call.identity = call.response_id or span_id
        trace = self.traces.get(call.trace_id or "")
        if trace:
            self._name(call, trace)
        return self.tree.add(span_id, parent, call=call, usage=call.tokens_source != "missing")

    @staticmethod
    def _name(call: Call, trace: dict[str, Any]) -> None:
        call.workflow_name = call.workflow_name or text_or_none(trace.get("workflow_name"))
        call.conversation_id = call.conversation_id or text_or_none(trace.get("group_id"))
        metadata = trace.get("metadata")
        if isinstance(metadata, dict):
            agent_names.from_metadata(call, {key: metadata[key] for key in agent_names.TASK_KEYS if key in metadata})

    def close(self) -> Iterable[Outcome]:
        """The calls still held back at the end of the file."""
        for outcome in self.tree.close():
            if isinstance(outcome, Call) and outcome.trace_id in self.traces:
                self._name(outcome, self.traces[outcome.trace_id])
            yield outcome


FORMAT = Format(
    name="openai_agents",
    title="OpenAI Agents SDK trace",
    fingerprints=(frozenset({"object", "span_data", "trace_id", "started_at"}),),
    matches=lambda record: (
        isinstance(record, dict)
        and (
            (record.get("object") == "trace.span" and isinstance(record.get("span_data"), dict))
            or (record.get("object") == "trace" and "workflow_name" in record)
        )
    ),
    open=Traces,
    rank=21,
    splittable=False,
)
