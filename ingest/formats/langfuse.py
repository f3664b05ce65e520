"""Langfuse: trace downloads of its UI, API lists, blob-storage exports, and ingestion batches (langfuse, 2026-10).

Counts: `ingest.records.usage_details`. CSV exports of the UI quote times as JSON. `latency` is seconds in some exports
and milliseconds in others, so it is never read: the end minus the start is. Agents and chains above a generation may
repeat its usage.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ingest.format_contract import Context, Format, Outcome, catch_reader_errors
from ingest.otel.span_messages import messages_of
from ingest.otel.span_messages import opened as opened_text
from ingest.otel.span_tree import SpanTree
from ingest.records import agent_names
from ingest.records.call import NOTHING, Call, Skip, mapping_or_empty, pico_dollars, text_or_none
from ingest.records.provider_names import provider_name
from ingest.records.timestamps import time_us
from ingest.records.usage_details import apply_usage_details
from ingest.wire.request_response import opened, provider_of

_EVENTS = frozenset(
    f"{kind}-{step}" for kind in ("generation", "span", "event", "observation", "embedding", "agent", "chain", "tool")
    for step in ("create", "update")
)  # fmt: skip
_NO_ANSWER_IDS = ("run_", "thread_", "asst_")  # of the Assistants API: several observations may have one
_HELD = 100_000
_SCORE = frozenset({"id", "project_id", "trace_id", "observation_id", "name", "value", "data_type"})
_TRACE = frozenset({"id", "project_id", "timestamp", "bookmarked", "public", "tags"})
_GENERIC = ("chat ", "ChatOpenAI", "ChatAnthropic", "OpenAI-generation", "openai", "litellm", "generation", "LLM")


class Observations:
    """Reads the observations of one file; session, user and tags stand on the trace."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.tree = SpanTree()
        self.traces: dict[str, dict[str, Any]] = {}
        self.begun: dict[str, tuple[dict[str, Any], int]] = {}  # observations of ingestion events, and their row

    def read(self, record: Any, row: int) -> list[Outcome]:
        """The outcomes of one record. Raises BadRecordError if it cannot be used."""
        found: list[Outcome] = []
        if "observations" in record and ("trace" in record or isinstance(record["observations"], list)):
            trace = mapping_or_empty(record.get("trace")) or record
            self._trace(trace)
            for item in record["observations"]:
                if isinstance(item, dict):
                    found.extend(catch_reader_errors(self._observation, {"traceId": trace.get("id"), **item}, row))
            return found if record["observations"] else [Skip("a trace without observations")]
        if isinstance(record.get("batch"), list):
            for event in record["batch"]:
                found.extend(catch_reader_errors(self._event, event, row))
            return found if record["batch"] else [Skip("an empty batch")]
        other = _exported_beside(record)
        return [Skip(other)] if other else self._observation(record, row)

    def close(self) -> Iterable[Outcome]:
        """The calls still held back at the end of the file."""
        for body, row in self.begun.values():
            yield from catch_reader_errors(self._observation, body, row)
        self.begun.clear()
        for outcome in self.tree.close():
            if isinstance(outcome, Call):
                self._from_trace(outcome)
            yield outcome

    def _event(self, event: Any, row: int) -> list[Outcome]:
        kind, body = str(mapping_or_empty(event).get("type")), mapping_or_empty(mapping_or_empty(event).get("body"))
        if kind == "trace-create":
            self._trace(body)
            return [Skip("trace header")]
        if kind not in _EVENTS:
            return [Skip("event without a model call")]
        name = text_or_none(body.get("id"))
        told = {key: value for key, value in body.items() if value is not None}
        observation = {"type": kind.partition("-")[0].upper(), "updates": True, **told}
        if name is None:
            return self._observation(observation, row)
        begun = self.begun.get(name)
        if begun is not None:  # an observation is created at its start and updated with its usage at its end
            self.begun[name] = ({**begun[0], **told}, begun[1])
            return [Skip("update of an observation", claims=NOTHING)]
        self.begun[name] = (observation, row)
        if len(self.begun) <= _HELD:
            return []
        oldest = next(iter(self.begun))
        return catch_reader_errors(self._observation, *self.begun.pop(oldest))

    def _trace(self, trace: dict[str, Any]) -> None:
        if text_or_none(trace.get("id")):
            self.traces[trace["id"]] = {
                name: trace.get(name) for name in ("name", "sessionId", "userId", "tags", "metadata", "environment")
            }

    def _observation(self, record: dict[str, Any], row: int) -> list[Outcome]:
        def either(camel: str, snake: str) -> Any:
            value = record.get(camel)
            return value if value is not None else record.get(snake)

        kind = str(record.get("type") or "").upper()
        span_id, parent = text_or_none(record.get("id")), text_or_none(
            either("parentObservationId", "parent_observation_id")
        )  # fmt: skip
        name = text_or_none(record.get("name"))
        usage = mapping_or_empty(opened(either("usageDetails", "usage_details")))
        if not usage:
            usage = self._flat_usage(record)
        model = text_or_none(either("model", "provided_model_name")) or text_or_none(record.get("providedModelName"))
        calls = kind in ("GENERATION", "EMBEDDING") or (kind != "AGENT" and bool(usage) and model is not None)
        agent = name if kind == "AGENT" else None
        if not calls:
            return self.tree.pass_over(span_id, parent, record, "observation without a model call", agent=agent)
        call = Call(span_id=span_id, parent_span_id=parent, row=row, replaces=record.get("updates") is True)
        call.trace_id = text_or_none(either("traceId", "trace_id"))
        call.operation_name = "embeddings" if kind == "EMBEDDING" else "chat"
        call.request_model = call.response_model = model
        apply_usage_details(call, usage)
        start = opened_text(either("startTime", "start_time"))
        call.start_us, call.time_precision = time_us(start, "$.startTime", zone=self.context.zone)
        end = opened_text(either("endTime", "end_time"))
        first = opened_text(either("completionStartTime", "completion_start_time"))
        if end:
            call.end_us = time_us(end, "$.endTime", zone=self.context.zone)[0]
        if first:
            gap = time_us(first, "$.completionStartTime", zone=self.context.zone)[0] - call.start_us
            call.time_to_first_chunk_ms = max(0, gap) / 1000
        costs = mapping_or_empty(opened(either("costDetails", "cost_details")))
        total = either("calculatedTotalCost", "total_cost")
        total = record.get("totalCost") if total is None else total
        paid = pico_dollars(costs.get("total", total), "$.costDetails.total")
        call.logged_cost_pico = call.logged_cost_pico if paid is None else paid
        if str(record.get("level")).upper() == "ERROR":
            call.status = "error"
            call.error_type = (text_or_none(either("statusMessage", "status_message")) or "error")[:80]
        self._names(call, record, name, either)
        call.messages = messages_of(opened(record.get("input")), "user")
        call.output = messages_of(opened(record.get("output")), "assistant")
        if call.response_id is None and isinstance(record.get("output"), dict):
            named = text_or_none(record["output"].get("id")) or ""
            call.response_id = None if named.startswith(_NO_ANSWER_IDS) else named or None
        call.identity = call.response_id or span_id
        return self.tree.add(span_id, parent, agent=agent, call=call, usage=bool(usage))

    def _names(self, call: Call, record: dict[str, Any], name: str | None, either: Any) -> None:
        metadata = mapping_or_empty(opened(record.get("metadata")))
        attributes = mapping_or_empty(metadata.get("attributes"))
        agent_names.from_metadata(call, {"agent": attributes.get("gen_ai.agent.name"), **metadata})
        call.response_id = text_or_none(attributes.get("gen_ai.response.id")) or text_or_none(
            metadata.get("response_id")
        )
        given = attributes.get("gen_ai.provider.name") or attributes.get("gen_ai.system") or metadata.get("ls_provider")
        call.provider_name = provider_name(text_or_none(given)) or provider_of(call.response_model)
        call.conversation_id = text_or_none(metadata.get("conversation_id"))
        call.prompt_name = text_or_none(either("promptName", "prompt_name"))
        call.prompt_version = text_or_none(either("promptVersion", "prompt_version"))
        call.environment = text_or_none(record.get("environment"))
        if name and not name.startswith(_GENERIC) and (call.response_model or "") not in name:
            call.span_name = name
        params = mapping_or_empty(opened(either("modelParameters", "model_parameters")))
        call.params = params or None
        temperature = params.get("temperature")
        call.temperature = float(temperature) if isinstance(temperature, int | float) else None
        if type(params.get("max_tokens")) is int:
            call.max_tokens = params["max_tokens"]
        call.workflow_name = text_or_none(record.get("trace_name"))
        tags = opened(record.get("tags"))
        if isinstance(tags, list):
            call.tags = [tag for tag in tags if isinstance(tag, str)] or None
        for column, names in (("user_id", ("userId", "user_id")), ("conversation_id", ("sessionId", "session_id"))):
            setattr(call, column, getattr(call, column) or text_or_none(either(*names)))

    def _from_trace(self, call: Call) -> None:
        trace = self.traces.get(call.trace_id or "", {})
        call.workflow_name = call.workflow_name or text_or_none(trace.get("name"))
        call.conversation_id = call.conversation_id or text_or_none(trace.get("sessionId"))
        call.user_id = call.user_id or text_or_none(trace.get("userId"))
        tags = trace.get("tags")
        if call.tags is None and isinstance(tags, list):
            call.tags = [tag for tag in tags if isinstance(tag, str)] or None
        agent_names.from_metadata(call, opened(trace.get("metadata")))

    @staticmethod
    def _flat_usage(record: dict[str, Any]) -> dict[str, Any]:
        """The older columns: `usage` with its own names, or inputUsage, promptTokens and their kin."""
        usage = mapping_or_empty(opened(record.get("usage")))
        if usage.get("unit") not in (None, "", "TOKENS"):
            return {}  # characters, images, seconds
        for names in (
            ("input", "output", "total"), ("promptTokens", "completionTokens", "totalTokens"),
            ("inputUsage", "outputUsage", "totalUsage"),
        ):  # fmt: skip
            for source in (usage, record):
                found = {key: source.get(name) for key, name in zip(("input", "output", "total"), names, strict=True)}
                if _is_count(found["input"]) or _is_count(found["output"]):
                    return {key: value for key, value in found.items() if value not in (None, "")}
        return {key: value for key, value in usage.items() if _is_count(value) or isinstance(value, dict)}


def _is_count(value: Any) -> bool:
    return type(value) is int or (isinstance(value, str) and value.isdigit())


def _exported_beside(record: dict[str, Any]) -> str | None:
    """What a row of a blob-storage export is that lies beside its observations (field reference of 2026-07)."""
    keys = record.keys()
    if keys >= _SCORE:
        return "a score, which is not read"
    if keys >= _TRACE and "type" not in keys:
        return "a trace, whose fields are read from observations_v2"
    return None


def _matches(record: Any) -> bool:
    if not isinstance(record, dict):
        return False
    keys = record.keys()
    if ("trace" in keys and "observations" in keys) or _exported_beside(record):
        return True
    if isinstance(record.get("observations"), list) and {"id", "timestamp"} <= keys:
        return True
    if {"traceId", "type", "startTime"} <= keys and keys & {"usageDetails", "parentObservationId", "modelParameters"}:
        return True
    if {"trace_id", "type", "start_time"} <= keys and keys & {"usage_details", "provided_model_name"}:
        return True
    batch = record.get("batch")
    return (
        isinstance(batch, list) and bool(batch) and isinstance(batch[0], dict) and {"type", "body"} <= batch[0].keys()
        and str(batch[0]["type"]).endswith(("-create", "-update"))
    )  # fmt: skip


FORMAT = Format(
    name="langfuse",
    title="Langfuse export",
    fingerprints=(
        frozenset({"trace", "observations"}),
        frozenset({"traceId", "type", "startTime", "usageDetails"}),
        frozenset({"trace_id", "type", "start_time", "usage_details"}),
    ),
    matches=_matches,
    open=Observations,
    rank=15,
    splittable=False,
)
