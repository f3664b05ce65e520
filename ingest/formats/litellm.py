"""LiteLLM's StandardLoggingPayload, as its S3, GCS, file and callback loggers write it (litellm 1.80-1.109).

Tokens are inclusive whatever the provider. Retries and fallbacks share `trace_id`. A gateway cache hit keeps its
tokens, costs nothing, and its id ends in `_cache_hit<time>`. While streaming `response_time` is the time to the first
chunk.
"""

from __future__ import annotations

from typing import Any

from ingest.format_contract import Context, Format, Outcome, stateless
from ingest.records import agent_names
from ingest.records.call import BadRecordError, Call, Skip, pico_dollars, text_or_none
from ingest.records.provider_names import provider_name
from ingest.records.timestamps import time_us
from ingest.records.token_usage import apply_usage
from ingest.wire import openai
from ingest.wire.request_response import opened

_CALLS = ("completion", "embedding", "responses", "text_completion", "anthropic_messages", "generate_content")


def read(record: Any, context: Context) -> Outcome:
    """The outcomes of one record. Raises BadRecordError if it cannot be used."""
    if isinstance(record.get("standard_logging_object"), dict):
        record = record["standard_logging_object"]
    get = record.get
    kind = text_or_none(get("call_type")) or "completion"
    if not any(word in kind for word in _CALLS):
        return Skip(f"LiteLLM {kind[:40]}: not a token-priced call")
    call = Call()
    call.operation_name = "embeddings" if "embedding" in kind else "chat"
    response = opened(get("response"))
    usage = response.get("usage") if isinstance(response, dict) else None
    metadata = opened(get("metadata"))
    metadata = metadata if isinstance(metadata, dict) else {}
    if not isinstance(usage, dict) or not usage:
        usage = metadata.get("usage_object")
    if not isinstance(usage, dict) or not usage:
        usage = {name: get(name) for name in ("prompt_tokens", "completion_tokens", "total_tokens")}
        if not any(usage.values()):
            usage = None
    apply_usage(call, usage, "$.response.usage")
    if isinstance(response, dict):
        call.response_id = text_or_none(response.get("id"))
        choices = response.get("choices")
        if isinstance(choices, list):
            call.output = [one["message"] for one in choices if isinstance(one, dict) and one.get("message")] or None
            if choices and isinstance(choices[-1], dict):
                call.finish_reason = text_or_none(choices[-1].get("finish_reason"))
        elif isinstance(response.get("output"), list):
            call.output = [one for one in response["output"] if isinstance(one, dict)] or None
        tier = text_or_none(response.get("service_tier"))
        call.service_tier = tier if tier not in openai.STANDARD_TIERS else None
    breakdown = get("cost_breakdown")
    if isinstance(breakdown, dict) and call.service_tier is None:
        tier = text_or_none(breakdown.get("service_tier"))
        call.service_tier = tier if tier not in openai.STANDARD_TIERS else None
    _models(call, record, response)
    _times(call, record, context)
    call.logged_cost_pico = pico_dollars(get("response_cost"), "$.response_cost")
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
    if isinstance(get("stream"), bool):
        call.stream = get("stream")
    take_outcome(call, record)
    take_identity(call, record, metadata)
    return call


def _models(call: Call, record: dict[str, Any], response: Any) -> None:
    served = text_or_none(response.get("model")) if isinstance(response, dict) else None
    call.response_model = text_or_none(record.get("model")) or served
    call.request_model = text_or_none(record.get("model_group")) or call.response_model
    if call.response_model is None and call.request_model is None:
        raise BadRecordError("no model", "$.model")
    call.provider_name = provider_name(text_or_none(record.get("custom_llm_provider")))


def _times(call: Call, record: dict[str, Any], context: Context) -> None:
    call.start_us, call.time_precision = time_us(record.get("startTime"), "$.startTime", zone=context.zone)
    if record.get("endTime"):
        call.end_us = time_us(record["endTime"], "$.endTime", zone=context.zone)[0]
    first = record.get("completionStartTime")
    if first:
        gap = time_us(first, "$.completionStartTime", zone=context.zone)[0] - call.start_us
        call.time_to_first_chunk_ms = gap / 1000 if gap >= 0 else None


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
