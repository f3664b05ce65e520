"""The telemetry of coding agents: one log record (or span) for each response, under names of their own.

- Claude Code `claude_code.api_request` and the span `claude_code.llm_request`: input, cache reads, cache writes and
  output are disjoint (code.claude.com/docs/en/monitoring-usage, 2026-10).
- Codex `codex.sse_event` of kind `response.completed`: cached tokens lie inside input, reasoning inside output
  (developers.openai.com/codex, otel section of the configuration; openai/codex#2103).
- Gemini CLI `gemini_cli.api_response`, and Qwen Code's of the same fields: cached tokens lie inside input, thoughts
  and tool prompts outside (google-gemini/gemini-cli docs/cli/telemetry.md, 2026-10).
"""

from __future__ import annotations

from typing import Any

from ingest.otel.genai_attributes import first
from ingest.records.call import Call, Skip, pico_dollars, text_or_none, token_count
from ingest.records.provider_names import claude_host
from ingest.records.timestamps import time_us
from ingest.records.token_counts import settle

CLAUDE_SPAN = "claude_code.llm_request"
NO_RESPONSE = Skip("event of an agent without token counts")
_FAMILIES = ("claude_code", "codex", "gemini_cli", "qwen-code", "qwen_code")
_VERTEX_LOGINS = ("vertex-ai", "compute-default-credentials")


def event_name(values: dict[str, Any], body: Any = None) -> str | None:
    """The full name of an agent's event, such as `codex.sse_event`; None for a record of anything else.

    Claude Code names an event without its family in `event.name`, and with it in the body.
    """
    name = text_or_none(values.get("event.name"))
    for candidate in (name, body if isinstance(body, str) else None):
        if candidate is not None and candidate.partition(".")[0] in _FAMILIES and "." in candidate:
            return candidate
    return None


def is_response(name: str, values: dict[str, Any]) -> bool:
    """Whether the event (or span) of this name tells what one response used."""
    family, _, kind = name.partition(".")
    if family == "claude_code":
        return name == CLAUDE_SPAN or kind == "api_request"
    if family == "codex":
        return kind == "sse_event" and values.get("event.kind") == "response.completed"
    return kind == "api_response" and "input_token_count" in values


def response_call(name: str, values: dict[str, Any], end: Any, *, unit: str | None = None) -> Call:
    """The call of a response event; `end` is the time of the record, in `unit`, where the event tells none.

    Raises BadRecordError.
    """
    call = Call(operation_name="chat")
    call.request_model = call.response_model = text_or_none(first(values, ("model", "gen_ai.request.model")))
    family = name.partition(".")[0]
    if family == "claude_code":
        _claude(call, values)
    elif family == "codex":
        _codex(call, values)
    else:
        _gemini(call, values, family)
    told = text_or_none(values.get("event.timestamp"))
    ended, call.time_precision = time_us(told or end, "event.timestamp", unit=None if told else unit)
    call.start_us = ended - _lasted_us(values.get("duration_ms"))
    call.end_us = ended
    call.conversation_id = text_or_none(first(values, ("session.id", "conversation.id")))
    call.user_id = text_or_none(first(values, ("user.email", "user.id", "user.account_uuid", "user.account_id")))
    return call


def _lasted_us(milliseconds: Any) -> int:
    """A duration as it was logged, in microseconds; 0 where there is none, or one of more than eleven days."""
    try:
        lasted = float(milliseconds)
    except (TypeError, ValueError):
        return 0
    return round(lasted * 1000) if 0 <= lasted < 1e9 else 0


def _claude(call: Call, values: dict[str, Any]) -> None:
    counts = {
        name: token_count(values.get(name), name)
        for name in ("input_tokens", "cache_read_tokens", "cache_creation_tokens", "output_tokens")
    }
    fresh, read, written = counts["input_tokens"], counts["cache_read_tokens"], counts["cache_creation_tokens"]
    settle(
        call,
        input_tokens=None if fresh is None else fresh + (read or 0) + (written or 0),
        output_tokens=counts["output_tokens"],
        cache_read=read,
        cache_write=written,
    )
    call.provider_name = claude_host(call.response_model)
    call.logged_cost_pico = pico_dollars(values.get("cost_usd"), "cost_usd")
    call.service_tier = "fast" if values.get("speed") == "fast" else None
    call.request_id = text_or_none(first(values, ("request_id", "gen_ai.response.id")))
    call.identity = f"claude_code:{call.request_id}" if call.request_id else None
    call.finish_reason = text_or_none(values.get("stop_reason"))
    call.reasoning_effort = text_or_none(values.get("effort"))
    call.attempt = token_count(values.get("attempt"), "attempt")
    aside = text_or_none(first(values, ("agent.name", "query_source")))
    child = values.get("parent_agent_id") is not None or values.get("agent_id") is not None
    call.agent = "subagent" if child else "main" if aside in (None, "repl_main_thread", "main", "sdk") else aside
    call.agent_source = "transcript"


def _codex(call: Call, values: dict[str, Any]) -> None:
    settle(
        call,
        input_tokens=token_count(values.get("input_token_count"), "input_token_count"),
        output_tokens=token_count(values.get("output_token_count"), "output_token_count"),
        cache_read=token_count(values.get("cached_token_count"), "cached_token_count"),
        reasoning=token_count(values.get("reasoning_token_count"), "reasoning_token_count"),
    )
    call.provider_name = text_or_none(values.get("model_provider")) or "openai"
    call.agent, call.agent_source = "main", "transcript"


def _gemini(call: Call, values: dict[str, Any], family: str) -> None:
    counts = {
        name: token_count(values.get(f"{name}_token_count"), f"{name}_token_count")
        for name in ("input", "output", "cached_content", "thoughts", "tool")
    }
    asked, made, thoughts = counts["input"], counts["output"], counts["thoughts"]
    settle(
        call,
        input_tokens=None if asked is None else asked + (counts["tool"] or 0),
        output_tokens=None if made is None else made + (thoughts or 0),
        cache_read=counts["cached_content"],
        reasoning=thoughts,
    )
    if family == "gemini_cli":
        login = text_or_none(values.get("auth_type"))
        call.provider_name = "gcp.vertex_ai" if login in _VERTEX_LOGINS else "gcp.gemini"
    call.response_id = text_or_none(values.get("response_id"))
    code = values.get("status_code")
    call.http_status = code if type(code) is int else None
    call.agent, call.agent_source = "main", "transcript"
