"""Request and response pairs, in any of the wrappers that people write around them.

A pair is an object with one key for the request and one for the response, either of which may be JSON in a string or
an HTTP message with its own `body`. What stands beside them (time, latency, agent, ids) is read by its usual names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from ingest.format_contract import Context
from ingest.records import agent_names, policy_in_force
from ingest.records.call import BadRecordError, Call, pico_dollars, text_or_none
from ingest.records.endpoints import endpoint_of
from ingest.records.number_text import duration_or_none
from ingest.records.provider_names import provider_name
from ingest.records.timestamps import time_us
from ingest.wire import anthropic, bedrock, cohere, gemini, ollama, openai, openai_media, streaming

_REQUEST_KEYS = ("request", "req", "request_body", "requestBody", "input", "kwargs", "body_in")
_RESPONSE_KEYS = ("response", "resp", "response_body", "responseBody", "output", "completion", "result")
_HTTP_BODIES = ("body", "json", "data", "body_raw", "bodyRaw", "raw_body", "body_text", "bodyText")
_TIME_KEYS = (
    "start_time", "startTime", "timestamp", "ts", "time", "created_at", "createdAt", "request_time", "started_at",
    "datetime", "@timestamp", "logged_at", "timestamp_ms", "timestamp_us", "timestamp_ns", "timestampMs",
    "unix_timestamp", "date",  # a day is the least that a log can tell
)  # fmt: skip
_END_KEYS = ("end_time", "endTime", "ended_at", "finished_at")
_DURATION_KEYS = {
    "duration_ms": 1.0, "latency_ms": 1.0, "elapsed_ms": 1.0, "response_time_ms": 1.0, "durationMs": 1.0,
    "latencyMs": 1.0, "execution_time_ms": 1.0, "execution_duration_ms": 1.0, "duration_s": 1000.0,
    "duration_seconds": 1000.0, "latency_seconds": 1000.0, "elapsed_seconds": 1000.0, "latency_s": 1000.0,
}  # fmt: skip
_SESSION_KEYS = ("conversation_id", "session_id", "sessionId", "conversationId", "thread_id")
_COST_KEYS = ("cost_usd", "logged_cost_usd", "total_cost_usd", "response_cost", "cost")
_PLAIN_KEYS = (
    "request_id", "trace_id", "span_id", "team", "environment", "service_name", "process_id", "workflow_name",
    "prompt_name", "prompt_version",
)  # fmt: skip
# keys of answers that a wrapper uses for something else
_BODY_KEYS = frozenset({"created_at", "metadata", "provider", "status", "user"})
# wrapper key -> (what it tells, rank among the keys that tell the same)
_SLOTS: dict[str, tuple[str, int]] = {
    key: (slot, rank)
    for slot, keys in (
        ("start", _TIME_KEYS), ("end", _END_KEYS), ("duration", tuple(_DURATION_KEYS)), ("session", _SESSION_KEYS),
        ("cost", _COST_KEYS), ("provider", ("provider_name", "provider")), ("user", ("user_id", "user")),
        ("status", ("status_code", "http_status", "status")), ("tags", ("tags",)), ("attempt", ("attempt",)),
        ("address", ("api_base", "base_url", "url", "uri")),
        ("metadata", ("metadata",)), *((key, (key,)) for key in _PLAIN_KEYS),
    )
    for rank, key in enumerate(keys)
}  # fmt: skip
# all that `apply_wrapper` looks at
WRAPPER_KEYS = (*_SLOTS, *agent_names.AGENT_KEYS, *agent_names.TASK_KEYS, *policy_in_force.KEYS)


# dialect -> (whether a body is one of its answers, what takes it in); the answers of the APIs above come first
_OTHERS: dict[str, tuple[Callable[[Any], bool], Callable[[Call, dict[str, Any]], None]]] = {
    "ollama": (ollama.matches_response, ollama.apply_response),
    "cohere": (cohere.matches_response, cohere.apply_response),
    "image": (openai_media.matches_image, openai_media.apply_image),
    "transcription": (openai_media.matches_transcription, openai_media.apply_transcription),
}


def opened(value: Any) -> Any:
    """A body: itself, what its JSON text holds, what its HTTP message carries, or a stream put together."""
    if isinstance(value, str):
        if value[:1] in ("{", "["):
            try:
                value = msgspec.json.decode(value)
            except (msgspec.DecodeError, UnicodeError, RecursionError):
                return value
        elif streaming.is_stream(value):
            return streaming.assemble(value)
    if isinstance(value, list) and streaming.is_stream(value):
        return streaming.assemble(value)
    if isinstance(value, dict) and "model" not in value and "choices" not in value and dialect_of(value) is None:
        for key in _HTTP_BODIES:
            if isinstance(value.get(key), dict | str | list) and value[key]:
                return opened(value[key])
    return value


def split(record: dict[str, Any]) -> tuple[Any, Any]:
    """(request, response) of a record; None for the one that is not there."""
    request = response = None
    for key in _REQUEST_KEYS:
        if key in record:
            request = opened(record[key])
            break
    for key in _RESPONSE_KEYS:
        if key in record:
            response = opened(record[key])
            break
    return request, response


def apply_wrapper(call: Call, record: dict[str, Any], context: Context) -> None:
    """Time, latency, names and ids from beside the request and the response."""
    told: dict[str, tuple[int, str]] = {}
    for key, value in record.items():
        slot = _SLOTS.get(key)
        if slot is not None and value is not None and value != "":
            best = told.get(slot[0])
            if best is None or slot[1] < best[0]:
                told[slot[0]] = (slot[1], key)
    agent_names.from_metadata(call, record, "attribute")
    for name, (_, key) in told.items():
        value = record[key]
        if name == "start":
            call.start_us, call.time_precision = time_us(value, "$.start_time", zone=context.zone)
        elif name == "end":
            call.end_us = time_us(value, "$.end_time", zone=context.zone)[0]
        elif name == "duration":
            spent = duration_or_none(value)
            call.duration_ms = None if spent is None else spent * _DURATION_KEYS[key]
        elif name == "session":
            call.conversation_id = text_or_none(value)
        elif name == "provider":
            call.provider_name = provider_name(text_or_none(value))
        elif name == "user":
            call.user_id = call.user_id or text_or_none(value)
        elif name == "tags":
            _apply_tags(call, value)
        elif name == "status":
            _apply_status(call, value)
        elif name == "cost":
            if isinstance(value, int | float | str) and not isinstance(value, bool):
                call.logged_cost_pico = pico_dollars(value, f"$.{key}")
        elif name == "address":
            _apply_address(call, value, named="provider" in told)
        elif name == "metadata":
            agent_names.from_metadata(call, value)
        elif name == "attempt":
            call.attempt = value if type(value) is int and 0 < value < 1000 else None
        elif getattr(call, name) is None:
            setattr(call, name, text_or_none(value))
    _apply_http(call, record, context, told)


def _message(record: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return next((record[key] for key in keys if isinstance(record.get(key), dict)), {})


def _apply_http(call: Call, record: dict[str, Any], context: Context, told: dict[str, tuple[int, str]]) -> None:
    """Times, address and status of the HTTP messages that carry the bodies, where nothing beside them tells more."""
    sent = _message(record, _REQUEST_KEYS)
    got = _message(record, _RESPONSE_KEYS)
    if not any(key in sent for key in _HTTP_BODIES) or "model" in sent:
        return
    start, end = ((next((one[key] for key in _TIME_KEYS if one.get(key) is not None), None)) for one in (sent, got))
    if start is not None and told.get("start", (0, "logged_at"))[1] == "logged_at":
        call.start_us, call.time_precision = time_us(start, "$.request.timestamp", zone=context.zone)
        if end is not None and "duration" not in told and "end" not in told:
            call.end_us = time_us(end, "$.response.timestamp", zone=context.zone)[0]
    if "address" not in told and isinstance(sent.get("url"), str):
        _apply_address(call, sent["url"], named="provider" in told)
    if call.duration_ms is None and "duration" not in told:  # what Portkey's gateway and others put beside the body
        call.duration_ms = duration_or_none(got.get("responseTime", got.get("response_time")))
    if "status" not in told:
        _apply_status(call, got.get("status_code", got.get("status")))


def _apply_address(call: Call, address: Any, *, named: bool) -> None:
    """The endpoint's provider goes before the one that a dialect suggests, and after one that is `named`."""
    found = endpoint_of(address)
    call.region = call.region or found.region
    if found.provider is not None and not named:
        call.provider_name = found.provider
    if call.request_model is None and call.response_model is None:
        call.request_model = found.model


def _apply_tags(call: Call, tags: Any) -> None:
    if isinstance(tags, dict):
        agent_names.from_metadata(call, tags, "tag")
        call.tags = [f"{key}:{value}" for key, value in tags.items() if isinstance(value, str | int | float)] or None
    elif isinstance(tags, list):
        call.tags = [tag for tag in tags if isinstance(tag, str)] or None


def _apply_status(call: Call, status: Any) -> None:
    if type(status) is int and 100 <= status < 600:
        call.http_status = status
        if status >= 400:
            call.status = "error"
    elif isinstance(status, str) and status.lower() in ("error", "failed", "failure"):
        call.status = "error"


def finish(call: Call, record: dict[str, Any], created: Any, context: Context) -> Call:
    """The response's own time where the wrapper has none, the identity, and what every call must have."""
    if call.start_us is None and created is not None:
        call.start_us, call.time_precision = time_us(created, "$.created", zone=context.zone)
    if call.start_us is None:
        take_file_time(call, context)
    call.identity = call.response_id or text_or_none(record.get("call_id"))
    return call


def take_file_time(call: Call, context: Context) -> None:
    """The time of the file, flagged, for a record that has none."""
    if context.mtime_us is not None:
        call.start_us, call.time_precision = context.mtime_us, "file"
        flag_file_time(call)


def flag_file_time(call: Call) -> None:
    """Remark that the call's time is the file's."""
    call.issue("time_of_file", "the record has no time; the file's own was taken")


def dialect_of(body: Any) -> str | None:
    """Which provider's response a body is."""
    if openai.matches_chat(body):
        return "openai_chat"
    if openai.matches_responses(body):
        return "openai_responses"
    if anthropic.matches_response(body):
        return "anthropic"
    if gemini.matches_response(body):
        return "gemini"
    if bedrock.matches_response(body):
        return "bedrock"
    if openai.matches_embedding(body):
        return "embedding"
    for dialect, (matches, _) in _OTHERS.items():
        if matches(body):
            return dialect
    return None


def apply_bodies(call: Call, request: Any, response: Any) -> Any:
    """Fill a call from a request and a response body, either of which may be missing. Returns the response's time.

    Raises BadRecordError if the response is neither an answer of a known dialect nor an error.
    """
    dialect = dialect_of(response)
    if isinstance(request, dict):
        apply_request(call, request, dialect)
    if dialect == "openai_chat":
        openai.apply_chat(call, response)
        return response.get("created")
    if dialect == "openai_responses":
        openai.apply_responses(call, response)
        return response.get("created_at")
    if dialect == "anthropic":
        anthropic.apply_response(call, response)
        return None
    if dialect == "gemini":
        gemini.apply_response(call, response)
        return response.get("createTime")
    if dialect == "bedrock":
        bedrock.apply_response(call, response)
        return None
    if dialect == "embedding":
        openai.apply_embedding(call, response)
        return None
    if dialect is not None:
        _OTHERS[dialect][1](call, response)
        return response.get("created_at", response.get("created"))
    if openai.apply_error(call, response):
        return None
    raise BadRecordError("the response is no answer of a known kind and no error", "$.response")


def apply_request(call: Call, request: dict[str, Any], dialect: str | None) -> None:
    """Take what a request tells, by the dialect of its answer or, without one, by its own keys."""
    if dialect == "anthropic" or (dialect is None and anthropic.matches_request(request)):
        anthropic.apply_request(call, request)
    elif dialect == "gemini" or (dialect is None and gemini.matches_request(request)):
        gemini.apply_request(call, request)
    elif dialect == "bedrock":
        bedrock.apply_request(call, request)
    else:
        openai.apply_request(call, request)


def read_pair(record: Any, context: Context) -> list[Any] | Call:
    """A pair, or a bare response, of any dialect."""
    if not isinstance(record, dict):
        raise BadRecordError("not a JSON object")
    call = Call()
    if dialect_of(record) is not None:
        # parameters and messages may stand in the same object as the answer
        created = apply_bodies(call, record if "messages" in record else None, record)
        # what a logger put beside the answer's own keys, which mean something else in some dialects
        apply_wrapper(call, {key: value for key, value in record.items() if key not in _BODY_KEYS}, context)
    else:
        request, response = split(record)
        if request is None and openai.matches_request(record):
            request = record
        created = apply_bodies(call, request, response if response is not None else record)
        apply_wrapper(call, record, context)
    if call.provider_name is None:
        call.provider_name = provider_of(call.response_model or call.request_model)
    finish(call, record, created, context)
    return anthropic.expand(call) if call.iterations else call


def provider_of(model: str | None) -> str | None:
    """The provider that a model's name gives away; None where it does not."""
    name = (model or "").lower()
    if name.startswith(("gpt-", "o1", "o3", "o4", "text-embedding", "chatgpt", "davinci", "ft:gpt", "codex-")):
        return "openai"
    if name.startswith("claude"):
        return "anthropic"
    if name.startswith("gemini"):
        return "gcp.gemini"
    return None
