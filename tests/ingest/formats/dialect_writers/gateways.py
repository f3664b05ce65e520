"""Gateways' rows, and logs of one's own."""

from __future__ import annotations

import json
from typing import Any

from dialect_writers.truth import (
    ALL,
    CLAUDE,
    COST,
    END,
    GPT,
    STAMP,
    TEXT,
    TIME,
    Truth,
    chat,
    chat_usage,
    claude_body,
    claude_usage,
    dialect,
)


def litellm_row(t: Truth, response: Any, **more: Any) -> dict[str, Any]:
    return {"id": "c1", "trace_id": "t", "call_type": "acompletion", "cache_hit": None, "custom_llm_provider": "openai",
            "status": "failure" if t.failed else "success", "model": GPT, "model_group": GPT, "startTime": STAMP,
            "endTime": STAMP + 2, "response_cost": COST, "prompt_tokens": t.asked, "completion_tokens": t.made,
            "total_tokens": t.total, "metadata": {}, "messages": TEXT, "response": response, "hidden_params": {},
            "model_map_information": {}, **more}  # fmt: skip


@dialect("litellm", *ALL, "heard", "spoken", "tier", "cost", "failed")
def litellm(t: Truth) -> Any:
    return litellm_row(t, chat(chat_usage(t), service_tier=t.tier or "default"))


@dialect("litellm", *ALL, "hour", "cost")
def litellm_of_anthropic(t: Truth) -> Any:
    usage = {**chat_usage(t), "cache_creation_input_tokens": t.written, "cache_read_input_tokens": t.read}
    usage["prompt_tokens_details"] = {
        "cached_tokens": t.read, "cache_creation_tokens": t.written,
        "cache_creation_token_details": {"ephemeral_5m_input_tokens": t.written - t.hour,
                                         "ephemeral_1h_input_tokens": t.hour}}  # fmt: skip
    return litellm_row(t, chat(usage, CLAUDE), model=CLAUDE, custom_llm_provider="anthropic")


@dialect("litellm", *ALL, "cost", "tier")
def litellm_without_the_answer(t: Truth) -> Any:
    told = {"usage_object": chat_usage(t)}
    return litellm_row(t, None, metadata=told, cost_breakdown={"service_tier": t.tier})


@dialect("litellm", "read", "written", "hour", "cost", "region")
def litellm_pass_through(t: Truth) -> Any:
    answer = claude_body({**claude_usage(t), "inference_geo": "us"})
    return litellm_row(t, answer, call_type="pass_through_endpoint", prompt_tokens=t.fresh, model=CLAUDE)


@dialect("litellm_spend", *ALL, "heard", "spoken", "cost", "failed")
def litellm_spend(t: Truth) -> Any:
    told = {"usage_object": chat_usage(t), "status": "failure" if t.failed else "success"}
    return {"request_id": "c1", "call_type": "acompletion", "spend": COST, "startTime": TIME, "endTime": END,
            "model": GPT, "model_group": GPT, "custom_llm_provider": "openai", "prompt_tokens": t.asked,
            "completion_tokens": t.made, "total_tokens": t.total, "metadata": json.dumps(told)}  # fmt: skip


@dialect("litellm_spend", "read", "written", "cost")
def litellm_spend_of_2025(t: Truth) -> Any:
    told = {"additional_usage_values": {"cache_creation_input_tokens": t.written, "cache_read_input_tokens": t.read}}
    return {"request_id": "c1", "call_type": "acompletion", "spend": str(COST), "startTime": TIME, "endTime": END,
            "model": CLAUDE, "custom_llm_provider": "anthropic", "prompt_tokens": str(t.asked),
            "completion_tokens": str(t.made), "total_tokens": str(t.total), "metadata": json.dumps(told)}  # fmt: skip


@dialect("page", *ALL, "heard", "spoken", "cost")
def page(t: Truth) -> Any:
    return {"data": [litellm_row(t, chat(chat_usage(t)))], "page": 1, "total": 1}


def helicone_row(t: Truth, **more: Any) -> dict[str, Any]:
    return {"request_id": "h1", "request_created_at": TIME, "response_status": 500 if t.failed else 200,
            "request_model": CLAUDE, "costUSD": COST, **more}  # fmt: skip


@dialect("helicone", *ALL, "heard", "spoken", "cost", "failed")
def helicone_columns(t: Truth) -> Any:
    return helicone_row(
        t, prompt_tokens=t.fresh - t.heard, completion_tokens=t.shown - t.spoken, prompt_cache_read_tokens=t.read,
        prompt_cache_write_tokens=t.written, reasoning_tokens=t.thought, prompt_audio_tokens=t.heard,
        completion_audio_tokens=t.spoken)  # fmt: skip


@dialect("helicone", "read", "written", "hour", "cost", "tier")
def helicone_with_bodies(t: Truth) -> Any:
    return helicone_row(t, prompt_tokens=1, completion_tokens=1, response_body=claude_body(claude_usage(t)),
                        request_body=json.dumps({"model": CLAUDE, "messages": TEXT}))  # fmt: skip


def portkey_row(t: Truth, **more: Any) -> dict[str, Any]:
    return {"id": "p1", "trace_id": "t", "created_at": TIME, "ai_org": "openai", "ai_model": GPT, "req_units": t.asked,
            "res_units": t.made, "total_units": t.total, "cost": COST * 100, "cost_currency": "USD",
            "is_success": int(not t.failed), "response_time": 3, **more}  # fmt: skip


@dialect("portkey", "cost", "failed")
def portkey(t: Truth) -> Any:
    return portkey_row(t)


@dialect("portkey", *ALL, "heard", "spoken", "tier", "cost")
def portkey_with_bodies(t: Truth) -> Any:
    return portkey_row(t, response=chat(chat_usage(t), service_tier=t.tier or "default"))


@dialect("openrouter", "read", "reasoning", "cost")
def openrouter_csv(t: Truth) -> Any:
    return {"generation_id": "gen-1", "created_at": "2026-03-02 10:00:00.000", "cost_total": "0.000001",
            "tokens_prompt": str(t.asked), "tokens_completion": str(t.made), "tokens_reasoning": str(t.thought),
            "tokens_cached": str(t.read), "model_permaslug": f"openai/{GPT}", "streamed": "true"}  # fmt: skip


@dialect("openrouter", "read", "reasoning", "cost")
def openrouter_generation(t: Truth) -> Any:
    return {"data": {"id": "gen-1", "created_at": TIME, "model": f"openai/{GPT}", "total_cost": COST, "usage": COST,
                     "tokens_prompt": 1, "tokens_completion": 1, "native_tokens_prompt": t.asked,
                     "native_tokens_completion": t.made, "native_tokens_reasoning": t.thought,
                     "native_tokens_cached": t.read, "is_byok": False}}  # fmt: skip


@dialect("cloudflare", "cost", "failed")
def cloudflare(t: Truth) -> Any:
    return {"id": "cf", "created_at": TIME, "duration": 5, "provider": "openai", "model": GPT, "tokens_in": t.asked,
            "tokens_out": t.made, "cost": COST, "cached": False, "success": not t.failed,
            "status_code": 500 if t.failed else 200}  # fmt: skip


@dialect("cloudflare", "cost")
def cloudflare_logpush(t: Truth) -> Any:
    return {"Id": "cf", "CreatedAt": TIME, "Provider": "openai", "Model": GPT, "TokensIn": t.asked,
            "TokensOut": t.made, "Cost": COST, "Cached": False, "Success": True, "Gateway": "g"}  # fmt: skip


@dialect("bifrost", *ALL, "heard", "spoken", "cost", "failed")
def bifrost(t: Truth) -> Any:
    return {"id": "bf", "object": "chat.completion", "timestamp": TIME, "provider": "openai", "model": GPT,
            "latency": 5, "status": "error" if t.failed else "success", "input_history": TEXT,
            "token_usage": chat_usage(t), "cost": COST}  # fmt: skip


@dialect("kong", *ALL, "heard", "spoken", "cost", "failed")
def kong(t: Truth) -> Any:
    plugin = {"usage": {**chat_usage(t), "cost": COST},
              "meta": {"provider_name": "openai", "request_model": GPT, "response_model": GPT}}  # fmt: skip
    return {"started_at": STAMP * 1000, "latencies": {"request": 5}, "request": {"id": "k", "method": "POST"},
            "response": {"status": 500 if t.failed else 200}, "ai": {"ai-proxy": plugin}}  # fmt: skip


@dialect("envoy", *ALL, "failed")
def envoy(t: Truth) -> Any:
    return {"start_time": TIME, "response_code": 500 if t.failed else 200, "x-request-id": "e", "duration": 5,
            "gen_ai.request.model": GPT, "gen_ai.usage.input_tokens": t.asked, "gen_ai.usage.output_tokens": t.made,
            "gen_ai.usage.total_tokens": t.total, "gen_ai.usage.cache_read.input_tokens": t.read or "-",
            "gen_ai.usage.cache_creation.input_tokens": t.written or "-",
            "gen_ai.usage.reasoning.output_tokens": t.thought}  # fmt: skip


def new_api_row(t: Truth, asked: int, **other: Any) -> dict[str, Any]:
    told = {"cache_tokens": t.read, "cache_creation_tokens": t.written, "cache_creation_tokens_1h": t.hour, **other}
    return {"id": 1, "created_at": STAMP, "type": 5 if t.failed else 2, "token_name": "n", "model_name": CLAUDE,
            "quota": round(COST * 500_000, 6), "prompt_tokens": asked, "completion_tokens": t.made, "use_time": 2,
            "request_id": "na", "other": json.dumps(told)}  # fmt: skip


@dialect("new_api", "read", "written", "hour", "failed", "cost")
def new_api_of_claude(t: Truth) -> Any:
    return new_api_row(t, t.fresh, claude=True)


@dialect("new_api", "read", "written", "hour")
def new_api_inclusive(t: Truth) -> Any:
    return new_api_row(t, t.asked)
