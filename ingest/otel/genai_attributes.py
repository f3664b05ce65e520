"""Span attributes as calls: OpenTelemetry GenAI, current and deprecated, OpenInference, OpenLLMetry, Vercel AI, MLflow.

Aliases are read in order of priority and never added up, since old and new names of one fact stand side by side.
Conventions as of 2026-10: open-telemetry/semantic-conventions-genai, Arize-ai/openinference, traceloop/openllmetry,
vercel/ai, MLflow 3.17.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from ingest.otel.span_messages import apply_contents, first, messages_of, opened
from ingest.records import agent_names
from ingest.records.call import Call, pico_dollars, text_or_none, token_count
from ingest.records.token_usage import settle

MODEL = (
    "gen_ai.response.model", "llm.response.model_name", "llm.response.model", "ai.response.model",
)  # fmt: skip
REQUEST_MODEL = (
    "gen_ai.request.model", "llm.request.model_name", "llm.model_name", "llm.request.model", "embedding.model_name",
    "ai.model.id", "mlflow.llm.model",
)  # fmt: skip
PROVIDER = (
    "gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system", "ai.model.provider", "mlflow.llm.provider",
)  # fmt: skip
INPUT = (
    "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.usage.prompt_tokens", "llm.token_count.prompt",
    "ai.usage.inputTokens", "ai.usage.promptTokens", "ai.usage.tokens",
)  # fmt: skip
OUTPUT = (
    "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.usage.completion_tokens",
    "llm.token_count.completion", "ai.usage.outputTokens", "ai.usage.completionTokens",
)  # fmt: skip
TOTAL = ("gen_ai.usage.total_tokens", "llm.usage.total_tokens", "llm.token_count.total", "ai.usage.totalTokens")
CACHE_READ = (
    "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens",
    "llm.token_count.prompt_details.cache_read", "ai.usage.cachedInputTokens", "gen_ai.usage.input_tokens.cached",
    "gen_ai.usage.details.cache_read_tokens",
)  # fmt: skip
CACHE_WRITE = (
    "gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_creation_input_tokens",
    "llm.token_count.prompt_details.cache_write", "gen_ai.usage.details.cache_write_tokens",
)  # fmt: skip
REASONING = (
    "gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens", "llm.usage.reasoning_tokens",
    "llm.token_count.completion_details.reasoning", "ai.usage.reasoningTokens", "gen_ai.usage.output_tokens.reasoning",
    "gen_ai.usage.details.reasoning_tokens",
)  # fmt: skip
COST = ("gen_ai.usage.cost", "gen_ai.usage.total_cost", "llm.cost.total", "llm.usage.cost", "gen_ai.cost.total_cost")
SESSION = (
    "gen_ai.conversation.id", "session.id", "traceloop.association.properties.session_id",
    "ai.telemetry.metadata.sessionId", "langfuse.session.id", "mlflow.trace.session",
)  # fmt: skip
USER = (
    "user.id", "enduser.id", "traceloop.association.properties.user_id", "ai.telemetry.metadata.userId",
    "langfuse.user.id", "mlflow.trace.user",
)  # fmt: skip
AGENT = ("gen_ai.agent.name", "agent.name", "agent_name", "graph.node.id", "ai.telemetry.metadata.agent")
PROMPT = ("gen_ai.prompt.name", "traceloop.prompt.key", "prompt.id", "langfuse.observation.prompt.name")
WORKFLOW = ("gen_ai.workflow.name", "traceloop.workflow.name", "ai.telemetry.functionId")
_AGENT_OPERATIONS = frozenset({"invoke_agent", "create_agent", "agent_step", "invoke_workflow"})
_LLM_OPERATIONS = frozenset({"chat", "text_completion", "generate_content", "embeddings", "completion", "responses"})
_HEX = re.compile(r"^[0-9a-fA-F]+$")


def flat(attributes: Any) -> dict[str, Any]:
    """OTLP's list of key and typed value as a plain mapping; a mapping stays one."""
    if isinstance(attributes, dict):
        return attributes
    found = {}
    for item in attributes if isinstance(attributes, list) else ():
        if isinstance(item, dict) and isinstance(item.get("key"), str):
            found[item["key"]] = value_of(item.get("value"))
    return found


def value_of(value: Any) -> Any:
    """The plain value of an OTLP AnyValue (`{"intValue": "3"}` -> 3); any other value as it is."""
    if not isinstance(value, dict):
        return value
    for kind, inner in value.items():
        name = kind.replace("_", "").lower()
        if name == "intvalue":
            return int(inner) if isinstance(inner, str | int) and str(inner).lstrip("-").isdigit() else inner
        if name == "arrayvalue":
            return [value_of(item) for item in (inner or {}).get("values", ())]
        if name == "kvlistvalue":
            return flat((inner or {}).get("values"))
        if name in ("stringvalue", "doublevalue", "boolvalue", "bytesvalue"):
            return inner
    return None


def hex_id(value: Any, size: int) -> str | None:
    """A trace or span id in hex, whether it was logged in hex or, as some exporters do, in base64."""
    if not isinstance(value, str) or not value:
        return None
    if value.startswith(("0x", "0X")):
        value = value[2:]
    if _HEX.match(value) and len(value) in (16, 32):
        return value.lower()
    try:
        raw = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return value
    return raw.hex() if len(raw) == size else value


def operation(attributes: dict[str, Any]) -> str:
    """What a span is: `llm`, `agent` or `other`, whatever the dialect."""
    kind = str(attributes.get("openinference.span.kind") or attributes.get("mlflow.spanType") or "").strip('"').upper()
    if kind:
        if kind in ("LLM", "CHAT_MODEL", "EMBEDDING"):
            return "llm"
        return "agent" if kind == "AGENT" else "other"
    name = attributes.get("gen_ai.operation.name")
    if name in _AGENT_OPERATIONS or attributes.get("traceloop.span.kind") == "agent":
        return "agent"
    if name in _LLM_OPERATIONS or "llm.request.type" in attributes:
        return "llm"
    step = str(attributes.get("ai.operationId") or "")
    if step:  # the outer Vercel span repeats the usage of its .doGenerate and .doStream steps
        return "llm" if ".do" in step or step == "ai.embed" else "other"
    return "llm" if has_usage(attributes) or first(attributes, REQUEST_MODEL) else "other"


def has_usage(attributes: dict[str, Any]) -> bool:
    """Whether the attributes of a span tell token counts."""
    return (
        first(attributes, INPUT) is not None
        or first(attributes, OUTPUT) is not None
        or "mlflow.chat.tokenUsage" in attributes
    )


def apply(call: Call, attributes: dict[str, Any], *, text: bool) -> None:
    """Fill a call from one span's attributes."""
    call.response_model = text_or_none(opened(first(attributes, MODEL)))
    call.request_model = text_or_none(opened(first(attributes, REQUEST_MODEL)))
    call.provider_name = text_or_none(opened(first(attributes, PROVIDER)))
    if call.provider_name and attributes.get("ai.model.provider") == call.provider_name:
        call.provider_name = call.provider_name.partition(".")[0]  # Vercel: openai.chat, anthropic.messages
    name = text_or_none(attributes.get("gen_ai.operation.name"))
    call.operation_name = name if name in _LLM_OPERATIONS else "chat"
    _tokens(call, attributes)
    call.response_id = text_or_none(first(attributes, ("gen_ai.response.id", "llm.response.id", "ai.response.id")))
    call.logged_cost_pico = pico_dollars(first(attributes, COST), "gen_ai.usage.cost")
    call.conversation_id = text_or_none(opened(first(attributes, SESSION)))
    call.user_id = text_or_none(opened(first(attributes, USER)))
    agent = text_or_none(first(attributes, AGENT))
    if agent:
        call.agent, call.agent_source = agent, "attribute"
    call.workflow_name = text_or_none(first(attributes, WORKFLOW))
    call.prompt_name = text_or_none(first(attributes, PROMPT))
    call.prompt_version = text_or_none(
        first(attributes, ("gen_ai.prompt.version", "traceloop.prompt.version", "llm.prompt_template.version"))
    )
    _parameters(call, attributes)
    metadata = opened(attributes.get("metadata"))
    agent_names.from_metadata(call, metadata)
    own = {
        key.rpartition(".")[2]: value
        for key, value in attributes.items()
        if key.startswith(("traceloop.association.properties.", "ai.telemetry.metadata.", "langfuse.trace.metadata."))
    }
    agent_names.from_metadata(call, own)
    agent_names.from_metadata(call, attributes, "attribute")
    tags = opened(attributes.get("tag.tags"))
    if isinstance(tags, list):
        call.tags = [tag for tag in tags if isinstance(tag, str)] or None
    error = text_or_none(attributes.get("error.type"))
    if error:
        call.status, call.error_type = "error", error
    if text:
        apply_contents(call, attributes)


def _tokens(call: Call, attributes: dict[str, Any]) -> None:
    usage = opened(attributes.get("mlflow.chat.tokenUsage"))
    if isinstance(usage, dict):
        read, written = usage.get("cache_read_input_tokens"), usage.get("cache_creation_input_tokens")
        given = usage.get("input_tokens"), usage.get("output_tokens"), usage.get("total_tokens"), None
    else:
        read, written = first(attributes, CACHE_READ), first(attributes, CACHE_WRITE)
        given = (
            first(attributes, INPUT), first(attributes, OUTPUT), first(attributes, TOTAL), first(attributes, REASONING),
        )  # fmt: skip
    asked, made, total, reasoning = (token_count(value, "usage") for value in given)
    call.audio_input_tokens = token_count(
        first(attributes, ("llm.token_count.prompt_details.audio", "gen_ai.usage.audio.input_tokens")), "usage.audio"
    )
    call.audio_output_tokens = token_count(
        first(attributes, ("llm.token_count.completion_details.audio", "gen_ai.usage.audio.output_tokens")),
        "usage.audio",
    )
    settle(
        call,
        input_tokens=asked,
        output_tokens=made if made is not None or asked is None or total is not None else 0,
        cache_read=token_count(read, "usage.cache_read"),
        cache_write=token_count(written, "usage.cache_creation"),
        reasoning=reasoning,
        total=total,
    )


def _parameters(call: Call, attributes: dict[str, Any]) -> None:
    given = opened(attributes.get("llm.invocation_parameters"))
    params = dict(given) if isinstance(given, dict) else {}
    for key, value in attributes.items():
        if key.startswith("gen_ai.request.") and key not in ("gen_ai.request.model", "gen_ai.request.is_stream"):
            params[key.removeprefix("gen_ai.request.")] = value
        elif key.startswith("ai.settings.") and value is not None:
            params[key.removeprefix("ai.settings.")] = value
    for name in ("model", "messages", "tools"):
        params.pop(name, None)
    temperature = params.get("temperature")
    if isinstance(temperature, int | float) and not isinstance(temperature, bool):
        call.temperature = float(temperature)
    for name in ("max_tokens", "max_completion_tokens", "maxOutputTokens"):
        if type(params.get(name)) is int:
            call.max_tokens = params[name]
            break
    tier = text_or_none(
        first(attributes, ("openai.response.service_tier", "gen_ai.openai.response.service_tier",
                           "openai.request.service_tier", "gen_ai.openai.request.service_tier"))
    )  # fmt: skip
    if tier not in (None, "auto", "default", "standard"):
        call.service_tier = tier
    streamed = first(attributes, ("llm.is_streaming", "gen_ai.is_streaming", "gen_ai.request.stream"))
    if isinstance(streamed, bool):
        call.stream = streamed
    reasons = opened(first(attributes, ("gen_ai.response.finish_reasons", "ai.response.finishReason",
                                        "llm.response.finish_reason")))  # fmt: skip
    call.finish_reason = text_or_none(reasons[-1] if isinstance(reasons, list) and reasons else reasons)
    chunk = first(attributes, ("gen_ai.response.time_to_first_chunk", "gen_ai.server.time_to_first_token"))
    if isinstance(chunk, int | float):
        call.time_to_first_chunk_ms = chunk * 1000
    elif isinstance(attributes.get("ai.response.msToFirstChunk"), int | float):
        call.time_to_first_chunk_ms = float(attributes["ai.response.msToFirstChunk"])
    call.params = params or None


__all__ = ["apply", "apply_contents", "first", "flat", "has_usage", "hex_id", "messages_of", "opened", "operation"]
