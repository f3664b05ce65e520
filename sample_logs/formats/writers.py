"""Writers of the log formats, one function each: the file's text from a list of calls.

Shapes after the vendors' schemas as of 2026-10; nothing is copied from anybody's logs.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sample_logs.formats.truth import TrueCall

Writer = Callable[[Sequence[TrueCall]], str]
_TICKS_TO_1970 = 621_355_968_000_000_000


def _lines(records: Sequence[dict[str, Any]]) -> str:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def _millis(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _nanos(moment: datetime) -> int:
    return _millis(moment) * 1_000_000


def _chat_usage(call: TrueCall) -> dict[str, Any]:
    return {
        "prompt_tokens": call.input_tokens, "completion_tokens": call.output_tokens,
        "total_tokens": call.input_tokens + call.output_tokens,
        "prompt_tokens_details": {"cached_tokens": call.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": call.reasoning_tokens, "audio_tokens": 0},
    }  # fmt: skip


def _chat_body(call: TrueCall) -> dict[str, Any]:
    return {
        "id": call.id, "object": "chat.completion", "created": _seconds(call.start), "model": call.model,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": call.answer}, "finish_reason": "stop"}],
        "usage": _chat_usage(call), "service_tier": "default",
    }  # fmt: skip


def _chat_request(call: TrueCall) -> dict[str, Any]:
    return {"model": call.model, "messages": call.messages, "temperature": call.temperature}


def hindcast(calls: Sequence[TrueCall]) -> str:
    return _lines([
        {"hindcast": 1, "call_id": call.id, "start_time": _iso(call.start), "duration_ms": call.duration_ms,
         "provider_name": "openai", "request_model": call.model, "response_model": call.model, "agent": call.agent,
         "task": call.task, "conversation_id": call.session, "user_id": call.user, "input_tokens": call.input_tokens,
         "cache_read_input_tokens": call.cached_tokens, "output_tokens": call.output_tokens,
         "reasoning_output_tokens": call.reasoning_tokens, "status": "ok", "temperature": call.temperature,
         "logged_cost_usd": call.cost, "input_messages": call.messages,
         "output_messages": [{"role": "assistant", "content": call.answer}]}
        for call in calls
    ])  # fmt: skip


def openai_chat(calls: Sequence[TrueCall]) -> str:
    return _lines([
        {"timestamp": _iso(call.start), "duration_ms": call.duration_ms, "agent": call.agent, "task": call.task,
         "session_id": call.session, "user": call.user, "request": _chat_request(call), "response": _chat_body(call)}
        for call in calls
    ])  # fmt: skip


def openai_responses(calls: Sequence[TrueCall]) -> str:
    return _lines([
        {"timestamp": _iso(call.start), "duration_ms": call.duration_ms, "agent": call.agent, "task": call.task,
         "session_id": call.session,
         "request": {"model": call.model, "instructions": call.messages[0]["content"], "input": call.messages[1:],
                     "temperature": call.temperature},
         "response": {
             "id": call.id, "object": "response", "created_at": _seconds(call.start), "status": "completed",
             "model": call.model,
             "output": [{"id": f"m_{call.id}", "type": "message", "role": "assistant", "status": "completed",
                         "content": [{"type": "output_text", "text": call.answer, "annotations": []}]}],
             "usage": {"input_tokens": call.input_tokens,
                       "input_tokens_details": {"cached_tokens": call.cached_tokens},
                       "output_tokens": call.output_tokens,
                       "output_tokens_details": {"reasoning_tokens": call.reasoning_tokens},
                       "total_tokens": call.input_tokens + call.output_tokens}}}
        for call in calls
    ])  # fmt: skip


def openai_batch(calls: Sequence[TrueCall]) -> str:
    return _lines([
        {"id": f"batch_req_{number}", "custom_id": f"request-{number}", "error": None,
         "response": {"status_code": 200, "request_id": f"req_{number}", "body": _chat_body(call)}}
        for number, call in enumerate(calls)
    ])  # fmt: skip


def _anthropic_message(call: TrueCall, number: int) -> dict[str, Any]:
    return {
        "id": f"msg_sample{number:06}", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5-20250929",
        "content": [{"type": "text", "text": call.answer}], "stop_reason": "end_turn", "stop_sequence": None,
        "usage": {"input_tokens": call.input_tokens - call.cached_tokens, "cache_creation_input_tokens": 0,
                  "cache_read_input_tokens": call.cached_tokens, "output_tokens": call.output_tokens,
                  "service_tier": "standard"},
    }  # fmt: skip


def anthropic_messages(calls: Sequence[TrueCall]) -> str:
    return _lines([
        {"timestamp": _iso(call.start), "latency_ms": call.duration_ms, "agent": call.agent, "task": call.task,
         "request": {"model": "claude-sonnet-4-5-20250929", "max_tokens": 1024,
                     "system": call.messages[0]["content"], "messages": call.messages[1:]},
         "response": _anthropic_message(call, number)}
        for number, call in enumerate(calls)
    ])  # fmt: skip


def anthropic_batch(calls: Sequence[TrueCall]) -> str:
    rows: list[dict[str, Any]] = [
        {"custom_id": f"item-{number}",
         "result": {"type": "succeeded",
                    "message": {**_anthropic_message(call, number), "id": f"msg_batch{number:05}"}}}
        for number, call in enumerate(calls)
    ]  # fmt: skip
    return _lines([*rows, {"custom_id": "item-late", "result": {"type": "expired"}}])


def event_stream(calls: Sequence[TrueCall]) -> str:
    parts = []
    for number, call in enumerate(calls):
        message = _anthropic_message(call, number)
        start = {
            **message,
            "id": f"msg_stream{number:05}",
            "content": [],
            "usage": {**message["usage"], "output_tokens": 1},
        }
        for name, data in (
            ("message_start", {"type": "message_start", "message": start}),
            ("content_block_start", {"type": "content_block_start", "index": 0,
                                     "content_block": {"type": "text", "text": ""}}),
            ("content_block_delta", {"type": "content_block_delta", "index": 0,
                                     "delta": {"type": "text_delta", "text": call.answer}}),
            ("content_block_stop", {"type": "content_block_stop", "index": 0}),
            ("message_delta", {"type": "message_delta", "delta": {"stop_reason": "end_turn"},
                               "usage": {"output_tokens": call.output_tokens}}),
            ("message_stop", {"type": "message_stop"}),
        ):  # fmt: skip
            parts.append(f"event: {name}\ndata: {json.dumps(data)}\n\n")
    return "".join(parts)


def gemini(calls: Sequence[TrueCall]) -> str:
    return _lines([
        {"timestamp": _iso(call.start),
         "request": {"contents": [{"role": "user", "parts": [{"text": call.messages[1]["content"]}]}],
                     "systemInstruction": {"parts": [{"text": call.messages[0]["content"]}]}},
         "response": _gemini_body(call, number)}
        for number, call in enumerate(calls)
    ])  # fmt: skip


def _gemini_body(call: TrueCall, number: int) -> dict[str, Any]:
    plain = call.output_tokens - call.reasoning_tokens
    return {
        "responseId": f"gemini-sample-{number}", "modelVersion": "gemini-2.5-flash",
        "candidates": [{"content": {"role": "model", "parts": [{"text": call.answer}]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": call.input_tokens, "cachedContentTokenCount": call.cached_tokens,
                          "candidatesTokenCount": plain, "thoughtsTokenCount": call.reasoning_tokens,
                          "totalTokenCount": call.input_tokens + call.output_tokens},
    }  # fmt: skip


def vertex(calls: Sequence[TrueCall]) -> str:
    return _lines([
        {"endpoint": "publishers/google", "api_method": "generateContent", "location": "europe-west1",
         "logging_time": _iso(call.start), "model": "publishers/google/models/gemini-2.5-flash",
         "request_id": f"{number}",
         "full_request": json.dumps({"contents": [{"role": "user", "parts": [{"text": call.messages[1]["content"]}]}]}),
         "full_response": json.dumps({**_gemini_body(call, number), "responseId": f"vertex-sample-{number}"})}
        for number, call in enumerate(calls)
    ])  # fmt: skip


def litellm(calls: Sequence[TrueCall]) -> str:
    return _lines([
        {"id": call.id, "trace_id": call.trace_id, "call_type": "acompletion", "cache_hit": None, "stream": False,
         "status": "success", "custom_llm_provider": "openai", "model": call.model, "model_group": call.model,
         "startTime": call.start.timestamp(), "endTime": call.end.timestamp(),
         "completionStartTime": call.end.timestamp(), "response_cost": float(call.cost),
         "prompt_tokens": call.input_tokens, "completion_tokens": call.output_tokens,
         "total_tokens": call.input_tokens + call.output_tokens, "session_id": call.session, "end_user": call.user,
         "request_tags": ["User-Agent: samples"],
         "metadata": {"requester_metadata": {"agent": call.agent, "task": call.task}, "user_api_key_alias": "samples"},
         "messages": call.messages, "response": _chat_body(call),
         "model_parameters": {"temperature": call.temperature},
         "hidden_params": {}, "model_map_information": {"model_map_key": call.model, "model_map_value": None}}
        for call in calls
    ])  # fmt: skip


def litellm_spend(calls: Sequence[TrueCall]) -> str:
    return _lines([
        {"request_id": call.id, "call_type": "acompletion", "spend": float(call.cost), "model": call.model,
         "model_group": call.model, "custom_llm_provider": "openai",
         "startTime": call.start.strftime("%Y-%m-%d %H:%M:%S.%f"), "endTime": call.end.strftime("%Y-%m-%d %H:%M:%S.%f"),
         "total_tokens": call.input_tokens + call.output_tokens, "prompt_tokens": call.input_tokens,
         "completion_tokens": call.output_tokens, "cache_hit": "None", "end_user": call.user, "agent_id": call.agent,
         "session_id": call.session, "messages": "{}", "response": "{}", "request_tags": "[]",
         "metadata": json.dumps({"usage_object": _chat_usage(call), "status": "success",
                                 "spend_logs_metadata": {"task": call.task}})}
        for call in calls
    ])  # fmt: skip


def helicone(calls: Sequence[TrueCall]) -> str:
    """Without bodies: the columns leave cache and reasoning out."""
    return _lines([
        {"response_id": f"h-{number}", "request_id": call.id, "request_created_at": _iso(call.start),
         "response_status": 200, "request_model": call.model, "response_model": call.model, "provider": "OPENAI",
         "delay_ms": call.duration_ms, "prompt_tokens": call.input_tokens - call.cached_tokens,
         "prompt_cache_read_tokens": call.cached_tokens, "prompt_cache_write_tokens": 0,
         "completion_tokens": call.output_tokens - call.reasoning_tokens, "reasoning_tokens": call.reasoning_tokens,
         "total_tokens": call.input_tokens + call.output_tokens, "costUSD": float(call.cost),
         "request_user_id": call.user, "request_path": "https://oai.helicone.ai/v1/chat/completions",
         "request_properties": {"agent": call.agent, "task": call.task, "Helicone-Session-Id": call.session}}
        for number, call in enumerate(calls)
    ])  # fmt: skip


def portkey(calls: Sequence[TrueCall]) -> str:
    return _lines([
        {"id": f"pk-{number}", "trace_id": call.trace_id, "created_at": _iso(call.start), "ai_org": "openai",
         "ai_model": call.model, "req_units": call.input_tokens, "res_units": call.output_tokens,
         "total_units": call.input_tokens + call.output_tokens, "cost": float(call.cost) * 100, "cost_currency": "USD",
         "response_time": call.duration_ms, "response_status_code": 200, "is_success": 1, "mode": "single",
         "cache_status": "MISS", "request": _chat_request(call), "response": _chat_body(call),
         "metadata": {"agent": call.agent, "task": call.task, "session_id": call.session, "_user": call.user}}
        for number, call in enumerate(calls)
    ])  # fmt: skip


def openrouter(calls: Sequence[TrueCall]) -> str:
    """The activity CSV."""
    out = io.StringIO()
    names = ("generation_id", "created_at", "cost_total", "tokens_prompt", "tokens_completion", "tokens_reasoning",
             "tokens_cached", "model_permaslug", "provider_name", "cancelled", "streamed", "user",
             "finish_reason_normalized", "generation_time_ms", "time_to_first_token_ms", "app_name",
             "api_key_name")  # fmt: skip
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    for number, call in enumerate(calls):
        writer.writerow((f"gen-sample-{number}", call.start.strftime("%Y-%m-%d %H:%M:%S.%f"), call.cost,
                         call.input_tokens, call.output_tokens, call.reasoning_tokens, call.cached_tokens,
                         f"openai/{call.model}", "OpenAI", "false", "true", call.user, "stop", call.duration_ms, 210,
                         call.agent, "samples"))  # fmt: skip
    return out.getvalue()


def posthog(calls: Sequence[TrueCall]) -> str:
    return _lines([
        {"uuid": f"ph-{number}", "event": "$ai_generation", "timestamp": _iso(call.end), "distinct_id": call.user,
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
    return _lines([
        {"id": call.span_id, "traceId": call.trace_id, "type": "GENERATION", "name": f"chat {call.model}",
         "startTime": _iso(call.start), "endTime": _iso(call.end), "latency": call.duration_ms / 1000,
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
    return _lines([
        {"id": call.span_id, "trace_id": call.trace_id, "name": "ChatOpenAI", "run_type": "llm",
         "dotted_order": f"{call.start:%Y%m%dT%H%M%S%f}Z{call.span_id}", "start_time": _millis(call.start),
         "end_time": _millis(call.end), "status": "success", "total_cost": call.cost,
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


def _attribute(key: str, value: Any) -> dict[str, Any]:
    kind = "intValue" if isinstance(value, int) else "doubleValue" if isinstance(value, float) else "stringValue"
    return {"key": key, "value": {kind: str(value) if kind == "intValue" else value}}


def otlp(calls: Sequence[TrueCall]) -> str:
    """Each call below a span of its agent, which repeats the usage as agent frameworks do."""
    records = []
    for call in calls:

        def span(name: str, span_id: str, parent: str, values: dict[str, Any], call: TrueCall = call) -> dict[str, Any]:
            return {"traceId": call.trace_id, "spanId": span_id, "parentSpanId": parent, "name": name, "kind": 3,
                    "startTimeUnixNano": str(_nanos(call.start)), "endTimeUnixNano": str(_nanos(call.end)),
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
    return _lines(records)


def phoenix(calls: Sequence[TrueCall]) -> str:
    return _lines([
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
    return _lines([
        {"trace_id": call.trace_id, "span_id": call.span_id, "parent_span_id": None, "name": "Completions",
         "start_time_unix_nano": _nanos(call.start), "end_time_unix_nano": _nanos(call.end),
         "status": {"code": "STATUS_CODE_OK"},
         "attributes": {
             "mlflow.spanType": json.dumps("CHAT_MODEL"), "mlflow.traceRequestId": json.dumps(f"tr-{call.trace_id}"),
             "mlflow.llm.model": json.dumps(call.model), "mlflow.llm.provider": json.dumps("openai"),
             "mlflow.chat.tokenUsage": json.dumps(
                 {"input_tokens": call.input_tokens, "output_tokens": call.output_tokens,
                  "total_tokens": call.input_tokens + call.output_tokens,
                  "cache_read_input_tokens": call.cached_tokens}),
             "mlflow.llm.cost": json.dumps({"total_cost": float(call.cost)}),
             "mlflow.spanInputs": json.dumps(_chat_request(call)), "mlflow.spanOutputs": json.dumps(_chat_body(call)),
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
    return _lines(records)


def bedrock(calls: Sequence[TrueCall]) -> str:
    return _lines([
        {"timestamp": call.start.strftime("%Y-%m-%dT%H:%M:%SZ"), "accountId": "000000000000", "region": "eu-west-1",
         "identity": {"arn": "arn:aws:sts::000000000000:assumed-role/samples/run"},
         "requestId": f"bedrock-sample-{number}", "operation": "Converse",
         "modelId": "anthropic.claude-3-5-haiku-20241022-v1:0",
         "requestMetadata": {"agent": call.agent, "task": call.task},
         "input": {"inputContentType": "application/json", "inputTokenCount": call.input_tokens - call.cached_tokens,
                   "cacheReadInputTokenCount": call.cached_tokens, "cacheWriteInputTokenCount": 0,
                   "inputBodyJson": {"messages": [{"role": "user", "content": [{"text": call.messages[1]["content"]}]}],
                                     "system": [{"text": call.messages[0]["content"]}]}},
         "output": {"outputContentType": "application/json", "outputTokenCount": call.output_tokens,
                    "outputBodyJson": {
                        "output": {"message": {"role": "assistant", "content": [{"text": call.answer}]}},
                        "stopReason": "end_turn", "metrics": {"latencyMs": call.duration_ms},
                        "usage": {"inputTokens": call.input_tokens - call.cached_tokens,
                                  "outputTokens": call.output_tokens, "cacheReadInputTokens": call.cached_tokens,
                                  "totalTokens": call.input_tokens + call.output_tokens}}},
         "schemaType": "ModelInvocationLog", "schemaVersion": "1.0"}
        for number, call in enumerate(calls)
    ])  # fmt: skip


def azure(calls: Sequence[TrueCall]) -> str:
    """Gateway records with bodies; every second one has its properties as a string, and one has no bodies at all."""
    records: list[dict[str, Any]] = []
    for number, call in enumerate(calls):
        values = {"method": "POST", "responseCode": 200, "backendTime": call.duration_ms - 5,
                  "requestBody": json.dumps(_chat_request(call)),
                  "responseBody": json.dumps({**_chat_body(call), "id": f"chatcmpl-azure{number:05}"})}  # fmt: skip
        records.append({"time": _iso(call.start), "resourceId": "/SUBSCRIPTIONS/SAMPLES/SERVICE/APIM",
                        "category": "GatewayLogs", "operationName": "Microsoft.ApiManagement/GatewayLogs",
                        "durationMs": call.duration_ms, "location": "westeurope", "correlationId": f"c-{number}",
                        "properties": json.dumps(values) if number % 2 else values})  # fmt: skip
    last = calls[-1]
    ticks = _TICKS_TO_1970 + _millis(last.start) * 10_000
    records.append({"time": _iso(last.start), "resourceId": "/SUBSCRIPTIONS/SAMPLES/ACCOUNTS/AI",
                    "category": "RequestResponse", "operationName": "ChatCompletions_Create", "durationMs": 812,
                    "correlationId": "c-none",
                    "properties": {"requestTime": ticks, "modelDeploymentName": "chat", "modelName": "gpt-4o",
                                   "modelVersion": "2024-08-06"}})  # fmt: skip
    return _lines(records)


def claude_code(calls: Sequence[TrueCall]) -> str:
    """Two rows a message, the first with a partial count; the session's user turns between them."""
    records: list[dict[str, Any]] = []
    parent = None
    for number, call in enumerate(calls):
        message = _anthropic_message(call, number)
        message["id"] = f"msg_transcript{number:05}"
        common = {"isSidechain": False, "sessionId": "5e551047-0000-4000-8000-000000000001", "version": "2.0.0",
                  "cwd": "/home/dev/atlas"}  # fmt: skip
        asked = f"u-{number}"
        records.append({**common, "type": "user", "uuid": asked, "parentUuid": parent, "timestamp": _iso(call.start),
                        "message": {"role": "user", "content": call.messages[1]["content"]}})  # fmt: skip
        for part, made in enumerate((1, call.output_tokens)):
            row = f"a-{number}-{part}"
            records.append({
                **common, "type": "assistant", "uuid": row, "parentUuid": asked if part == 0 else f"a-{number}-0",
                "requestId": f"req_{number:05}", "timestamp": _iso(call.end),
                "message": {**message, "content": [{"type": "text", "text": f"{call.answer} {part}"}],
                            "usage": {**message["usage"], "output_tokens": made}}})  # fmt: skip
            parent = row
    return _lines(records)


def codex(calls: Sequence[TrueCall]) -> str:
    records: list[dict[str, Any]] = [
        {"timestamp": _iso(calls[0].start), "type": "session_meta",
         "payload": {"id": "0199-sample", "cwd": "/home/dev/atlas", "model_provider": "openai"}},
        {"timestamp": _iso(calls[0].start), "type": "turn_context",
         "payload": {"model": "gpt-5-codex", "cwd": "/home/dev/atlas"}},
    ]  # fmt: skip
    names = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_output_tokens")
    total = dict.fromkeys(names, 0)
    for call in calls:
        last = dict(zip(names, (call.input_tokens, call.cached_tokens, call.output_tokens, call.reasoning_tokens),
                        strict=True))  # fmt: skip
        total = {name: total[name] + last[name] for name in names}
        info = {
            "last_token_usage": {**last, "total_tokens": call.input_tokens + call.output_tokens},
            "total_token_usage": {**total, "total_tokens": total["input_tokens"] + total["output_tokens"]},
        }
        event = {"timestamp": _iso(call.end), "type": "event_msg", "payload": {"type": "token_count", "info": info}}
        records += [event, event]  # the tool writes some events twice
    return _lines(records)


def opencode(calls: Sequence[TrueCall]) -> str:
    """One message; the tool writes each to a file of its own."""
    call = calls[0]
    message = {"id": "msg_opencode1", "sessionID": "ses_1", "role": "assistant", "modelID": "claude-sonnet-4-5",
               "providerID": "anthropic", "mode": "build",
               "path": {"cwd": "/home/dev/atlas", "root": "/home/dev/atlas"},
               "time": {"created": _millis(call.start), "completed": _millis(call.end)}, "cost": 0.0123,
               "tokens": {"input": 900, "output": 120, "reasoning": 30,
                          "cache": {"read": 4000, "write": 250}}}  # fmt: skip
    return json.dumps(message, indent=2) + "\n"


def recorded_http(calls: Sequence[TrueCall]) -> str:
    """A VCR cassette."""
    import yaml

    return yaml.safe_dump({
        "interactions": [
            {"request": {"body": json.dumps(_chat_request(call)), "method": "POST",
                         "uri": "https://api.openai.com/v1/chat/completions", "headers": {}},
             "response": {"body": {"string": json.dumps({**_chat_body(call), "id": f"chatcmpl-vcr{number:05}"})},
                          "headers": {"Date": [call.start.strftime("%a, %d %b %Y %H:%M:%S GMT")]},
                          "status": {"code": 200, "message": "OK"}}}
            for number, call in enumerate(calls)
        ],
        "version": 1,
    }, sort_keys=False)  # fmt: skip


def provider_usage(calls: Sequence[TrueCall]) -> str:
    day = _seconds(calls[0].start) // 86_400 * 86_400
    bucket = {"object": "bucket", "start_time": day, "end_time": day + 86_400, "results": [
        {"object": "organization.usage.completions.result", "model": "gpt-4o-2024-08-06",
         "input_tokens": sum(call.input_tokens for call in calls),
         "input_cached_tokens": sum(call.cached_tokens for call in calls),
         "output_tokens": sum(call.output_tokens for call in calls), "num_model_requests": len(calls),
         "project_id": "proj_samples", "api_key_id": None, "batch": False}]}  # fmt: skip
    cost = {"object": "bucket", "start_time": day, "end_time": day + 86_400, "results": [
        {"object": "organization.costs.result", "amount": {"value": 1.25, "currency": "usd"},
         "line_item": "gpt-4o-2024-08-06, input", "project_id": "proj_samples"}]}  # fmt: skip
    return _lines([bucket, cost])


def mapping(calls: Sequence[TrueCall]) -> str:
    """A layout of one's own, as CSV, to be read through sample_logs/mappings/gateway.yaml."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ("id", "when", "seconds", "model", "who", "what", "in", "cached", "out", "cents", "prompt", "answer")
    )
    for call in calls:
        writer.writerow((call.id, call.start.strftime("%Y-%m-%d %H:%M:%S.%f"), call.duration_ms / 1000, call.model,
                         call.agent, call.task, call.input_tokens, call.cached_tokens, call.output_tokens,
                         f"{float(call.cost) * 100:.7f}", json.dumps(call.messages), call.answer))  # fmt: skip
    return out.getvalue()


# format name -> (file name, writer)
WRITERS: dict[str, tuple[str, Writer]] = {
    "hindcast": ("hindcast.jsonl", hindcast),
    "openai_chat": ("openai_chat.jsonl", openai_chat),
    "openai_responses": ("openai_responses.jsonl", openai_responses),
    "openai_batch": ("openai_batch.jsonl", openai_batch),
    "openai_agents": ("openai_agents.jsonl", openai_agents),
    "anthropic_messages": ("anthropic_messages.jsonl", anthropic_messages),
    "anthropic_batch": ("anthropic_batch.jsonl", anthropic_batch),
    "event_stream": ("event_stream.sse", event_stream),
    "gemini": ("gemini.jsonl", gemini),
    "vertex": ("vertex.jsonl", vertex),
    "litellm": ("litellm.jsonl", litellm),
    "litellm_spend": ("litellm_spend.jsonl", litellm_spend),
    "helicone": ("helicone.jsonl", helicone),
    "portkey": ("portkey.jsonl", portkey),
    "openrouter": ("openrouter.csv", openrouter),
    "posthog": ("posthog.jsonl", posthog),
    "langfuse": ("langfuse.jsonl", langfuse),
    "langsmith": ("langsmith.jsonl", langsmith),
    "otlp": ("otlp.jsonl", otlp),
    "phoenix": ("phoenix.jsonl", phoenix),
    "mlflow": ("mlflow.jsonl", mlflow),
    "bedrock": ("bedrock.jsonl", bedrock),
    "azure": ("azure.jsonl", azure),
    "claude_code": ("claude_code.jsonl", claude_code),
    "codex": ("codex.jsonl", codex),
    "opencode": ("opencode.json", opencode),
    "recorded_http": ("recorded_http.yaml", recorded_http),
    "provider_usage": ("provider_usage.jsonl", provider_usage),
    "mapping": ("gateway.csv", mapping),
}
