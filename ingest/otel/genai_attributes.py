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

from ingest.otel import span_counts
from ingest.otel.emitters import Emitter
from ingest.otel.span_counts import has_usage
from ingest.otel.span_messages import apply_contents, first, messages_of, opened
from ingest.records import agent_names
from ingest.records.call import Call, mapping_or_empty, pico_dollars, text_or_none
from ingest.records.claimed_usage import flag_unread
from ingest.records.json_paths import snake_case
from ingest.records.stated_cost import stated_cost

MODEL = (
    "gen_ai.response.model", "llm.response.model_name", "llm.response.model", "ai.response.model",
    "langfuse.observation.model.name",
)  # fmt: skip
REQUEST_MODEL = (
    "gen_ai.request.model", "llm.request.model_name", "llm.model_name", "llm.request.model", "embedding.model_name",
    "ai.model.id", "mlflow.llm.model", "ai.model_id",
)  # fmt: skip
PROVIDER = (
    "gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system", "ai.model.provider", "mlflow.llm.provider",
)  # fmt: skip
COST = (
    "gen_ai.usage.cost", "gen_ai.usage.total_cost", "llm.cost.total", "llm.usage.cost", "gen_ai.cost.total_cost",
    "operation.cost", "opencode.llm.cost.total",
)  # fmt: skip
_COST_PARTS = (
    ("gen_ai.usage.input_cost", "gen_ai.usage.output_cost"), ("llm.cost.prompt", "llm.cost.completion"),
    ("gen_ai.cost.input_cost", "gen_ai.cost.output_cost"), ("opencode.llm.cost.input", "opencode.llm.cost.output"),
)  # fmt: skip
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


def named(value: Any, camel: str) -> Any:
    """A field of OTLP JSON by its camelCase or snake_case name: exporters write both."""
    return value[camel] if camel in value else value.get(snake_case(camel))


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
    observed = str(attributes.get("langfuse.observation.type") or "")
    if observed in ("generation", "embedding"):
        return "llm"
    if observed == "agent":
        return "agent"
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


def apply(call: Call, attributes: dict[str, Any], *, text: bool, emitter: Emitter | None = None) -> None:
    """Fill a call from one span's attributes. `emitter`: the instrumentation that wrote them, where it is known."""
    call.response_model = text_or_none(opened(first(attributes, MODEL)))
    call.request_model = text_or_none(opened(first(attributes, REQUEST_MODEL)))
    call.provider_name = text_or_none(opened(first(attributes, PROVIDER)))
    if call.provider_name and attributes.get("ai.model.provider") == call.provider_name:
        call.provider_name = call.provider_name.partition(".")[0]  # Vercel: openai.chat, anthropic.messages
    name = text_or_none(attributes.get("gen_ai.operation.name"))
    call.operation_name = name if name in _LLM_OPERATIONS else "chat"
    span_counts.apply(call, attributes, emitter)
    flag_unread(call, attributes)
    call.response_id = text_or_none(first(attributes, ("gen_ai.response.id", "llm.response.id", "ai.response.id")))
    cost = _stated_cost(attributes)
    call.logged_cost_pico = call.logged_cost_pico if cost is None else cost
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


def _stated_cost(attributes: dict[str, Any]) -> int | None:
    """Pico-dollars that a span states, as a total or in parts."""
    found = pico_dollars(first(attributes, COST), "gen_ai.usage.cost")
    details = opened(attributes.get("langfuse.observation.cost_details"))
    if found is None and isinstance(details, dict):
        parts = [pico_dollars(value, "langfuse.observation.cost_details") or 0 for value in details.values()]
        found = pico_dollars(details.get("total"), "langfuse.observation.cost_details.total") or sum(parts) or None
    metadata = opened(attributes.get("ai.response.providerMetadata"))
    for inner in metadata.values() if found is None and isinstance(metadata, dict) else ():
        if isinstance(inner, dict) and found is None:
            found = stated_cost(mapping_or_empty(inner.get("usage")) or inner, "ai.response.providerMetadata")
    for names in _COST_PARTS if found is None else ():
        known = [n for name in names if (n := pico_dollars(attributes.get(name), name)) is not None]
        if known:
            return sum(known)
    return found


def _parameters(call: Call, attributes: dict[str, Any]) -> None:
    given = opened(first(attributes, ("llm.invocation_parameters", "langfuse.observation.model.parameters")))
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
                           "gen_ai.response.service_tier", "openai.request.service_tier",
                           "gen_ai.openai.request.service_tier", "gen_ai.request.service_tier"))
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
