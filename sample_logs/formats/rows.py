"""Writers of gateways' and tracing tools' rows, one function each: the file's text from a list of calls.

Shapes after the vendors' schemas as of 2026-10; nothing is copied from anybody's logs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sample_logs.formats.gateways import litellm
from sample_logs.formats.shapes import chat_body, chat_request, chat_usage, iso, lines, millis, nanos, seconds
from sample_logs.formats.truth import TrueCall


def page(calls: Sequence[TrueCall]) -> str:
    """Pages of two rows of LiteLLM each, as a loop over an API saves them."""
    rows = [json.loads(line) for line in litellm(calls).splitlines()]
    return lines([
        {"data": rows[first : first + 2], "page": first // 2, "total": len(rows)} for first in range(0, len(rows), 2)
    ])  # fmt: skip


def cloudflare(calls: Sequence[TrueCall]) -> str:
    """Rows of the API and of Logpush in turn. They tell no cache of the provider's."""
    rows: list[dict[str, Any]] = []
    for number, call in enumerate(calls):
        row = {"id": f"cf-{number}", "created_at": iso(call.start), "duration": call.duration_ms,
               "provider": "openai", "model": call.model, "model_type": "text", "tokens_in": call.input_tokens,
               "tokens_out": call.output_tokens, "cost": float(call.cost), "cached": False, "success": True,
               "status_code": 200, "step": 0, "path": "chat/completions",
               "metadata": json.dumps({"agent": call.agent, "task": call.task})}  # fmt: skip
        if number % 2:
            row = {"".join(part.capitalize() for part in name.split("_")): value for name, value in row.items()}
        rows.append(row)
    return lines(rows)


def bifrost(calls: Sequence[TrueCall]) -> str:
    return lines([
        {"id": f"bf-{number}", "object": "chat.completion", "timestamp": iso(call.start), "created_at": iso(call.end),
         "provider": "openai", "model": call.model, "latency": call.duration_ms, "status": "success", "stream": False,
         "input_history": call.messages, "output_message": {"role": "assistant", "content": call.answer},
         "token_usage": chat_usage(call), "cost": float(call.cost), "number_of_retries": 0,
         "metadata": {"agent": call.agent, "task": call.task}}
        for number, call in enumerate(calls)
    ])  # fmt: skip


def kong(calls: Sequence[TrueCall]) -> str:
    """The last line is a request without a model call."""
    rows: list[dict[str, Any]] = [
        {"started_at": millis(call.start), "latencies": {"request": call.duration_ms, "kong": 2},
         "request": {"id": f"kong-{number}", "method": "POST"}, "response": {"status": 200},
         "service": {"name": call.agent}, "consumer": {"username": call.user},
         "ai": {"ai-proxy": {
             "usage": {**chat_usage(call), "cost": float(call.cost), "time_to_first_token": 120},
             "meta": {"provider_name": "openai", "request_model": call.model, "response_model": call.model,
                      "llm_latency": call.duration_ms},
             "payload": {"request": json.dumps(chat_request(call))}}}}
        for number, call in enumerate(calls)
    ]  # fmt: skip
    return lines([*rows, {**rows[-1], "request": {"id": "kong-other"}, "ai": {"ai-proxy": {"meta": {}}}}])


def envoy(calls: Sequence[TrueCall]) -> str:
    return lines([
        {"start_time": iso(call.start), "method": "POST", "response_code": 200, "duration": call.duration_ms,
         "x-request-id": f"envoy-{number}", "x-ai-eg-model": call.model, "upstream_host": "10.0.0.1:443",
         "gen_ai.request.model": call.model, "gen_ai.response.model": call.model, "gen_ai.provider.name": "openai",
         "gen_ai.usage.input_tokens": call.input_tokens, "gen_ai.usage.output_tokens": call.output_tokens,
         "gen_ai.usage.total_tokens": call.input_tokens + call.output_tokens,
         "gen_ai.usage.cache_read.input_tokens": call.cached_tokens or "-", "session.id": call.session}
        for number, call in enumerate(calls)
    ])  # fmt: skip


def new_api(calls: Sequence[TrueCall]) -> str:
    """The last row is a top-up."""
    rows: list[dict[str, Any]] = [
        {"id": number, "created_at": seconds(call.start), "type": 2, "username": call.user, "token_name": call.agent,
         "model_name": call.model, "quota": round(float(call.cost) * 500_000), "prompt_tokens": call.input_tokens,
         "completion_tokens": call.output_tokens, "use_time": call.duration_ms // 1000, "is_stream": True,
         "group": "default", "request_id": f"new-api-{number}", "other": json.dumps(
             {"model_ratio": 1.25, "completion_ratio": 4, "cache_tokens": call.cached_tokens, "cache_ratio": 0.5})}
        for number, call in enumerate(calls)
    ]  # fmt: skip
    top_up = {"id": 999, "type": 1, "prompt_tokens": 0, "completion_tokens": 0, "request_id": "new-api-topup"}
    return lines([*rows, {**rows[0], **top_up}])


def braintrust(calls: Sequence[TrueCall]) -> str:
    """Each call below a task's span."""
    rows: list[dict[str, Any]] = []
    for number, call in enumerate(calls):
        above = {"id": f"bt-task-{number}", "span_id": f"task-{number}", "root_span_id": f"task-{number}",
                 "span_parents": None, "span_attributes": {"name": call.agent, "type": "task"},
                 "metrics": {"start": call.start.timestamp(), "end": call.end.timestamp()}}  # fmt: skip
        rows.append(above)
        rows.append(
            {"id": f"bt-{number}", "span_id": call.span_id, "root_span_id": f"task-{number}",
             "span_parents": [f"task-{number}"], "created": iso(call.start), "input": call.messages,
             "output": [{"message": {"role": "assistant", "content": call.answer}}],
             "span_attributes": {"name": "Chat Completion", "type": "llm"},
             "metadata": {"model": call.model, "provider": "openai", "agent": call.agent, "task": call.task,
                          "session_id": call.session, "user_id": call.user},
             "metrics": {"start": call.start.timestamp(), "end": call.end.timestamp(),
                         "prompt_tokens": call.input_tokens, "completion_tokens": call.output_tokens,
                         "tokens": call.input_tokens + call.output_tokens, "prompt_cached_tokens": call.cached_tokens,
                         "completion_reasoning_tokens": call.reasoning_tokens,
                         "estimated_cost": float(call.cost)}}
        )  # fmt: skip
    return lines(rows)


def datadog_llm(calls: Sequence[TrueCall]) -> str:
    """A batch as it is sent for every two calls, then the export of the rest."""
    rows: list[dict[str, Any]] = []
    for number, call in enumerate(calls):
        metrics = {"input_tokens": call.input_tokens, "output_tokens": call.output_tokens,
                   "total_tokens": call.input_tokens + call.output_tokens,
                   "cache_read_input_tokens": call.cached_tokens,
                   "reasoning_output_tokens": call.reasoning_tokens}  # fmt: skip
        span: dict[str, Any] = {"span_id": call.span_id, "trace_id": call.trace_id, "parent_id": "undefined",
                                "name": call.agent, "status": "ok", "duration": call.duration_ms * 1_000_000,
                                "metrics": metrics, "session_id": call.session}  # fmt: skip
        answer = [{"role": "assistant", "content": call.answer}]
        if number % 2:
            span |= {"start_ms": millis(call.start), "span_kind": "llm", "model_name": call.model,
                     "model_provider": "openai", "input": {"messages": call.messages}, "output": {"messages": answer},
                     "metadata": {"agent": call.agent, "task": call.task}}  # fmt: skip
            rows.append({"id": f"AQ{number}", "type": "span", "attributes": span})
        else:
            span |= {"start_ns": nanos(call.start),
                     "meta": {"kind": "llm", "model_name": call.model, "model_provider": "openai",
                              "input": {"messages": call.messages}, "output": {"messages": answer},
                              "metadata": {"agent": call.agent, "task": call.task}}}  # fmt: skip
            tool = {"span_id": f"tool-{number}", "trace_id": call.trace_id, "start_ns": nanos(call.end),
                    "duration": 1000, "meta": {"kind": "tool"}}  # fmt: skip
            rows.append({"data": {"type": "span", "attributes": {"ml_app": "samples", "spans": [span, tool]}}})
    return lines([*(row for row in rows if "data" in row), {"data": [row for row in rows if "attributes" in row]}])


def opik(calls: Sequence[TrueCall]) -> str:
    return lines([
        {"id": call.span_id, "trace_id": call.trace_id, "project_id": "samples", "parent_span_id": None, "type": "llm",
         "name": "chat_completion_create", "start_time": iso(call.start), "end_time": iso(call.end),
         "model": call.model, "provider": "openai", "input": {"messages": call.messages},
         "output": {"choices": [{"message": {"role": "assistant", "content": call.answer}}]},
         "metadata": {"agent": call.agent, "task": call.task, "thread_id": call.session},
         "total_estimated_cost": float(call.cost), "tags": [],
         "usage": {"prompt_tokens": call.input_tokens, "completion_tokens": call.output_tokens,
                   "total_tokens": call.input_tokens + call.output_tokens,
                   "original_usage.prompt_tokens": call.input_tokens,
                   "original_usage.completion_tokens": call.output_tokens,
                   "original_usage.total_tokens": call.input_tokens + call.output_tokens,
                   "original_usage.prompt_tokens_details.cached_tokens": call.cached_tokens,
                   "original_usage.completion_tokens_details.reasoning_tokens": call.reasoning_tokens}}
        for call in calls
    ])  # fmt: skip


def weave(calls: Sequence[TrueCall]) -> str:
    """Each call below an op of its agent, in whose summary its usage is counted again."""
    rows: list[dict[str, Any]] = []
    for call in calls:
        summary = {"usage": {call.model: {"requests": 1, **chat_usage(call)}},
                   "weave": {"latency_ms": call.duration_ms}}  # fmt: skip
        common = {"trace_id": call.trace_id, "started_at": iso(call.start), "ended_at": iso(call.end),
                  "summary": summary, "attributes": {"agent": call.agent, "task": call.task},
                  "thread_id": call.session, "wb_user_id": call.user, "exception": None}  # fmt: skip
        above = f"op-{call.span_id}"
        inner = {"id": call.span_id, "parent_id": above, "op_name": "weave:///samples/op/openai.chat.completions.create",
                 "inputs": chat_request(call), "output": chat_body(call), **common}  # fmt: skip
        outer = {"id": above, "parent_id": None, "op_name": "weave:///samples/op/agent", "inputs": {}, **common}
        rows.extend((outer, inner))
    return lines(rows)


def otel_rows(calls: Sequence[TrueCall]) -> str:
    """Rows of Logfire, spans of the console exporter, traces of Jaeger and columns of Arize in turn."""
    rows: list[dict[str, Any]] = []
    for number, call in enumerate(calls):
        values: dict[str, Any] = {
            "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": call.model,
            "gen_ai.usage.input_tokens": call.input_tokens, "gen_ai.usage.output_tokens": call.output_tokens,
            "gen_ai.usage.cache_read.input_tokens": call.cached_tokens, "gen_ai.conversation.id": call.session,
            "gen_ai.agent.name": call.agent,
        }  # fmt: skip
        if number % 4 == 0:
            rows.append({"start_timestamp": iso(call.start), "end_timestamp": iso(call.end), "span_name": "chat",
                         "trace_id": call.trace_id, "span_id": call.span_id, "parent_span_id": None,
                         "service_name": "samples", "otel_scope_name": "samples", "is_exception": False,
                         "attributes": json.dumps(values)})  # fmt: skip
        elif number % 4 == 1:
            rows.append({"name": "chat", "kind": "SpanKind.CLIENT", "parent_id": None, "attributes": values,
                         "context": {"trace_id": f"0x{call.trace_id}", "span_id": f"0x{call.span_id}"},
                         "start_time": iso(call.start), "end_time": iso(call.end), "status": {"status_code": "UNSET"},
                         "events": [], "links": [],
                         "resource": {"attributes": {"service.name": "samples"}, "schema_url": ""}})  # fmt: skip
        elif number % 4 == 2:
            tags = [{"key": key, "type": "int64" if isinstance(value, int) else "string", "value": value}
                    for key, value in values.items()]  # fmt: skip
            rows.append({"traceID": call.trace_id, "processes": {"p1": {"serviceName": "samples", "tags": []}},
                         "spans": [{"traceID": call.trace_id, "spanID": call.span_id, "operationName": "chat",
                                    "references": [], "startTime": millis(call.start) * 1000,
                                    "duration": call.duration_ms * 1000, "processID": "p1",
                                    "tags": tags}]})  # fmt: skip
        else:
            rows.append({"context.trace_id": call.trace_id, "context.span_id": call.span_id, "parent_id": None,
                         "name": "ChatCompletion", "span_kind": "LLM", "status_code": "OK",
                         "start_time": iso(call.start), "end_time": iso(call.end),
                         "attributes.llm.model_name": call.model, "attributes.llm.provider": "openai",
                         "attributes.llm.token_count.prompt": call.input_tokens,
                         "attributes.llm.token_count.completion": call.output_tokens,
                         "attributes.llm.token_count.prompt_details.cache_read": call.cached_tokens,
                         "attributes.session.id": call.session,
                         "attributes.llm.input_messages": [{"message": one} for one in call.messages],
                         "attributes.metadata": json.dumps({"agent": call.agent, "task": call.task})})  # fmt: skip
    return lines(rows)


def inspect_ai(calls: Sequence[TrueCall]) -> str:
    """Two samples of one evaluation; the usage counts its cache beside the input."""

    def event(call: TrueCall, number: int) -> dict[str, Any]:
        return {"event": "model", "uuid": f"inspect-{number}", "timestamp": iso(call.start),
                "completed": iso(call.end), "working_time": call.duration_ms / 1000, "model": f"openai/{call.model}",
                "input": call.messages, "config": {}, "tools": [],
                "output": {"model": call.model, "time": call.duration_ms / 1000,
                           "choices": [{"message": {"role": "assistant", "content": call.answer},
                                        "stop_reason": "stop"}],
                           "usage": {"input_tokens": call.input_tokens - call.cached_tokens,
                                     "input_tokens_cache_read": call.cached_tokens,
                                     "output_tokens": call.output_tokens, "reasoning_tokens": call.reasoning_tokens,
                                     "total_tokens": call.input_tokens + call.output_tokens}}}  # fmt: skip

    half = (len(calls) + 1) // 2
    samples = [
        {"id": place + 1, "epoch": 1, "events": [
            {"event": "sample_init"},
            *(event(call, place * half + number) for number, call in enumerate(part)),
            {"event": "score"}]}
        for place, part in enumerate((calls[:half], calls[half:]))
    ]  # fmt: skip
    about = {"run_id": "samples", "task": "tides", "model": "openai/gpt-4o", "created": iso(calls[0].start)}
    return json.dumps({"version": 2, "status": "success", "eval": about, "samples": samples}, indent=1) + "\n"


def openhands(calls: Sequence[TrueCall]) -> str:
    """One run for every three calls."""
    rows = []
    for first in range(0, len(calls), 3):
        part = calls[first : first + 3]
        names = [f"openhands-{first + number}" for number in range(len(part))]
        rows.append({
            "instance_id": f"run-{first}", "history": [], "test_result": {},
            "metrics": {
                "accumulated_cost": sum(float(call.cost) for call in part),
                "costs": [{"model": call.model, "cost": float(call.cost), "timestamp": call.end.timestamp()}
                          for call in part],
                "response_latencies": [{"model": call.model, "latency": call.duration_ms / 1000, "response_id": name}
                                       for call, name in zip(part, names, strict=True)],
                "token_usages": [{"model": call.model, "prompt_tokens": call.input_tokens,
                                  "completion_tokens": call.output_tokens, "cache_read_tokens": call.cached_tokens,
                                  "cache_write_tokens": 0, "response_id": name}
                                 for call, name in zip(part, names, strict=True)]}})  # fmt: skip
    return lines(rows)
