"""Claude Code transcripts: one row per content block of a message, each repeating the message's usage.

A call is a (message.id, requestId). Of its rows the largest token total counts, since rows written while the answer
streamed hold a partial count. A sidechain that replays a message under a new requestId is not a new call; of a
sidechain row and a main row the main one stays. Rows without message.id are all kept.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from ingest.columnar.claude_code import NO_MESSAGE, NO_USAGE, SYNTHETIC, TURN, TranscriptColumns
from ingest.format_contract import Context, Format, Outcome
from ingest.records.agent_names import folder_name
from ingest.records.call import NOTHING, BadRecordError, Call, Skip, pico_dollars, text_or_none
from ingest.records.provider_names import claude_host
from ingest.records.timestamps import time_us
from ingest.records.token_counts import set_partial
from ingest.records.token_usage import apply_usage
from ingest.wire import anthropic

_TYPES = frozenset({"user", "assistant", "summary", "system", "progress", "queue-operation", "file-history-snapshot"})
_HELD = 256
_REPEAT = Skip("repeats a message", duplicate=True)
_SYNTHETIC = Skip(SYNTHETIC)


class Transcript:
    """Reads one transcript, merging the rows of each message."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.held: OrderedDict[tuple[str, str | None], Call] = OrderedDict()
        self.seen: dict[str, tuple[str | None, bool]] = {}  # message id -> (request id, sidechain) first met
        self.threads: dict[str, tuple[str | None, dict[str, Any]]] = {}  # row uuid -> (parent uuid, message)
        self.usages: dict[tuple[str, str | None], Any] = {}  # of the held calls, as logged
        self.longest: dict[tuple[str, str | None], int] = {}  # characters in the longest row of a held call's answer
        self.turn = 0  # how many user turns came before
        self.latest: dict[str, tuple[int, int | None, tuple[str, str | None]]] = {}  # message id -> its last call
        self.subagent = "subagents" in context.path.parts
        parts = context.path.parts
        here = parts[parts.index("projects") + 1] if "projects" in parts[:-2] else ""
        self.project = here.rpartition("-")[2] or None

    def read(self, record: Any, row: int) -> Outcome | list[Outcome]:
        """The outcomes of one record. Raises BadRecordError if it cannot be used."""
        if not isinstance(record, dict):
            raise BadRecordError("not a JSON object")
        if record.get("type") == "progress":
            inner = (record.get("data") or {}).get("message") if isinstance(record.get("data"), dict) else None
            if not isinstance(inner, dict) or not isinstance(inner.get("message"), dict):
                return Skip(NO_MESSAGE)
            record = {"isSidechain": True, "sessionId": record.get("sessionId"), **inner}
        message = record.get("message")
        if not isinstance(message, dict):
            return Skip(NO_MESSAGE)
        if self.context.want_text:
            self._remember(record, message)
        if not isinstance(message.get("usage"), dict) and "inputTokens" not in record:
            if message.get("role") == "assistant":
                return Skip(NO_USAGE)
            self.turn += 1
            return Skip(TURN, claims=NOTHING)  # what a sub-agent used is in its own transcript
        if message.get("model") == "<synthetic>":
            return _SYNTHETIC
        return self._call_row(record, message, row)

    def _call_row(self, record: dict[str, Any], message: dict[str, Any], row: int) -> Outcome | list[Outcome]:
        message_id = text_or_none(message.get("id"))
        request_id = text_or_none(record.get("requestId"))
        key = (message_id or "", request_id)
        content = message.get("content")
        if isinstance(content, list) and (size := anthropic.text_size(content)):
            self.longest[key] = max(size, self.longest.get(key, 0))
        known = self.usages.get(key)
        if known is not None and known == message.get("usage") and not self.context.want_text:
            return _REPEAT
        call = self._call(record, message)
        call.row = row
        if message_id is None:
            return self._done(key, call)
        sidechain = record.get("isSidechain") is True
        first = self.seen.get(message_id)
        if first is None:
            self.seen[message_id] = (request_id, sidechain)
            call.identity = message_id
        elif request_id is None and first[0] is None and self._is_another(message_id, call):
            # a proxy that gives every answer the same id
            own = text_or_none(record.get("uuid")) or str(row)
            key = (message_id, f"\x1f{own}")
            call.identity = f"{message_id}\x1f{own}"
        elif request_id == first[0] or request_id is None or first[0] is None:
            return self._merge(self.held.get(self._key(message_id, first[0])), call)
        elif sidechain:
            return _REPEAT
        elif first[1]:
            # the replay came first: the main row takes its place
            self.seen[message_id] = (request_id, False)
            held = self.held.pop((message_id, first[0]), None)
            if held is None:
                return _REPEAT
            call.identity = message_id
            self.held[key] = call
            call.row, held.row = held.row, row
            return _REPEAT
        elif key in self.held:
            return self._merge(self.held[key], call)
        else:
            call.identity = f"{message_id}\x1f{request_id}"
        self.held[key] = call
        self.usages[key] = message.get("usage")
        if request_id is None:
            self.latest[message_id] = (self.turn, call.input_tokens, key)
        if len(self.held) > _HELD:
            oldest, done = self.held.popitem(last=False)
            self.usages.pop(oldest, None)
            return self._done(oldest, done)
        return []

    def _is_another(self, message_id: str, call: Call) -> bool:
        """Whether a row of a known message id without a request id is another call: another prompt, in another turn."""
        turn, prompt, _ = self.latest.get(message_id, (self.turn, None, None))
        return turn != self.turn and call.input_tokens != prompt

    def _key(self, message_id: str, request_id: str | None) -> tuple[str, str | None]:
        """Under which key the call of a message is held."""
        latest = self.latest.get(message_id) if request_id is None else None
        return (message_id, request_id) if latest is None else latest[2]

    @staticmethod
    def _merge(held: Call | None, call: Call) -> Outcome:
        """Another row of a message that is held: the larger count stays, the content blocks add up."""
        if held is None:
            return _REPEAT
        if _fullness(call) > _fullness(held):
            for name in ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens",
                         "cache_creation_1h_input_tokens", "reasoning_output_tokens", "server_tool_calls",
                         "web_search_calls", "iterations"):  # fmt: skip
                setattr(held, name, getattr(call, name))
        held.end_us = call.start_us if call.start_us != held.start_us else held.end_us
        held.finish_reason = call.finish_reason or held.finish_reason
        if held.output and call.output:
            blocks = held.output[0].get("content")
            more = call.output[0].get("content")
            if isinstance(blocks, list) and isinstance(more, list):
                blocks.extend(block for block in more if block not in blocks)
        return _REPEAT

    def _call(self, record: dict[str, Any], message: dict[str, Any]) -> Call:
        call = Call(operation_name="chat", replaces=True)
        call.response_model = call.request_model = text_or_none(message.get("model"))
        call.provider_name = claude_host(call.response_model)
        usage = message.get("usage")
        if not isinstance(usage, dict):  # before usage was logged with the message
            usage = {
                "input_tokens": record.get("inputTokens"),
                "output_tokens": record.get("outputTokens"),
                "cache_creation_input_tokens": record.get("cacheCreationInputTokens"),
                "cache_read_input_tokens": record.get("cacheReadInputTokens"),
            }
        apply_usage(call, usage, "$.message.usage")
        anthropic.apply_tier(call, usage)
        anthropic.take_iterations(call, usage)
        call.start_us, call.time_precision = time_us(record.get("timestamp"), "$.timestamp", zone=self.context.zone)
        call.logged_cost_pico = pico_dollars(record.get("costUSD"), "$.costUSD")
        call.response_id = text_or_none(message.get("id"))
        call.conversation_id = text_or_none(record.get("sessionId"))
        call.finish_reason = text_or_none(message.get("stop_reason"))
        sidechain = self.subagent or record.get("isSidechain") is True
        call.agent = "subagent" if sidechain else "main"
        call.agent_source = "transcript"
        call.task = self._project(record)
        call.task_source = "project" if call.task else None
        call.service_name = "claude-code"
        if record.get("isApiErrorMessage") is True:
            call.status = "error"
        if self.context.want_text:
            content = message.get("content")
            if content:
                call.output = [
                    {"role": "assistant", "content": list(content) if isinstance(content, list) else content}
                ]
            call.messages = self._thread(text_or_none(record.get("parentUuid")))
            call.content_state = "truncated"  # the system prompt and the tools are not in a transcript
        return call

    def _project(self, record: dict[str, Any]) -> str | None:
        folder = record.get("cwd")
        return folder_name(folder) if isinstance(folder, str) and folder else self.project

    # -- what was sent -----------------------------------------------------------------------------------------------

    def _remember(self, record: dict[str, Any], message: dict[str, Any]) -> None:
        uuid = record.get("uuid")
        if isinstance(uuid, str):
            kept = {"role": message.get("role") or record.get("type"), "content": message.get("content")}
            parent = record.get("parentUuid")
            self.threads[uuid] = (parent if isinstance(parent, str) else None, kept)

    def _thread(self, uuid: str | None) -> list[Any] | None:
        """The messages before this one, oldest first, following the parents."""
        found: list[Any] = []
        while uuid is not None and len(found) < 10_000:
            step = self.threads.get(uuid)
            if step is None:
                break
            uuid, message = step
            found.append(message)
        found.reverse()
        return found or None

    def close(self) -> Iterable[Outcome]:
        """The calls still held back at the end of the file."""
        while self.held:
            yield from self._done(*self.held.popitem(last=False))

    def _done(self, key: tuple[str, str | None], call: Call) -> list[Outcome]:
        """The call of a message of which no further row counts."""
        size, made = self.longest.pop(key, 0), call.output_tokens
        if made is not None and made <= anthropic.MOST_BEGUN and size > anthropic.least_size(made):
            set_partial(call, "no row has more than the count with which a stream begins")
        return list(anthropic.expand(call))


def _fullness(call: Call) -> tuple[int, int]:
    """All tokens, then the parts that are told of them: the order of `ingest.staging.deduplicate.replace_fuller`."""
    parts = (
        call.cache_read_input_tokens, call.cache_creation_input_tokens, call.cache_creation_1h_input_tokens,
        call.reasoning_output_tokens,
    )  # fmt: skip
    return (call.input_tokens or 0) + (call.output_tokens or 0), sum(part or 0 for part in parts)


def _matches(record: Any) -> bool:
    if not isinstance(record, dict):
        return False
    message = record.get("message")
    if isinstance(message, dict):
        if "usageMetadata" in record or message.get("role") == "model" or "parts" in message:
            return False  # Qwen Code writes the same envelope around Gemini's messages
        if "sessionId" in record and ("uuid" in record or "requestId" in record):
            return True
        if "usage" in message and ("requestId" in record or "costUSD" in record or "sessionId" in record):
            return True
        return record.get("type") in ("user", "assistant") and ("uuid" in record or "timestamp" in record)
    if record.get("type") == "summary" and "leafUuid" in record:
        return True
    return "sessionId" in record and record.get("type") in _TYPES


FORMAT = Format(
    name="claude_code",
    title="Claude Code transcript",
    fingerprints=(frozenset({"sessionId", "uuid", "message", "timestamp"}),),
    matches=_matches,
    open=Transcript,
    rank=30,
    splittable=False,
    columns=lambda context: TranscriptColumns(context, _HELD, _TYPES, folder_name),
)
