"""One truth for tokens: every provider's usage object as inclusive counts.

Dialects, told apart by their keys (provider documentation and 1,577 recorded usage objects, 2026-10):
- OpenAI chat `prompt_tokens`: cache inside input, reasoning inside output. Some gateways hide reasoning: then the
  total is larger than the parts, and the gap is output.
- OpenAI Responses `input_tokens` with `*_tokens_details` or a total: as above.
- Anthropic `input_tokens` with `cache_*_input_tokens`: cache reads and writes lie outside input.
- Bedrock Converse `inputTokens`: cache outside input.
- Gemini `promptTokenCount`: cache inside input, tool-use prompts and thoughts outside.
- LangChain `input_token_details`: cache inside input, reasoning inside output.
- Cohere `billed_units`: what is billed, beside the counted `tokens`.
"""

from __future__ import annotations

from typing import Any

from ingest.records.call import BadRecordError, Call, token_count

_EMPTY: dict[str, Any] = {}
_AUDIO, _IMAGE = "AUDIO", "IMAGE"


def apply_usage(call: Call, usage: Any, path: str = "$.usage") -> None:
    """Fill the token fields of `call` from a usage object. Leaves them None, source `missing`, where there is none."""
    if not isinstance(usage, dict) or not usage:
        if usage not in (None, {}, ""):
            raise BadRecordError("the usage is not an object", path)
        call.tokens_source = "missing"
        return
    if "prompt_tokens" in usage or "completion_tokens" in usage:
        _openai_chat(call, usage, path)
    elif "promptTokenCount" in usage or "candidatesTokenCount" in usage or "totalTokenCount" in usage:
        _gemini(call, usage, path)
    elif "inputTokens" in usage or "outputTokens" in usage:
        _bedrock(call, usage, path)
    elif "billed_units" in usage:
        _cohere(call, usage, path)
    elif "input_token_details" in usage or "output_token_details" in usage:
        _langchain(call, usage, path)
    elif "input_tokens_details" in usage or ("output_tokens_details" in usage and "total_tokens" in usage):
        _openai_responses(call, usage, path)
    elif "input_tokens" in usage or "output_tokens" in usage:
        if "total_tokens" in usage and "cache_read_input_tokens" not in usage:
            _openai_responses(call, usage, path)
        else:
            _anthropic(call, usage, path)
    else:
        call.tokens_source = "missing"
        if any("token" in key.lower() for key in usage):
            call.issue("usage_dialect_unknown", ",".join(sorted(usage))[:120])
        return
    _tool_calls(call, usage)


def _details(usage: dict[str, Any], key: str) -> dict[str, Any]:
    found = usage.get(key)
    return found if isinstance(found, dict) else _EMPTY


def _openai_chat(call: Call, usage: dict[str, Any], path: str) -> None:
    inside = _details(usage, "prompt_tokens_details")
    made = _details(usage, "completion_tokens_details")
    get = usage.get
    cached = inside.get("cached_tokens")
    if cached is None:  # DeepSeek, Moonshot, Mistral, LiteLLM for Anthropic
        for name in ("prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens", "cache_read_input_tokens"):
            cached = get(name)
            if cached is not None:
                break
    written = inside.get("cache_write_tokens")
    if written is None:
        written = inside.get("cache_creation_tokens", get("cache_creation_input_tokens"))
    hour = _details(inside, "cache_creation_token_details").get("ephemeral_1h_input_tokens")
    if hour is None:
        hour = _details(usage, "cache_creation").get("ephemeral_1h_input_tokens")
    call.audio_input_tokens = token_count(inside.get("audio_tokens"), path, ".prompt_tokens_details.audio_tokens")
    call.image_input_tokens = token_count(inside.get("image_tokens"), path, ".prompt_tokens_details.image_tokens")
    call.audio_output_tokens = token_count(made.get("audio_tokens"), path, ".completion_tokens_details.audio_tokens")
    call.image_output_tokens = token_count(made.get("image_tokens"), path, ".completion_tokens_details.image_tokens")
    settle(
        call,
        input_tokens=token_count(get("prompt_tokens"), path, ".prompt_tokens"),
        output_tokens=token_count(get("completion_tokens"), path, ".completion_tokens"),
        cache_read=token_count(cached, path, ".prompt_tokens_details.cached_tokens"),
        cache_write=token_count(written, path, ".prompt_tokens_details.cache_write_tokens"),
        cache_write_1h=token_count(hour, path, ".cache_creation.ephemeral_1h_input_tokens"),
        reasoning=token_count(made.get("reasoning_tokens"), path, ".completion_tokens_details.reasoning_tokens"),
        total=token_count(get("total_tokens"), path, ".total_tokens"),
    )


def _openai_responses(call: Call, usage: dict[str, Any], path: str) -> None:
    inside = _details(usage, "input_tokens_details")
    made = _details(usage, "output_tokens_details")
    reasoning = made.get("reasoning_tokens", made.get("thinking_tokens"))
    call.audio_input_tokens = token_count(inside.get("audio_tokens"), path, ".input_tokens_details.audio_tokens")
    call.image_input_tokens = token_count(inside.get("image_tokens"), path, ".input_tokens_details.image_tokens")
    call.audio_output_tokens = token_count(made.get("audio_tokens"), path, ".output_tokens_details.audio_tokens")
    call.image_output_tokens = token_count(made.get("image_tokens"), path, ".output_tokens_details.image_tokens")
    settle(
        call,
        input_tokens=token_count(usage.get("input_tokens"), path, ".input_tokens"),
        output_tokens=token_count(usage.get("output_tokens"), path, ".output_tokens"),
        cache_read=token_count(inside.get("cached_tokens"), path, ".input_tokens_details.cached_tokens"),
        cache_write=token_count(inside.get("cache_write_tokens"), path, ".input_tokens_details.cache_write_tokens"),
        reasoning=token_count(reasoning, path, ".output_tokens_details.reasoning_tokens"),
        total=token_count(usage.get("total_tokens"), path, ".total_tokens"),
    )


def _langchain(call: Call, usage: dict[str, Any], path: str) -> None:
    inside = _details(usage, "input_token_details")
    made = _details(usage, "output_token_details")
    call.audio_input_tokens = token_count(inside.get("audio", inside.get("audio_tokens")), path, ".audio")
    call.audio_output_tokens = token_count(made.get("audio", made.get("audio_tokens")), path, ".audio")
    hour = token_count(inside.get("ephemeral_1h_input_tokens"), path, ".input_token_details")
    written = token_count(inside.get("cache_creation"), path, ".input_token_details.cache_creation")
    five = token_count(inside.get("ephemeral_5m_input_tokens"), path, ".input_token_details")
    settle(
        call,
        input_tokens=token_count(usage.get("input_tokens"), path, ".input_tokens"),
        output_tokens=token_count(usage.get("output_tokens"), path, ".output_tokens"),
        cache_read=token_count(inside.get("cache_read", inside.get("cached_tokens")), path, ".cache_read"),
        cache_write=written or ((hour or 0) + (five or 0) if hour is not None or five is not None else written),
        cache_write_1h=hour,
        reasoning=token_count(made.get("reasoning", made.get("reasoning_tokens")), path, ".reasoning"),
        total=token_count(usage.get("total_tokens"), path, ".total_tokens"),
    )


def _anthropic(call: Call, usage: dict[str, Any], path: str) -> None:
    get = usage.get
    read = token_count(get("cache_read_input_tokens"), path, ".cache_read_input_tokens")
    written = token_count(get("cache_creation_input_tokens"), path, ".cache_creation_input_tokens")
    split = get("cache_creation")
    hour = None
    if isinstance(split, dict):
        hour = token_count(split.get("ephemeral_1h_input_tokens"), path, ".cache_creation.ephemeral_1h_input_tokens")
        if written is None and split:
            five = token_count(split.get("ephemeral_5m_input_tokens"), path, ".cache_creation")
            written = (five or 0) + (hour or 0)
    fresh = token_count(get("input_tokens"), path, ".input_tokens")
    thinking = _details(usage, "output_tokens_details").get("thinking_tokens")
    settle(
        call,
        input_tokens=None if fresh is None else fresh + (read or 0) + (written or 0),
        output_tokens=token_count(get("output_tokens"), path, ".output_tokens"),
        cache_read=read,
        cache_write=written,
        cache_write_1h=hour,
        reasoning=token_count(thinking, path, ".output_tokens_details.thinking_tokens"),
    )


def _bedrock(call: Call, usage: dict[str, Any], path: str) -> None:
    read = token_count(usage.get("cacheReadInputTokens", usage.get("cacheReadInputTokenCount")), path, ".cacheRead")
    written = token_count(
        usage.get("cacheWriteInputTokens", usage.get("cacheWriteInputTokenCount")), f"{path}.cacheWrite"
    )
    hour = None
    for part in usage.get("cacheDetails") or ():
        if isinstance(part, dict) and part.get("ttl") == "1h":
            hour = (hour or 0) + (token_count(part.get("inputTokens"), path, ".cacheDetails") or 0)
    fresh = token_count(usage.get("inputTokens"), path, ".inputTokens")
    settle(
        call,
        input_tokens=None if fresh is None else fresh + (read or 0) + (written or 0),
        output_tokens=token_count(usage.get("outputTokens"), path, ".outputTokens"),
        cache_read=read,
        cache_write=written,
        cache_write_1h=hour,
        total=token_count(usage.get("totalTokens"), path, ".totalTokens"),
    )


def _gemini(call: Call, usage: dict[str, Any], path: str) -> None:
    get = usage.get
    prompt = token_count(get("promptTokenCount"), path, ".promptTokenCount")
    tool_prompt = token_count(get("toolUsePromptTokenCount"), path, ".toolUsePromptTokenCount") or 0
    answer = token_count(get("candidatesTokenCount"), path, ".candidatesTokenCount")
    thoughts = token_count(get("thoughtsTokenCount"), path, ".thoughtsTokenCount")
    asked = get("promptTokensDetails")
    made = get("candidatesTokensDetails")
    call.audio_input_tokens = _modality(asked, _AUDIO, path)
    call.image_input_tokens = _modality(asked, _IMAGE, path)
    call.audio_output_tokens = _modality(made, _AUDIO, path)
    call.image_output_tokens = _modality(made, _IMAGE, path)
    total = token_count(get("totalTokenCount"), path, ".totalTokenCount")
    if answer is None and (thoughts is not None or total is not None):
        answer = 0  # an answer that was all thought, or none
    settle(
        call,
        input_tokens=None if prompt is None else prompt + tool_prompt,
        output_tokens=None if answer is None else answer + (thoughts or 0),
        cache_read=token_count(get("cachedContentTokenCount"), path, ".cachedContentTokenCount"),
        reasoning=thoughts,
        total=total,
    )


def _cohere(call: Call, usage: dict[str, Any], path: str) -> None:
    billed = _details(usage, "billed_units")
    settle(
        call,
        input_tokens=token_count(billed.get("input_tokens"), path, ".billed_units.input_tokens"),
        output_tokens=token_count(billed.get("output_tokens", 0), path, ".billed_units.output_tokens"),
    )


def _modality(details: Any, wanted: str, path: str) -> int | None:
    if not isinstance(details, list):
        return None
    found = None
    for part in details:
        if isinstance(part, dict) and part.get("modality") == wanted:
            found = (found or 0) + (token_count(part.get("tokenCount"), path, ".TokensDetails") or 0)
    return found


def _tool_calls(call: Call, usage: dict[str, Any]) -> None:
    server = usage.get("server_tool_use")
    if isinstance(server, dict):
        # web fetches are billed as the tokens they bring in (Anthropic, web fetch tool page, 2025-09), not by the piece
        billed = [n for name, n in server.items() if name != "web_fetch_requests" and type(n) is int and n > 0]
        call.server_tool_calls = sum(billed) or None


def settle(
    call: Call,
    *,
    input_tokens: int | None,
    output_tokens: int | None,
    cache_read: int | None = None,
    cache_write: int | None = None,
    cache_write_1h: int | None = None,
    reasoning: int | None = None,
    total: int | None = None,
) -> None:
    """Set the token fields from inclusive counts, and repair what a proxy is known to get wrong.

    `total` larger than the parts: the gap is output that was billed and not shown. Cache larger than input: the
    input was logged without its cache. Reasoning larger than output: it was logged without its reasoning.
    """
    source = "reported"
    inside = (cache_read or 0) + (cache_write or 0)
    if input_tokens is not None and inside > input_tokens:
        call.issue("cache_outside_input", f"cache {inside} > input {input_tokens}: added")
        input_tokens += inside
        source = "summed"
    if total is not None:
        if output_tokens is None and input_tokens is not None and total >= input_tokens:
            output_tokens = total - input_tokens
        elif input_tokens is not None and output_tokens is not None:
            gap = total - input_tokens - output_tokens
            if gap > 0:
                output_tokens += gap
                if reasoning != gap:  # reasoning that was counted beside the output is already known
                    reasoning = (reasoning or 0) + gap
                source = "recovered_from_total"
            elif gap < 0:
                call.issue("total_below_parts", f"total {total}, parts {input_tokens + output_tokens}")
    if reasoning is not None and output_tokens is not None and reasoning > output_tokens:
        call.issue("reasoning_outside_output", f"reasoning {reasoning} > output {output_tokens}: added")
        output_tokens += reasoning
        source = "summed"
    call.input_tokens = input_tokens
    call.output_tokens = output_tokens
    call.cache_read_input_tokens = cache_read
    call.cache_creation_input_tokens = cache_write
    call.cache_creation_1h_input_tokens = cache_write_1h
    call.reasoning_output_tokens = reasoning
    call.tokens_source = "missing" if input_tokens is None and output_tokens is None else source
