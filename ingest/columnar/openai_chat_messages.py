"""OpenAI chat pairs as columns together with their messages: what `ingest.columnar.openai_chat_metadata` does where
content is kept.

Most calls of a log go on with a session: their messages begin with the bytes of the call before. Those are not read
again, only what follows them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from msgspec import Raw, Struct

from ingest.columnar import arrow_columns
from ingest.columnar.arrow_columns import constant, texts
from ingest.columnar.openai_chat_metadata import (
    INT_LIMIT,
    TOOLS_LIMIT,
    Response,
    contradictory,
    line_decoder,
    pair_columns,
)
from ingest.contents.cache_keys import POLICIES, RequestKeys, tenant
from ingest.contents.messages import MESSAGE, OUTPUT, TOOLS, Content, Contents
from ingest.files.line_files import Row, line_ends, unread_rows
from ingest.format_contract import READER_ERRORS, Context
from ingest.records.call import PENDING, BadRecordError, Call
from ingest.staging.batch import Batch
from ingest.wire import openai

BLOCK_BYTES = 1 << 21  # what is decoded at a time
_REQUEST_LIMIT = 5_000
_COMMA, _OPEN_OBJECT = ord(","), ord("{")
_decode_any = msgspec.json.Decoder().decode
_decode_list = msgspec.json.Decoder(list[Raw]).decode
_REFUSALS = (msgspec.DecodeError, BadRecordError, RecursionError, *READER_ERRORS)
# columns that are filled from the request
_REQUEST_COLUMNS: dict[str, pa.DataType] = {
    "request_model": pa.string(), "temperature": pa.float64(), "max_tokens": pa.int64(), "stream": pa.bool_(),
    "reasoning_effort": pa.string(), "response_format": pa.string(), "user_id": pa.string(),
    "tool_count": pa.int16(),
}  # fmt: skip
_TAKEN = {*_REQUEST_COLUMNS, "service_tier", "operation_name", "params", "tools"}
_NOT_OF_REQUEST = tuple(
    (field.name, field.default) for field in msgspec.structs.fields(Call) if field.name not in _TAKEN
)  # fmt: skip


class _Choice(Struct, gc=False):
    message: Raw
    finish_reason: str | None = None


class _Response(Response, gc=False):
    choices: list[_Choice] | None = None


_decoder = line_decoder(dict[str, Raw], _Response)


class _RequestTemplate:
    """What requests that differ in their messages alone have in common."""

    __slots__ = ("call", "number", "params", "tenant", "tools")

    def __init__(self, number: int, call: Call, params: tuple[bytes, bytes, bytes]) -> None:
        self.number = number
        self.call = call
        self.params = params
        self.tenant = tenant(call)
        self.tools: Content | None = None


class _SessionPrefix:
    """The messages of the previous call of a session, which the next call resends as a rule, and its answer."""

    __slots__ = ("answer", "answer_json", "exact", "images", "masked", "numbers", "raw", "words", "written")

    def __init__(
        self, written: bytes, numbers: list[int], exact: bytes, masked: bytes, raw: bytes, words: int, images: bool
    ) -> None:
        self.written = written  # the list as logged, without its last bracket
        self.numbers = numbers
        self.exact = exact  # digests, one after the other
        self.masked = masked
        self.raw = raw
        self.words = words
        self.images = images
        self.answer_json = b""  # as logged, between commas
        self.answer: Content | None = None


_NO_PREFIX = _SessionPrefix(b"", [], b"", b"", b"", 0, False)


def request_call(request: dict[str, Raw]) -> Call | None:
    """The call fields of a chat request without its messages; None if it has to be read row by row."""
    if "model" not in request or "input" in request or "functions" in request or "prompt" in request:
        return None
    body = {name: _decode_any(raw) for name, raw in request.items()}
    tools = body.pop("tools", None)
    call = Call()
    openai.apply_request(call, {**body, "messages": []})
    if tools:
        if not isinstance(tools, list):
            return None
        call.tools = request["tools"].copy()
        call.tool_count = len(tools)
    call.operation_name = "chat"
    return call


class PairTexts:
    """Reads pieces of a log of pairs."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def read(self, data: bytes, batch: Batch, source: int, other: Callable[[Row], None]) -> Any | None:
        """Take the plain lines into `batch` and hand over each `other` one in its turn; their numbers, from 1.

        None if the piece must be read row by row; nothing is taken then.
        """
        calls = _Calls(batch)
        single = batch.singles()
        before = 0  # lines
        for offset, block in _blocks(data):
            count = line_ends(block) + (block[-1:] != b"\n")
            lines = self._plain(block, before)
            if lines is None:
                if not before:
                    return None
                lines = [None] * count
            rest: dict[int, Row] | None = None
            for row, line in enumerate(lines, before + 1):
                if line is not None and calls.take(line, row):
                    continue
                if rest is None:
                    rest = {one.number: one for one in unread_rows(block, offset, before)}
                if row in rest:  # no blank line
                    other(rest[row])
            before += count
        if len(calls.lines):
            batch.block(calls.table(self.context, source), single)
        return np.array(calls.rows, dtype=np.int64)

    def _plain(self, block: bytes, before: int) -> list[Any] | None:
        """A struct for every line that is plain as far as it tells by itself, and None for any other.

        None if there is no plain line, or a time in one that cannot be read.
        """
        found = arrow_columns.structs(block, _decoder, each=True, before=before)
        if found is None:
            return None
        lines = found[0]
        plain = [line for line in lines if line is not None]
        if not plain or arrow_columns.times([line.timestamp for line in plain], self.context.zone) is None:
            return None
        odd = contradictory([line.response.usage for line in plain])
        if odd.any():
            rows = [row for row, line in enumerate(lines) if line is not None]
            for place in np.flatnonzero(odd).tolist():
                lines[rows[place]] = None
        return lines


def _blocks(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(offset, whole lines) of about a size that stays in a processor's cache."""
    start = 0
    while start < len(data):
        end = data.find(b"\n", start + BLOCK_BYTES) + 1 or len(data)
        yield start, data[start:end]
        start = end


class _Calls:
    """The plain calls of one piece, column by column."""

    def __init__(self, batch: Batch) -> None:
        self.contents: Contents = batch.contents
        self.keys: RequestKeys = batch.keys
        self.lines: list[Any] = []
        self.rows: list[int] = []
        self._state = "hashed" if batch.rules.keep == "hashes" else "full"
        self._requests: dict[tuple[object, ...], _RequestTemplate | None] = {}
        self._templates: list[_RequestTemplate] = []
        self._sessions: dict[str, _SessionPrefix] = {}
        self._request: list[int] = []  # by call: the number of what its request tells
        self._messages: list[int] = []
        self._ends: list[int] = [0]
        self._words: list[int] = []
        self._images: list[bool] = []
        self._outputs: list[int | None] = []
        self._reasons: list[str | None] = []
        self._pending: list[bool | None] = []
        self._keys: list[tuple[int, ...]] = []

    def take(self, line: Any, row: int) -> bool:
        """Take a line's call in; False if it must be read the ordinary way."""
        try:
            return self._take(line, row)
        except _REFUSALS:
            return False

    def _take(self, line: Any, row: int) -> bool:
        request: dict[str, Raw] = line.request
        messages = request.pop("messages", None)
        if messages is None:
            return False
        key = (*request, b"\n".join(request.values()))
        try:
            template = self._requests[key]
        except KeyError:
            template = self._template_of(request, key)
        if template is None:
            return False
        response = line.response
        choices = response.choices
        if choices and len(choices) > 1:
            return False
        prefix = self._prefix_of(bytes(messages), line.session_id)
        if prefix is None:
            return False
        if template.tools is None and template.call.tools is not None:
            template.tools = self.contents.add(template.call.tools, TOOLS, "$.tools")
        output = reason = pending = None
        if choices:
            answer = bytes(choices[0].message)
            if answer[0] != _OPEN_OBJECT:
                return False
            content = self.contents.add_logged(answer, OUTPUT, "$.output")
            if content.hashed:
                return False
            output = content.number
            prefix.answer_json = b",%b," % answer
            prefix.answer = content
            reason = choices[0].finish_reason or None
            pending = reason in PENDING or content.measured.asks
        keys = self.keys.numbers(
            prefix.exact, prefix.masked, prefix.raw, template.tools, template.params, template.tenant
        )
        self._keys.append(keys)
        self._request.append(template.number)
        self._messages.extend(prefix.numbers)
        self._ends.append(len(self._messages))
        self._words.append(prefix.words)
        self._images.append(prefix.images)
        self._outputs.append(output)
        self._reasons.append(reason)
        self._pending.append(pending)
        line.request = response.choices = None  # they keep the bytes of the block
        self.lines.append(line)
        self.rows.append(row)
        return True

    def _prefix_of(self, written: bytes, session: str | None) -> _SessionPrefix | None:
        """The messages of a call; None if there are none, or if one is known by its hash alone."""
        before = self._sessions.get(session, _NO_PREFIX) if session else _NO_PREFIX
        given = before.written
        size = len(given)
        if not size or not written.startswith(given) or written[size] != _COMMA:
            before = _NO_PREFIX
            new = _decode_list(written)
            if not new:
                return None
            found = self.contents.add_all(new, "$.messages")
        else:
            found = self._further(written, size, before)
        exact, masked, raw = before.exact, before.masked, before.raw
        words, images = before.words, before.images
        numbers = before.numbers.copy()
        for number, its_key, its_masked, its_raw, its_words, its_images, hashed, _ in found:
            if hashed:
                return None
            numbers.append(number)
            exact += its_key
            masked += its_masked
            raw += its_raw
            words += its_words
            images = images or its_images
        prefix = _SessionPrefix(written[:-1], numbers, exact, masked, raw, words, images)
        if session:
            self._sessions[session] = prefix
        return prefix

    def _further(self, written: bytes, size: int, before: _SessionPrefix) -> list[Content]:
        """The messages after the first `size` bytes, which are those of the call before, and its answer as a rule."""
        answer = before.answer
        if answer is not None and written.startswith(before.answer_json, size):
            said = self.contents.add_plain(written[size + len(before.answer_json) : -1], MESSAGE)
            if said is not None:
                return [answer, said]
        new = _decode_list(b"[" + written[size + 1 :])
        return self.contents.add_all(new, "$.messages") if new else []

    def _template_of(self, request: dict[str, Raw], key: tuple[object, ...]) -> _RequestTemplate | None:
        call = request_call(request)
        template = None
        if (
            call is not None
            and all(getattr(call, name) == default for name, default in _NOT_OF_REQUEST)
            and (call.max_tokens is None or -INT_LIMIT < call.max_tokens < INT_LIMIT)
            and (call.tool_count or 0) <= TOOLS_LIMIT
        ):
            template = _RequestTemplate(len(self._templates), call, self.keys.parameters(call.params))
            self._templates.append(template)
        if len(self._requests) >= _REQUEST_LIMIT:
            self._requests.clear()
        self._requests[key] = template
        return template

    def table(self, context: Context, source: int) -> pa.Table:
        lines = self.lines
        size = len(lines)
        when = arrow_columns.times([line.timestamp for line in lines], context.zone)
        assert when is not None  # they were read before
        request = pa.array(np.array(self._request, dtype=np.int64))
        made = {
            **pair_columns(lines, *when),
            "content_state": constant(self._state, size),
            "input_words": pa.array(self._words, pa.int32()),
            "has_images": pa.array(self._images, pa.bool_()),
            "finish_reason": texts(self._reasons),
            "pending_tool_calls": pa.array(self._pending, pa.bool_()),
            "service_tier": self._tiers(),
            "messages": pa.ListArray.from_arrays(
                pa.array(self._ends, pa.int32()), pa.array(np.array(self._messages, dtype=np.int32))
            ),
            "output": pa.array(self._outputs, pa.int32()),
            "source": constant(source, size, pa.int32()),
            "source_row": pa.array(self.rows, pa.int64()),
        }
        for name, kind in _REQUEST_COLUMNS.items():
            values = [getattr(template.call, name) for template in self._templates]
            if values.count(None) < len(values):
                made[name] = pa.array(values, kind).take(request)
        tools = [template.tools.number if template.tools is not None else None for template in self._templates]
        if tools.count(None) < len(tools):
            made["tools"] = pa.array(tools, pa.int32()).take(request)
        for policy, numbers in zip(POLICIES, np.array(self._keys, dtype=np.int32).T, strict=True):
            made[f"key_{policy}"] = pa.array(numbers)
        return pa.table(made)

    def _tiers(self) -> pa.Array:
        """What the response says is what was billed."""
        requested = [template.call.service_tier for template in self._templates]
        return texts(
            [
                requested[number] if not tier else None if tier in openai.STANDARD_TIERS else tier
                for tier, number in zip((line.response.service_tier for line in self.lines), self._request, strict=True)
            ]
        )
