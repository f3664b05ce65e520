"""Every provider's usage object, read into the counts of a call.

Dialects, told apart by their keys (provider documentation and 1,577 recorded usage objects, 2026-10):
- OpenAI chat `prompt_tokens`: cache inside input, reasoning inside output. Some gateways hide reasoning: then the
  total is larger than the parts, and the gap is output.
- OpenAI Responses `input_tokens` with `*_tokens_details` or a total: as above.
- Anthropic `input_tokens` with `cache_*_input_tokens`: cache reads and writes lie outside input.
- Bedrock Converse `inputTokens`: cache outside input.
- Gemini `promptTokenCount`: cache inside input, tool-use prompts and thoughts outside.
- LangChain `input_token_details`: cache inside input, reasoning inside output; integrations that leave the cache out
  keep it in the total (langsmith-sdk#1858). A tier that served stands before the names (`flex_cache_read`), and alone
  for the rest of its side (langchain#40668).
- Vercel AI SDK `inputTokens` with `inputTokenDetails` (6): all inside; with `cachedInputTokens` (5): as the
  provider counts.
- inspect_ai `input_tokens_cache_read`: cache outside input, inside the total.
- Cohere `billed_units`: what is billed, beside the counted `tokens`.
"""

from __future__ import annotations

from typing import Any

from ingest.records import modalities, server_tools
from ingest.records.call import BadRecordError, Call, token_count
from ingest.records.json_paths import snake_case
from ingest.records.stated_cost import stated_cost
from ingest.records.token_counts import settle

_EMPTY: dict[str, Any] = {}
# a cache count at the top of a usage object, by whichever name
_READ = (
    "cache_read_input_tokens", "input_tokens_cache_read", "cache_read_tokens", "cached_input_tokens", "cached_tokens",
    "prompt_cache_hit_tokens", "num_cached_tokens", "prompt_cached_tokens", "cachedPromptTokens",
)  # fmt: skip
_WRITTEN = (
    "cache_creation_input_tokens", "input_tokens_cache_write", "cache_write_tokens", "cache_creation_tokens",
    "cache_write_input_tokens", "prompt_cache_creation_tokens",
)  # fmt: skip
CACHE_COUNTS = (*_READ, *_WRITTEN)
NAMED_TIERS = ("priority", "flex")  # that LangChain puts before the names of counts
_ASKED_ALONE = ("embeddings", "rerank")  # operations that answer without tokens
_CHAT_NAMES = {"promptTokens": "prompt_tokens", "completionTokens": "completion_tokens", "totalTokens": "total_tokens"}


def apply_usage(call: Call, usage: Any, path: str = "$.usage") -> None:
    """Fill the token fields of `call` from a usage object. Leaves them None, source `missing`, where there is none."""
    if not isinstance(usage, dict) or not usage:
        if usage not in (None, {}, ""):
            raise BadRecordError("the usage is not an object", path)
        call.tokens_source = "missing"
        return
    if "prompt_tokens" in usage or "completion_tokens" in usage:
        _openai_chat(call, usage, path)
    elif "promptTokens" in usage or "completionTokens" in usage:
        _openai_chat(call, _renamed(usage), path)
    elif _is_gemini(usage):
        _gemini(call, usage, path)
    elif "prompt_token_count" in usage or "candidates_token_count" in usage or "total_token_count" in usage:
        _gemini(call, camel_case(usage), path)
    elif usage.keys() & {"inputTokensDetails", "outputTokensDetails"}:  # OpenAI Agents SDK for JavaScript
        _openai_responses(call, {snake_case(name): value for name, value in usage.items()}, path)
    elif usage.keys() & {"inputTokenDetails", "outputTokenDetails", "cachedInputTokens", "reasoningTokens"} or (
        isinstance(usage.get("inputTokens"), dict)
    ):
        _ai_sdk(call, usage, path)
    elif "inputTokens" in usage or "outputTokens" in usage:
        _bedrock(call, usage, path)
    elif "billed_units" in usage:
        _cohere(call, usage, path)
    elif "input_token_details" in usage or "output_token_details" in usage:
        _langchain(call, usage, path)
    elif "input_tokens_details" in usage or ("output_tokens_details" in usage and "total_tokens" in usage):
        _openai_responses(call, usage, path)
    elif "input_tokens" in usage or "output_tokens" in usage:
        _anthropic(call, usage, path)
    elif "total_tokens" in usage and call.operation_name in _ASKED_ALONE:  # Voyage, Jina
        settle(call, input_tokens=token_count(usage["total_tokens"], path, ".total_tokens"), output_tokens=0)
    else:
        call.tokens_source = "missing"
        if any("token" in key.lower() for key in usage):
            call.issue("usage_dialect_unknown", ",".join(sorted(usage))[:120])
        return
    server_tools.from_usage(call, usage)
    if call.logged_cost_pico is None:
        call.logged_cost_pico = stated_cost(usage, path)


def _details(usage: dict[str, Any], *keys: str) -> dict[str, Any]:
    """The first object under one of the keys; of a list of objects, one a request, the first."""
    for key in keys:
        found = usage.get(key)
        if isinstance(found, list) and len(found) == 1:
            found = found[0]
        if isinstance(found, dict):
            return found
    return _EMPTY


def _first(usage: dict[str, Any], names: tuple[str, ...]) -> Any:
    """The first of the named counts that is there; a mapping of that name is no count."""
    return next((v for name in names if (v := usage.get(name)) is not None and not isinstance(v, dict)), None)


def _openai_chat(call: Call, usage: dict[str, Any], path: str) -> None:
    inside = _details(usage, "prompt_tokens_details", "prompt_token_details")  # Mistral writes either
    made = _details(usage, "completion_tokens_details", "completion_token_details")
    get = usage.get
    cached = inside.get("cached_tokens")
    if cached is None:  # DeepSeek, Moonshot, Mistral, LiteLLM for Anthropic
        cached = _first(usage, _READ)
    written = _first(inside, ("cache_write_tokens", "cache_creation_tokens", "cache_creation_input_tokens"))
    if written is None:
        written = _first(usage, _WRITTEN)
    hour = _details(inside, "cache_creation_token_details", "cache_creation").get("ephemeral_1h_input_tokens")
    if hour is None:
        hour = _details(usage, "cache_creation").get("ephemeral_1h_input_tokens")
    modalities.from_details(call, inside, made, path)
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
    modalities.from_details(call, inside, made, path)
    settle(
        call,
        input_tokens=token_count(usage.get("input_tokens"), path, ".input_tokens"),
        output_tokens=token_count(usage.get("output_tokens"), path, ".output_tokens"),
        cache_read=token_count(inside.get("cached_tokens"), path, ".input_tokens_details.cached_tokens"),
        cache_write=token_count(inside.get("cache_write_tokens"), path, ".input_tokens_details.cache_write_tokens"),
        reasoning=token_count(reasoning, path, ".output_tokens_details.reasoning_tokens"),
        total=token_count(usage.get("total_tokens"), path, ".total_tokens"),
    )


def _without_tier(call: Call, details: dict[str, Any]) -> dict[str, Any]:
    """The counts under names without that of a tier, which becomes the call's."""
    for tier in NAMED_TIERS:
        if tier in details or any(name.startswith(f"{tier}_") for name in details):
            call.service_tier = call.service_tier or tier
            return {name.removeprefix(f"{tier}_"): count for name, count in details.items() if name != tier}
    return details


def _langchain(call: Call, usage: dict[str, Any], path: str) -> None:
    inside = _without_tier(call, _details(usage, "input_token_details"))
    made = _without_tier(call, _details(usage, "output_token_details"))
    modalities.from_details(call, inside, made, path)
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
    read = token_count(_first(usage, _READ), path, ".cache_read_input_tokens")
    written = token_count(_first(usage, _WRITTEN), path, ".cache_creation_input_tokens")
    split = get("cache_creation")
    hour = None
    if isinstance(split, dict):
        hour = token_count(split.get("ephemeral_1h_input_tokens"), path, ".cache_creation.ephemeral_1h_input_tokens")
        if not written and split:  # some proxies log 0 beside the filled split
            five = token_count(split.get("ephemeral_5m_input_tokens"), path, ".cache_creation")
            written = (five or 0) + (hour or 0)
    thinking = _details(usage, "output_tokens_details").get("thinking_tokens")
    if thinking is None:
        thinking = _first(usage, ("reasoning_tokens", "reasoning_output_tokens"))
    total = token_count(get("total_tokens"), path, ".total_tokens")
    # Anthropic counts the cache apart and states no total; who adds one may have added the cache to the input as well
    inside = (
        True if "cached_input_tokens" in usage or "cached_tokens" in usage else None if total is not None else False
    )
    settle(
        call,
        input_tokens=token_count(get("input_tokens"), path, ".input_tokens"),
        output_tokens=token_count(get("output_tokens"), path, ".output_tokens"),
        cache_read=read,
        cache_write=written,
        cache_write_1h=hour,
        reasoning=token_count(thinking, path, ".output_tokens_details.thinking_tokens"),
        total=total,
        cache_inside=inside,
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
    settle(
        call,
        input_tokens=token_count(usage.get("inputTokens"), path, ".inputTokens"),
        output_tokens=token_count(usage.get("outputTokens"), path, ".outputTokens"),
        cache_read=read,
        cache_write=written,
        cache_write_1h=hour,
        total=token_count(usage.get("totalTokens"), path, ".totalTokens"),
        cache_inside=False,
    )


def _ai_sdk(call: Call, usage: dict[str, Any], path: str) -> None:
    """Vercel AI SDK: release 6 counts the cache inside the input, release 5 as the provider did (vercel/ai#8795)."""
    if isinstance(usage.get("inputTokens"), dict) or isinstance(usage.get("outputTokens"), dict):
        usage = _of_provider(usage)
    asked, made = _details(usage, "inputTokenDetails"), _details(usage, "outputTokenDetails")
    read = asked.get("cacheReadTokens", usage.get("cachedInputTokens"))
    reasoning = made.get("reasoningTokens", usage.get("reasoningTokens"))
    settle(
        call,
        input_tokens=token_count(usage.get("inputTokens"), path, ".inputTokens"),
        output_tokens=token_count(usage.get("outputTokens"), path, ".outputTokens"),
        cache_read=token_count(read, path, ".inputTokenDetails.cacheReadTokens"),
        cache_write=token_count(asked.get("cacheWriteTokens"), path, ".inputTokenDetails.cacheWriteTokens"),
        reasoning=token_count(reasoning, path, ".outputTokenDetails.reasoningTokens"),
        total=token_count(usage.get("totalTokens"), path, ".totalTokens"),
        cache_inside=True if asked or not _counts_cache_apart(call) else None,
    )


def _of_provider(usage: dict[str, Any]) -> dict[str, Any]:
    """What a provider of release 6 hands to the SDK (LanguageModelV3Usage), by the names of its results."""
    asked, made = _details(usage, "inputTokens"), _details(usage, "outputTokens")
    return {
        "inputTokens": asked.get("total"), "outputTokens": made.get("total"),
        "inputTokenDetails": {"cacheReadTokens": asked.get("cacheRead"), "cacheWriteTokens": asked.get("cacheWrite")},
        "outputTokenDetails": {"reasoningTokens": made.get("reasoning")},
    }  # fmt: skip


def _counts_cache_apart(call: Call) -> bool:
    """Whether the provider of a call counts cache beside its input, as far as its name or its model's tells."""
    return counts_cache_apart(call.provider_name, call.response_model or call.request_model)


def counts_cache_apart(provider: str | None, model: str | None) -> bool:
    """Whether a provider's own usage counts cache beside the input: Anthropic, wherever it is served, and Bedrock.

    True also where neither name tells the provider.
    """
    names = f"{provider or ''} {model or ''}".lower()
    if any(name in names for name in ("anthropic", "claude", "bedrock", "nova")):
        return True
    return not names.strip()


def _renamed(usage: dict[str, Any]) -> dict[str, Any]:
    return {_CHAT_NAMES.get(name, name): value for name, value in usage.items()}


def _is_gemini(usage: dict[str, Any]) -> bool:
    return "promptTokenCount" in usage or "candidatesTokenCount" in usage or "totalTokenCount" in usage


def camel_case(usage: Any) -> Any:
    """A usage object with all names in camelCase, as the API writes them and the SDK for Python does not."""
    if isinstance(usage, list):
        return [camel_case(one) for one in usage]
    if not isinstance(usage, dict):
        return usage
    return {_camel(name) if isinstance(name, str) else name: camel_case(value) for name, value in usage.items()}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)


def _gemini(call: Call, usage: dict[str, Any], path: str) -> None:
    get = usage.get
    prompt = token_count(get("promptTokenCount"), path, ".promptTokenCount")
    tool_prompt = token_count(get("toolUsePromptTokenCount"), path, ".toolUsePromptTokenCount") or 0
    answer = token_count(get("candidatesTokenCount", get("responseTokenCount")), path, ".candidatesTokenCount")
    thoughts = token_count(get("thoughtsTokenCount"), path, ".thoughtsTokenCount")
    modalities.from_lists(call, usage, path)
    total = token_count(get("totalTokenCount"), path, ".totalTokenCount")
    if answer is None and (thoughts is not None or total is not None):
        answer = 0  # an answer that was all thought, or none
    settle(
        call,
        input_tokens=None if prompt is None else prompt + tool_prompt,
        output_tokens=answer,
        cache_read=token_count(get("cachedContentTokenCount"), path, ".cachedContentTokenCount"),
        reasoning=thoughts,
        total=total,
        reasoning_inside=False,
    )


def _cohere(call: Call, usage: dict[str, Any], path: str) -> None:
    billed = _details(usage, "billed_units")
    settle(
        call,
        input_tokens=token_count(billed.get("input_tokens"), path, ".billed_units.input_tokens"),
        output_tokens=token_count(billed.get("output_tokens", 0), path, ".billed_units.output_tokens"),
    )
