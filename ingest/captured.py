"""A request and an answer of the SDK as fields of the native log, by the same readers that read any other log."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from ingest.records.call import Call
from ingest.wire import openai, streaming
from ingest.wire.request_response import apply_bodies, dialect_of

_FIELDS = (
    "request_model", "response_model", "response_id", "input_tokens", "cache_read_input_tokens",
    "cache_creation_input_tokens", "output_tokens", "reasoning_output_tokens", "audio_input_tokens",
    "audio_output_tokens", "image_input_tokens", "image_output_tokens", "finish_reason", "service_tier", "temperature",
    "max_tokens", "reasoning_effort", "response_format", "stream", "status", "error_type", "user_id", "tokens_source",
)  # fmt: skip
_ABSENT = frozenset({"NotGiven", "Omit"})
_encode = msgspec.json.Encoder(order="sorted").encode


def describe(request: dict[str, Any], answer: Any, error: BaseException | None, *, text: bool) -> dict[str, Any]:
    """The log fields of one call. A stream comes as the list of its chunks."""
    call = Call()
    body = _body(answer)
    sent = _plain(request)
    if dialect_of(body) is not None:
        apply_bodies(call, sent, body)
    else:
        openai.apply_request(call, sent)
        call.tokens_source = "missing"
    if error is not None:
        call.status = "cancelled" if isinstance(error, GeneratorExit | KeyboardInterrupt) else "error"
        call.error_type = type(error).__name__
        status = getattr(error, "status_code", None)
    else:
        status = None
    if sent.get("stream"):
        call.stream = True
    line = {name: value for name in _FIELDS if (value := getattr(call, name)) is not None}
    if call.response_id:
        line["call_id"] = call.response_id
    if isinstance(status, int):
        line["http_status"] = status
    if call.params:
        line["params"] = call.params
    for name, messages in (("input_messages", call.messages), ("output_messages", call.output), ("tools", call.tools)):
        if messages:
            line[name] = messages if text else [_hashed(message) for message in messages]
    if not text:
        line.pop("tools", None)
    return line


def _body(answer: Any) -> Any:
    if isinstance(answer, list):
        chunks = [_plain(chunk) for chunk in answer]
        return streaming.assemble(chunks) if chunks else None
    return _plain(answer)


def _plain(value: Any) -> Any:
    """Plain data from the SDK's models, and from whatever the caller put among the arguments."""
    dump = getattr(value, "model_dump", None)
    if dump is not None:
        return dump(mode="json", exclude_unset=True)
    if isinstance(value, dict):
        return {
            str(key): _plain(item) for key, item in value.items() if type(item).__name__ not in ("NotGiven", "Omit")
        }
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _hashed(message: Any) -> dict[str, Any]:
    canonical = _encode({key: item for key, item in message.items() if item is not None})
    content = message.get("content")
    words = len(content.split()) if isinstance(content, str) else len(canonical.split())
    return {"role": message.get("role"), "sha256": hashlib.sha256(canonical).hexdigest(), "words": words}
