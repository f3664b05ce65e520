"""PostHog LLM events (`$ai_generation`, `$ai_embedding`), after posthog-python's posthog/ai (2026-10).

Token counts are the provider's own: Anthropic's leave the cache out, and a flag says so for others. Latency is in
seconds, and the event is stamped when the answer is complete.
"""

from __future__ import annotations

from typing import Any

from ingest.format_contract import Context, Format, Outcome, stateless
from ingest.otel.span_messages import messages_of
from ingest.records import agent_names, server_tools
from ingest.records.call import BadRecordError, Call, Skip, pico_dollars, text_or_none, token_count
from ingest.records.provider_names import provider_name
from ingest.records.timestamps import time_us
from ingest.records.token_counts import settle
from ingest.wire.openai import STANDARD_TIERS
from ingest.wire.request_response import opened

_CALLS = ("$ai_generation", "$ai_embedding")


def read(record: Any, context: Context) -> Outcome:
    """The outcomes of one record. Raises BadRecordError if it cannot be used."""
    if record.get("event") not in _CALLS:
        return Skip("PostHog event without a model call")
    values = opened(record.get("properties"))
    if not isinstance(values, dict):
        raise BadRecordError("an event without properties", "$.properties")
    get = values.get
    call = Call(operation_name="embeddings" if record["event"] == "$ai_embedding" else "chat")
    call.request_model = call.response_model = text_or_none(get("$ai_model"))
    call.provider_name = provider_name(text_or_none(get("$ai_provider")))
    _tokens(call, values)
    tier = text_or_none(get("$ai_service_tier"))
    call.service_tier = tier if tier not in STANDARD_TIERS else None
    call.end_us, call.time_precision = time_us(record.get("timestamp"), "$.timestamp", zone=context.zone)
    latency = get("$ai_latency")
    call.duration_ms = latency * 1000.0 if isinstance(latency, int | float) else None
    call.start_us = call.end_us - round((call.duration_ms or 0) * 1000)
    first = get("$ai_time_to_first_token")
    call.time_to_first_chunk_ms = first * 1000.0 if isinstance(first, int | float) else None
    call.logged_cost_pico = pico_dollars(get("$ai_total_cost_usd"), "$.properties.$ai_total_cost_usd")
    if get("$ai_is_error") in (True, "true"):
        call.status = "error"
    status = get("$ai_http_status")
    call.http_status = status if type(status) is int and 0 < status < 1000 else None
    call.trace_id, call.span_id = text_or_none(get("$ai_trace_id")), text_or_none(get("$ai_span_id"))
    call.parent_span_id = text_or_none(get("$ai_parent_id"))
    call.conversation_id = text_or_none(get("$ai_session_id"))
    call.user_id = text_or_none(record.get("distinct_id"))
    call.span_name = text_or_none(get("$ai_span_name"))
    if isinstance(get("$ai_stream"), bool):
        call.stream = get("$ai_stream")
    params = opened(get("$ai_model_parameters"))
    if isinstance(params, dict):
        call.params = params
        if isinstance(params.get("temperature"), int | float):
            call.temperature = float(params["temperature"])
    agent_names.from_metadata(call, {key: value for key, value in values.items() if not key.startswith("$")})
    call.messages = messages_of(opened(get("$ai_input")), "user")
    call.output = messages_of(opened(get("$ai_output_choices")), "assistant")
    tools = opened(get("$ai_tools"))
    call.tools = tools if isinstance(tools, list) and tools else None
    call.response_id = text_or_none(get("$ai_generation_id"))
    call.identity = call.response_id or text_or_none(record.get("uuid")) or call.span_id
    return call


def _tokens(call: Call, values: dict[str, Any]) -> None:
    def counted(name: str) -> int | None:
        return token_count(values.get(name), f"$.properties.{name}")

    asked, made = counted("$ai_input_tokens"), counted("$ai_output_tokens")
    read_, written = counted("$ai_cache_read_input_tokens"), counted("$ai_cache_creation_input_tokens")
    hour, five = counted("$ai_cache_creation_1h_input_tokens"), counted("$ai_cache_creation_5m_input_tokens")
    if written is None and (hour is not None or five is not None):
        written = (hour or 0) + (five or 0)
    reasoning = counted("$ai_reasoning_tokens")
    server_tools.count(call, counted("$ai_web_search_count"), "web_search_calls")
    flag = values.get("$ai_cache_reporting_exclusive")
    provider = str(call.provider_name)
    # without the flag PostHog takes Claude for exclusive on its own and on the clouds' APIs (input-costs.ts, 2026-11)
    clouds = provider.startswith(("aws.", "gcp.")) and "claude" in str(call.request_model).lower()
    outside = flag in (True, "true") if flag is not None else provider == "anthropic" or clouds
    call.audio_input_tokens = counted("$ai_audio_input_tokens")
    call.audio_output_tokens = counted("$ai_audio_output_tokens")
    settle(
        call, input_tokens=asked, output_tokens=made, cache_read=read_, cache_write=written, cache_write_1h=hour,
        reasoning=reasoning, total=counted("$ai_total_tokens"), cache_inside=not outside,
        reasoning_inside=not provider.startswith("gcp."),
    )  # fmt: skip


FORMAT = Format(
    name="posthog",
    title="PostHog LLM events",
    fingerprints=(frozenset({"event", "properties", "distinct_id", "timestamp"}),),
    matches=lambda record: (
        isinstance(record, dict)
        and record.get("event") in (*_CALLS, "$ai_span", "$ai_trace", "$ai_metric", "$ai_feedback")
    ),
    open=stateless(read),
    rank=25,
)
