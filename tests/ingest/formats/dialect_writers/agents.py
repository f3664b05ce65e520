"""Coding agents' sessions, databases and printed runs, editors and command-line tools."""

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
    TIME,
    Truth,
    chat_usage,
    claude_body,
    claude_usage,
    dialect,
    gemini_usage,
)


def transcript(usage: dict[str, Any], number: int = 0) -> dict[str, Any]:
    return {"type": "assistant", "uuid": f"a{number}", "parentUuid": None, "sessionId": "s", "isSidechain": False,
            "version": "2.0.0", "cwd": "/p", "requestId": "q", "timestamp": END,
            "message": claude_body(usage)}  # fmt: skip


@dialect("claude_code", "read", "written", "hour", "tier")
def claude_code(t: Truth) -> Any:
    return [transcript({**claude_usage(t), "output_tokens": 1}), transcript(claude_usage(t), 1)]


@dialect("claude_code", "read", "written", "hour", "region")
def claude_code_in_a_region(t: Truth) -> Any:
    return transcript({**claude_usage(t), "inference_geo": "us"})


def printed(t: Truth) -> dict[str, Any]:
    return {"type": "assistant", "session_id": "s", "uuid": "a", "parent_tool_use_id": None,
            "message": claude_body(claude_usage(t))}  # fmt: skip


@dialect("claude_print", "read", "written", "hour", "cost")
def claude_print(t: Truth) -> Any:
    used = {"inputTokens": t.fresh, "outputTokens": t.made, "cacheReadInputTokens": t.read,
            "cacheCreationInputTokens": t.written, "costUSD": COST}  # fmt: skip
    result = {"type": "result", "subtype": "success", "session_id": "s", "num_turns": 1, "duration_ms": 5,
              "total_cost_usd": COST, "modelUsage": {CLAUDE: used}, "usage": claude_usage(t)}  # fmt: skip
    return [printed(t), result]


@dialect("claude_print", "read", "written", "hour", "cost")
def claude_print_as_one_result(t: Truth) -> Any:
    return claude_print(t)[1]


CODEX = ("input_tokens", "cached_input_tokens", "cache_write_input_tokens", "output_tokens", "reasoning_output_tokens")


def codex_counts(t: Truth) -> dict[str, int]:
    return dict(zip(CODEX, (t.asked, t.read, t.written, t.made, t.thought), strict=True)) | {"total_tokens": t.total}


def codex_head(t: Truth) -> list[dict[str, Any]]:
    settings = {"type": "thread_settings_applied", "thread_settings": {"service_tier": t.tier}}
    return [{"timestamp": TIME, "type": "session_meta", "payload": {"id": "0", "cwd": "/p"}},
            {"timestamp": TIME, "type": "turn_context", "payload": {"model": GPT}},
            {"timestamp": TIME, "type": "event_msg", "payload": settings}]  # fmt: skip


@dialect("codex", *ALL, "tier")
def codex(t: Truth) -> Any:
    info = {"last_token_usage": codex_counts(t), "total_token_usage": codex_counts(t)}
    one = {"timestamp": END, "type": "event_msg", "payload": {"type": "token_count", "info": info}}
    return [*codex_head(t), one, one]


@dialect("codex", *ALL)
def codex_by_running_totals(t: Truth) -> Any:
    before = Truth(5, 3, 2, 0, 1, 1)
    totals = {name: codex_counts(before)[name] + count for name, count in codex_counts(t).items()}
    rows = [{"timestamp": when, "type": "event_msg", "payload": {"type": "token_count", "info": info}}
            for when, info in ((TIME, {"total_token_usage": codex_counts(before)}),
                               (END, {"total_token_usage": totals}))]  # fmt: skip
    return [*codex_head(t), *rows]


@dialect("codex", *ALL, "tier")
def codex_usage_record(t: Truth) -> Any:
    used = {"usage": codex_counts(t), "response_id": "r", "model": GPT, "service_tier": t.tier}
    return [*codex_head(t), {"timestamp": END, "type": "token_usage_record", "payload": used}]


@dialect("codex", *ALL, "sums")
def codex_exec(t: Truth) -> Any:
    return [{"type": "thread.started", "thread_id": "0"}, {"type": "turn.completed", "usage": codex_counts(t)}]


def opencode_message(t: Truth, made: int, total: int | None) -> dict[str, Any]:
    tokens = {"input": t.fresh, "output": made, "reasoning": t.thought, "cache": {"read": t.read, "write": t.written}}
    return {"id": "m", "sessionID": "s", "role": "assistant", "modelID": CLAUDE, "providerID": "anthropic",
            "time": {"created": STAMP * 1000, "completed": STAMP * 1000 + 5}, "cost": COST,
            "error": {"name": "x"} if t.failed else None,
            "tokens": tokens if total is None else {**tokens, "total": total}}  # fmt: skip


@dialect("opencode", *ALL, "cost", "failed")
def opencode(t: Truth) -> Any:
    return opencode_message(t, t.shown, None)


@dialect("opencode", *ALL, "cost")
def opencode_with_the_reasoning_inside(t: Truth) -> Any:
    return opencode_message(t, t.made, t.total)


@dialect("opencode", *ALL, "cost")
def opencode_database(t: Truth) -> Any:
    data = {key: one for key, one in opencode_message(t, t.shown, t.total).items() if key not in ("id", "sessionID")}
    return {"database": "opencode", "id": "m", "session_id": "s", "time_created": STAMP * 1000, "data": data}


@dialect("opencode", *ALL, "cost")
def opencode_printed(t: Truth) -> Any:
    part = {"type": "step-finish", "id": "p", "reason": "stop", "cost": COST,
            "tokens": opencode_message(t, t.shown, t.total)["tokens"]}  # fmt: skip
    return {"type": "step_finish", "timestamp": STAMP * 1000, "sessionID": "s", "part": part}


@dialect("qwen_code", "read", "reasoning")
def qwen_code(t: Truth) -> Any:
    return {"uuid": "q", "sessionId": "s", "timestamp": END, "type": "assistant", "model": "qwen3-coder-plus",
            "message": {"role": "model", "parts": []}, "usageMetadata": gemini_usage(t)}  # fmt: skip


@dialect("gemini_cli", "read", "reasoning")
def gemini_cli(t: Truth) -> Any:
    tokens = {"input": t.asked, "output": t.shown, "cached": t.read, "thoughts": t.thought, "tool": 0, "total": t.total}
    message = {"id": "g", "timestamp": END, "type": "gemini", "content": "hi", "model": GEMINI}
    return [{"sessionId": "s", "projectHash": "p", "startTime": TIME}, message, {**message, "tokens": tokens}]


@dialect("gemini_print", "read", "reasoning")
def gemini_print(t: Truth) -> Any:
    tokens = {"input": t.fresh, "prompt": t.asked, "candidates": t.shown, "cached": t.read, "thoughts": t.thought,
              "tool": 0, "total": t.total}  # fmt: skip
    models = {GEMINI: {"api": {"totalRequests": 1, "totalErrors": 0, "totalLatencyMs": 5}, "tokens": tokens}}
    return {"session_id": "s", "response": "hi", "stats": {"models": models}}


@dialect("copilot", *ALL)
def copilot_database(t: Truth) -> Any:
    return {"database": "copilot", "session_id": "s", "row_number": 1, "created_at": TIME, "model": CLAUDE,
            "input_tokens": t.asked, "output_tokens": t.made, "cache_read_tokens": t.read,
            "cache_write_tokens": t.written, "reasoning_tokens": t.thought, "duration_ms": 5}  # fmt: skip


@dialect("copilot", *ALL, "sums")
def copilot(t: Truth) -> Any:
    usage = {"inputTokens": t.asked, "outputTokens": t.made, "cacheReadTokens": t.read, "cacheWriteTokens": t.written,
             "reasoningTokens": t.thought}  # fmt: skip
    return [{"type": "session.start", "id": "a", "timestamp": TIME, "data": {"sessionId": "s"}},
            {"type": "session.shutdown", "id": "b", "timestamp": END,
             "data": {"modelMetrics": {CLAUDE: {"usage": usage}}}}]  # fmt: skip


@dialect("cursor", "read", "written", "cost")
def cursor(t: Truth) -> Any:
    return {"timestamp": str(STAMP * 1000), "model": CLAUDE, "kind": "Usage-based", "chargedCents": 4,
            "tokenUsage": {"inputTokens": t.fresh, "outputTokens": t.made, "cacheWriteTokens": t.written,
                           "cacheReadTokens": t.read, "totalCents": COST * 100}}  # fmt: skip


@dialect("cursor", "read", "written", "cost")
def cursor_csv(t: Truth) -> Any:
    return {"Date": TIME, "Model": CLAUDE, "Input (w/ Cache Write)": f"{t.written:,}",
            "Input (w/o Cache Write)": f"{t.fresh:,}", "Cache Read": f"{t.read:,}", "Output Tokens": f"{t.made:,}",
            "Total Tokens": f"{t.total:,}", "Cost": "$0.000001"}  # fmt: skip


@dialect("cursor")
def cursor_database(t: Truth) -> Any:
    return {"database": "cursor", "key": "bubbleId:c:b", "value": {
        "tokenCount": {"inputTokens": t.asked, "outputTokens": t.made}, "createdAt": TIME,
        "modelInfo": {"modelName": CLAUDE}}}  # fmt: skip


def cline_row(request: dict[str, Any]) -> dict[str, Any]:
    return {"ts": STAMP * 1000, "type": "say", "say": "api_req_started", "text": json.dumps(request),
            "modelInfo": {"providerId": "anthropic", "modelId": CLAUDE}}  # fmt: skip


@dialect("cline", "read", "written", "cost")
def cline(t: Truth) -> Any:
    return cline_row({"tokensIn": t.fresh, "tokensOut": t.made, "cacheWrites": t.written, "cacheReads": t.read,
                      "cost": COST})  # fmt: skip


@dialect("cline", "read", "written", "cost")
def roo_over_the_protocol_of_openai(t: Truth) -> Any:
    return cline_row({"tokensIn": t.asked, "tokensOut": t.made, "cacheWrites": t.written, "cacheReads": t.read,
                      "cost": COST, "apiProtocol": "openai"})  # fmt: skip


@dialect("pi", "read", "written", "cost", "failed")
def pi(t: Truth) -> Any:
    usage = {"input": t.fresh, "output": t.made, "cacheRead": t.read, "cacheWrite": t.written, "totalTokens": t.total,
             "cost": {"total": COST}}  # fmt: skip
    message = {"role": "assistant", "content": [], "provider": "anthropic", "model": CLAUDE, "usage": usage,
               "stopReason": "error" if t.failed else "stop", "timestamp": STAMP * 1000}  # fmt: skip
    return {"type": "message", "id": "m", "timestamp": END, "message": message}


@dialect("kimi", "read", "written")
def kimi_cli(t: Truth) -> Any:
    usage = {"input_other": t.fresh, "input_cache_read": t.read, "input_cache_creation": t.written, "output": t.made}
    status = {"type": "StatusUpdate", "payload": {"message_id": "m", "token_usage": usage}}
    return [{"type": "metadata", "protocol_version": "1.3"}, {"timestamp": STAMP, "message": status}]


@dialect("kimi", "read", "written")
def kimi_code(t: Truth) -> Any:
    usage = {"inputOther": t.fresh, "inputCacheRead": t.read, "inputCacheCreation": t.written, "output": t.made}
    return [{"type": "llm.request", "model": "kimi-k2", "modelAlias": "k", "time": STAMP * 1000},
            {"type": "usage.record", "model": "k", "usage": usage, "time": STAMP * 1000}]  # fmt: skip


@dialect("amp", "read", "written")
def amp(t: Truth) -> Any:
    usage = {"model": CLAUDE, "timestamp": TIME, "inputTokens": t.fresh, "outputTokens": t.made,
             "cacheCreationInputTokens": t.written, "cacheReadInputTokens": t.read,
             "totalInputTokens": t.asked}  # fmt: skip
    return {"id": "T-1", "created": STAMP * 1000, "usageLedger": {"events": []},
            "messages": [{"role": "user"}, {"role": "assistant", "messageId": 1, "usage": usage}]}  # fmt: skip


@dialect("grok_build", *ALL, "cost")
def grok_build(t: Truth) -> Any:
    counts = {"inputTokens": t.asked, "outputTokens": t.made, "cachedReadTokens": t.read, "reasoningTokens": t.thought,
              "cacheCreationTokens": t.written, "totalTokens": t.total, "modelCalls": 1,
              "costUsdTicks": round(COST * 10**10)}  # fmt: skip
    update = {"sessionUpdate": "turn_completed", "prompt_id": "p",
              "usage": {**counts, "modelUsage": {"grok-code-fast-1": counts}}}  # fmt: skip
    return {"timestamp": STAMP, "method": "session/update", "params": {"sessionId": "s", "update": update}}


@dialect("agent_sums", "sums")
def goose(t: Truth) -> Any:
    return {"database": "goose", "id": "s", "created_at": TIME, "updated_at": END, "working_dir": "/p",
            "model_config_json": {"model_name": GPT}, "provider_name": "openai", "accumulated_input_tokens": t.asked,
            "accumulated_output_tokens": t.made, "accumulated_total_tokens": t.total}  # fmt: skip


@dialect("agent_sums", *ALL, "sums", "cost")
def hermes(t: Truth) -> Any:
    return {"database": "hermes", "id": "s", "model": CLAUDE, "started_at": STAMP, "ended_at": STAMP + 2,
            "input_tokens": t.fresh, "output_tokens": t.shown, "cache_read_tokens": t.read,
            "cache_write_tokens": t.written, "reasoning_tokens": t.thought, "actual_cost_usd": COST}  # fmt: skip


@dialect("agent_sums", "read", "written", "sums")
def droid(t: Truth) -> Any:
    return {"model": CLAUDE, "providerLock": "anthropic", "providerLockTimestamp": TIME,
            "tokenUsage": {"inputTokens": t.fresh, "outputTokens": t.made, "cacheCreationTokens": t.written,
                           "cacheReadTokens": t.read, "thinkingTokens": 0}}  # fmt: skip


@dialect("agent_sums", "sums", "cost")
def vibe(t: Truth) -> Any:
    stats = {"session_prompt_tokens": t.asked, "session_completion_tokens": t.made, "session_cost": COST}
    return {"session_id": "v", "start_time": TIME, "end_time": END, "stats": stats,
            "config": {"active_model": "devstral-medium-latest"}}  # fmt: skip


@dialect("agent_sums", "read", "written")
def zed(t: Truth) -> Any:
    usage = {"input_tokens": t.fresh, "output_tokens": t.made, "cache_read_input_tokens": t.read,
             "cache_creation_input_tokens": t.written}  # fmt: skip
    return {"database": "zed", "id": "z", "updated_at": TIME, "data": {
        "model": {"provider": "anthropic", "model": CLAUDE}, "request_token_usage": {"u": usage}}}  # fmt: skip


@dialect("aider", "cost")
def aider(t: Truth) -> Any:
    told = {"main_model": f"openai/{GPT}", "prompt_tokens": t.asked, "completion_tokens": t.made,
            "total_tokens": t.total, "cost": COST, "total_cost": COST}  # fmt: skip
    return {"event": "message_send", "properties": told, "user_id": "u", "time": STAMP}


@dialect("editor_tokens")
def continue_editor(t: Truth) -> Any:
    return {"eventName": "tokensGenerated", "timestamp": TIME, "model": GPT, "provider": "openai",
            "promptTokens": t.asked, "generatedTokens": t.made}  # fmt: skip


def llm_row(t: Truth, model: str, details: dict[str, Any], made: int) -> dict[str, Any]:
    return {"id": "1", "model": model, "prompt": "hello", "response": "hi", "duration_ms": 5, "datetime_utc": TIME,
            "input_tokens": t.asked, "output_tokens": made, "token_details": details}  # fmt: skip


@dialect("llm_cli", *ALL, "heard", "spoken")
def llm_cli(t: Truth) -> Any:
    return llm_row(t, GPT, {key: one for key, one in chat_usage(t).items() if key.endswith("details")}, t.made)


@dialect("llm_cli", "read", "reasoning")
def llm_cli_of_gemini(t: Truth) -> Any:
    details = {key: one for key, one in gemini_usage(t).items() if key not in ("promptTokenCount", "totalTokenCount",
                                                                              "candidatesTokenCount")}  # fmt: skip
    return llm_row(t, GEMINI, details, t.shown)
