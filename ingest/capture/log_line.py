"""The line of the native format that a captured call becomes. Made in the log's thread."""

from __future__ import annotations

import hashlib
import os
import re
import time
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from ingest.records.call import Call

_FIELDS = (
    "request_model", "response_model", "response_id", "input_tokens", "cache_read_input_tokens",
    "cache_creation_input_tokens", "output_tokens", "reasoning_output_tokens", "audio_input_tokens",
    "audio_output_tokens", "image_input_tokens", "image_output_tokens", "finish_reason", "service_tier", "temperature",
    "max_tokens", "reasoning_effort", "response_format", "stream", "status", "error_type", "user_id", "tokens_source",
    "cache_creation_1h_input_tokens", "cache_read_audio_input_tokens", "cache_read_image_input_tokens",
    "server_tool_calls", "web_search_calls", "web_search_results", "file_search_calls", "code_interpreter_calls",
    "maps_calls", "image_generation_calls", "search_context_size",
)  # fmt: skip
_CONTENTS = frozenset({
    "model", "messages", "tools", "functions", "input", "instructions", "prompt", "system", "contents",
    "systemInstruction", "system_instruction", "content", "requests",
})  # fmt: skip
# parameters that are logged. Any other key of a body may be a gateway's, and hold a credential
_NUMBERS = frozenset({
    "temperature", "top_p", "top_k", "min_p", "top_a", "max_tokens", "max_completion_tokens", "max_output_tokens", "n",
    "seed", "presence_penalty", "frequency_penalty", "repetition_penalty", "length_penalty", "logprobs",
    "top_logprobs", "parallel_tool_calls", "stream", "store", "background", "max_tool_calls", "dimensions", "echo",
    "best_of", "min_tokens", "include_usage", "budget_tokens", "maxOutputTokens", "topP", "topK", "candidateCount",
    "presencePenalty", "frequencyPenalty", "thinkingBudget", "includeThoughts", "enable_thinking", "ignore_eos",
})  # fmt: skip
_WORDS = frozenset({
    "reasoning_effort", "service_tier", "verbosity", "truncation", "tool_choice", "effort", "summary", "type", "speed",
    "inference_geo", "size", "quality", "encoding_format", "responseMimeType", "thinkingLevel", "mode",
    "search_context_size", "prompt_cache_retention", "ttl", "modalities", "responseModalities", "mediaResolution",
})  # fmt: skip
_NESTED = frozenset({
    "reasoning", "thinking", "stream_options", "generationConfig", "generation_config", "thinkingConfig",
    "cache_control", "web_search_options", "output_config", "text", "format", "response_format",
})  # fmt: skip
_TEXTS = frozenset({
    "stop", "stop_sequences", "stopSequences", "logit_bias", "metadata", "prompt_cache_key", "safety_identifier",
    "user", "previous_response_id", "conversation", "include", "suffix", "prediction", "json_schema", "schema",
    "responseSchema", "name",
})  # fmt: skip
_TOOL_CREDENTIALS = frozenset({"headers", "authorization", "authorization_token", "server_url", "url"})
_MODEL_IN_PATH = re.compile(r"/models?/([^/:]+)(?::|/invoke)")
_WHOLE = re.compile(
    rb'\[DONE\]|"type": ?"message_stop"|"type": ?"response\.(?:completed|incomplete|failed)"|"finishReason"'
)
_encode_sorted = msgspec.json.Encoder(order="sorted").encode


class Captured(NamedTuple):
    """What was seen of a call."""

    provider: str
    context: dict[str, Any]
    path: str
    sent: bytes
    started: float  # seconds since 1970
    duration_ms: float
    first_ms: float | None  # until the first bytes of a stream
    status: int | None  # of HTTP; None where no answer came
    got: list[bytes]
    error: BaseException | None
    retries: str | None  # attempts before this one, as the SDK counts them


def make(seen: Captured, text: bool) -> dict[str, Any]:
    """The line of the native format. `text=False` leaves out whatever a person wrote."""
    sent = _decoded(seen.sent)
    sent = sent if isinstance(sent, dict) else {}
    named = _MODEL_IN_PATH.search(seen.path)
    if named and "model" not in sent:
        sent["model"] = named[1]
    streamed = sent.get("stream") is True or "stream" in seen.path.rpartition(":")[2].lower()
    line: dict[str, Any] = {
        "hindcast": 1,
        "call_id": f"capture-{uuid.uuid4()}",
        "start_time": _utc(seen.started),
        "duration_ms": round(seen.duration_ms, 3),
        "provider_name": seen.provider,
        "process_id": f"{os.uname().nodename}:{os.getpid()}" if hasattr(os, "uname") else str(os.getpid()),
    }
    if streamed:
        line["stream"] = True
        if seen.first_ms is not None:
            line["time_to_first_chunk_ms"] = round(seen.first_ms, 3)
    if seen.retries and seen.retries.isdecimal() and seen.retries != "0":
        line["attempt"] = int(seen.retries) + 1
    line.update({key: value for key, value in seen.context.items() if value is not None})
    line.update(_described(sent, seen, text=text))
    return line


def is_usage_chunk(event: bytes) -> bool:
    """Whether an event of a stream of chat completions brings its usage and nothing else."""
    if b'"usage"' not in event:
        return False
    body = _decoded(event[event.find(b"{") :].rstrip())
    return isinstance(body, dict) and body.get("choices") == [] and isinstance(body.get("usage"), dict)


def _utc(seconds: float) -> str:
    whole = int(seconds)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{int((seconds - whole) * 1e6):06d}Z"


def _decoded(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def described_request(sent: dict[str, Any]) -> tuple[Call, dict[str, Any]]:
    """(what a log of this request would say before its answer is there, its parameters that are logged)."""
    from ingest.records.call import Call
    from ingest.wire.request_response import apply_request

    call = Call()
    request, kept = _request_parts(sent, text=True)
    apply_request(call, request | kept, None)
    return call, kept


def _request_parts(sent: dict[str, Any], *, text: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """(what a person wrote and the model, parameters that are known to be no credentials)."""
    return {name: value for name, value in sent.items() if name in _CONTENTS}, _parameters(sent, text)


def _described(sent: dict[str, Any], seen: Captured, *, text: bool) -> dict[str, Any]:
    """The log fields of one call."""
    from ingest.records.call import Call
    from ingest.wire.request_response import apply_bodies, apply_request, dialect_of

    call = Call()
    raw = b"".join(seen.got)
    body = answer_of(raw)
    request, kept = _request_parts(sent, text=text)
    if dialect_of(body) is not None:
        apply_bodies(call, request | kept, body)
    else:
        apply_request(call, request | kept, None)
        call.tokens_source = "missing"
    failed = seen.status is not None and seen.status >= 400
    if failed:
        call.status = "error"
        call.error_type = _error_type(body) or f"http_{seen.status}"
    elif seen.error is not None and not (isinstance(seen.error, GeneratorExit) and is_whole(raw)):
        left = isinstance(seen.error, GeneratorExit | KeyboardInterrupt) or "Cancel" in type(seen.error).__name__
        call.status = "cancelled" if left else "error"
        call.error_type = type(seen.error).__name__
    line = {name: value for name in _FIELDS if (value := getattr(call, name, None)) is not None}
    if call.response_id:
        line["call_id"] = call.response_id
    if seen.status is not None and seen.status != 200:
        line["http_status"] = seen.status
    if kept:
        line["params"] = kept
    for name, messages in (("input_messages", call.messages), ("output_messages", call.output)):
        if messages:
            line[name] = messages if text else [_hashed(message) for message in messages]
    if text and isinstance(call.tools, list) and call.tools:
        line["tools"] = [_without_credentials(tool) for tool in call.tools]
    return line


def is_whole(raw: bytes) -> bool:
    """Whether an answer that was closed had come to its end before: SDKs close a stream at its last event."""
    return _WHOLE.search(raw) is not None or _decoded(raw) is not None


def answer_of(raw: bytes) -> Any:
    """The body of an answer: JSON, or what a stream of events adds up to."""
    from ingest.wire import streaming

    body = _decoded(raw)
    if isinstance(body, list):  # Gemini without `alt=sse`
        return streaming.assemble(body)
    if body is None and raw:
        text = raw.decode("utf-8", "replace")
        return streaming.assemble(text) if streaming.is_stream(text) else None
    return body


def _error_type(body: Any) -> str | None:
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return None
    found = error.get("code") if isinstance(error.get("code"), str) else error.get("status") or error.get("type")
    return found[:80] if isinstance(found, str) else None


def _parameters(body: dict[str, Any], text: bool) -> dict[str, Any]:
    """The parameters of a request that are known to be no credentials; without texts only numbers and fixed words."""
    kept: dict[str, Any] = {}
    for name, value in body.items():
        if value is None:
            continue
        if isinstance(value, dict) and name in _NESTED:
            if inner := _parameters(value, text):
                kept[name] = inner
            continue
        plain = isinstance(value, bool | int | float) and name in _NUMBERS
        if plain or name in _WORDS or (text and name in _TEXTS):
            kept[name] = value
    return kept


def _without_credentials(tool: Any) -> Any:
    if not isinstance(tool, dict) or "function" in tool or "input_schema" in tool or "parameters" in tool:
        return tool
    return {name: value for name, value in tool.items() if name not in _TOOL_CREDENTIALS}


def _hashed(message: Any) -> dict[str, Any]:
    if not isinstance(message, dict):
        message = {"role": "user", "content": message}
    canonical = _encode_sorted({key: item for key, item in message.items() if item is not None})
    content = message.get("content")
    words = len(content.split()) if isinstance(content, str) else len(canonical.split())
    return {"role": message.get("role"), "sha256": hashlib.sha256(canonical).hexdigest(), "words": words}
