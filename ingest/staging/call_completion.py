"""A call as its format's reader made it, completed by what follows from its fields, with impossible values flagged."""

from __future__ import annotations

from typing import Any

import msgspec

from ingest.contents.messages import asks_for_tools
from ingest.records import agent_names, policy_in_force
from ingest.records.call import PENDING, SUM_OF_CALLS, BadRecordError, Call

_MEASURES = ("time_to_first_chunk_ms", "temperature", "score")  # numbers that a log gives as it likes
_MEASURE_LIMIT = 1e12


def complete(call: Call, hash_key: bytes | None = None, *, stored: bool = False) -> None:
    """Fill in what follows from the rest, and check the invariants of the schema. A row that breaks one is flagged.

    Whether an answer that is about to be `stored` asks for a tool is told then.
    """
    start, end = call.start_us, call.end_us
    if call.duration_ms is None and start is not None and end is not None:
        call.duration_ms = (end - start) / 1000
    if call.duration_ms is not None and not 0 <= call.duration_ms < 1e12:
        call.issue("impossible_duration", f"{call.duration_ms} ms")
        call.duration_ms = None
        call.end_us = None
    elif end is None and start is not None and call.duration_ms is not None:
        call.end_us = start + round(call.duration_ms * 1000)
    for name in _MEASURES:
        value = getattr(call, name)
        if value is not None and not -_MEASURE_LIMIT < value < _MEASURE_LIMIT:
            call.issue("impossible_number", f"{name} {value}"[:80])
            setattr(call, name, None)
    asked = call.input_tokens
    if asked is not None:
        inside = (call.cache_read_input_tokens or 0) + (call.cache_creation_input_tokens or 0)
        if inside > asked:
            call.issue("cache_above_input", f"cache {inside} > input {asked}")
    if (call.cache_creation_1h_input_tokens or 0) > (call.cache_creation_input_tokens or 0):
        call.issue("hour_cache_above_writes", f"{call.cache_creation_1h_input_tokens}")
    if call.output_tokens is not None and (call.reasoning_output_tokens or 0) > call.output_tokens:
        call.issue("reasoning_above_output", f"{call.reasoning_output_tokens} > {call.output_tokens}")
    if call.tokens_source is None:
        call.tokens_source = "missing" if asked is None and call.output_tokens is None else "reported"
    if call.tokens_source in ("reported", "summed") and any(code == SUM_OF_CALLS for code, _ in call.issues or ()):
        call.tokens_source = SUM_OF_CALLS
    later = stored and call.output is not None and len(call.output) == 1
    if call.pending_tool_calls is None and not later and (call.output or call.finish_reason):
        call.pending_tool_calls = call.finish_reason in PENDING or _asks_for_tools(call.output)
    if call.request_model is None and call.response_model is None:
        _check_nameless(call)
    if call.weight_micro <= 0:
        raise BadRecordError("a weight must be above zero", "$.weight")
    agent_names.resolve(call, hash_key, from_texts=stored)
    policy_in_force.check(call)


def _check_nameless(call: Call) -> None:
    """Keep a call that names no model but tokens, dollars or its failure. Raises BadRecordError for any other.

    A reader that keeps such rows whatever they hold has flagged them already.
    """
    if any(code == "no_model" for code, _ in call.issues or ()):
        return
    used = call.tokens_source not in (None, "missing") or call.logged_cost_pico is not None
    if not used and call.status == "ok":
        raise BadRecordError("no model", "$.model")
    call.issue("no_model", "the log names none: no price")


def _asks_for_tools(output: list[Any] | None) -> bool:
    for message in output or ():
        if isinstance(message, msgspec.Raw):
            raw = bytes(message)
            # a key that asks for a tool has one of these in it; an escape may hide it
            if not (b"_call" in raw or b"tool_use" in raw or b"\\u" in raw):
                continue
            message = msgspec.json.decode(raw)
        if isinstance(message, dict) and asks_for_tools(message):
            return True
    return False
