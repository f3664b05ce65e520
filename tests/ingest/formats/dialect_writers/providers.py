"""Providers' own logs: pairs of bodies, streams, batches, cassettes and the clouds' tables."""

from __future__ import annotations

import json
from typing import Any

from dialect_writers.truth import (
    ALL,
    CLAUDE,
    END,
    GEMINI,
    GPT,
    TEXT,
    TIME,
    Truth,
    chat,
    chat_usage,
    chunk,
    claude_body,
    claude_usage,
    converse_body,
    dialect,
    gemini_body,
    pair,
    responses_body,
    sse,
)

BEDROCK = "anthropic.claude-sonnet-4-5-20250929-v1:0"


@dialect("openai_chat", *ALL, "heard", "spoken", "tier", "cost")
def openai_chat(t: Truth) -> Any:
    return pair(chat(chat_usage(t), service_tier=t.tier or "default"), GPT, cost_usd=0.000001)


@dialect("openai_chat", *ALL)
def openai_chat_without_total(t: Truth) -> Any:
    return pair(chat(chat_usage(t, total=None)), GPT)


@dialect("openai_chat", *ALL)
def openai_chat_of_a_gateway_that_leaves_the_cache_out(t: Truth) -> Any:
    return pair(chat(chat_usage(t, t.fresh), CLAUDE), CLAUDE)


@dialect("openai_chat", *ALL)
def openai_chat_streamed(t: Truth) -> Any:
    return pair(sse(chunk(), chunk(choices=[], usage=chat_usage(t))), GPT)


@dialect("openai_chat", *ALL)
def groq_streamed(t: Truth) -> Any:
    return pair(sse(chunk(), chunk(x_groq={"usage": chat_usage(t)})), GPT)


@dialect("openai_chat", "read", "reasoning", "cost")
def deepseek(t: Truth) -> Any:
    usage = {"prompt_tokens": t.asked, "completion_tokens": t.made, "total_tokens": t.total, "cost": 0.000001,
             "prompt_cache_hit_tokens": t.read, "prompt_cache_miss_tokens": t.fresh,
             "completion_tokens_details": {"reasoning_tokens": t.thought}}  # fmt: skip
    return pair(chat(usage, "deepseek-chat"), "deepseek-chat")


@dialect("openai_chat", "read")
def mistral(t: Truth) -> Any:
    usage = {"prompt_tokens": t.asked, "completion_tokens": t.made, "total_tokens": t.total,
             "num_cached_tokens": t.read}  # fmt: skip
    return pair(chat(usage, "mistral-large-latest"), "mistral-large-latest")


@dialect("openai_chat", "read", "reasoning")
def xai_with_the_reasoning_beside(t: Truth) -> Any:
    usage = {"prompt_tokens": t.asked, "completion_tokens": t.shown, "total_tokens": t.total,
             "prompt_tokens_details": {"cached_tokens": t.read},
             "completion_tokens_details": {"reasoning_tokens": t.thought}}  # fmt: skip
    return pair(chat(usage, "grok-4"), "grok-4")


@dialect("openai_responses", *ALL, "tier")
def openai_responses(t: Truth) -> Any:
    return pair(responses_body(t), GPT)


@dialect("openai_responses", *ALL, "tier")
def openai_responses_streamed(t: Truth) -> Any:
    begun = {**responses_body(t), "status": "in_progress", "usage": None}
    return pair(sse({"type": "response.created", "response": begun},
                    {"type": "response.completed", "response": responses_body(t)}), GPT)  # fmt: skip


@dialect("openai_batch", *ALL, "batch")
def openai_batch(t: Truth) -> Any:
    return {"id": "b1", "custom_id": "one", "error": None,
            "response": {"status_code": 200, "request_id": "q1", "body": chat(chat_usage(t))}}  # fmt: skip


@dialect("openai_batch", *ALL, "batch")
def openai_batch_of_responses(t: Truth) -> Any:
    return {"id": "b1", "custom_id": "one", "error": None,
            "response": {"status_code": 200, "request_id": "q1", "body": responses_body(t)}}  # fmt: skip


@dialect("stream_chunks", *ALL)
def stream_chunks(t: Truth) -> Any:
    return [{"timestamp": TIME, **chunk()}, {"timestamp": END, **chunk(choices=[], usage=chat_usage(t))}]


@dialect("stream_chunks", "read", "written", "hour")
def stream_chunks_of_anthropic(t: Truth) -> Any:
    start, delta = anthropic_events(t)
    return [{"timestamp": TIME, **start}, {"timestamp": END, **delta}, {"timestamp": END, "type": "message_stop"}]


@dialect("event_stream", "read", "written", "hour")
def event_stream(t: Truth) -> Any:
    return {"sse": sse(*anthropic_events(t))}


def anthropic_events(t: Truth) -> tuple[dict[str, Any], dict[str, Any]]:
    start = {"type": "message_start", "message": claude_body({**claude_usage(t), "output_tokens": 1})}
    return start, {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": t.made}}


@dialect("anthropic_messages", "read", "written", "hour", "tier")
def anthropic(t: Truth) -> Any:
    return pair(claude_body(claude_usage(t)), CLAUDE)


@dialect("anthropic_messages", "read", "written", "hour", "region")
def anthropic_in_a_region(t: Truth) -> Any:
    return pair(claude_body({**claude_usage(t), "inference_geo": "us"}), CLAUDE)


@dialect("anthropic_messages", "read", "written", "hour")
def anthropic_streamed(t: Truth) -> Any:
    return pair(sse(*anthropic_events(t)), CLAUDE)


@dialect("anthropic_messages", "read", "written", "hour", "reasoning")
def anthropic_with_its_thoughts(t: Truth) -> Any:
    return pair(claude_body({**claude_usage(t), "output_tokens_details": {"thinking_tokens": t.thought}}), CLAUDE)


@dialect("anthropic_batch", "read", "written", "hour", "batch")
def anthropic_batch(t: Truth) -> Any:
    return {"custom_id": "one", "result": {"type": "succeeded", "message": claude_body(claude_usage(t))}}


@dialect("gemini", "read", "reasoning", "heard", "spoken")
def gemini(t: Truth) -> Any:
    return pair(gemini_body(t), GEMINI)


@dialect("gemini", "read", "reasoning", "heard", "spoken")
def gemini_with_the_prompts_of_its_tools(t: Truth) -> Any:
    tools = t.fresh - t.heard
    return pair(gemini_body(t, promptTokenCount=t.asked - tools, toolUsePromptTokenCount=tools), GEMINI)


@dialect("gemini", "read", "reasoning", "tier")
def gemini_on_a_tier(t: Truth) -> Any:
    traffic = {None: "ON_DEMAND", "flex": "ON_DEMAND_FLEX", "priority": "ON_DEMAND_PRIORITY"}[t.tier]
    return pair(gemini_body(t, trafficType=traffic), GEMINI)


@dialect("gemini", "read", "reasoning")
def gemini_by_the_names_of_its_sdk(t: Truth) -> Any:
    usage = {"prompt_token_count": t.asked, "cached_content_token_count": t.read, "candidates_token_count": t.shown,
             "thoughts_token_count": t.thought, "total_token_count": t.total}  # fmt: skip
    answer = {"content": {"role": "model", "parts": [{"text": "hi"}]}, "finish_reason": "STOP"}
    body = {"response_id": "g1", "model_version": GEMINI, "candidates": [answer], "usage_metadata": usage}
    return pair(body, GEMINI)


@dialect("gemini_batch", "read", "reasoning", "batch", "heard", "spoken")
def gemini_batch(t: Truth) -> Any:
    return {"key": "one", "response": gemini_body(t)}


@dialect("gemini_batch", "read", "reasoning", "batch")
def gemini_batch_of_vertex(t: Truth) -> Any:
    asked = {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}
    return {"status": "", "processed_time": TIME, "request": asked, "response": gemini_body(t)}


@dialect("vertex", "read", "reasoning", "heard", "spoken", "region")
def vertex(t: Truth) -> Any:
    return {"endpoint": "publishers/google", "api_method": "generateContent", "location": "us", "logging_time": TIME,
            "model": f"publishers/google/models/{GEMINI}", "request_id": "1",
            "full_request": json.dumps({"contents": []}), "full_response": json.dumps(gemini_body(t))}  # fmt: skip


def bedrock(t: Truth, **more: Any) -> dict[str, Any]:
    return {"schemaType": "ModelInvocationLog", "timestamp": TIME, "requestId": "b1", "region": "us",
            "operation": "Converse", "modelId": BEDROCK,
            "input": {"inputTokenCount": t.fresh, "cacheReadInputTokenCount": t.read,
                      "cacheWriteInputTokenCount": t.written},
            "output": {"outputTokenCount": t.made}, **more}  # fmt: skip


@dialect("bedrock", "read", "written", "region")
def bedrock_log(t: Truth) -> Any:
    return bedrock(t)


@dialect("bedrock", "read", "written", "hour", "tier", "region")
def bedrock_log_with_bodies(t: Truth) -> Any:
    return bedrock(t, output={"outputTokenCount": t.made, "outputBodyJson": converse_body(t)})


@dialect("bedrock", "read", "written", "hour", "region")
def bedrock_log_of_invoke_model(t: Truth) -> Any:
    answer = {"outputTokenCount": t.made, "outputBodyJson": claude_body(claude_usage(t))}
    return bedrock(t, operation="InvokeModel", output=answer)


@dialect("bedrock_batch", "read", "written", "hour", "batch")
def bedrock_batch(t: Truth) -> Any:
    return {"recordId": "R1", "modelInput": {"messages": TEXT}, "modelOutput": claude_body(claude_usage(t))}


@dialect("bedrock_batch", "read", "written", "hour", "batch")
def bedrock_batch_of_converse(t: Truth) -> Any:
    return {"recordId": "R1", "modelInput": {"messages": TEXT}, "modelOutput": converse_body(t)}


@dialect("bedrock_converse", "read", "written", "hour", "tier")
def bedrock_converse(t: Truth) -> Any:
    return {"timestamp": TIME, "request": {"modelId": BEDROCK, "messages": TEXT}, "response": converse_body(t)}


@dialect("bedrock_converse", "read", "written", "hour")
def bedrock_converse_streamed(t: Truth) -> Any:
    told = {"usage": converse_body(t)["usage"], "metrics": {"latencyMs": 5}}
    events = [{"messageStart": {"role": "assistant"}}, {"contentBlockDelta": {"delta": {"text": "hi"}}},
              {"messageStop": {"stopReason": "end_turn"}}, {"metadata": told}]  # fmt: skip
    return {"timestamp": TIME, "request": {"modelId": BEDROCK, "messages": TEXT}, "response": events}


@dialect("azure", *ALL, "heard", "spoken", "tier")
def azure(t: Truth) -> Any:
    values = {"method": "POST", "responseCode": 200, "requestBody": json.dumps({"model": GPT, "messages": TEXT}),
              "responseBody": json.dumps(chat(chat_usage(t), service_tier=t.tier or "default"))}  # fmt: skip
    return {"time": TIME, "resourceId": "/X", "category": "GatewayLogs", "durationMs": 5, "correlationId": "c",
            "operationName": "Microsoft.ApiManagement/GatewayLogs", "properties": json.dumps(values)}  # fmt: skip


@dialect("azure_llm")
def azure_llm(t: Truth) -> Any:
    values = {"deploymentName": "chat", "modelName": GPT, "promptTokens": t.asked, "completionTokens": t.made,
              "totalTokens": t.total, "requestId": "c1", "requestMessages": json.dumps(TEXT)}  # fmt: skip
    row = {"time": TIME, "category": "GatewayLlmLogs", "correlationId": "c", "resourceId": "/X",
           "operationName": "Microsoft.ApiManagement/GatewayLlmLogs"}  # fmt: skip
    return [{**row, "properties": {**values, "sequenceNumber": part}} for part in (0, 1)]


@dialect("ollama")
def ollama(t: Truth) -> Any:
    body = {"model": "llama3.2", "created_at": TIME, "done": True, "message": {"role": "assistant", "content": "hi"},
            "prompt_eval_count": t.asked, "eval_count": t.made, "total_duration": 10**9}  # fmt: skip
    return pair(body, "llama3.2")


@dialect("cohere")
def cohere(t: Truth) -> Any:
    usage = {"billed_units": {"input_tokens": t.asked, "output_tokens": t.made},
             "tokens": {"input_tokens": t.asked + 60, "output_tokens": t.made}}  # fmt: skip
    body = {"id": "c1", "finish_reason": "COMPLETE", "usage": usage,
            "message": {"role": "assistant", "content": [{"type": "text", "text": "hi"}]}}  # fmt: skip
    return pair(body, "command-r-08-2024")


@dialect("openai_media", "heard")
def openai_media(t: Truth) -> Any:
    usage = {"type": "tokens", "total_tokens": t.total, "input_tokens": t.asked, "output_tokens": t.made,
             "input_token_details": {"text_tokens": t.asked - t.heard, "audio_tokens": t.heard}}  # fmt: skip
    return pair({"text": "hi", "usage": usage}, "gpt-4o-mini-transcribe")


@dialect("openai_realtime", "read", "heard", "spoken")
def openai_realtime(t: Truth) -> Any:
    usage = {"total_tokens": t.total, "input_tokens": t.asked, "output_tokens": t.made,
             "input_token_details": {"text_tokens": t.asked - t.heard, "audio_tokens": t.heard,
                                     "cached_tokens": t.read,
                                     "cached_tokens_details": {"text_tokens": t.read, "audio_tokens": 0}},
             "output_token_details": {"text_tokens": t.made - t.spoken, "audio_tokens": t.spoken}}  # fmt: skip
    answer = {"object": "realtime.response", "id": "r1", "status": "completed", "usage": usage, "output": []}
    session = {"id": "s", "object": "realtime.session", "model": "gpt-realtime"}
    return [{"timestamp": TIME, "event": {"type": "session.created", "event_id": "1", "session": session}},
            {"timestamp": END, "event": {"type": "response.done", "event_id": "2", "response": answer}}]  # fmt: skip


def cassette(body: Any) -> dict[str, Any]:
    asked = {"body": json.dumps({"model": GPT, "messages": TEXT}), "method": "POST", "headers": {},
             "uri": "https://api.openai.com/v1/chat/completions"}  # fmt: skip
    answer = {"body": {"string": body}, "status": {"code": 200, "message": "OK"},
              "headers": {"Date": ["Mon, 02 Mar 2026 10:00:00 GMT"]}}  # fmt: skip
    return {"interaction": {"request": asked, "response": answer}}


@dialect("recorded_http", *ALL, "heard", "spoken", "tier")
def recorded_http(t: Truth) -> Any:
    return cassette(json.dumps(chat(chat_usage(t), service_tier=t.tier or "default")))


@dialect("recorded_http", *ALL)
def recorded_http_streamed(t: Truth) -> Any:
    return cassette(sse(chunk(), chunk(choices=[], usage=chat_usage(t))))


@dialect("hindcast", *ALL, "hour", "heard", "spoken", "tier", "cost", "failed", "region", "batch")
def hindcast(t: Truth) -> Any:
    return {"hindcast": 1, "call_id": "h1", "start_time": TIME, "request_model": GPT, "input_tokens": t.asked,
            "cache_read_input_tokens": t.read, "cache_creation_input_tokens": t.written,
            "cache_creation_1h_input_tokens": t.hour, "output_tokens": t.made, "reasoning_output_tokens": t.thought,
            "audio_input_tokens": t.heard, "audio_output_tokens": t.spoken, "service_tier": t.tier, "region": "us",
            "is_batch": True, "logged_cost_usd": "0.000001", "status": "error" if t.failed else "ok"}  # fmt: skip
