"""Writers of the providers' own logs, one function each: the file's text from a list of calls.

Shapes after the vendors' schemas as of 2026-10; nothing is copied from anybody's logs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sample_logs.formats.shapes import (
    TICKS_TO_1970,
    anthropic_message,
    chat_body,
    chat_request,
    chat_usage,
    gemini_body,
    iso,
    lines,
    millis,
    seconds,
)
from sample_logs.formats.truth import TrueCall


def openai_chat(calls: Sequence[TrueCall]) -> str:
    return lines([
        {"timestamp": iso(call.start), "duration_ms": call.duration_ms, "agent": call.agent, "task": call.task,
         "session_id": call.session, "user": call.user, "request": chat_request(call), "response": chat_body(call)}
        for call in calls
    ])  # fmt: skip


def stream_chunks(calls: Sequence[TrueCall]) -> str:
    """The chunks of two answers lie between each other."""
    answers = []
    for call in calls:
        chunk = {"id": call.id, "object": "chat.completion.chunk", "created": seconds(call.start), "model": call.model}
        delta = {"role": "assistant", "content": call.answer}
        answers.append([
            {"timestamp": iso(call.start), **chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]},
            {"timestamp": iso(call.end), **chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
            {"timestamp": iso(call.end), **chunk, "choices": [], "usage": chat_usage(call)},
        ])  # fmt: skip
    pairs = [answers[first : first + 2] for first in range(0, len(answers), 2)]
    return lines([row for pair in pairs for part in zip(*pair, strict=True) for row in part])


def openai_responses(calls: Sequence[TrueCall]) -> str:
    return lines([
        {"timestamp": iso(call.start), "duration_ms": call.duration_ms, "agent": call.agent, "task": call.task,
         "session_id": call.session,
         "request": {"model": call.model, "instructions": call.messages[0]["content"], "input": call.messages[1:],
                     "temperature": call.temperature},
         "response": {
             "id": call.id, "object": "response", "created_at": seconds(call.start), "status": "completed",
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
    return lines([
        {"id": f"batch_req_{number}", "custom_id": f"request-{number}", "error": None,
         "response": {"status_code": 200, "request_id": f"req_{number}", "body": chat_body(call)}}
        for number, call in enumerate(calls)
    ])  # fmt: skip


def anthropic_messages(calls: Sequence[TrueCall]) -> str:
    return lines([
        {"timestamp": iso(call.start), "latency_ms": call.duration_ms, "agent": call.agent, "task": call.task,
         "request": {"model": "claude-sonnet-4-5-20250929", "max_tokens": 1024,
                     "system": call.messages[0]["content"], "messages": call.messages[1:]},
         "response": anthropic_message(call, number)}
        for number, call in enumerate(calls)
    ])  # fmt: skip


def anthropic_batch(calls: Sequence[TrueCall]) -> str:
    rows: list[dict[str, Any]] = [
        {"custom_id": f"item-{number}",
         "result": {"type": "succeeded",
                    "message": {**anthropic_message(call, number), "id": f"msg_batch{number:05}"}}}
        for number, call in enumerate(calls)
    ]  # fmt: skip
    return lines([*rows, {"custom_id": "item-late", "result": {"type": "expired"}}])


def gemini_batch(calls: Sequence[TrueCall]) -> str:
    """Lines of the Gemini API and of Vertex AI in turn, and one that failed."""
    rows: list[dict[str, Any]] = []
    for number, call in enumerate(calls):
        answer = {**gemini_body(call, number), "responseId": f"gemini-batch-{number}"}
        request = {"contents": [{"role": "user", "parts": [{"text": call.messages[1]["content"]}]}]}
        if number % 2:
            rows.append({"status": "", "processed_time": iso(call.start), "request": request, "response": answer})
        else:
            rows.append({"key": f"request-{number}", "response": answer})
    return lines([*rows, {"key": "request-late", "error": {"code": 13, "message": "internal"}}])


def bedrock_batch(calls: Sequence[TrueCall]) -> str:
    rows: list[dict[str, Any]] = [
        {"recordId": f"CALL{number:07}",
         "modelInput": {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 1024, "messages": call.messages[1:]},
         "modelOutput": {**anthropic_message(call, number), "id": f"msg_bdrk_batch{number:05}"}}
        for number, call in enumerate(calls)
    ]  # fmt: skip
    failed = {"recordId": "CALL9999999", "modelInput": {}, "error": {"errorCode": 400, "errorMessage": "too long"}}
    return lines([*rows, failed])


def event_stream(calls: Sequence[TrueCall]) -> str:
    parts = []
    for number, call in enumerate(calls):
        message = anthropic_message(call, number)
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
    return lines([
        {"timestamp": iso(call.start),
         "request": {"contents": [{"role": "user", "parts": [{"text": call.messages[1]["content"]}]}],
                     "systemInstruction": {"parts": [{"text": call.messages[0]["content"]}]}},
         "response": gemini_body(call, number)}
        for number, call in enumerate(calls)
    ])  # fmt: skip


def vertex(calls: Sequence[TrueCall]) -> str:
    return lines([
        {"endpoint": "publishers/google", "api_method": "generateContent", "location": "europe-west1",
         "logging_time": iso(call.start), "model": "publishers/google/models/gemini-2.5-flash",
         "request_id": f"{number}",
         "full_request": json.dumps({"contents": [{"role": "user", "parts": [{"text": call.messages[1]["content"]}]}]}),
         "full_response": json.dumps({**gemini_body(call, number), "responseId": f"vertex-sample-{number}"})}
        for number, call in enumerate(calls)
    ])  # fmt: skip


def bedrock(calls: Sequence[TrueCall]) -> str:
    return lines([
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


def bedrock_converse(calls: Sequence[TrueCall]) -> str:
    """Pairs as a program logs them: answers of boto3, and the events of a stream in turn."""
    rows: list[dict[str, Any]] = []
    for number, call in enumerate(calls):
        usage = {"inputTokens": call.input_tokens - call.cached_tokens, "outputTokens": call.output_tokens,
                 "totalTokens": call.input_tokens + call.output_tokens, "cacheReadInputTokens": call.cached_tokens,
                 "cacheWriteInputTokens": 0}  # fmt: skip
        metrics = {"latencyMs": call.duration_ms}
        whole = {"ResponseMetadata": {"RequestId": f"converse-{number}", "HTTPStatusCode": 200},
                 "output": {"message": {"role": "assistant", "content": [{"text": call.answer}]}},
                 "stopReason": "end_turn", "usage": usage, "metrics": metrics}  # fmt: skip
        events = [{"messageStart": {"role": "assistant"}},
                  {"contentBlockDelta": {"delta": {"text": call.answer}, "contentBlockIndex": 0}},
                  {"messageStop": {"stopReason": "end_turn"}},
                  {"metadata": {"usage": usage, "metrics": metrics}}]  # fmt: skip
        request = {"modelId": "anthropic.claude-3-5-haiku-20241022-v1:0",
                   "messages": [{"role": "user", "content": [{"text": call.messages[1]["content"]}]}]}  # fmt: skip
        rows.append({"timestamp": iso(call.start), "agent": call.agent, "task": call.task, "request": request,
                     "response": events if number % 2 else whole})  # fmt: skip
    return lines(rows)


def azure(calls: Sequence[TrueCall]) -> str:
    """Gateway records with bodies; every second one has its properties as a string, and one has no bodies at all."""
    records: list[dict[str, Any]] = []
    for number, call in enumerate(calls):
        values = {"method": "POST", "responseCode": 200, "backendTime": call.duration_ms - 5,
                  "requestBody": json.dumps(chat_request(call)),
                  "responseBody": json.dumps({**chat_body(call), "id": f"chatcmpl-azure{number:05}"})}  # fmt: skip
        records.append({"time": iso(call.start), "resourceId": "/SUBSCRIPTIONS/SAMPLES/SERVICE/APIM",
                        "category": "GatewayLogs", "operationName": "Microsoft.ApiManagement/GatewayLogs",
                        "durationMs": call.duration_ms, "location": "westeurope", "correlationId": f"c-{number}",
                        "properties": json.dumps(values) if number % 2 else values})  # fmt: skip
    last = calls[-1]
    ticks = TICKS_TO_1970 + millis(last.start) * 10_000
    records.append({"time": iso(last.start), "resourceId": "/SUBSCRIPTIONS/SAMPLES/ACCOUNTS/AI",
                    "category": "RequestResponse", "operationName": "ChatCompletions_Create", "durationMs": 812,
                    "correlationId": "c-none",
                    "properties": {"requestTime": ticks, "modelDeploymentName": "chat", "modelName": "gpt-4o",
                                   "modelVersion": "2024-08-06"}})  # fmt: skip
    return lines(records)


def recorded_http(calls: Sequence[TrueCall]) -> str:
    """A VCR cassette."""
    import yaml

    return yaml.safe_dump({
        "interactions": [
            {"request": {"body": json.dumps(chat_request(call)), "method": "POST",
                         "uri": "https://api.openai.com/v1/chat/completions", "headers": {}},
             "response": {"body": {"string": json.dumps({**chat_body(call), "id": f"chatcmpl-vcr{number:05}"})},
                          "headers": {"Date": [call.start.strftime("%a, %d %b %Y %H:%M:%S GMT")]},
                          "status": {"code": 200, "message": "OK"}}}
            for number, call in enumerate(calls)
        ],
        "version": 1,
    }, sort_keys=False)  # fmt: skip


def provider_usage(calls: Sequence[TrueCall]) -> str:
    day = seconds(calls[0].start) // 86_400 * 86_400
    bucket = {"object": "bucket", "start_time": day, "end_time": day + 86_400, "results": [
        {"object": "organization.usage.completions.result", "model": "gpt-4o-2024-08-06",
         "input_tokens": sum(call.input_tokens for call in calls),
         "input_cached_tokens": sum(call.cached_tokens for call in calls),
         "output_tokens": sum(call.output_tokens for call in calls), "num_model_requests": len(calls),
         "project_id": "proj_samples", "api_key_id": None, "batch": False}]}  # fmt: skip
    cost = {"object": "bucket", "start_time": day, "end_time": day + 86_400, "results": [
        {"object": "organization.costs.result", "amount": {"value": 1.25, "currency": "usd"},
         "line_item": "gpt-4o-2024-08-06, input", "project_id": "proj_samples"}]}  # fmt: skip
    return lines([bucket, cost])
