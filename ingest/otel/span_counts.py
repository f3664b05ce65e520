"""The token counts of a span, whichever names they go by.

Input, output and totals have a list of names. What is a part of them has one too long to list, so a name is read by
its words (`ingest.records.count_names`): `gen_ai.usage.cache_read.input_tokens`, `gen_ai.usage.input_cached_tokens`
and `ai.usage.cachedInputTokens` are one fact. Names of one fact are read in the order of the span and never added up,
as old and new ones stand side by side. Names as of 2026-11: semantic-conventions-genai, OpenInference, OpenLLMetry,
Vercel AI SDK 4 to 6, MLflow 3.17, Pydantic AI, Langtrace, OpenLIT, Semantic Kernel, Sentry, Strands, Google ADK, and
the union of them that Langfuse reads (OtelIngestionProcessor).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from ingest.otel.emitters import Emitter, cache_inside, emitter_of
from ingest.otel.span_messages import first, opened
from ingest.records import count_names
from ingest.records.call import Call, mapping_or_empty, token_count
from ingest.records.token_counts import settle
from ingest.records.token_usage import apply_usage
from ingest.records.usage_details import apply_usage_details

_INPUT: Final = (
    "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.usage.prompt_tokens", "llm.token_count.prompt",
    "ai.usage.inputTokens", "ai.usage.promptTokens", "ai.usage.tokens", "gen_ai.response.prompt_tokens",
    "ai.prompt_tokens.used",
)  # fmt: skip
_OUTPUT: Final = (
    "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.usage.completion_tokens",
    "llm.token_count.completion", "ai.usage.outputTokens", "ai.usage.completionTokens",
    "gen_ai.response.completion_tokens", "ai.completion_tokens.used",
)  # fmt: skip
_TOTAL: Final = ("gen_ai.usage.total_tokens", "llm.usage.total_tokens", "llm.token_count.total", "ai.usage.totalTokens",
                 "ai.total_tokens.used")  # fmt: skip
_MLFLOW, _LANGFUSE = "mlflow.chat.tokenUsage", "langfuse.observation.usage_details"
_METADATA, _ADK = "ai.response.providerMetadata", "gcp.vertex.agent.llm_response"
# by this name Google ADK logged thoughts beside the output (google-adk 2.0.0; 2.13 has the convention's, inside)
_ADK_BESIDE: Final = "gen_ai.usage.experimental.reasoning_tokens"


def has_usage(attributes: dict[str, Any]) -> bool:
    """Whether the attributes of a span tell token counts."""
    return (
        first(attributes, _INPUT) is not None
        or first(attributes, _OUTPUT) is not None
        or _MLFLOW in attributes
        or _LANGFUSE in attributes
    )


def apply(call: Call, attributes: dict[str, Any], emitter: Emitter | None = None) -> None:
    """Fill the token fields of a call from its span's attributes; `emitter` decides where its cache lies."""
    observed = opened(attributes.get(_LANGFUSE))
    if isinstance(observed, dict) and observed:
        apply_usage_details(call, observed, _LANGFUSE)
        return
    usage = opened(attributes.get(_MLFLOW))
    if isinstance(usage, dict):
        attributes, emitter = {f"gen_ai.usage.{key}": value for key, value in usage.items()}, emitter_of("mlflow")
    answer = mapping_or_empty(mapping_or_empty(opened(attributes.get(_ADK))).get("usage_metadata"))
    asked, made = _count(attributes, _INPUT), _count(attributes, _OUTPUT)
    if asked is None and made is None and answer:
        apply_usage(call, answer, f"{_ADK}.usage_metadata")
        return
    total = _count(attributes, _TOTAL)
    if total is None:
        total = token_count(answer.get("total_token_count"), f"{_ADK}.usage_metadata.total_token_count")
    parts = _parts(attributes, answer)
    written, five, hour = parts.get("written"), parts.get("five"), parts.get("hour")
    if not written and (five is not None or hour is not None):
        written = (five or 0) + (hour or 0)
    call.audio_input_tokens, call.audio_output_tokens = parts.get("audio_in"), parts.get("audio_out")
    call.image_input_tokens, call.image_output_tokens = parts.get("image_in"), parts.get("image_out")
    settle(
        call,
        input_tokens=asked,
        output_tokens=made if made is not None or asked is None or total is not None else 0,
        cache_read=parts.get("read"),
        cache_write=written,
        cache_write_1h=hour,
        reasoning=parts.get("reasoning"),
        total=total,
        reasoning_inside=_ADK_BESIDE not in attributes,
        cache_inside=cache_inside(
            emitter, call.provider_name, call.response_model or call.request_model, attributes.keys()
        ),
    )


def _count(attributes: dict[str, Any], names: tuple[str, ...]) -> int | None:
    return token_count(first(attributes, names), names[0])


def _parts(attributes: dict[str, Any], answer: dict[str, Any]) -> dict[str, int]:
    """The counts that are parts of input or output, by what they count. A zero gives way to a later name's count."""
    found: dict[str, int] = {}
    logged = ((name, value) for name, value in attributes.items() if name.startswith(count_names.PREFIXES))
    for name, value in (*logged, *_told_by_provider(attributes), *answer.items()):
        if isinstance(value, bool | list | dict) or value is None:
            continue
        kind = count_names.part_of(name)
        if kind is not None and not found.get(kind):
            count = token_count(value, name)
            if count is not None:
                found[kind] = count
    return found


def _told_by_provider(attributes: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """What the Vercel AI SDK hands on of the provider's own answer, as dotted names of counts."""
    metadata = opened(attributes.get(_METADATA))
    waiting: list[tuple[str, Any]] = [("", metadata)] if isinstance(metadata, dict) else []
    while waiting:
        prefix, value = waiting.pop(0)
        for key, inner in value.items():
            name = f"{prefix}{key}"
            if isinstance(inner, dict) and prefix.count(".") < 4:
                waiting.append((f"{name}.", inner))
            elif type(inner) is int and "token" in name.lower():
                yield name, inner
