"""Amazon Bedrock model invocation logs (S3 or CloudWatch), Converse and InvokeModel. Cache lies outside input.

Times have whole seconds. A stream's output is an array of events; bodies above 100 KB lie in objects of their own.
"""

from __future__ import annotations

from typing import Any

from ingest.files.call_bodies import beside, decoded
from ingest.format_contract import Context, Format, Outcome, stateless
from ingest.records import agent_names
from ingest.records.call import Call, mapping_or_empty, text_or_none, token_count
from ingest.records.timestamps import time_us
from ingest.records.token_counts import settle
from ingest.wire import anthropic, bedrock, streaming
from ingest.wire.request_response import apply_bodies, dialect_of, opened


def read(record: Any, context: Context) -> Outcome | list[Outcome]:
    """The outcomes of one record. Raises BadRecordError if it cannot be used."""
    record = _inner(record)
    get = record.get
    asked, made = mapping_or_empty(get("input")), mapping_or_empty(get("output"))
    request, answer = opened(_body(asked, "input", context)), _body(made, "output", context)
    if isinstance(answer, list):
        answer = streaming.assemble(answer) if streaming.is_stream(answer) else None
    call = Call(provider_name="aws.bedrock")
    if dialect_of(answer) is not None:
        apply_bodies(call, request, answer)
    elif isinstance(request, dict):
        (anthropic if anthropic.matches_request(request) else bedrock).apply_request(call, request)
    call.provider_name = "aws.bedrock"
    call.iterations = None
    _tokens(call, asked, made)
    model = text_or_none(get("modelId"))
    routed = call.response_model if "prompt-router" in (model or "") else None
    call.request_model = model or call.response_model
    call.response_model = routed or call.request_model
    call.start_us, call.time_precision = time_us(get("timestamp"), "$.timestamp", zone=context.zone)
    call.region = text_or_none(get("region"))
    operation = text_or_none(get("operation")) or ""
    call.stream = "Stream" in operation
    failure = text_or_none(get("errorCode"))
    if failure:
        call.status, call.error_type = "error", failure
    metadata = mapping_or_empty(get("requestMetadata"))
    agent_names.from_metadata(call, metadata)
    for name in ("session_id", "conversation_id", "sessionId"):
        call.conversation_id = call.conversation_id or text_or_none(metadata.get(name))
    call.user_id = text_or_none(mapping_or_empty(get("identity")).get("arn"))
    call.tags = [f"{key}:{value}" for key, value in sorted(metadata.items()) if isinstance(value, str)] or None
    call.identity = call.response_id or text_or_none(get("requestId"))
    return call


def _body(side: dict[str, Any], name: str, context: Context) -> Any:
    found, address = side.get(f"{name}BodyJson"), side.get(f"{name}BodyS3Path")
    if found is not None or not isinstance(address, str) or not context.want_text:
        return found
    data = beside(context.path, address) if context.body is None else context.body(address)
    return None if data is None else decoded(data)


def _tokens(call: Call, asked: dict[str, Any], made: dict[str, Any]) -> None:
    """The log's own counts where it has them: they are what the service metered."""
    fresh = token_count(asked.get("inputTokenCount"), "$.input.inputTokenCount")
    answer = token_count(made.get("outputTokenCount"), "$.output.outputTokenCount")
    if fresh is None and answer is None:
        return
    read_ = token_count(asked.get("cacheReadInputTokenCount"), "$.input.cacheReadInputTokenCount")
    written = token_count(asked.get("cacheWriteInputTokenCount"), "$.input.cacheWriteInputTokenCount")
    if read_ is None and written is None:  # logs that leave it out have it in the answer
        read_, written = call.cache_read_input_tokens, call.cache_creation_input_tokens
    settle(
        call,
        input_tokens=fresh,
        output_tokens=answer,
        cache_read=read_,
        cache_write=written,
        cache_write_1h=call.cache_creation_1h_input_tokens,
        reasoning=call.reasoning_output_tokens,
        cache_inside=False,
    )


def _inner(record: dict[str, Any]) -> dict[str, Any]:
    """The log entry, which CloudWatch exports wrap as JSON in a string."""
    for key in ("message", "@message"):
        if isinstance(record.get(key), str) and "ModelInvocationLog" in record[key]:
            found = opened(record[key])
            if isinstance(found, dict):
                return found
    return record


FORMAT = Format(
    name="bedrock",
    title="Amazon Bedrock invocation log",
    fingerprints=(frozenset({"schemaType", "modelId", "requestId", "input", "output"}),),
    matches=lambda record: isinstance(record, dict) and _inner(record).get("schemaType") == "ModelInvocationLog",
    open=stateless(read),
    rank=11,
)
