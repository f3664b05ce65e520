"""OpenAI chat pairs as columns: what `ingest.wire.request_response` makes of plain ones, when no content is kept.

A line is plain if it has a request, its chat completion with an id, a time and an agent's name, and none of the rarer
keys that `ingest.wire.request_response` would look at. Every other line is left to that reader.
(`ingest.columnar.openai_chat_messages` keeps content.)
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import pyarrow as pa
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from ingest.columnar import arrow_columns
from ingest.columnar.arrow_columns import constant, integers, texts
from ingest.format_contract import Columns, Context
from ingest.records.call import PENDING, TOKEN_LIMIT
from ingest.records.call_identity import key_of_id
from ingest.records.server_tools import USAGE_KEYS as TOOL_COUNTS
from ingest.records.stated_cost import STATED_COSTS
from ingest.records.token_usage import CACHE_COUNTS
from ingest.staging.arrow_files import hash_columns
from ingest.wire import openai
from ingest.wire.request_response import WRAPPER_KEYS, provider_of

_Count = Annotated[int, Meta(ge=0, lt=TOKEN_LIMIT)]
_UnsupportedKey = Literal["\0"] | None  # no log has it: a line with the key is left to the ordinary reader
_Name = Annotated[str, Meta(min_length=1)]
INT_LIMIT, TOOLS_LIMIT = 1 << 62, 32_767
_LIST = ord("[")


class _PromptTokensDetails(Struct, gc=False):
    cached_tokens: _Count | None = None
    audio_tokens: _Count | None = None
    image_tokens: _Count | None = None
    cache_write_tokens: _Count | None = None
    cache_creation_tokens: _UnsupportedKey = None
    cache_creation_token_details: _UnsupportedKey = None
    cache_creation_input_tokens: _UnsupportedKey = None
    cache_creation: _UnsupportedKey = None
    audio: _UnsupportedKey = None
    image: _UnsupportedKey = None
    cached_tokens_details: _UnsupportedKey = None
    web_search_requests: _UnsupportedKey = None


class _CompletionTokensDetails(Struct, gc=False):
    audio_tokens: _Count | None = None
    image_tokens: _Count | None = None
    reasoning_tokens: _Count | None = None
    audio: _UnsupportedKey = None
    image: _UnsupportedKey = None


_Usage: Any = msgspec.defstruct(
    "_Usage",
    [
        ("prompt_tokens", _Count),
        ("completion_tokens", _Count),
        ("total_tokens", _Count | None, None),
        ("prompt_tokens_details", _PromptTokensDetails | None, None),
        ("completion_tokens_details", _CompletionTokensDetails | None, None),
        *(
            (key, _UnsupportedKey, None)
            for key in (
                *CACHE_COUNTS,
                "cache_creation",
                "prompt_token_details",
                "completion_token_details",
                *TOOL_COUNTS,
                *STATED_COSTS,
            )
        ),
    ],
    gc=False,
)


class _Message(Struct, gc=False):
    tool_calls: list[Raw] | None = None
    type: str | None = None
    content: Raw | UnsetType = UNSET


class _Choice(Struct, gc=False):
    message: _Message
    finish_reason: str | None = None


class Response(Struct, gc=False):
    """A chat completion; the classes below say what is read of its choices."""

    object: Literal["chat.completion", "chat.completion.chunk"]
    id: _Name
    model: _Name
    usage: _Usage
    service_tier: str | None = None
    metadata: _UnsupportedKey = None


class _Response(Response, gc=False):
    choices: list[_Choice] | None = None


_Request = msgspec.defstruct(
    "_Request",
    [
        ("model", _Name),
        ("messages", Raw),
        ("temperature", float | None, None),
        ("max_completion_tokens", int | None, None),
        ("max_tokens", int | None, None),
        ("stream", bool | None, None),
        ("reasoning_effort", str | None, None),
        ("tools", list[Raw] | None, None),
        *(
            (key, _UnsupportedKey, None)
            for key in ("input", "prompt", "functions", "max_output_tokens", "reasoning", "response_format", "text",
                        "safety_identifier", "user", "service_tier", "metadata")
        ),
    ],
    gc=False,
)  # fmt: skip
_TAKEN = ("timestamp", "agent", "task", "session_id", "latency_ms")
# keys by which the line itself would be an answer
_ANSWERS = ("object", "choices", "type", "usageMetadata", "usage_metadata", "candidates", "stopReason")


def line_decoder(request: Any, response: type[Response]) -> msgspec.json.Decoder[Any]:
    """A decoder of plain lines, given what is to be read of the request and the response."""
    line = msgspec.defstruct(
        "Line",
        [
            ("request", request),
            ("response", response),
            ("timestamp", _Name),
            ("agent", _Name),
            ("task", str | None, None),
            ("session_id", str | None, None),
            ("latency_ms", Annotated[float, Meta(ge=0, lt=1e12)] | None, None),
            *(
                (f"other_{place}", Literal["\0"], msgspec.field(name=key, default="\0"))
                for place, key in enumerate((*WRAPPER_KEYS, "call_id", *_ANSWERS))
                if key not in (*_TAKEN, "request", "response")
            ),
        ],
        gc=False,
    )
    return msgspec.json.Decoder(line)


_decoder = line_decoder(_Request, _Response)


class PairColumns:
    """Reads pieces of a log of pairs."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def read(self, data: bytes) -> Columns | None:
        """The calls of whole lines of pairs; None if the row reader must read all of them."""
        found = arrow_columns.structs(data, _decoder, each=True)
        if found is None:
            return None
        lines, left = found
        rows = np.flatnonzero([line is not None for line in lines]) + 1 if left else np.arange(1, len(lines) + 1)
        plain = [line for line in lines if line is not None] if len(rows) < len(lines) else lines
        odd = _odd(plain)
        if odd.any():
            left = sorted([*left, *arrow_columns.numbered_lines(data, rows[odd].tolist())])
            rows = rows[~odd]
            plain = [line for line, is_odd in zip(plain, odd.tolist(), strict=True) if not is_odd]
        if not plain:
            return None
        when = arrow_columns.times([line.timestamp for line in plain], self.context.zone)
        if when is None:
            return None
        return Columns(_columns(plain, *when), rows, left=left)


def contradictory(usages: list[Any]) -> Any:
    """Which of the usages hold counts that contradict each other."""
    asked = np.array([usage.prompt_tokens for usage in usages], dtype=np.int64)
    answered = np.array([usage.completion_tokens for usage in usages], dtype=np.int64)
    total = np.array([-1 if (t := usage.total_tokens) is None else t for usage in usages], dtype=np.int64)
    odd = (total >= 0) & (total != asked + answered)
    cached, written, thought = (_values(one)[0] for one in _details(usages)[:3])
    return odd | (cached + written > asked) | (thought > answered)


def _odd(lines: list[Any]) -> Any:
    """The lines whose counts contradict each other, or whose answer is made of parts."""
    odd = contradictory([line.response.usage for line in lines])
    requests = [line.request for line in lines]
    for name in ("max_tokens", "max_completion_tokens"):
        limits = [getattr(request, name) for request in requests]
        if arrow_columns.some(limits, int):
            odd |= np.array([limit is not None and not -INT_LIMIT < limit < INT_LIMIT for limit in limits])
    for place, line in enumerate(lines):
        for choice in line.response.choices or ():
            content = choice.message.content
            if content is not UNSET and memoryview(content)[0] == _LIST:
                odd[place] = True
        tools = line.request.tools
        if tools is not None and len(tools) > TOOLS_LIMIT:
            odd[place] = True
    return odd


def _details(usages: list[Any]) -> tuple[list[Any], ...]:
    """Cached, written, reasoning, audio and image tokens of each usage; None where it does not say."""
    inside = [usage.prompt_tokens_details or _NO_INSIDE for usage in usages]
    made = [usage.completion_tokens_details or _NO_MADE for usage in usages]
    return (
        [one.cached_tokens for one in inside],
        [one.cache_write_tokens for one in inside],
        [one.reasoning_tokens for one in made],
        [one.audio_tokens for one in inside],
        [one.image_tokens for one in inside],
        [one.audio_tokens for one in made],
        [one.image_tokens for one in made],
    )


_NO_INSIDE, _NO_MADE = _PromptTokensDetails(), _CompletionTokensDetails()


def _values(counts: list[int | None]) -> tuple[Any, Any]:
    known = np.array([count is not None for count in counts]) if None in counts else np.ones(len(counts), dtype=bool)
    return np.array([count or 0 for count in counts], dtype=np.int64), known


def pair_columns(lines: list[Any], start: Any, precision: Any) -> dict[str, pa.Array]:
    """The columns of plain lines that neither the request nor the choices tell."""
    size = len(lines)
    responses = [line.response for line in lines]
    usages = [response.usage for response in responses]
    models = texts([response.model for response in responses])
    coded = models.dictionary_encode()
    providers = pa.array([provider_of(model) for model in coded.dictionary.to_pylist()], pa.string())
    names = [response.id for response in responses]
    tasks = [line.task or None for line in lines]
    made = {
        **hash_columns(map(key_of_id, names)),
        "by_line": constant(False, size, pa.bool_()),
        "start_us": pa.array(start),
        "time_precision": texts(precision),
        "response_id": texts(names),
        "conversation_id": texts([line.session_id or None for line in lines]),
        "operation_name": constant("chat", size),
        "provider_name": providers.take(coded.indices),
        "response_model": models,
        "model": models,
        "input_tokens": pa.array(np.array([usage.prompt_tokens for usage in usages], dtype=np.int64)),
        "output_tokens": pa.array(np.array([usage.completion_tokens for usage in usages], dtype=np.int64)),
        "tokens_source": constant("reported", size),
        "weight_micro": constant(1_000_000, size, pa.int64()),
        "status": constant("ok", size),
        "agent": texts([line.agent for line in lines]),
        "agent_source": constant("attribute", size),
        "task": texts(tasks),
        "task_source": texts([task and "attribute" for task in tasks]),
        **_lasting(lines, start),
    }
    for name, counts in zip(_TOKENS, _details(usages), strict=True):
        if arrow_columns.some(counts, int):
            made[name] = integers(*_values(counts))
    return made


def _columns(lines: list[Any], start: Any, precision: Any) -> dict[str, pa.Array]:
    requests = [line.request for line in lines]
    return {
        **pair_columns(lines, start, precision),
        "request_model": texts([request.model for request in requests]),
        "content_state": constant("absent", len(lines)),
        "temperature": pa.array([request.temperature for request in requests], pa.float64()),
        "stream": pa.array([request.stream for request in requests], pa.bool_()),
        "reasoning_effort": texts([request.reasoning_effort or None for request in requests]),
        "tool_count": pa.array([len(request.tools) if request.tools else None for request in requests], pa.int16()),
        "max_tokens": pa.array(
            [
                request.max_tokens if request.max_completion_tokens is None else request.max_completion_tokens
                for request in requests
            ],
            pa.int64(),
        ),
        **_answers([line.response for line in lines]),
    }


_TOKENS = (
    "cache_read_input_tokens", "cache_creation_input_tokens", "reasoning_output_tokens", "audio_input_tokens",
    "image_input_tokens", "audio_output_tokens", "image_output_tokens",
)  # fmt: skip


def _lasting(lines: list[Any], start: Any) -> dict[str, pa.Array]:
    spent = [line.latency_ms for line in lines]
    if not arrow_columns.some(spent, float):
        return {}
    known = np.array([one is not None for one in spent])
    lasted = np.array([one or 0.0 for one in spent])
    end = start + np.rint(lasted * 1000).astype(np.int64)
    return {"duration_ms": pa.array(lasted, mask=~known), "end_us": pa.array(end, mask=~known)}


def _answers(responses: list[_Response]) -> dict[str, pa.Array]:
    reasons: list[str | None] = []
    pending: list[bool | None] = []
    tiers: list[str | None] = []
    for response in responses:
        reason = None
        asks = False
        for choice in response.choices or ():
            reason = choice.finish_reason or reason
            asks = asks or bool(choice.message.tool_calls) or choice.message.type == "function_call"
        reasons.append(reason)
        pending.append(reason in PENDING or asks if response.choices else None)
        tier = response.service_tier
        tiers.append(tier if tier and tier not in openai.STANDARD_TIERS else None)
    return {
        "finish_reason": texts(reasons),
        "pending_tool_calls": pa.array(pending, pa.bool_()),
        "service_tier": texts(tiers),
    }
