"""LiteLLM's StandardLoggingPayload, as its S3, GCS, file and callback loggers write it (litellm 1.80-1.109).

Tokens are inclusive whatever the provider. Retries and fallbacks share `trace_id`. A gateway cache hit keeps its
tokens, costs nothing, and its id ends in `_cache_hit<time>`. While streaming `response_time` is the time to the first
chunk. A request that failed before it was routed has no model.

`call_type` is one of LiteLLM's CallTypes (litellm/types/utils.py, 2026-10), here without the `a` or `_` that marks the
asynchronous twin: most run a model, some read or manage what another row has booked. The cost of a whole batch stands
on the row that retrieved it.
"""

from __future__ import annotations

from typing import Any

from ingest.format_contract import Context, Format, Outcome, stateless
from ingest.records import agent_names, server_tools
from ingest.records.call import NOTHING, Call, Skip, pico_dollars, text_or_none
from ingest.records.endpoints import endpoint_of
from ingest.records.provider_names import provider_name
from ingest.records.timestamps import time_us
from ingest.records.token_usage import apply_usage
from ingest.wire import anthropic, openai, openai_media
from ingest.wire.request_response import apply_bodies, dialect_of, opened

# requests that read or manage: `aget_responses` repeats the usage of the answer that it fetches, which is billed once
_READS = ("get_", "list_", "delete_", "cancel_", "file_", "retrieve_")
_READ_ENDS = ("_list", "_content", "_retrieve", "_delete", "_status")
# a part of the call type -> the operation, for the types that run a model
_OPERATIONS = (
    ("embedding", "embeddings"), ("completion", "chat"), ("responses", "chat"), ("anthropic_messages", "chat"),
    ("generate_content", "chat"), ("realtime", "realtime"), ("image", "image_generation"),
    ("video", "video_generation"), ("speech", "speech"), ("transcription", "transcription"),
    ("rerank", "rerank"), ("ocr", "ocr"),
)  # fmt: skip
_BATCH = "retrieve_batch"
_RAW = ("anthropic", "gemini", "bedrock")  # answers that a pass-through hands on as they are
_NULLS = ("\\N", "None", "NULL", "null")
_TOTALS = ("prompt_tokens", "completion_tokens", "total_tokens")


def without_nulls(record: dict[str, Any]) -> dict[str, Any]:
    """The record with None for `\\N`, by which psql's COPY writes a null, and for Python's and SQL's words for one."""
    return {key: None if value in _NULLS else value for key, value in record.items()}


def operation_of(record: dict[str, Any], cost_pico: int | None) -> str | Skip:
    """The operation of a row by its `call_type`; a Skip for a row that runs no model and books nothing."""
    kind = text_or_none(record.get("call_type")) or "completion"
    plain = kind.removeprefix("_").removeprefix("a_")
    if plain.startswith("a") and not plain.startswith(("anthropic", "add_")):
        plain = plain[1:]
    if plain != _BATCH and "generate" not in plain and plain.startswith(_READS) | plain.endswith(_READ_ENDS):
        return Skip(f"LiteLLM {kind[:40]}: reads or manages, runs no model", claims=None if cost_pico else NOTHING)
    for word, operation in _OPERATIONS:
        if word in plain:
            return operation
    if not cost_pico and not any(text_or_none(record.get(name)) not in (None, "0") for name in _TOTALS):
        return Skip(f"LiteLLM {kind[:40]}: neither tokens nor costs")
    return "chat" if plain == _BATCH else "pass_through" if "pass" in plain else plain[:60]


def take_usage(call: Call, record: dict[str, Any], usage: Any, metadata: dict[str, Any], path: str) -> None:
    """Token counts from the answer's `usage`, else LiteLLM's own copies of it, else the row's three totals.

    Zeros alone are no counts where the row has a cost, or where the operation is paid by something else than tokens.
    Rows of 2025 and before keep what the totals leave out in `additional_usage_values`.
    """
    if not isinstance(usage, dict) or not usage:
        usage = metadata.get("usage_object")
    if not isinstance(usage, dict) or not usage:
        usage = {name: record.get(name) for name in _TOTALS}
        more = metadata.get("additional_usage_values")
        if isinstance(more, dict):
            usage.update((name, value) for name, value in more.items() if value is not None)
    by_tokens = call.operation_name in ("chat", "embeddings")
    if (call.logged_cost_pico or not by_tokens) and all(
        value in (None, 0, "0") for name, value in usage.items() if "tokens" in name and not isinstance(value, dict)
    ):
        usage = None
    if call.operation_name == "image_generation" and isinstance(usage, dict):
        usage = openai_media.with_image_tokens(usage)
    apply_usage(call, usage, path)


def read(record: Any, context: Context) -> Outcome | list[Outcome]:
    """The outcomes of one record. Raises BadRecordError if it cannot be used."""
    if isinstance(record.get("standard_logging_object"), dict):
        record = record["standard_logging_object"]
    record = without_nulls(record)
    get = record.get
    cost = pico_dollars(get("response_cost"), "$.response_cost")
    operation = operation_of(record, cost)
    if isinstance(operation, Skip):
        return operation
    call = Call(operation_name=operation, logged_cost_pico=cost)
    response = opened(get("response"))
    metadata = opened(get("metadata"))
    metadata = metadata if isinstance(metadata, dict) else {}
    usage = response.get("usage") if isinstance(response, dict) else None
    if dialect_of(response) in _RAW:
        apply_bodies(call, None, response)
        call.operation_name = operation
    elif not usage and not any(get(name) for name in _TOTALS) and not metadata.get("usage_object"):
        call.tokens_source = "missing"
    else:
        take_usage(call, record, usage, metadata, "$.response.usage")
    if isinstance(response, dict):
        call.response_id = text_or_none(response.get("id")) or call.response_id
        choices = response.get("choices")
        if isinstance(choices, list):
            call.output = [one["message"] for one in choices if isinstance(one, dict) and one.get("message")] or None
            if choices and isinstance(choices[-1], dict):
                call.finish_reason = text_or_none(choices[-1].get("finish_reason"))
        elif isinstance(response.get("output"), list):
            call.output = [one for one in response["output"] if isinstance(one, dict)] or None
            server_tools.from_responses(call, response)
    take_models(call, record, text_or_none(response.get("model")) if isinstance(response, dict) else None)
    take_times(call, record, context)
    call.identity = text_or_none(get("id")) or call.response_id
    call.trace_id = text_or_none(get("trace_id"))
    call.conversation_id = text_or_none(get("session_id"))
    messages = opened(get("messages"))
    call.messages = messages if isinstance(messages, list) and messages else None
    params = opened(get("model_parameters"))
    if isinstance(params, dict):
        tools = params.get("tools")
        call.tools = tools if isinstance(tools, list) and tools else None
        call.params = {name: value for name, value in params.items() if name != "tools"} or None
        openai.apply_parameters(call, params)
    served = response.get("service_tier") if isinstance(response, dict) else None
    take_tier(call, served, get("cost_breakdown"), usage or metadata.get("usage_object"))
    take_batch(call, record)
    if isinstance(get("stream"), bool):
        call.stream = get("stream")
    take_outcome(call, record)
    take_identity(call, record, metadata)
    return list(anthropic.expand(call)) if call.iterations else call


def take_models(call: Call, record: dict[str, Any], served: str | None) -> None:
    """The model that answered, the one that was asked for (its group), and the provider."""
    call.response_model = text_or_none(record.get("model")) or served
    call.request_model = text_or_none(record.get("model_group")) or call.response_model
    call.provider_name = provider_name(text_or_none(record.get("custom_llm_provider")))
    call.region = call.region or endpoint_of(record.get("api_base")).region


def take_tier(call: Call, served: Any, breakdown: Any, usage: Any) -> None:
    """The tier that was served, which is what was billed whatever was asked for, and what Anthropic's usage adds."""
    tier = text_or_none(served)
    if tier is None and isinstance(breakdown, dict):
        tier = text_or_none(breakdown.get("service_tier"))
    if tier is not None:
        call.service_tier = None if tier in openai.STANDARD_TIERS else tier
    if isinstance(usage, dict):
        anthropic.apply_tier(call, usage)


def take_times(call: Call, record: dict[str, Any], context: Context) -> None:
    """Start, end and time to the first chunk."""
    call.start_us, call.time_precision = time_us(record.get("startTime"), "$.startTime", zone=context.zone)
    if record.get("endTime"):
        call.end_us = time_us(record["endTime"], "$.endTime", zone=context.zone)[0]
    first = record.get("completionStartTime")
    if first:
        gap = time_us(first, "$.completionStartTime", zone=context.zone)[0] - call.start_us
        call.time_to_first_chunk_ms = gap / 1000 if gap >= 0 else None


def take_batch(call: Call, record: dict[str, Any]) -> None:
    """A retrieved batch is booked as one row, at the price of batches."""
    if _BATCH in (text_or_none(record.get("call_type")) or ""):
        call.is_batch, call.service_tier = True, "batch"
        call.issue("sum_of_calls", "one row for all requests of a batch")


def take_outcome(call: Call, record: dict[str, Any]) -> None:
    """Success, failure or a hit in the gateway's own cache, which is logged as a bool or as its name."""
    if str(record.get("status")).lower() in ("failure", "error", "failed"):
        call.status = "error"
        information = opened(record.get("error_information"))
        if isinstance(information, dict):
            call.error_type = text_or_none(information.get("error_class")) or call.error_type
            code = text_or_none(information.get("error_code"))
            call.http_status = int(code) if code and code.isdigit() and len(code) == 3 else None
    elif str(record.get("cache_hit")).lower() == "true":
        call.status = "gateway_cache_hit"


def take_identity(call: Call, record: dict[str, Any], metadata: dict[str, Any]) -> None:
    """Agent, task, user and team from LiteLLM's metadata, tags and keys."""
    tags = opened(record.get("request_tags"))
    if isinstance(tags, list):
        call.tags = [tag for tag in tags if isinstance(tag, str) and not tag.startswith("User-Agent")] or None
    if text_or_none(record.get("agent_id")):
        call.agent, call.agent_source = text_or_none(record.get("agent_id")), "attribute"
    for key in ("requester_metadata", "spend_logs_metadata"):
        agent_names.from_metadata(call, opened(metadata.get(key)))
    agent_names.from_metadata(call, metadata)
    call.user_id = (
        text_or_none(record.get("end_user"))
        or text_or_none(metadata.get("user_api_key_end_user_id"))
        or text_or_none(metadata.get("user_api_key_user_id"))
        or text_or_none(record.get("user"))
    )
    call.team = text_or_none(metadata.get("user_api_key_team_alias")) or text_or_none(record.get("team_id"))
    call.api_key_alias = text_or_none(metadata.get("user_api_key_alias"))
    prompt = opened(metadata.get("prompt_management_metadata"))
    if isinstance(prompt, dict):
        call.prompt_name = text_or_none(prompt.get("prompt_id"))
        call.prompt_version = text_or_none(prompt.get("prompt_version"))
    retries = metadata.get("attempted_retries")
    if type(retries) is int and 0 < retries < 1000:
        call.attempt = retries + 1


def _matches(record: Any) -> bool:
    if not isinstance(record, dict):
        return False
    if isinstance(record.get("standard_logging_object"), dict):
        return True
    keys = record.keys()
    return (
        "call_type" in keys
        and "response_cost" in keys
        and bool(keys & {"custom_llm_provider", "model_map_information", "hidden_params"})
    )


FORMAT = Format(
    name="litellm",
    title="LiteLLM standard logging payload",
    fingerprints=(frozenset({"call_type", "response_cost", "custom_llm_provider", "startTime", "model_group"}),),
    matches=_matches,
    open=stateless(read),
    rank=12,
)
