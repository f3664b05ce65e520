"""Writers of tracing tools, one function each: the file's text from a list of calls.

Shapes after the vendors' schemas as of 2026-10; nothing is copied from anybody's logs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sample_logs.formats.shapes import chat_body, chat_request, iso, lines, millis, nanos
from sample_logs.formats.truth import TrueCall


def _attribute(key: str, value: Any) -> dict[str, Any]:
    kind = "intValue" if isinstance(value, int) else "doubleValue" if isinstance(value, float) else "stringValue"
    return {"key": key, "value": {kind: str(value) if kind == "intValue" else value}}


def posthog(calls: Sequence[TrueCall]) -> str:
    return lines([
        {"uuid": f"ph-{number}", "event": "$ai_generation", "timestamp": iso(call.end), "distinct_id": call.user,
         "properties": {
             "$ai_provider": "openai", "$ai_model": call.model, "$ai_generation_id": call.id,
             "$ai_input": call.messages, "$ai_input_tokens": call.input_tokens,
             "$ai_output_choices": [{"role": "assistant", "content": call.answer}],
             "$ai_output_tokens": call.output_tokens, "$ai_cache_read_input_tokens": call.cached_tokens,
             "$ai_reasoning_tokens": call.reasoning_tokens, "$ai_latency": call.duration_ms / 1000,
             "$ai_http_status": 200, "$ai_trace_id": call.trace_id, "$ai_session_id": call.session,
             "$ai_total_cost_usd": float(call.cost), "$ai_model_parameters": {"temperature": call.temperature},
             "agent": call.agent, "task": call.task}}
        for number, call in enumerate(calls)
    ])  # fmt: skip


def langfuse(calls: Sequence[TrueCall]) -> str:
    """Observations of the API: details are taken out of input and output."""
    return lines([
        {"id": call.span_id, "traceId": call.trace_id, "type": "GENERATION", "name": f"chat {call.model}",
         "startTime": iso(call.start), "endTime": iso(call.end), "latency": call.duration_ms / 1000,
         "model": call.model, "modelParameters": {"temperature": call.temperature}, "parentObservationId": None,
         "level": "DEFAULT", "sessionId": call.session, "userId": call.user,
         "metadata": {"agent": call.agent, "task": call.task, "response_id": call.id},
         "usageDetails": {"input": call.input_tokens - call.cached_tokens, "input_cached_tokens": call.cached_tokens,
                          "output": call.output_tokens - call.reasoning_tokens,
                          "output_reasoning_tokens": call.reasoning_tokens,
                          "total": call.input_tokens + call.output_tokens},
         "costDetails": {"total": float(call.cost)}, "input": call.messages,
         "output": {"role": "assistant", "content": call.answer}}
        for call in calls
    ])  # fmt: skip


def langsmith(calls: Sequence[TrueCall]) -> str:
    return lines([
        {"id": call.span_id, "trace_id": call.trace_id, "name": "ChatOpenAI", "run_type": "llm",
         "dotted_order": f"{call.start:%Y%m%dT%H%M%S%f}Z{call.span_id}", "start_time": millis(call.start),
         "end_time": millis(call.end), "status": "success", "total_cost": call.cost,
         "inputs": {"messages": call.messages}, "tags": [],
         "outputs": {"id": call.id, "model": call.model,
                     "choices": [{"message": {"role": "assistant", "content": call.answer}}],
                     "usage_metadata": {"input_tokens": call.input_tokens, "output_tokens": call.output_tokens,
                                        "total_tokens": call.input_tokens + call.output_tokens,
                                        "input_token_details": {"cache_read": call.cached_tokens},
                                        "output_token_details": {"reasoning": call.reasoning_tokens}}},
         "extra": {"metadata": {"ls_provider": "openai", "ls_model_name": call.model, "agent": call.agent,
                                "task": call.task, "session_id": call.session,
                                "ls_temperature": call.temperature}}}
        for call in calls
    ])  # fmt: skip


def otlp(calls: Sequence[TrueCall]) -> str:
    """Each call below a span of its agent, which repeats the usage as agent frameworks do."""
    records = []
    for call in calls:

        def span(name: str, span_id: str, parent: str, values: dict[str, Any], call: TrueCall = call) -> dict[str, Any]:
            return {"traceId": call.trace_id, "spanId": span_id, "parentSpanId": parent, "name": name, "kind": 3,
                    "startTimeUnixNano": str(nanos(call.start)), "endTimeUnixNano": str(nanos(call.end)),
                    "attributes": [_attribute(key, value) for key, value in values.items()],
                    "status": {"code": 1}}  # fmt: skip

        above = f"{int(call.span_id, 16) ^ 1:016x}"
        usage = {"gen_ai.usage.input_tokens": call.input_tokens, "gen_ai.usage.output_tokens": call.output_tokens}
        inner = span(f"chat {call.model}", call.span_id, above, {
            "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": call.model,
            "gen_ai.response.model": call.model, "gen_ai.response.id": call.id, **usage,
            "gen_ai.usage.cache_read.input_tokens": call.cached_tokens,
            "gen_ai.usage.reasoning.output_tokens": call.reasoning_tokens,
            "gen_ai.conversation.id": call.session, "user.id": call.user, "task": call.task,
            "gen_ai.request.temperature": call.temperature, "gen_ai.usage.cost": float(call.cost),
            "gen_ai.input.messages": json.dumps(
                [{"role": one["role"], "parts": [{"type": "text", "content": one["content"]}]}
                 for one in call.messages]),
            "gen_ai.output.messages": json.dumps(
                [{"role": "assistant", "parts": [{"type": "text", "content": call.answer}], "finish_reason": "stop"}]),
        })  # fmt: skip
        outer = span(f"invoke_agent {call.agent}", above, "", {
            "gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": call.agent,
            "gen_ai.request.model": call.model, **usage,
        })  # fmt: skip
        resource = {"attributes": [_attribute("service.name", "samples")]}
        records.append({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [inner, outer]}]}]})
    return lines(records)


def otlp_received(calls: Sequence[TrueCall]) -> str:
    """The same exports as lines of the journal of `hindcast watch --listen`."""
    return lines([{"hindcastReceived": 1, **json.loads(line)} for line in otlp(calls).splitlines()])


def phoenix(calls: Sequence[TrueCall]) -> str:
    return lines([
        {"name": "ChatCompletion", "context": {"trace_id": call.trace_id, "span_id": call.span_id}, "parent_id": None,
         "span_kind": "LLM", "start_time": call.start.isoformat(), "end_time": call.end.isoformat(),
         "status_code": "OK", "status_message": "",
         "attributes": {
             "llm": {"model_name": call.model, "provider": "openai", "response": {"id": call.id},
                     "token_count": {"prompt": call.input_tokens, "completion": call.output_tokens,
                                     "total": call.input_tokens + call.output_tokens,
                                     "prompt_details": {"cache_read": call.cached_tokens},
                                     "completion_details": {"reasoning": call.reasoning_tokens}},
                     "cost": {"total": float(call.cost)},
                     "invocation_parameters": json.dumps({"temperature": call.temperature}),
                     "input_messages": [{"message": one} for one in call.messages],
                     "output_messages": [{"message": {"role": "assistant", "content": call.answer}}]},
             "session": {"id": call.session}, "user": {"id": call.user},
             "metadata": {"agent": call.agent, "task": call.task}}}
        for call in calls
    ])  # fmt: skip


def mlflow(calls: Sequence[TrueCall]) -> str:
    return lines([
        {"trace_id": call.trace_id, "span_id": call.span_id, "parent_span_id": None, "name": "Completions",
         "start_time_unix_nano": nanos(call.start), "end_time_unix_nano": nanos(call.end),
         "status": {"code": "STATUS_CODE_OK"},
         "attributes": {
             "mlflow.spanType": json.dumps("CHAT_MODEL"), "mlflow.traceRequestId": json.dumps(f"tr-{call.trace_id}"),
             "mlflow.llm.model": json.dumps(call.model), "mlflow.llm.provider": json.dumps("openai"),
             "mlflow.chat.tokenUsage": json.dumps(
                 {"input_tokens": call.input_tokens, "output_tokens": call.output_tokens,
                  "total_tokens": call.input_tokens + call.output_tokens,
                  "cache_read_input_tokens": call.cached_tokens}),
             "mlflow.llm.cost": json.dumps({"total_cost": float(call.cost)}),
             "mlflow.spanInputs": json.dumps(chat_request(call)), "mlflow.spanOutputs": json.dumps(chat_body(call)),
             "mlflow.trace.session": json.dumps(call.session), "metadata": json.dumps(
                 {"agent": call.agent, "task": call.task})}}
        for call in calls
    ])  # fmt: skip


def openai_agents(calls: Sequence[TrueCall]) -> str:
    records: list[dict[str, Any]] = []
    for call in calls:
        trace, above = f"trace_{call.trace_id}", f"span_a{call.span_id}"
        records.append({"object": "trace", "id": trace, "workflow_name": "articles", "group_id": call.session,
                        "metadata": {}})  # fmt: skip
        records.append({"object": "trace.span", "id": f"span_{call.span_id}", "trace_id": trace, "parent_id": above,
                        "started_at": call.start.isoformat(), "ended_at": call.end.isoformat(), "error": None,
                        "span_data": {"type": "generation", "model": call.model, "input": call.messages,
                                      "output": [{"role": "assistant", "content": call.answer}],
                                      "model_config": {"temperature": call.temperature},
                                      "usage": {"input_tokens": call.input_tokens,
                                                "output_tokens": call.output_tokens}}})  # fmt: skip
        records.append({"object": "trace.span", "id": above, "trace_id": trace, "parent_id": None,
                        "started_at": call.start.isoformat(), "ended_at": call.end.isoformat(), "error": None,
                        "span_data": {"type": "agent", "name": call.agent, "tools": [], "handoffs": []}})  # fmt: skip
    return lines(records)
