"""Writers of gateways, and of logs of one's own, one function each: the file's text from a list of calls.

Shapes after the vendors' schemas as of 2026-10; nothing is copied from anybody's logs.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence

from sample_logs.formats.shapes import chat_body, chat_request, chat_usage, iso, lines
from sample_logs.formats.truth import TrueCall


def hindcast(calls: Sequence[TrueCall]) -> str:
    return lines([
        {"hindcast": 1, "call_id": call.id, "start_time": iso(call.start), "duration_ms": call.duration_ms,
         "provider_name": "openai", "request_model": call.model, "response_model": call.model, "agent": call.agent,
         "task": call.task, "conversation_id": call.session, "user_id": call.user, "input_tokens": call.input_tokens,
         "cache_read_input_tokens": call.cached_tokens, "output_tokens": call.output_tokens,
         "reasoning_output_tokens": call.reasoning_tokens, "status": "ok", "temperature": call.temperature,
         "logged_cost_usd": call.cost, "input_messages": call.messages,
         "output_messages": [{"role": "assistant", "content": call.answer}]}
        for call in calls
    ])  # fmt: skip


def litellm(calls: Sequence[TrueCall]) -> str:
    return lines([
        {"id": call.id, "trace_id": call.trace_id, "call_type": "acompletion", "cache_hit": None, "stream": False,
         "status": "success", "custom_llm_provider": "openai", "model": call.model, "model_group": call.model,
         "startTime": call.start.timestamp(), "endTime": call.end.timestamp(),
         "completionStartTime": call.end.timestamp(), "response_cost": float(call.cost),
         "prompt_tokens": call.input_tokens, "completion_tokens": call.output_tokens,
         "total_tokens": call.input_tokens + call.output_tokens, "session_id": call.session, "end_user": call.user,
         "request_tags": ["User-Agent: samples"],
         "metadata": {"requester_metadata": {"agent": call.agent, "task": call.task}, "user_api_key_alias": "samples"},
         "messages": call.messages, "response": chat_body(call),
         "model_parameters": {"temperature": call.temperature},
         "hidden_params": {}, "model_map_information": {"model_map_key": call.model, "model_map_value": None}}
        for call in calls
    ])  # fmt: skip


def litellm_spend(calls: Sequence[TrueCall]) -> str:
    return lines([
        {"request_id": call.id, "call_type": "acompletion", "spend": float(call.cost), "model": call.model,
         "model_group": call.model, "custom_llm_provider": "openai",
         "startTime": call.start.strftime("%Y-%m-%d %H:%M:%S.%f"), "endTime": call.end.strftime("%Y-%m-%d %H:%M:%S.%f"),
         "total_tokens": call.input_tokens + call.output_tokens, "prompt_tokens": call.input_tokens,
         "completion_tokens": call.output_tokens, "cache_hit": "None", "end_user": call.user, "agent_id": call.agent,
         "session_id": call.session, "messages": "{}", "response": "{}", "request_tags": "[]",
         "metadata": json.dumps({"usage_object": chat_usage(call), "status": "success",
                                 "spend_logs_metadata": {"task": call.task}})}
        for call in calls
    ])  # fmt: skip


def helicone(calls: Sequence[TrueCall]) -> str:
    """Without bodies: the columns leave cache and reasoning out."""
    return lines([
        {"response_id": f"h-{number}", "request_id": call.id, "request_created_at": iso(call.start),
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
    return lines([
        {"id": f"pk-{number}", "trace_id": call.trace_id, "created_at": iso(call.start), "ai_org": "openai",
         "ai_model": call.model, "req_units": call.input_tokens, "res_units": call.output_tokens,
         "total_units": call.input_tokens + call.output_tokens, "cost": float(call.cost) * 100, "cost_currency": "USD",
         "response_time": call.duration_ms, "response_status_code": 200, "is_success": 1, "mode": "single",
         "cache_status": "MISS", "request": chat_request(call), "response": chat_body(call),
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
