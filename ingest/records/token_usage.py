"""One truth for tokens: every provider's usage object as inclusive counts.

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

A dollar amount that the provider states in the usage (OpenRouter, Perplexity, DeepInfra) is the logged cost.
"""

from __future__ import annotations

from typing import Any

from ingest.records import modalities, server_tools
from ingest.records.call import BadRecordError, Call, pico_dollars, token_count
from ingest.records.json_paths import snake_case

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
_TICKS_PER_DOLLAR = 10**10
NAMED_TIERS = ("priority", "flex")  # that LangChain puts before the names of counts
_ASKED_ALONE = ("embeddings", "rerank")  # operations that answer without tokens
STATED_COSTS = ("cost", "is_byok", "estimated_cost", "cost_in_usd_ticks")  # all that `stated_cost` looks at first
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


def stated_cost(usage: dict[str, Any], path: str = "$.usage") -> int | None:
    """The pico-dollars that a provider states in its usage object; None where it states none.

    OpenRouter `cost`, with a key of the user's own plus `cost_details.upstream_inference_cost` (usage accounting page,
    2026-10); Perplexity `cost.total_cost` (Sonar API, 2026-10); DeepInfra `estimated_cost` (litellm#38802);
    xAI `cost_in_usd_ticks` (docs.x.ai, cost tracking, read 2026-11).
    """
    cost = usage.get("cost")
    if isinstance(cost, dict):
        return pico_dollars(cost.get("total_cost"), f"{path}.cost.total_cost")
    found = pico_dollars(cost, f"{path}.cost") if isinstance(cost, int | float | str) else None
    if usage.get("is_byok") is True:
        upstream = _details(usage, "cost_details").get("upstream_inference_cost")
        paid = pico_dollars(upstream, f"{path}.cost_details.upstream_inference_cost")
        found = found if paid is None else (found or 0) + paid
    if found is None:
        found = pico_dollars(usage.get("estimated_cost"), f"{path}.estimated_cost")
    if found is None:
        found = pico_dollars(usage.get("cost_in_usd_ticks"), f"{path}.cost_in_usd_ticks", _TICKS_PER_DOLLAR)
    return found


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
    cache_inside: bool | None = True,
    reasoning_inside: bool = True,
) -> None:
    """Set the token fields of `call`, inclusive, from counts as one emitter logs them.

    `cache_inside`: whether this emitter's `input_tokens` holds cache reads and writes; None where it is not known.
    `reasoning_inside`: whether its `output_tokens` holds reasoning. What the counts themselves say goes before both:

    1. A total that equals one reading of the parts (cache inside or beside the input, reasoning inside or beside the
       output) decides for that reading. Of several, the emitter's own comes first, of the input before the output. A
       total that is no more than the two counts added says nothing about a cache that the emitter is known to log
       beside them.
    2. Cache larger than the input lies beside it; reasoning larger than the output likewise.
    3. A total above every reading: the rest is output that was billed and not shown, as by gateways that hide
       reasoning.
    4. A total below every reading: parts that are listed twice where the emitter lists them apart, and otherwise a
       total that is not believed. Both are remarked on.
    5. Where the emitter is not known and the total is absent or the two counts added, nothing tells whether the input
       holds its cache: it stays None, `ambiguous_usage` is remarked on, and the call has no cost.
    """
    if cache_write_1h and cache_write_1h > (cache_write or 0):
        cache_write = cache_write_1h  # the part of a count that is not there, or is counted apart from it
    read, written = cache_read or 0, cache_write or 0
    cached = read + written
    source = "reported"
    if total is not None and input_tokens is None and output_tokens is not None and total >= output_tokens:
        input_tokens, cache_inside, source = total - output_tokens, True, "recovered_from_total"
    elif total is not None and output_tokens is None and input_tokens is not None and total >= input_tokens:
        output_tokens, source = total - input_tokens, "recovered_from_total"
        if cache_inside is False and output_tokens >= cached:
            output_tokens -= cached
        total = None
    if input_tokens is not None:
        plain = total is not None and total == input_tokens + (output_tokens or 0)
        if cache_inside is None and 0 < cached <= input_tokens and (total is None or plain):
            call.issue("ambiguous_usage", f"input {input_tokens} or {input_tokens + cached}: its cache of {cached}")
            input_tokens, total, source = None, None, "ambiguous"
    if input_tokens is not None:
        inputs = _input_readings(input_tokens, read, written, cache_inside)
        outputs = _output_readings(output_tokens, reasoning, reasoning_inside)
        chosen = None
        if total is not None and not (plain and cached and cache_inside is False):
            chosen = next(((a, b) for a in inputs for b in outputs if a + (b or 0) == total), None)
        asked, made = chosen or (inputs[0], outputs[0])
        if (asked != input_tokens and cache_inside is not False) or asked != inputs[0]:
            call.issue("cache_outside_input", f"input {input_tokens}, cache {cached}, total {total}: {asked} in all")
            source = "summed"
        if (made != output_tokens and reasoning_inside) or made != outputs[0]:
            call.issue("reasoning_outside_output", f"output {output_tokens}, reasoning {reasoning}, total {total}")
            source = "summed"
        if total is not None and chosen is None and made is not None and not (plain and cache_inside is False):
            if total > asked + made:
                reasoning = (reasoning or 0) + total - asked - made
                made = total - asked
                source = "recovered_from_total"
            else:
                call.issue("total_below_parts", f"total {total}, parts {asked + made}")
                if asked > input_tokens and total - made >= max(input_tokens, cached):
                    asked = total - made
                    source = "recovered_from_total"
        input_tokens, output_tokens = asked, made
    elif reasoning is not None and output_tokens is not None:
        output_tokens = _output_readings(output_tokens, reasoning, reasoning_inside)[0]
    if reasoning is not None and output_tokens is not None and reasoning > output_tokens:
        call.issue("reasoning_above_output", f"reasoning {reasoning} > output {output_tokens}: not believed")
        reasoning = None
    call.input_tokens = input_tokens
    call.output_tokens = output_tokens
    call.cache_read_input_tokens = cache_read
    call.cache_creation_input_tokens = cache_write
    call.cache_creation_1h_input_tokens = cache_write_1h
    call.reasoning_output_tokens = reasoning
    missing = input_tokens is None and output_tokens is None and source != "ambiguous"
    call.tokens_source = "missing" if missing else source


def set_partial(call: Call, detail: str) -> None:
    """Mark a call whose log ends before its answer did: the output that was billed is not known."""
    call.issue("partial_usage", f"output {call.output_tokens}: {detail}")
    call.output_tokens = None
    call.reasoning_output_tokens = None
    call.tokens_source = "partial"


def _input_readings(count: int, read: int, written: int, inside: bool | None) -> list[int]:
    """The inclusive input that a logged count can mean, the emitter's own reading first; none below its cache."""
    both = count + read + written
    order = [both, count] if inside is False or read + written > count else [count, both]
    return list(dict.fromkeys(n for n in (*order, count + read, count + written) if n >= read + written))


def _output_readings(count: int | None, reasoning: int | None, inside: bool) -> list[int | None]:
    """The inclusive output that a logged count can mean, the emitter's own reading first."""
    if count is None or not reasoning:
        return [count]
    return [count, count + reasoning] if inside and reasoning <= count else [count + reasoning, count]
