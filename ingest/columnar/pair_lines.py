"""OpenAI chat pairs straight from a line's bytes: what `ingest.wire.request_response` makes of them, for a fraction of
the work.

Most lines of most logs have one plain shape: a request object, its chat completion, and a few names beside them. Such
a line is decoded into typed fields, its messages left as they are written, so that one met before is not read again.
Any other line is refused, by a type or by a key that `ingest.wire.request_response` would look at, and read the
ordinary way.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, Struct

from ingest.format_contract import UNFORESEEN, Context
from ingest.records.call import TOKEN_LIMIT, BadRecordError, Call, text_or_none
from ingest.records.timestamps import time_us
from ingest.records.token_usage import settle
from ingest.wire import openai
from ingest.wire.request_response import WRAPPER_KEYS, apply_wrapper, provider_of

_Count = Annotated[int, Meta(ge=0, lt=TOKEN_LIMIT)] | None
_Refused = Literal["\0"]  # no log has it: a line with the key is read the ordinary way
_NullOnly = _Refused | None
_TEMPLATES = 2_000
_decode_any = msgspec.json.Decoder().decode
_decode_list = msgspec.json.Decoder(list[Raw]).decode


class _Inside(Struct, gc=False):
    cached_tokens: _Count = None
    audio_tokens: _Count = None
    image_tokens: _Count = None
    cache_write_tokens: _Count = None
    cache_creation_tokens: _NullOnly = None
    cache_creation_token_details: _NullOnly = None


class _Made(Struct, gc=False):
    audio_tokens: _Count = None
    image_tokens: _Count = None
    reasoning_tokens: _Count = None


class _Usage(Struct, gc=False):
    prompt_tokens: _Count
    completion_tokens: _Count
    total_tokens: _Count = None
    prompt_tokens_details: _Inside | None = None
    completion_tokens_details: _Made | None = None
    prompt_cache_hit_tokens: _NullOnly = None
    cached_tokens: _NullOnly = None
    num_cached_tokens: _NullOnly = None
    cache_read_input_tokens: _NullOnly = None
    cache_creation_input_tokens: _NullOnly = None
    cache_creation: _NullOnly = None
    server_tool_use: _NullOnly = None


class _Choice(Struct, gc=False):
    message: Raw
    finish_reason: str | None = None


class _Response(Struct, gc=False):
    object: Literal["chat.completion", "chat.completion.chunk"]
    model: str
    usage: _Usage
    id: str | None = None
    created: Any = None
    service_tier: str | None = None
    choices: list[_Choice] | None = None
    metadata: _NullOnly = None


# keys beside the pair that most logs have are fields of their own; any other one that tells something is `Any`
_COMMON: dict[str, Any] = {
    "timestamp": str | int | float | None, "agent": str | None, "task": str | None, "session_id": str | None,
    "latency_ms": float | None,
}  # fmt: skip
_OTHERS = tuple(key for key in (*WRAPPER_KEYS, "call_id") if key not in _COMMON)
# keys by which the line itself would be an answer
_ANSWERS = ("object", "choices", "type", "usageMetadata", "usage_metadata", "candidates", "stopReason")
_Line = msgspec.defstruct(
    "_Line",
    [
        ("request", dict[str, Raw]),
        ("response", _Response),
        *((key, kind, None) for key, kind in _COMMON.items()),
        *((f"other_{place}", Any, msgspec.field(name=key, default=UNSET)) for place, key in enumerate(_OTHERS)),
        *((f"answer_{place}", _Refused, msgspec.field(name=key, default="\0")) for place, key in enumerate(_ANSWERS)),
    ],
    gc=False,
)
_FIRST_OTHER = 2 + len(_COMMON)
_END_OTHERS = _FIRST_OTHER + len(_OTHERS)
_NO_OTHERS = (UNSET,) * len(_OTHERS)
_decode = msgspec.json.Decoder(_Line).decode


def reader(context: Context) -> Callable[[bytes], Call | None]:
    """A function from a line to its call, or to None where the line has to be read the ordinary way."""
    lines = _Lines(context)

    def read(line: bytes) -> Call | None:
        try:
            if not line.isascii():
                line.decode()  # fields that are passed over are not checked otherwise
            return lines.read(_decode(line))
        except (msgspec.DecodeError, BadRecordError, RecursionError, *UNFORESEEN):
            return None

    return read


def request_call(request: dict[str, Raw]) -> Call | None:
    """What a request tells beside its messages; None where it has to be read the ordinary way."""
    if "model" not in request or "input" in request or "functions" in request or "prompt" in request:
        return None
    body = {name: _decode_any(raw) for name, raw in request.items()}
    tools = body.pop("tools", None)
    found = Call()
    openai.apply_request(found, {**body, "messages": []})
    if tools:
        if not isinstance(tools, list):
            return None
        found.tools = request["tools"].copy()
        found.tool_count = len(tools)
    found.operation_name = "chat"
    return found


class _Lines:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._templates: dict[tuple[object, ...], Call] = {}
        self._providers: dict[str, str | None] = {}

    def read(self, line: Any) -> Call | None:
        request: dict[str, Raw] = line.request
        messages = request.pop("messages", None)
        if messages is None:
            return None
        key = (*request, b"\n".join(request.values()))
        template = self._templates.get(key)
        if template is None:
            template = self._template(request, key)
            if template is None:
                return None
        call = copy(template)
        response: _Response = line.response
        call.response_id = response.id or None
        model = call.response_model = response.model or None
        usage = response.usage
        _apply_usage(call, usage)
        if response.service_tier:  # what the response says is what was billed
            tier = response.service_tier
            call.service_tier = None if tier in openai.STANDARD_TIERS else tier
        if response.choices and not _apply_choices(call, response.choices):
            return None
        others = msgspec.structs.astuple(line)[_FIRST_OTHER:_END_OTHERS]
        if others == _NO_OTHERS:
            call.identity = call.response_id
            if line.agent and call.agent is None:
                call.agent, call.agent_source = line.agent, "attribute"
            if line.task and call.task is None:
                call.task, call.task_source = line.task, "attribute"
            call.duration_ms = line.latency_ms
            call.conversation_id = line.session_id or None
            if line.timestamp is not None and line.timestamp != "":
                call.start_us, call.time_precision = time_us(line.timestamp, "$.start_time", zone=self._context.zone)
        elif not self._apply_others(call, line, others):
            return None
        if call.start_us is None:
            if response.created is None:
                return None
            call.start_us, call.time_precision = time_us(response.created, "$.created", zone=self._context.zone)
        if model is None:
            model = call.request_model
            if model is None:
                return None
        if call.provider_name is None:
            if model not in self._providers:
                self._providers[model] = provider_of(model)
            call.provider_name = self._providers[model]
        if call.agent is None:  # its system prompt may name it
            found: list[Any] = _decode_list(messages)
            found[:2] = map(_decode_any, found[:2])
            call.messages = found or None
        elif self._context.want_text:
            call.messages = _decode_list(messages) or None
        return call

    def _template(self, request: dict[str, Raw], key: tuple[object, ...]) -> Call | None:
        found = request_call(request)
        if found is not None:
            if len(self._templates) >= _TEMPLATES:
                self._templates.clear()
            self._templates[key] = found
        return found

    def _apply_others(self, call: Call, line: Any, others: tuple[Any, ...]) -> bool:
        """Take what stands beside the pair by rarer names; False if the order in which it stands would count."""
        beside = {key: value for key, value in zip(_OTHERS, others, strict=True) if value is not UNSET}
        if "tags" in beside and "metadata" in beside:
            return False
        beside |= {key: value for key in _COMMON if (value := getattr(line, key)) is not None}
        apply_wrapper(call, beside, self._context)
        call.identity = call.response_id or text_or_none(beside.get("call_id"))
        return True


def _apply_choices(call: Call, choices: list[_Choice]) -> bool:
    """Take the answers; False if one is no object."""
    for choice in choices:
        call.finish_reason = choice.finish_reason or call.finish_reason
    call.output = [choice.message for choice in choices]
    if len(choices) > 1:  # they become one answer
        call.output = [_decode_any(message) for message in call.output]
        return all(isinstance(message, dict) for message in call.output)
    return bytes(call.output[0])[:1] == b"{"


def _apply_usage(call: Call, usage: _Usage) -> None:
    """As `ingest.records.token_usage` does for this dialect."""
    cached = written = reasoning = None
    inside, made = usage.prompt_tokens_details, usage.completion_tokens_details
    if inside is not None:
        cached, written = inside.cached_tokens, inside.cache_write_tokens
        call.audio_input_tokens, call.image_input_tokens = inside.audio_tokens, inside.image_tokens
    if made is not None:
        reasoning = made.reasoning_tokens
        call.audio_output_tokens, call.image_output_tokens = made.audio_tokens, made.image_tokens
    asked, answered, total = usage.prompt_tokens, usage.completion_tokens, usage.total_tokens
    if (
        (asked is None or answered is None or total != asked + answered)
        or (cached or 0) + (written or 0) > asked
        or (reasoning is not None and reasoning > answered)
    ):  # something to repair or to flag
        settle(
            call, input_tokens=asked, output_tokens=answered, cache_read=cached, cache_write=written,
            reasoning=reasoning, total=total,
        )  # fmt: skip
        return
    call.input_tokens, call.output_tokens = asked, answered
    call.cache_read_input_tokens, call.cache_creation_input_tokens = cached, written
    call.reasoning_output_tokens = reasoning
    call.tokens_source = "reported"
