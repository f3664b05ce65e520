"""Claude Code transcripts as columns: what `ingest.formats.claude_code` reads of a file, when no content is kept.

A transcript is read this way when all its lines are plain ones. Anything rarer (a replayed message that came before
its original, usage in a dialect of its own, a count that contradicts another) leaves the whole file to that reader.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from datetime import tzinfo
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from ingest.columnar import arrow_columns
from ingest.columnar.arrow_columns import constant, texts
from ingest.columnar.claude_code_usage import NotPlainError, Usage, fullness, prompt_tokens, tier_columns, token_columns
from ingest.format_contract import Columns, Context
from ingest.records.call import PENDING, BadRecordError, pico_dollars
from ingest.records.call_identity import key_of_id
from ingest.records.provider_names import claude_host
from ingest.records.timestamps import time_us
from ingest.staging.arrow_files import hash_columns
from ingest.wire.anthropic import MOST_BEGUN, least_size, text_size

LIMIT_BYTES = 64 << 20  # a larger transcript is read call by call, in little memory
UNSET = msgspec.UNSET


class _Message(msgspec.Struct, gc=False):
    usage: Usage | None = None
    id: str | None = None
    model: str | None = None
    role: str | None = None
    stop_reason: str | None = None
    parts: msgspec.Raw | msgspec.UnsetType = UNSET
    content: msgspec.Raw | msgspec.UnsetType = UNSET


class _Line(msgspec.Struct, gc=False):
    message: _Message | None = None
    timestamp: str | msgspec.UnsetType | None = UNSET
    sessionId: str | msgspec.UnsetType | None = UNSET  # noqa: N815  the log's own names
    requestId: str | msgspec.UnsetType | None = UNSET  # noqa: N815
    cwd: str | None = None
    type: str | None = None
    isSidechain: bool | None = None  # noqa: N815
    isApiErrorMessage: bool | None = None  # noqa: N815
    costUSD: int | float | msgspec.UnsetType | None = UNSET  # noqa: N815
    uuid: str | msgspec.UnsetType | None = UNSET
    leafUuid: str | msgspec.UnsetType | None = UNSET  # noqa: N815
    data: msgspec.Raw | msgspec.UnsetType = UNSET
    inputTokens: msgspec.Raw | msgspec.UnsetType = UNSET  # noqa: N815


NO_MESSAGE, TURN, NO_USAGE = "no message", "user or tool turn", "no usage"
SYNTHETIC = "written by the tool, not by a model"
_MAYBE_MESSAGE = re.compile(rb'"message"|\\\\u')
_decoder = msgspec.json.Decoder(_Line)


def _is_long(content: msgspec.Raw | msgspec.UnsetType, output_tokens: int) -> bool:
    """Whether an answer's content has more text than its output tokens can be."""
    if isinstance(content, msgspec.UnsetType) or len(content) <= least_size(output_tokens):
        return False
    try:
        blocks = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise NotPlainError from None
    return isinstance(blocks, list) and text_size(blocks) > least_size(output_tokens)


class _Held:
    """A message as its first row has it, and what further rows have changed."""

    __slots__ = ("end", "finish", "line", "row", "usage")

    def __init__(self, line: _Line, message: _Message, usage: Usage, row: int) -> None:
        self.line = line
        self.usage = usage
        self.row = row
        self.finish = message.stop_reason or None
        self.end: int | None = None


class TranscriptColumns:
    """Reads one transcript. `held` is how many messages may be open at once, as in the ordinary reader."""

    def __init__(self, context: Context, held: int, types: frozenset[str], folder_name: Any) -> None:
        self.context = context
        self._held_limit = held
        self._types = types
        self._folder_name = folder_name
        parts = context.path.parts
        self._subagent = "subagents" in parts
        here = parts[parts.index("projects") + 1] if "projects" in parts[:-2] else ""
        self._project = here.rpartition("-")[2] or None

    def read(self, data: bytes) -> Columns | None:
        """The calls of whole lines of a transcript; None if the row reader must read all of them."""
        if len(data) > LIMIT_BYTES:
            return None
        found = arrow_columns.structs(data, _decoder)
        if found is None:
            return None
        lines, left = found
        foreign: list[int] = []
        try:
            read = self._read(lines, foreign)
        except NotPlainError:
            return None
        read.left = sorted([*left, *arrow_columns.numbered_lines(data, foreign)])
        return read

    def _read(self, lines: list[_Line | None], foreign: list[int]) -> Columns:
        """The columns; `foreign` takes the numbers of rows that are none of a transcript."""
        skipped: Counter[str] = Counter()
        repeats = 0
        kept: list[_Held] = []
        names: list[str] = []
        held: dict[tuple[str, str | None], _Held] = {}
        seen: dict[str, tuple[str | None, bool]] = {}
        turn = 0
        latest: dict[str, tuple[int, int]] = {}  # message id without request id -> the turn and prompt it was met in
        usages: dict[tuple[str, str | None], Usage] = {}
        limit = self._held_limit
        merged: list[Usage] = []
        short: list[tuple[str, str | None]] = []  # messages of which a row has more text than its count can be
        for row, line in enumerate(lines, 1):
            if line is None:
                continue
            message = line.message
            usage = message.usage if message is not None else None
            if usage is None or message is None or line.type == "progress":
                reason = self._no_call(line)
                if reason is None:
                    foreign.append(row)
                else:
                    skipped[reason] += 1
                    turn += reason == TURN
                continue
            if line.sessionId is UNSET and line.requestId is UNSET and line.costUSD is UNSET:
                raise NotPlainError
            if message.model == "<synthetic>":
                skipped[SYNTHETIC] += 1
                continue
            request = line.requestId or None
            key = (message.id or "", request)
            if usage.output_tokens <= MOST_BEGUN and _is_long(message.content, usage.output_tokens):
                short.append(key)
            if usages.get(key) == usage:
                repeats += 1
                continue
            if not message.id or not message.model or not line.timestamp:
                raise NotPlainError
            first = seen.get(message.id)
            if first is None:
                seen[message.id] = (request, line.isSidechain is True)
                names.append(message.id)
                if request is None:
                    latest[message.id] = turn, prompt_tokens(usage)
            elif request == first[0] or request is None or first[0] is None:
                if request is None and first[0] is None:
                    met, prompt = latest[message.id]
                    if met != turn and prompt != prompt_tokens(usage):
                        raise NotPlainError  # one id for several answers
                merged.append(usage)
                self._merge(held.get((message.id, first[0])), line, message, usage)
                repeats += 1
                continue
            elif line.isSidechain is True:
                self._start(line)
                repeats += 1
                continue
            elif first[1]:
                raise NotPlainError
            elif key in held:
                merged.append(usage)
                self._merge(held[key], line, message, usage)
                repeats += 1
                continue
            else:
                names.append(f"{message.id}\x1f{request}")
            entry = _Held(line, message, usage, row)
            kept.append(entry)
            held[key] = entry
            usages[key] = usage
            if len(held) > limit:
                oldest = next(iter(held))
                del held[oldest]
                usages.pop(oldest, None)
        for key in short:
            last = held.get(key)
            if last is None or last.usage.output_tokens <= MOST_BEGUN:
                raise NotPlainError  # the count with which a stream begins, and none came after it
        rows = np.fromiter([entry.row for entry in kept], dtype=np.int64, count=len(kept))
        callers = self._callers([entry.line for entry in kept])
        messages = _Messages(kept, names, merged, self.context.zone, callers)
        return Columns({}, rows, repeats, skipped, unmade=messages if kept else None)

    def _no_call(self, line: _Line) -> str | None:
        """Why a line is no call; None if it is no row of a transcript. Raises NotPlainError where that is not clear."""
        message = line.message
        if message is None:
            summary = line.type == "summary" and line.leafUuid is not UNSET
            if not summary and (line.sessionId is UNSET or line.type not in self._types):
                return None
        elif (
            message.parts is not UNSET
            or message.role == "model"
            or not (
                (line.sessionId is not UNSET and (line.uuid is not UNSET or line.requestId is not UNSET))
                or (line.type in ("user", "assistant") and (line.uuid is not UNSET or line.timestamp is not UNSET))
            )
        ):
            return None
        if line.type == "progress":
            if line.data is not UNSET and _MAYBE_MESSAGE.search(line.data):
                raise NotPlainError  # a subagent's message inside
            return NO_MESSAGE
        if message is None:
            return NO_MESSAGE
        if line.inputTokens is not UNSET:
            raise NotPlainError
        return TURN if message.role != "assistant" else NO_USAGE

    def _start(self, line: _Line) -> int:
        try:
            return time_us(line.timestamp, "$.timestamp", zone=self.context.zone)[0]
        except BadRecordError:
            raise NotPlainError from None

    def _merge(self, held: _Held | None, line: _Line, message: _Message, usage: Usage) -> None:
        """Another row of a message: the larger count stays."""
        start = self._start(line)
        if held is None:
            return
        if fullness(usage) > fullness(held.usage):
            held.usage = usage
        if start != self._start(held.line):
            held.end = start
        held.finish = message.stop_reason or held.finish

    def _callers(self, lines: list[_Line]) -> tuple[list[str], list[str | None]]:
        """(agent, task) of the lines."""
        if self._subagent:
            agents = ["subagent"] * len(lines)
        else:
            agents = ["subagent" if line.isSidechain else "main" for line in lines]
        folders = [line.cwd for line in lines]
        names = {folder: self._folder_name(folder) if folder else self._project for folder in set(folders)}
        return agents, [names[folder] for folder in folders]


class _Messages:
    """The messages of one transcript, which become columns together with those of others.

    `names` are their identities, `merged` the usages that were told of them again, and differ.
    """

    def __init__(
        self,
        kept: list[_Held],
        names: list[str],
        merged: list[Usage],
        zone: tzinfo,
        callers: tuple[list[str], list[str | None]],
    ) -> None:
        self.kept = kept
        self.names = names
        self.merged = merged
        self.zone = zone
        self.agents, self.tasks = callers

    def columns(self, others: Sequence[_Messages]) -> dict[str, pa.Array] | None:
        """See `ingest.format_contract.Unmade`."""
        if others:
            held = [self, *others]
            return _Messages(
                [entry for one in held for entry in one.kept],
                [name for one in held for name in one.names],
                [usage for one in held for usage in one.merged],
                self.zone,
                ([agent for one in held for agent in one.agents], [task for one in held for task in one.tasks]),
            ).columns(())
        try:
            return self._columns()
        except NotPlainError:
            return None

    def _columns(self) -> dict[str, pa.Array]:
        size = len(self.kept)
        lines = [entry.line for entry in self.kept]
        messages: list[Any] = [line.message for line in lines]
        when = arrow_columns.times([line.timestamp or "" for line in lines], self.zone)
        if when is None:
            raise NotPlainError
        start, precision = when
        models = texts([message.model for message in messages])
        coded = models.dictionary_encode()
        provider = pa.array([claude_host(model) for model in coded.dictionary.to_pylist()]).take(coded.indices)
        if self.merged:
            token_columns(self.merged)  # raises for impossible counts, of rows that are not kept too
        made = {
            **hash_columns(map(key_of_id, self.names)),
            "by_line": constant(False, size, pa.bool_()),
            "replaces": constant(True, size, pa.bool_()),
            "start_us": pa.array(start),
            "time_precision": texts(precision),
            "response_id": texts([message.id for message in messages]),
            "conversation_id": texts([line.sessionId or None for line in lines]),
            "operation_name": constant("chat", size),
            "provider_name": provider,
            "request_model": models,
            "response_model": models,
            "model": models,
            "service_name": constant("claude-code", size),
            "agent_source": constant("transcript", size),
            "content_state": constant("absent", size),
            "weight_micro": constant(1_000_000, size, pa.int64()),
            **_ends(self.kept, start),
            **token_columns([entry.usage for entry in self.kept]),
            **tier_columns([message.usage for message in messages]),
            **_callers(lines, self.agents, self.tasks),
            **_answers(self.kept),
        }
        costs = [line.costUSD for line in lines]
        if arrow_columns.some(costs, float) or arrow_columns.some(costs, int):
            made["cost_pico"] = pa.array([_pico(cost) for cost in costs], pa.int64())
        return made


def _callers(lines: list[_Line], agents: list[str], named: list[str | None]) -> dict[str, pa.Array]:
    tasks = texts(named)
    source = pa.array(["project"]).take(pa.array(np.zeros(len(lines), dtype=np.int8), mask=_nulls(tasks)))
    failed = True in {line.isApiErrorMessage for line in lines}
    status = (
        texts(["error" if line.isApiErrorMessage else "ok" for line in lines]) if failed else constant("ok", len(lines))
    )
    return {"agent": texts(agents), "task": tasks, "task_source": source, "status": status}


def _nulls(column: pa.Array) -> Any:
    return column.is_null().to_numpy(zero_copy_only=False)


def _pico(cost: Any) -> int | None:
    try:
        return None if cost is UNSET else pico_dollars(cost, "$.costUSD")
    except BadRecordError:
        raise NotPlainError from None


def _ends(kept: list[_Held], start: Any) -> dict[str, pa.Array]:
    ends = [entry.end for entry in kept]
    if not arrow_columns.some(ends, int):
        return {}
    is_known = np.array([end is not None for end in ends])
    end = np.array([end or 0 for end in ends], dtype=np.int64)
    spent = (end - start) / 1000
    if (spent[is_known] < 0).any():
        raise NotPlainError
    return {"end_us": pa.array(end, mask=~is_known), "duration_ms": pa.array(spent, mask=~is_known)}


def _answers(kept: list[_Held]) -> dict[str, pa.Array]:
    reasons = [entry.finish for entry in kept]
    pending = [None if reason is None else reason in PENDING for reason in reasons]
    return {"finish_reason": texts(reasons), "pending_tool_calls": pa.array(pending, pa.bool_())}
