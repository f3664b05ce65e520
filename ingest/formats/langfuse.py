"""Langfuse: trace downloads of its UI, API lists, blob-storage exports, and ingestion batches (langfuse, 2026-10).

Input and output counts leave out every detail (cache, reasoning, audio). `latency` is seconds in some exports and
milliseconds in others, so it is never read: the end minus the start is. Agents and chains above a generation may
repeat its usage.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ingest.format_contract import Context, Format, Outcome, catch_reader_errors
from ingest.otel.span_messages import messages_of
from ingest.otel.span_tree import SpanTree
from ingest.records import agent_names
from ingest.records.call import BadRecordError, Call, Skip, mapping_or_empty, pico_dollars, text_or_none, token_count
from ingest.records.provider_names import provider_name
from ingest.records.timestamps import time_us
from ingest.records.token_usage import settle
from ingest.wire.request_response import opened, provider_of

_READ = (
    "input_cached_tokens",
    "cache_read_input_tokens",
    "input_cache_read",
    "input_cached",
    "prompt_details.cache_read",
)
_WRITE = ("input_cache_creation", "cache_creation_input_tokens", "input_cache_write")
_GENERIC = ("chat ", "ChatOpenAI", "ChatAnthropic", "OpenAI-generation", "openai", "litellm", "generation", "LLM")


class Observations:
    """Reads the observations of one file; session, user and tags stand on the trace."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.tree = SpanTree()
        self.traces: dict[str, dict[str, Any]] = {}

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
        return self._observation(record, row)

    def close(self) -> Iterable[Outcome]:
        """The calls still held back at the end of the file."""
        for outcome in self.tree.close():
            if isinstance(outcome, Call):
                self._from_trace(outcome)
            yield outcome

    def _event(self, event: Any, row: int) -> list[Outcome]:
        kind, body = str(mapping_or_empty(event).get("type")), mapping_or_empty(mapping_or_empty(event).get("body"))
        if kind == "trace-create":
            self._trace(body)
            return [Skip("trace header")]
        if kind in ("generation-create", "span-create", "event-create", "observation-create", "generation-update"):
            return self._observation({"type": kind.partition("-")[0].upper(), **body}, row)
        return [Skip("event without a model call")]

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
            return [*self.tree.add(span_id, parent, agent=agent), Skip("observation without a model call")]
        call = Call(span_id=span_id, parent_span_id=parent, row=row)
        call.trace_id = text_or_none(either("traceId", "trace_id"))
        call.operation_name = "embeddings" if kind == "EMBEDDING" else "chat"
        call.request_model = call.response_model = model
        if model is None:
            self.tree.add(span_id, parent)
            raise BadRecordError("a generation without a model", "$.model")
        counts_of(call, usage)
        start = either("startTime", "start_time")
        call.start_us, call.time_precision = time_us(start, "$.startTime", zone=self.context.zone)
        end, first = either("endTime", "end_time"), either("completionStartTime", "completion_start_time")
        if end:
            call.end_us = time_us(end, "$.endTime", zone=self.context.zone)[0]
        if first:
            gap = time_us(first, "$.completionStartTime", zone=self.context.zone)[0] - call.start_us
            call.time_to_first_chunk_ms = max(0, gap) / 1000
        costs = mapping_or_empty(opened(either("costDetails", "cost_details")))
        total = either("calculatedTotalCost", "total_cost")
        total = record.get("totalCost") if total is None else total
        call.logged_cost_pico = pico_dollars(costs.get("total", total), "$.costDetails.total")
        if str(record.get("level")).upper() == "ERROR":
            call.status = "error"
            call.error_type = (text_or_none(either("statusMessage", "status_message")) or "error")[:80]
        self._names(call, record, name, either)
        call.messages = messages_of(opened(record.get("input")), "user")
        call.output = messages_of(opened(record.get("output")), "assistant")
        if call.response_id is None and isinstance(record.get("output"), dict):
            call.response_id = text_or_none(record["output"].get("id"))
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
        usage = mapping_or_empty(record.get("usage"))
        for names in (
            ("input", "output", "total"), ("promptTokens", "completionTokens", "totalTokens"),
            ("inputUsage", "outputUsage", "totalUsage"),
        ):  # fmt: skip
            for source in (usage, record):
                found = {key: source.get(name) for key, name in zip(("input", "output", "total"), names, strict=True)}
                if type(found["input"]) is int or type(found["output"]) is int:
                    return {key: value for key, value in found.items() if value is not None}
        return {}


def counts_of(call: Call, usage: dict[str, Any]) -> None:
    """Inclusive counts from `usage_details`, whose details were taken out of `input` and `output`."""
    counts = {key: token_count(value, f"$.usageDetails.{key}") for key, value in usage.items()}
    asked = [(key, count) for key, count in counts.items() if "input" in key.lower() and count is not None]
    made = [(key, count) for key, count in counts.items() if "output" in key.lower() and count is not None]
    read = next((counts[key] for key in _READ if counts.get(key) is not None), None)
    written = next((counts[key] for key in _WRITE if counts.get(key) is not None), None)
    hour = counts.get("input_cache_creation_1h")
    if written is None and (hour is not None or counts.get("input_cache_creation_5m") is not None):
        written = (hour or 0) + (counts.get("input_cache_creation_5m") or 0)
    elif written is not None:  # the parts of a sum that is there too are no further tokens
        asked = [(key, count) for key, count in asked if not key.endswith(("_5m", "_1h"))]
    reasoning = counts.get("output_reasoning_tokens", counts.get("output_reasoning"))
    call.audio_input_tokens = counts.get("input_audio_tokens", counts.get("input_audio"))
    call.audio_output_tokens = counts.get("output_audio_tokens", counts.get("output_audio"))
    total = counts.get("total")
    in_sum = sum(count for _, count in asked) if asked else None
    out_sum = sum(count for _, count in made) if made else None
    plain_in, plain_out = counts.get("input"), counts.get("output")
    if total is not None and in_sum is not None and out_sum is not None and in_sum + out_sum != total:
        # the total tells which of the two readings this exporter used
        if plain_in is not None and plain_out is not None and plain_in + plain_out == total:
            in_sum, out_sum = plain_in, plain_out
        elif plain_in is not None and plain_in + out_sum == total:
            in_sum = plain_in
        elif plain_out is not None and in_sum + plain_out == total:
            out_sum = plain_out
        elif in_sum + out_sum > total:
            call.issue("total_below_parts", f"total {total}, parts {in_sum + out_sum}")
            total = None
    settle(
        call, input_tokens=in_sum, output_tokens=out_sum, cache_read=read, cache_write=written, cache_write_1h=hour,
        reasoning=reasoning, total=total,
    )  # fmt: skip


def _matches(record: Any) -> bool:
    if not isinstance(record, dict):
        return False
    keys = record.keys()
    if "trace" in keys and "observations" in keys:
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
