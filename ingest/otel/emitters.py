"""How each instrumentation counts cached tokens: inside its `input_tokens`, or as the provider counts them.

Anthropic's and Bedrock's own counts leave the cache out of the input. An instrumentation either hands the provider's
counts on or adds the cache, and nothing in a span says which; so it is looked up here by the names that spans carry.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Final

from ingest.records.token_usage import counts_cache_apart


@dataclass(frozen=True)
class Emitter:
    """One instrumentation. `scopes` are globs of instrumentation scope names, `sdk` the `telemetry.sdk.name`."""

    name: str
    scopes: tuple[str, ...]
    adds_cache: bool  # False: the provider's counts are handed on
    source: str  # what it was read from, and when
    sdk: str | None = None


EMITTERS: Final = (
    Emitter("OpenLIT", ("openlit*",), False, "openlit 1.45.0 anthropic/utils.py:583, 2026-11", sdk="openlit"),
    Emitter("Pydantic AI", ("pydantic-ai*", "pydantic_ai*"), True, "pydantic-ai 2.68.0, langfuse#12306, 2026-11"),
    # release 6 logs inputTokenDetails, whose names say that the cache is inside
    Emitter("Vercel AI SDK 4 and 5", ("ai",), False, "ai 6.0.326, vercel/ai#8795, 2026-11"),
    Emitter(
        "OpenLLMetry and OpenTelemetry on Bedrock",
        ("opentelemetry.instrumentation.bedrock*", "opentelemetry.instrumentation.botocore*"),
        False,
        "inferred from names, code not read, 2026-11",
    ),
    Emitter(
        "OpenLLMetry and OpenTelemetry", ("opentelemetry.instrumentation.*",), True,
        "openllmetry instrumentation-anthropic: prompt + cache read + cache creation, 2026-11",
    ),
    Emitter(
        "OpenInference", ("openinference*", "@arizeai/openinference*"), True,
        "openinference instrumentation-anthropic and -bedrock: the prompt is the sum, 2026-11",
    ),
    # before release 1.34 the cache was left out of the input, not out of the total, which tells
    Emitter("Strands", ("strands*",), True, "strands 1.62.0 _total_prompt_tokens, 2026-11"),
    Emitter("Google ADK", ("gcp.vertex.agent*",), True, "inferred from Gemini, code not read, 2026-11"),
    Emitter("LiteLLM", ("litellm*",), True, "litellm 1.110.2, 2026-11"),
    Emitter("MLflow", ("mlflow*",), True, "mlflow 3.17.2 genai_semconv.py, 2026-11"),
    Emitter("Langtrace", ("langtrace*", "@langtrase*"), False, "inferred from names, code not read, 2026-11"),
)  # fmt: skip
# names of conventions by which these tokens are a part of the input (semantic-conventions-genai, OpenInference, AI 6)
_PARTS_OF_INPUT: Final = frozenset(
    {
        "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_write.input_tokens", "llm.token_count.prompt_details.cache_read",
        "llm.token_count.prompt_details.cache_write", "ai.usage.inputTokenDetails.cacheReadTokens",
        "ai.usage.inputTokenDetails.cacheWriteTokens", "ai.usage.inputTokenDetails.noCacheTokens",
    }
)  # fmt: skip


@lru_cache(maxsize=1024)
def emitter_of(scope: str | None, sdk: str | None = None) -> Emitter | None:
    """The instrumentation by its scope's name, or by the `telemetry.sdk.name`; None where neither is known."""
    for emitter in EMITTERS:
        if (sdk and emitter.sdk == sdk) or any(fnmatchcase(scope or "", glob) for glob in emitter.scopes):
            return emitter
    return None


def cache_inside(
    emitter: Emitter | None, provider: str | None, model: str | None, names: Collection[str]
) -> bool | None:
    """Whether a span's input count holds its cached tokens; None where nothing tells.

    `names` are the attributes of the span. The emitter decides where it is known, then a provider that counts so
    itself, then a convention whose names are used.
    """
    if any(name.startswith("ai.usage.inputTokenDetails.") for name in names):
        return True
    if emitter is not None and emitter.adds_cache:
        return True
    if not counts_cache_apart(provider, model):
        return True
    if emitter is not None:
        return False
    return True if not _PARTS_OF_INPUT.isdisjoint(names) else None
