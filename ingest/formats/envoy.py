"""Envoy AI Gateway's access log: one flat object a request, with GenAI attributes under their own names.

`-` stands for what is absent. Shape: aigateway.envoyproxy.io, access logs (2026-10).
"""

from __future__ import annotations

from typing import Any

from ingest.format_contract import Context, Format, Outcome, stateless
from ingest.otel import genai_attributes as attrs
from ingest.records.call import Call, Skip, text_or_none
from ingest.records.provider_names import provider_name
from ingest.records.timestamps import time_us
from ingest.wire.request_response import provider_of

_TIMES = ("start_time", "timestamp", "@timestamp", "time")
# what the gateway's examples call the attributes
_NAMES = {
    "genai_tokens_input": "gen_ai.usage.input_tokens", "genai_tokens_output": "gen_ai.usage.output_tokens",
    "genai_tokens_total": "gen_ai.usage.total_tokens", "genai_input_tokens": "gen_ai.usage.input_tokens",
    "genai_output_tokens": "gen_ai.usage.output_tokens", "genai_total_tokens": "gen_ai.usage.total_tokens",
    "genai_cached_input_tokens": "gen_ai.usage.cache_read.input_tokens",
    "genai_tokens_cached_input": "gen_ai.usage.cache_read.input_tokens",
    "llm_input_token": "gen_ai.usage.input_tokens", "llm_output_token": "gen_ai.usage.output_tokens",
    "llm_total_token": "gen_ai.usage.total_tokens", "llm_cached_input_token": "gen_ai.usage.cache_read.input_tokens",
    "genai_model_name": "gen_ai.request.model", "genai_model_name_override": "gen_ai.response.model",
    "genai_backend_name": "gen_ai.backend.name",
}  # fmt: skip
_MARKS = ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", "gen_ai.usage.total_tokens")


def read(record: Any, context: Context) -> Outcome:
    """The outcomes of one record. Raises BadRecordError if it cannot be used."""
    values = {_NAMES.get(key, key): value for key, value in record.items() if value not in ("-", "", None)}
    status = text_or_none(values.get("response_code")) or ""
    failed = status.isdigit() and int(status) >= 400
    if not attrs.has_usage(values) and not failed:
        return Skip("a request without a model call")
    call = Call()
    attrs.apply(call, values, text=context.want_text)
    call.request_model = call.request_model or text_or_none(values.get("x-ai-eg-model"))
    named = call.provider_name or text_or_none(values.get("gen_ai.backend.name"))
    call.provider_name = provider_name(named) or provider_of(call.response_model or call.request_model)
    start = next((values[name] for name in _TIMES if name in values), None)
    call.start_us, call.time_precision = time_us(start, "$.start_time", zone=context.zone)
    spent = text_or_none(values.get("duration"))
    call.duration_ms = float(spent) if spent and spent.replace(".", "", 1).isdigit() else None
    if status.isdigit() and 100 <= int(status) < 1000:
        call.http_status = int(status)
    if failed:
        call.status = "error"
    call.identity = call.response_id or text_or_none(values.get("x-request-id"))
    return call


FORMAT = Format(
    name="envoy",
    title="Envoy AI Gateway access log",
    fingerprints=(frozenset({"start_time", "response_code", "gen_ai.request.model", "gen_ai.usage.input_tokens"}),),
    matches=lambda record: (
        isinstance(record, dict)
        and any(_NAMES.get(key, key) in _MARKS for key in record)
        and bool(record.keys() & {"response_code", "start_time", "x-request-id", "upstream_host"})
        and "span_id" not in record
    ),
    open=stateless(read),
    rank=37,
)
