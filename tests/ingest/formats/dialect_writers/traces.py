"""Tracing and evaluation tools, and spans of every instrumentation."""

from __future__ import annotations

import json
from typing import Any

from dialect_writers.truth import (
    ALL,
    CLAUDE,
    COST,
    END,
    GEMINI,
    GPT,
    STAMP,
    TEXT,
    TIME,
    Truth,
    chat,
    chat_usage,
    dialect,
    gemini_usage,
    responses_body,
)


def langsmith(t: Truth, asked: int, **details: Any) -> Any:
    usage = {"input_tokens": asked, "output_tokens": t.made, "total_tokens": t.total,
             "input_token_details": {"cache_read": t.read, "cache_creation": t.written, "audio": t.heard},
             "output_token_details": {"reasoning": t.thought, "audio": t.spoken}, **details}  # fmt: skip
    return {"id": "l1", "trace_id": "t1", "dotted_order": "x", "run_type": "llm", "name": "Chat", "start_time": TIME,
            "end_time": END, "inputs": {}, "outputs": {"usage_metadata": usage}, "total_cost": "0.000001",
            "extra": {"metadata": {"ls_model_name": CLAUDE, "ls_provider": "anthropic"}},
            "error": "boom" if t.failed else None}  # fmt: skip


@dialect("langsmith", *ALL, "cost", "heard", "spoken", "failed")
def langsmith_with_the_cache_inside(t: Truth) -> Any:
    return langsmith(t, t.asked)


@dialect("langsmith", *ALL, "cost")
def langsmith_with_the_cache_outside(t: Truth) -> Any:
    return langsmith(t, t.fresh)


@dialect("langsmith", *ALL, "hour", "cost")
def langsmith_with_lifetimes(t: Truth) -> Any:
    return langsmith(t, t.asked, input_token_details={
        "cache_read": t.read, "cache_creation": 0, "ephemeral_1h_input_tokens": t.hour,
        "ephemeral_5m_input_tokens": t.written - t.hour})  # fmt: skip


@dialect("langsmith", "read", "reasoning", "tier", "cost")
def langsmith_of_a_tier(t: Truth) -> Any:
    """langchain-openai puts the tier before the names of the parts, and the rest under its own name."""
    before = f"{t.tier}_" if t.tier else ""
    rest = ({t.tier: t.fresh}, {t.tier: t.shown}) if t.tier else ({}, {})
    return langsmith(t, t.asked, input_token_details={f"{before}cache_read": t.read, **rest[0]},
                     output_token_details={f"{before}reasoning": t.thought, **rest[1]})  # fmt: skip


def langfuse(usage: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": "f1", "traceId": "t1", "type": "GENERATION", "startTime": TIME, "endTime": END, "model": CLAUDE,
            "parentObservationId": None, "usageDetails": usage, "costDetails": {"total": COST}, **more}  # fmt: skip


def buckets(t: Truth) -> dict[str, Any]:
    return {"input": t.fresh - t.heard, "input_cached_tokens": t.read, "input_cache_creation": 0,
            "input_audio_tokens": t.heard, "input_cache_creation_5m": t.written - t.hour,
            "input_cache_creation_1h": t.hour, "output": t.shown - t.spoken, "output_audio_tokens": t.spoken,
            "output_reasoning_tokens": t.thought}  # fmt: skip


@dialect("langfuse", *ALL, "hour", "cost", "heard", "spoken", "failed")
def langfuse_buckets(t: Truth) -> Any:
    return langfuse({**buckets(t), "total": t.total}, level="ERROR" if t.failed else "DEFAULT")


@dialect("langfuse", *ALL, "hour", "cost", "heard", "spoken")
def langfuse_buckets_without_total(t: Truth) -> Any:
    return langfuse(buckets(t))


@dialect("langfuse", *ALL, "cost", "heard", "spoken")
def langfuse_with_the_usage_of_the_provider(t: Truth) -> Any:
    return langfuse(chat_usage(t))


@dialect("langfuse", "read", "written", "cost")
def langfuse_with_the_names_of_anthropic(t: Truth) -> Any:
    return langfuse({"input": t.fresh, "output": t.made, "cache_read_input_tokens": t.read,
                     "cache_creation_input_tokens": t.written, "total": t.total})  # fmt: skip


def tier_parts(t: Truth) -> dict[str, Any]:
    if t.tier is None:
        return {"input": t.fresh, "input_cache_read": t.read, "output": t.shown, "output_reasoning": t.thought}
    return {f"input_{t.tier}_cache_read": t.read, f"input_{t.tier}": t.fresh,
            f"output_{t.tier}_reasoning": t.thought, f"output_{t.tier}": t.shown}  # fmt: skip


@dialect("langfuse", "read", "reasoning", "cost", "tier")
def langfuse_of_langchain_on_a_tier(t: Truth) -> Any:
    """The parts of a tier stand beside the sides that hold them."""
    return langfuse({"input": t.asked, "output": t.made, "total": t.total, **tier_parts(t)})


@dialect("langfuse", "read", "reasoning", "cost", "tier")
def langfuse_of_langchain_with_the_tier_taken_out(t: Truth) -> Any:
    return langfuse({"input": 0, "output": 0, "total": t.total, **tier_parts(t)})


@dialect("langfuse", *ALL, "hour", "heard", "spoken")
def langfuse_events(t: Truth) -> Any:
    created = {"id": "f1", "traceId": "t1", "startTime": TIME, "model": CLAUDE}
    updated = {"id": "f1", "endTime": END, "usageDetails": {**buckets(t), "total": t.total}}
    return {"batch": [{"id": "e1", "type": "generation-create", "body": created},
                      {"id": "e2", "type": "generation-update", "body": updated}]}  # fmt: skip


def value(given: Any) -> dict[str, Any]:
    return {"intValue": str(given)} if isinstance(given, int) else {"stringValue": given}


def keyed(values: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": value(one)} for key, one in values.items() if one is not None]


def otlp(scope: str, model: str, attributes: dict[str, Any]) -> Any:
    provider = {CLAUDE: "anthropic", GEMINI: "gcp.gemini"}.get(model, "openai")
    named = {"gen_ai.request.model": model, "gen_ai.provider.name": provider}
    span = {"traceId": "a" * 32, "spanId": "b" * 16, "name": "chat", "startTimeUnixNano": f"{STAMP}000000000",
            "endTimeUnixNano": f"{STAMP + 2}000000000", "attributes": keyed({**named, **attributes})}  # fmt: skip
    return {"resourceSpans": [{"resource": {}, "scopeSpans": [{"scope": {"name": scope}, "spans": [span]}]}]}


def semconv(t: Truth, asked: int) -> dict[str, Any]:
    return {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": asked, "gen_ai.usage.output_tokens": t.made,
            "gen_ai.usage.cache_read.input_tokens": t.read, "gen_ai.usage.cache_creation.input_tokens": t.written,
            "gen_ai.usage.reasoning.output_tokens": t.thought, "gen_ai.usage.cost": "0.000001",
            "error.type": "timeout" if t.failed else None}  # fmt: skip


@dialect("otlp", *ALL, "cost", "failed")
def spans_of_the_convention(t: Truth) -> Any:
    return otlp("my.tracer", CLAUDE, semconv(t, t.asked))


@dialect("otlp_received", *ALL, "cost", "failed")
def spans_as_received(t: Truth) -> Any:
    return {"hindcastReceived": 1, **spans_of_the_convention(t)}


@dialect("otlp", *ALL, "cost")
def spans_of_openlit(t: Truth) -> Any:
    return otlp("openlit.otel.tracing", CLAUDE, semconv(t, t.fresh))


@dialect("otlp", *ALL, "cost")
def spans_of_openlit_for_openai(t: Truth) -> Any:
    return otlp("openlit.otel.tracing", GPT, semconv(t, t.asked))


@dialect("otlp", *ALL, "heard", "spoken", "tier")
def spans_of_pydantic_ai(t: Truth) -> Any:
    details = {"cached_tokens": t.read, "cache_write_tokens": t.written, "reasoning_tokens": t.thought,
               "input_audio_tokens": t.heard, "output_audio_tokens": t.spoken}  # fmt: skip
    return otlp("pydantic-ai", GPT, {
        "gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": t.asked, "gen_ai.usage.output_tokens": t.made,
        "openai.response.service_tier": t.tier or "default",
        **{f"gen_ai.usage.details.{name}": count for name, count in details.items()}})  # fmt: skip


@dialect("otlp", "read", "written", "reasoning")
def spans_of_the_ai_sdk_5(t: Truth) -> Any:
    metadata = {"anthropic": {"usage": {"cache_creation_input_tokens": t.written, "cache_read_input_tokens": t.read}}}
    return otlp("ai", CLAUDE, {
        "ai.operationId": "ai.streamText.doStream", "ai.model.provider": "anthropic.messages",
        "ai.usage.inputTokens": t.fresh, "ai.usage.outputTokens": t.made, "ai.usage.totalTokens": t.fresh + t.made,
        "ai.usage.cachedInputTokens": t.read, "ai.usage.reasoningTokens": t.thought,
        "ai.response.providerMetadata": json.dumps(metadata)})  # fmt: skip


@dialect("otlp", "read", "written", "reasoning")
def spans_of_the_ai_sdk_6(t: Truth) -> Any:
    return otlp("ai", CLAUDE, {
        "ai.operationId": "ai.streamText.doStream", "ai.model.provider": "anthropic.messages",
        "ai.usage.inputTokens": t.asked, "ai.usage.outputTokens": t.made, "ai.usage.totalTokens": t.total,
        "ai.usage.inputTokenDetails.noCacheTokens": t.fresh, "ai.usage.inputTokenDetails.cacheReadTokens": t.read,
        "ai.usage.inputTokenDetails.cacheWriteTokens": t.written, "ai.usage.reasoningTokens": t.thought})  # fmt: skip


@dialect("otlp", *ALL, "heard", "spoken")
def spans_of_openinference(t: Truth) -> Any:
    return otlp("openinference.instrumentation.anthropic", CLAUDE, {
        "openinference.span.kind": "LLM", "llm.token_count.prompt": t.asked, "llm.token_count.completion": t.made,
        "llm.token_count.total": t.total, "llm.token_count.prompt_details.cache_read": t.read,
        "llm.token_count.prompt_details.cache_write": t.written, "llm.token_count.prompt_details.audio": t.heard,
        "llm.token_count.completion_details.audio": t.spoken,
        "llm.token_count.completion_details.reasoning": t.thought})  # fmt: skip


@dialect("otlp", *ALL, "hour", "cost")
def spans_of_langfuse(t: Truth) -> Any:
    quiet = Truth(t.fresh, t.read, t.written, t.hour, t.shown, t.thought)
    return otlp("langfuse-sdk", CLAUDE, {
        "langfuse.observation.type": "generation", "langfuse.observation.model.name": CLAUDE,
        "langfuse.observation.usage_details": json.dumps(buckets(quiet)),
        "langfuse.observation.cost_details": json.dumps({"total": COST})})  # fmt: skip


@dialect("otlp", "read", "reasoning")
def spans_of_the_google_adk(t: Truth) -> Any:
    counts = {"prompt_token_count": t.asked, "cached_content_token_count": t.read, "candidates_token_count": t.shown,
              "thoughts_token_count": t.thought, "total_token_count": t.total}  # fmt: skip
    return otlp("gcp.vertex.agent", GEMINI, {
        "gen_ai.operation.name": "generate_content",
        "gcp.vertex.agent.llm_response": json.dumps({"usage_metadata": counts})})  # fmt: skip


def event(name: str, attributes: dict[str, Any]) -> Any:
    record = {"timeUnixNano": f"{STAMP + 2}000000000", "body": {"stringValue": name},
              "attributes": keyed({"event.name": name, "event.timestamp": END, **attributes})}  # fmt: skip
    return {"resourceLogs": [{"resource": {}, "scopeLogs": [{"scope": {"name": "agent"}, "logRecords": [record]}]}]}


@dialect("otlp", "read", "written", "cost")
def events_of_claude_code(t: Truth) -> Any:
    return event("claude_code.api_request", {
        "model": CLAUDE, "input_tokens": str(t.fresh), "output_tokens": str(t.made), "cost_usd": "0.000001",
        "cache_read_tokens": str(t.read), "cache_creation_tokens": str(t.written), "duration_ms": "10"})  # fmt: skip


@dialect("otlp", "read", "reasoning")
def events_of_codex(t: Truth) -> Any:
    return event("codex.sse_event", {
        "event.kind": "response.completed", "model": GPT, "input_token_count": t.asked,
        "output_token_count": t.made, "cached_token_count": t.read, "reasoning_token_count": t.thought})  # fmt: skip


@dialect("otlp", "read", "reasoning")
def events_of_gemini_cli(t: Truth) -> Any:
    return event("gemini_cli.api_response", {
        "model": GEMINI, "input_token_count": t.asked, "output_token_count": t.shown,
        "cached_content_token_count": t.read, "thoughts_token_count": t.thought, "tool_token_count": 0,
        "total_token_count": t.total})  # fmt: skip


@dialect("agent_telemetry", "read", "reasoning")
def printed_telemetry(t: Truth) -> Any:
    values = {"event.name": "gemini_cli.api_response", "event.timestamp": END, "model": GEMINI,
              "input_token_count": t.asked, "output_token_count": t.shown, "cached_content_token_count": t.read,
              "thoughts_token_count": t.thought, "tool_token_count": 0, "total_token_count": t.total}  # fmt: skip
    return {"hrTime": [STAMP, 0], "body": "API response", "resource": {"attributes": {}}, "attributes": values,
            "instrumentationScope": {"name": "gemini-cli"}}  # fmt: skip


@dialect("otel_rows", *ALL, "cost")
def rows_of_logfire(t: Truth) -> Any:
    values = {"gen_ai.request.model": CLAUDE, "gen_ai.provider.name": "anthropic", **semconv(t, t.asked)}
    return {"start_timestamp": TIME, "end_timestamp": END, "span_name": "chat", "trace_id": "a" * 32,
            "span_id": "b" * 16, "parent_span_id": None, "otel_scope_name": "pydantic-ai",
            "attributes": json.dumps(values)}  # fmt: skip


@dialect("otel_rows", *ALL, "cost")
def spans_of_the_console(t: Truth) -> Any:
    values = {"gen_ai.request.model": CLAUDE, "gen_ai.provider.name": "anthropic", **semconv(t, t.asked)}
    return {"name": "chat", "kind": "SpanKind.CLIENT", "parent_id": None, "attributes": values, "start_time": TIME,
            "context": {"trace_id": "0x" + "a" * 32, "span_id": "0x" + "b" * 16}, "end_time": END, "events": [],
            "status": {"status_code": "UNSET"}, "links": [], "resource": {"attributes": {}}}  # fmt: skip


@dialect("phoenix", *ALL, "heard", "spoken", "cost", "failed")
def phoenix(t: Truth) -> Any:
    count = {"prompt": t.asked, "completion": t.made, "total": t.total,
             "prompt_details": {"cache_read": t.read, "cache_write": t.written, "audio": t.heard},
             "completion_details": {"reasoning": t.thought, "audio": t.spoken}}  # fmt: skip
    llm = {"model_name": CLAUDE, "provider": "anthropic", "token_count": count, "cost": {"total": COST}}
    return {"name": "Chat", "context": {"trace_id": "a" * 32, "span_id": "b" * 16}, "parent_id": None,
            "span_kind": "LLM", "start_time": TIME, "end_time": END, "attributes": {"llm": llm},
            "status_code": "ERROR" if t.failed else "OK"}  # fmt: skip


@dialect("mlflow", "read", "written", "hour", "cost")
def mlflow(t: Truth) -> Any:
    usage = {"input_tokens": t.asked, "output_tokens": t.made, "total_tokens": t.total,
             "cache_read_input_tokens": t.read, "cache_creation_input_tokens": t.written,
             "cache_creation_input_tokens_above_1hr": t.hour}  # fmt: skip
    return {"trace_id": "tr-1", "span_id": "AAAAAAAAAAE=", "name": "chat", "start_time_unix_nano": STAMP * 10**9,
            "end_time_unix_nano": (STAMP + 2) * 10**9,
            "attributes": {"mlflow.spanType": '"CHAT_MODEL"', "mlflow.llm.model": f'"{CLAUDE}"',
                           "mlflow.llm.cost": json.dumps({"total_cost": COST}),
                           "mlflow.chat.tokenUsage": json.dumps(usage)}}  # fmt: skip


def posthog(t: Truth, asked: int, **more: Any) -> Any:
    return {"uuid": "p1", "event": "$ai_generation", "timestamp": END, "distinct_id": "u",
            "properties": {"$ai_model": CLAUDE, "$ai_input_tokens": asked, "$ai_output_tokens": t.made,
                           "$ai_cache_read_input_tokens": t.read, "$ai_cache_creation_input_tokens": t.written,
                           "$ai_cache_creation_1h_input_tokens": t.hour, "$ai_total_cost_usd": COST,
                           "$ai_is_error": t.failed, "$ai_service_tier": t.tier, "$ai_audio_input_tokens": t.heard,
                           "$ai_audio_output_tokens": t.spoken, **more}}  # fmt: skip


@dialect("posthog", "read", "written", "hour", "cost", "failed", "tier", "heard", "spoken")
def posthog_of_anthropic(t: Truth) -> Any:
    return posthog(t, t.fresh, **{"$ai_provider": "anthropic"})


@dialect("posthog", "read", "written", "hour", "cost")
def posthog_of_claude_on_vertex(t: Truth) -> Any:
    return posthog(t, t.fresh, **{"$ai_provider": "vertex"})


@dialect("posthog", "read", "written", "hour", "cost")
def posthog_with_its_flag(t: Truth) -> Any:
    return posthog(t, t.asked, **{"$ai_provider": "anthropic", "$ai_cache_reporting_exclusive": False})


@dialect("braintrust", *ALL, "hour", "heard", "spoken", "cost", "failed")
def braintrust(t: Truth) -> Any:
    metrics = {"start": STAMP, "end": STAMP + 2, "prompt_tokens": t.asked, "completion_tokens": t.made,
               "tokens": t.total, "prompt_cached_tokens": t.read, "prompt_cache_creation_tokens": t.written,
               "prompt_cache_creation_1h_tokens": t.hour, "completion_reasoning_tokens": t.thought,
               "prompt_audio_tokens": t.heard, "completion_audio_tokens": t.spoken, "estimated_cost": COST}  # fmt: skip
    return {"id": "b", "span_id": "s", "root_span_id": "s", "span_parents": None, "metrics": metrics,
            "span_attributes": {"name": "Chat", "type": "llm"}, "metadata": {"model": CLAUDE},
            "error": "boom" if t.failed else None}  # fmt: skip


@dialect("datadog_llm", *ALL, "hour", "failed")
def datadog(t: Truth) -> Any:
    metrics = {"input_tokens": t.asked, "output_tokens": t.made, "total_tokens": t.total,
               "cache_read_input_tokens": t.read, "cache_write_input_tokens": t.written,
               "ephemeral_1h_input_tokens": t.hour, "reasoning_output_tokens": t.thought}  # fmt: skip
    span = {"span_id": "s", "trace_id": "t", "parent_id": "undefined", "name": "a", "duration": 10**6,
            "start_ns": STAMP * 10**9, "metrics": metrics, "status": "error" if t.failed else "ok",
            "meta": {"kind": "llm", "model_name": CLAUDE, "model_provider": "anthropic"}}  # fmt: skip
    return {"data": {"type": "span", "attributes": {"ml_app": "x", "spans": [span]}}}


@dialect("opik", *ALL, "heard", "spoken", "cost", "failed")
def opik(t: Truth) -> Any:
    usage = {"prompt_tokens": t.asked, "completion_tokens": t.made, "total_tokens": t.total}
    for name, count in chat_usage(t).items():
        inner = count if isinstance(count, dict) else {"": count}
        usage |= {f"original_usage.{name}{key and '.' + key}": one for key, one in inner.items()}
    return {"id": "o", "trace_id": "t", "project_id": "p", "type": "llm", "start_time": TIME, "end_time": END,
            "model": GPT, "provider": "openai", "usage": usage, "total_estimated_cost": COST,
            "error_info": {"exception_type": "x"} if t.failed else None}  # fmt: skip


@dialect("opik", "read", "written", "cost")
def opik_of_anthropic(t: Truth) -> Any:
    usage = {"prompt_tokens": t.fresh, "completion_tokens": t.made, "total_tokens": t.fresh + t.made,
             "original_usage.input_tokens": t.fresh, "original_usage.output_tokens": t.made,
             "original_usage.cache_read_input_tokens": t.read,
             "original_usage.cache_creation_input_tokens": t.written}  # fmt: skip
    return {"id": "o", "trace_id": "t", "project_id": "p", "type": "llm", "start_time": TIME, "end_time": END,
            "model": CLAUDE, "provider": "anthropic", "usage": usage, "total_estimated_cost": COST}  # fmt: skip


@dialect("weave", *ALL, "heard", "spoken", "cost")
def weave(t: Truth) -> Any:
    costs = {GPT: {"prompt_tokens_total_cost": COST, "completion_tokens_total_cost": 0.0}}
    return {"id": "w", "parent_id": None, "op_name": "openai.chat", "trace_id": "t", "started_at": TIME,
            "ended_at": END, "inputs": {"model": GPT, "messages": TEXT}, "output": chat(None), "exception": None,
            "attributes": {}, "summary": {"usage": {GPT: {"requests": 1, **chat_usage(t)}},
                                          "weave": {"costs": costs}}}  # fmt: skip


@dialect("inspect_ai", *ALL)
def inspect_ai(t: Truth) -> Any:
    usage = {"input_tokens": t.fresh, "input_tokens_cache_read": t.read, "input_tokens_cache_write": t.written,
             "output_tokens": t.made, "reasoning_tokens": t.thought, "total_tokens": t.total}  # fmt: skip
    one = {"event": "model", "uuid": "u", "timestamp": TIME, "completed": END, "model": f"anthropic/{CLAUDE}",
           "input": TEXT, "output": {"model": CLAUDE, "choices": [], "usage": usage}}  # fmt: skip
    return {"version": 2, "status": "success", "eval": {"run_id": "r", "task": "t"},
            "samples": [{"id": 1, "epoch": 1, "events": [{"event": "sample_init"}, one]}]}  # fmt: skip


@dialect("openhands", *ALL, "cost")
def openhands(t: Truth) -> Any:
    usage = {"model": CLAUDE, "prompt_tokens": t.asked, "completion_tokens": t.made, "cache_read_tokens": t.read,
             "cache_write_tokens": t.written, "reasoning_tokens": t.thought, "response_id": "x"}  # fmt: skip
    return {"instance_id": "r", "history": [], "metrics": {
        "accumulated_cost": COST, "token_usages": [usage], "response_latencies": [],
        "costs": [{"model": CLAUDE, "cost": COST, "timestamp": STAMP + 2}]}}  # fmt: skip


def agents_span(data: dict[str, Any], failed: bool) -> dict[str, Any]:
    return {"object": "trace.span", "id": "span_1", "trace_id": "trace_1", "parent_id": None, "started_at": TIME,
            "ended_at": END, "error": {"message": "boom"} if failed else None, "span_data": data}  # fmt: skip


@dialect("openai_agents", "failed", *ALL)
def openai_agents(t: Truth) -> Any:
    usage = {"requests": 1, "input_tokens": t.asked, "output_tokens": t.made, "total_tokens": t.total,
             "input_tokens_details": {"cached_tokens": t.read, "cache_write_tokens": t.written},
             "output_tokens_details": {"reasoning_tokens": t.thought}}  # fmt: skip
    return agents_span({"type": "generation", "model": GPT, "input": TEXT, "output": [], "usage": usage}, t.failed)


@dialect("openai_agents", "tier", *ALL)
def openai_agents_with_the_response(t: Truth) -> Any:
    return agents_span({"type": "response", "response_id": "r1", "response": responses_body(t)}, failed=False)


@dialect("langfuse", "read", "reasoning")
def langfuse_with_the_usage_of_gemini(t: Truth) -> Any:
    return langfuse({key: n for key, n in gemini_usage(t).items() if isinstance(n, int)}, model=GEMINI)
