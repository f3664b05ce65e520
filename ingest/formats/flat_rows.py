"""Rows that keep each fact of a call at a place of its own: a gateway's log line, a row of a table.

A `RowLayout` names the places as dotted paths; a path leads through objects, lists and JSON in strings. Of several
paths for one fact the first that holds a value counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ingest.format_contract import Context
from ingest.records import agent_names
from ingest.records.call import Call, pico_dollars, text_or_none, token_count
from ingest.records.json_paths import Getter, getter
from ingest.records.provider_names import provider_name
from ingest.records.timestamps import time_us
from ingest.records.token_counts import settle
from ingest.records.token_usage import apply_usage
from ingest.wire.request_response import apply_bodies, apply_request, dialect_of, opened, provider_of, take_file_time

_TOKENS = ("audio_input_tokens", "audio_output_tokens", "image_input_tokens", "image_output_tokens")
_TEXTS = (
    "trace_id", "span_id", "parent_span_id", "response_id", "request_id", "conversation_id", "request_model",
    "response_model", "service_tier", "region", "error_type", "finish_reason", "agent", "task", "workflow_name",
    "prompt_name", "prompt_version", "user_id", "team", "environment", "service_name", "api_key_alias", "span_name",
)  # fmt: skip
_TRUE = ("true", "1", "hit", "yes")
_FALSE = ("false", "0", "no", "failed", "failure", "error")


@dataclass(frozen=True)
class RowLayout:
    """Where the rows of one log keep the facts of a call: fact -> paths.

    Facts are the text fields of `Call` and: start, end, duration, first_chunk (in `ms_per_unit` milliseconds), input,
    output, cache_read, cache_write, cache_write_1h, reasoning, total, usage (a provider's usage object, which counts
    before the single counts), cost, http_status, success, error (present: an error), cached (true: answered by the
    gateway's own cache), streamed, request and response (bodies), messages, answer, metadata, tags, provider.
    """

    paths: Mapping[str, tuple[str, ...]]
    cache_inside: bool | None = True  # whether the input count includes cache reads and writes; None: not known
    reasoning_inside: bool = True  # whether the output count includes reasoning
    ms_per_unit: float = 1.0
    getters: dict[str, tuple[Getter, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        compiled = {fact: tuple(getter(path) for path in paths) for fact, paths in self.paths.items()}
        object.__setattr__(self, "getters", compiled)

    def value(self, record: Any, fact: str) -> Any:
        """The fact's first value that is not empty; None where the row tells none."""
        for get in self.getters.get(fact, ()):
            found = get((record,))
            if found is not None and found != "":
                return found
        return None

    def call(self, record: dict[str, Any], context: Context) -> Call:
        """The call of one row. Raises BadRecordError if a count, an amount or a time is none."""

        def told(fact: str) -> Any:
            return self.value(record, fact)

        call = Call(operation_name="chat")
        self._contents(call, record)
        for name in _TEXTS:
            if name in self.getters:
                setattr(call, name, text_or_none(told(name)) or getattr(call, name))
        call.request_model = call.request_model or call.response_model
        call.response_model = call.response_model or call.request_model
        call.provider_name = provider_name(text_or_none(told("provider"))) or call.provider_name
        call.provider_name = call.provider_name or provider_of(call.response_model)
        if call.tokens_source in (None, "missing"):
            self._tokens(call, record)
        if told("start") is not None:
            call.start_us, call.time_precision = time_us(told("start"), "$.start", zone=context.zone)
        if told("end") is not None:
            call.end_us = time_us(told("end"), "$.end", zone=context.zone)[0]
        call.duration_ms = self._milliseconds(told("duration"), call.duration_ms)
        if call.start_us is None and call.end_us is not None and call.duration_ms is not None:
            call.start_us = call.end_us - round(call.duration_ms * 1000)
            call.time_precision = "ms"
        if call.start_us is None:
            take_file_time(call, context)
        call.time_to_first_chunk_ms = self._milliseconds(told("first_chunk"), None)
        if told("cost") is not None:
            call.logged_cost_pico = pico_dollars(told("cost"), "$.cost")
        self._outcome(call, record)
        metadata = opened(told("metadata"))
        agent_names.from_metadata(call, metadata)
        tags = opened(told("tags"))
        if isinstance(tags, list):
            call.tags = [tag for tag in tags if isinstance(tag, str)] or None
        if call.agent is not None:
            call.agent_source = call.agent_source or "attribute"
        call.identity = call.response_id
        return call

    def _contents(self, call: Call, record: dict[str, Any]) -> None:
        request, response = opened(self.value(record, "request")), opened(self.value(record, "response"))
        if dialect_of(response) is not None:
            apply_bodies(call, request, response)
        elif isinstance(request, dict):
            apply_request(call, request, None)
        messages, answer = opened(self.value(record, "messages")), opened(self.value(record, "answer"))
        if isinstance(messages, list) and messages:
            call.messages = [
                one if isinstance(one, dict) else {"role": "user", "content": str(one)} for one in messages
            ]
        elif isinstance(messages, str):
            call.messages = [{"role": "user", "content": messages}]
        if isinstance(answer, dict):
            call.output = [answer]
        elif isinstance(answer, list):
            call.output = [one for one in answer if isinstance(one, dict)] or call.output
        elif isinstance(answer, str):
            call.output = [{"role": "assistant", "content": answer}]

    def _tokens(self, call: Call, record: dict[str, Any]) -> None:
        usage = opened(self.value(record, "usage"))
        if isinstance(usage, dict) and usage:
            apply_usage(call, usage, "$." + self.paths["usage"][0])
            if call.tokens_source != "missing":
                return

        def counted(fact: str) -> int | None:
            return token_count(self.value(record, fact), f"$.{fact}")

        asked, made, reasoning = counted("input"), counted("output"), counted("reasoning")
        read, written = counted("cache_read"), counted("cache_write")
        for name in _TOKENS:
            setattr(call, name, counted(name))
        settle(
            call, input_tokens=asked, output_tokens=made, cache_read=read, cache_write=written,
            cache_write_1h=counted("cache_write_1h"), reasoning=reasoning, total=counted("total"),
            cache_inside=self.cache_inside, reasoning_inside=self.reasoning_inside,
        )  # fmt: skip

    def _outcome(self, call: Call, record: dict[str, Any]) -> None:
        status = text_or_none(self.value(record, "http_status"))
        if status and status.isdigit() and 100 <= int(status) < 1000:
            call.http_status = int(status)
        failed = self.value(record, "error")
        success = text_or_none(self.value(record, "success"))
        if (call.http_status or 0) >= 400 or (success or "").lower() in _FALSE or failed:
            call.status = "error"
            if isinstance(failed, dict):
                kind = failed.get("code") or failed.get("type") or failed.get("exception_type")
                call.error_type = (text_or_none(kind) or "error")[:80]
        if (text_or_none(self.value(record, "cached")) or "").lower() in _TRUE:
            call.status = "gateway_cache_hit"
        streamed = text_or_none(self.value(record, "streamed"))
        call.stream = call.stream if streamed is None else streamed.lower() in _TRUE

    def _milliseconds(self, value: Any, otherwise: float | None) -> float | None:
        if isinstance(value, bool) or value is None:
            return otherwise
        try:
            found = float(value) * self.ms_per_unit
        except (TypeError, ValueError):
            return otherwise
        return found if 0 <= found < 1e12 else otherwise
