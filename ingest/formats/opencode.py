"""opencode messages: one JSON file a message; times in milliseconds, cache outside input, reasoning outside output."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from ingest.format_contract import Context, Format, Outcome, stateless
from ingest.records.call import BadRecordError, Call, Skip, mapping_or_empty, pico_dollars, text_or_none, token_count
from ingest.records.provider_names import provider_name
from ingest.records.timestamps import time_us
from ingest.records.token_usage import settle


def read(record: Any, context: Context) -> Outcome:
    """The outcomes of one record. Raises BadRecordError if it cannot be used."""
    get = record.get
    if get("role") not in (None, "assistant") or "tokens" not in record:
        return Skip("user turn")
    call = Call(operation_name="chat")
    call.request_model = call.response_model = text_or_none(get("modelID"))
    if call.request_model is None:
        raise BadRecordError("no model", "$.modelID")
    call.provider_name = provider_name(text_or_none(get("providerID")))
    tokens = mapping_or_empty(get("tokens"))
    cache = mapping_or_empty(tokens.get("cache"))
    read_ = token_count(cache.get("read"), "$.tokens.cache.read")
    written = token_count(cache.get("write"), "$.tokens.cache.write")
    fresh = token_count(tokens.get("input"), "$.tokens.input")
    made = token_count(tokens.get("output"), "$.tokens.output")
    reasoning = token_count(tokens.get("reasoning"), "$.tokens.reasoning")
    settle(
        call,
        input_tokens=None if fresh is None else fresh + (read_ or 0) + (written or 0),
        output_tokens=None if made is None else made + (reasoning or 0),
        cache_read=read_,
        cache_write=written,
        reasoning=reasoning,
    )
    times = mapping_or_empty(get("time"))
    call.start_us, call.time_precision = time_us(times.get("created"), "$.time.created", unit="ms", zone=context.zone)
    if times.get("completed"):
        call.end_us = time_us(times["completed"], "$.time.completed", unit="ms", zone=context.zone)[0]
    call.logged_cost_pico = pico_dollars(get("cost"), "$.cost")
    call.conversation_id = text_or_none(get("sessionID"))
    call.agent = text_or_none(get("agent")) or text_or_none(get("mode")) or "main"
    call.agent_source = "transcript"
    folder = text_or_none(mapping_or_empty(get("path")).get("root")) or text_or_none(
        mapping_or_empty(get("path")).get("cwd")
    )
    if folder:
        call.task, call.task_source = PurePath(folder).name or None, "project"
    call.service_name = "opencode"
    if get("error"):
        call.status = "error"
    call.identity = text_or_none(get("id"))
    return call


FORMAT = Format(
    name="opencode",
    title="opencode message",
    fingerprints=(frozenset({"sessionID", "providerID", "modelID", "tokens"}),),
    matches=lambda record: (
        isinstance(record, dict)
        and "sessionID" in record
        and ({"providerID", "modelID"} <= record.keys() or (record.get("role") == "user" and "time" in record))
    ),
    open=stateless(read),
    rank=32,
)
