"""opencode, Kilo CLI and MiMoCode: messages as files of their own, as rows of the database, and exported.

One JSON file a message (until v1.2), the table `message` of `opencode*.db`, `opencode export`, and the events of
`opencode run --format json`, which name no model. Times in milliseconds; cache outside input. Reasoning lies outside
output, unless the total says that it lies inside (before anomalyco/opencode#21047, 2026-04). A forked session copies
messages under new ids: the time of creation, the model and the counts tell a call.
"""

from __future__ import annotations

from typing import Any

from ingest.format_contract import Context, Format, Outcome, catch_reader_errors, stateless
from ingest.records.agent_names import folder_name
from ingest.records.call import Call, Skip, mapping_or_empty, pico_dollars, text_or_none, token_count
from ingest.records.provider_names import provider_name
from ingest.records.timestamps import time_us
from ingest.records.token_counts import settle
from ingest.records.token_usage import counts_cache_apart

# Releases 1.3.4 and 1.3.5 log Anthropic's input with its cache, and add the cache again (anomalyco/opencode#19757).
# No row names its release: an input that exceeds so large a cache by so little is such a row, for what is asked anew
# has nothing to do with the size of the cache.
_MUCH, _LITTLE = 1024, 64
_EVENTS = frozenset({"step_start", "step_finish", "text", "tool_use", "reasoning", "error"})


def read(record: Any, context: Context) -> Outcome | list[Outcome]:
    """The outcomes of one record. Raises BadRecordError if it cannot be used."""
    if record.get("database") == "opencode":
        data = mapping_or_empty(record.get("data"))
        path = {"root": record.get("directory"), **mapping_or_empty(data.get("path"))}
        whole = {**data, "id": record.get("id"), "sessionID": record.get("session_id"), "path": path}
        return _message(whole, context, child=record.get("parent_id") is not None)
    if "messages" in record:
        found: list[Outcome] = []
        for message in record["messages"]:
            found.extend(catch_reader_errors(_listed, message.get("info"), context))
        return found or Skip("a session without messages")
    if record.get("type") in _EVENTS:
        return _event(record, context)
    return _message(record, context)


def _listed(message: Any, context: Context) -> list[Outcome]:
    return [_message(mapping_or_empty(message), context)]


def _message(record: dict[str, Any], context: Context, *, child: bool = False) -> Outcome:
    get = record.get
    tokens = get("tokens")
    if get("role") not in (None, "assistant") or not isinstance(tokens, dict):
        return Skip("user turn")
    times = mapping_or_empty(get("time"))
    if not times.get("completed") and not get("error") and not _any(tokens):
        return Skip("an answer that is still being written")
    call = Call(operation_name="chat")
    call.request_model = call.response_model = text_or_none(get("modelID"))
    call.provider_name = provider_name(text_or_none(get("providerID")))
    _settle(call, tokens)
    call.start_us, call.time_precision = time_us(times.get("created"), "$.time.created", unit="ms", zone=context.zone)
    if times.get("completed"):
        call.end_us = time_us(times["completed"], "$.time.completed", unit="ms", zone=context.zone)[0]
    call.logged_cost_pico = pico_dollars(get("cost"), "$.cost")
    call.conversation_id = text_or_none(get("sessionID"))
    call.agent = text_or_none(get("agent")) or text_or_none(get("mode")) or ("subagent" if child else "main")
    call.agent_source = "transcript"
    path = mapping_or_empty(get("path"))
    root, folder = text_or_none(path.get("root")), text_or_none(path.get("cwd"))
    call.task = folder_name(root) or folder_name(folder)  # the root of what is in no repository is "/"
    call.task_source = "project" if call.task else None
    call.service_name = _tool(context)
    if get("error"):
        call.status = "error"
    call.finish_reason = text_or_none(get("finish"))
    call.identity = text_or_none(get("id"))
    if _any(tokens):
        counts = (call.input_tokens, call.cache_read_input_tokens, call.cache_creation_input_tokens, call.output_tokens)
        call.identity = f"opencode:{call.start_us}:{call.request_model}:{counts}"
    return call


def _event(record: dict[str, Any], context: Context) -> Outcome:
    part = mapping_or_empty(record.get("part"))
    tokens = part.get("tokens")
    if record.get("type") != "step_finish" or not isinstance(tokens, dict):
        return Skip("event without token counts")
    call = Call(operation_name="chat")
    _settle(call, tokens)
    call.end_us, call.time_precision = time_us(record.get("timestamp"), "$.timestamp", unit="ms", zone=context.zone)
    call.start_us = call.end_us
    call.logged_cost_pico = pico_dollars(part.get("cost"), "$.part.cost")
    call.conversation_id = text_or_none(record.get("sessionID"))
    call.agent, call.agent_source = "main", "transcript"
    call.service_name = _tool(context)
    call.finish_reason = text_or_none(part.get("reason"))
    call.identity = text_or_none(part.get("id"))
    call.printed = True
    return call


def _settle(call: Call, tokens: dict[str, Any]) -> None:
    cache = mapping_or_empty(tokens.get("cache"))
    read_ = token_count(cache.get("read"), "$.tokens.cache.read")
    written = token_count(cache.get("write"), "$.tokens.cache.write")
    fresh = token_count(tokens.get("input"), "$.tokens.input")
    made = token_count(tokens.get("output"), "$.tokens.output")
    reasoning = token_count(tokens.get("reasoning"), "$.tokens.reasoning")
    total = token_count(tokens.get("total"), "$.tokens.total")
    cached = (read_ or 0) + (written or 0)
    if cached >= _MUCH and 0 <= (fresh or 0) - cached <= _LITTLE and counts_cache_apart(call.provider_name, None):
        call.issue("cache_counted_twice", f"input {fresh} has its cache of {cached} in it")
        fresh, total = (fresh or 0) - cached, None
    settle(
        call, input_tokens=fresh, output_tokens=made, cache_read=read_, cache_write=written, reasoning=reasoning,
        total=total, cache_inside=False, reasoning_inside=False,
    )  # fmt: skip


def _any(tokens: dict[str, Any]) -> bool:
    """Whether some count is above zero."""
    cache = mapping_or_empty(tokens.get("cache"))
    return any(places.get(name) for places in (tokens, cache) for name in ("input", "output", "reasoning", "read",
                                                                           "write"))  # fmt: skip


def _tool(context: Context) -> str:
    """Which of the tools of this schema wrote the file, by the folders of its path."""
    parts = {part.lower() for part in context.path.parts}
    return next((tool for tool in ("kilo", "mimocode") if tool in parts), "opencode")


def _matches(record: Any) -> bool:
    if not isinstance(record, dict):
        return False
    if "database" in record:
        return record["database"] == "opencode"
    if "sessionID" in record:
        if {"providerID", "modelID"} <= record.keys() or (record.get("role") == "user" and "time" in record):
            return True
        kind = record.get("type")
        return isinstance(kind, str) and kind in _EVENTS and ("part" in record or "error" in record)
    messages = record.get("messages")
    first = messages[0] if isinstance(messages, list) and messages else None
    return "info" in record and isinstance(first, dict) and "parts" in first and isinstance(first.get("info"), dict)


FORMAT = Format(
    name="opencode",
    title="opencode message",
    fingerprints=(frozenset({"sessionID", "providerID", "modelID", "tokens"}),),
    matches=_matches,
    open=stateless(read),
    rank=32,
    fields=(
        ("start_time", "time.created"), ("model", "modelID"), ("provider_name", "providerID"),
        ("input_tokens", "tokens.input + tokens.cache"), ("cache_read_input_tokens", "tokens.cache.read"),
        ("cache_creation_input_tokens", "tokens.cache.write"), ("output_tokens", "tokens.output + tokens.reasoning"),
        ("logged_cost_usd", "cost"), ("agent", "agent"), ("task", "path.root"), ("conversation_id", "sessionID"),
    ),
)  # fmt: skip
