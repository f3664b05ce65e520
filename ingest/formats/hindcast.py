"""The native log: one JSON object a line, written by `ingest.capture` and by anyone who logs for Hindcast.

Every field but `start_time`, `request_model` and the token counts may be left out. A message may be given by its
`sha256` (of the canonical JSON: sorted keys, compact) with `tokens` and `words` in place of its text.
"""

from __future__ import annotations

from typing import Any

from ingest.format_contract import Context, Format, Outcome, stateless
from ingest.records import server_tools
from ingest.records.call import BadRecordError, Call, pico_dollars, text_or_none, token_count
from ingest.records.timestamps import time_us
from ingest.records.token_counts import settle

_STRINGS = (
    "provider_name", "request_model", "response_model", "agent", "task", "conversation_id", "request_id", "process_id",
    "user_id", "team", "environment", "service_name", "workflow_name", "prompt_name", "prompt_version", "trace_id",
    "span_id", "parent_span_id", "response_id", "retry_of", "operation_name", "region", "error_type", "finish_reason",
    "service_tier", "reasoning_effort", "response_format", "tokens_source", "search_context_size",
    "score_scope", "assignment", "rollout", "arm",
)  # fmt: skip
_COUNTS = (
    "audio_input_tokens", "audio_output_tokens", "image_input_tokens", "image_output_tokens", "max_tokens",
    "cache_read_audio_input_tokens", "cache_read_image_input_tokens", )  # fmt: skip
_MEASURES = ("duration_ms", "time_to_first_chunk_ms", "temperature", "propensity", "score")
_STATUSES = frozenset({"ok", "error", "cancelled", "gateway_cache_hit"})


def read(record: Any, context: Context) -> Outcome:
    """The outcomes of one record. Raises BadRecordError if it cannot be used."""
    if not isinstance(record, dict):
        raise BadRecordError("not a JSON object")
    if "hindcast" not in record:
        raise BadRecordError("not a Hindcast record", "$.hindcast")
    get = record.get
    call = Call()
    for name in _STRINGS:
        if name in record:
            setattr(call, name, text_or_none(record[name]))
    call.identity = text_or_none(get("call_id")) or call.response_id
    call.start_us, call.time_precision = time_us(get("start_time"), "$.start_time", zone=context.zone)
    if get("end_time") is not None:
        call.end_us = time_us(get("end_time"), "$.end_time", zone=context.zone)[0]
    for name in _MEASURES:
        setattr(call, name, measure(call, name, get(name)))
    tokens_source = call.tokens_source
    settle(
        call,
        input_tokens=token_count(get("input_tokens"), "$.input_tokens"),
        output_tokens=token_count(get("output_tokens"), "$.output_tokens"),
        cache_read=token_count(get("cache_read_input_tokens"), "$.cache_read_input_tokens"),
        cache_write=token_count(get("cache_creation_input_tokens"), "$.cache_creation_input_tokens"),
        cache_write_1h=token_count(get("cache_creation_1h_input_tokens"), "$.cache_creation_1h_input_tokens"),
        reasoning=token_count(get("reasoning_output_tokens"), "$.reasoning_output_tokens"),
    )
    call.tokens_source = tokens_source or call.tokens_source
    for name in _COUNTS:
        if name in record:
            setattr(call, name, token_count(record[name], f"$.{name}"))
    server_tools.from_columns(call, record)
    call.input_words = token_count(get("input_words"), "$.input_words")
    attempt = token_count(get("attempt"), "$.attempt")
    call.attempt = attempt if attempt is None or attempt < 32_768 else 32_767
    status = get("status") or "ok"
    if status not in _STATUSES:
        call.issue("unknown_status", str(status)[:40])
        status = "error"
    call.status = status
    call.logged_cost_pico = pico_dollars(get("logged_cost_usd"), "$.logged_cost_usd")
    call.weight_micro = weight(get("weight"))
    for name in ("is_batch", "stream", "has_images", "pending_tool_calls"):
        if isinstance(get(name), bool):
            setattr(call, name, record[name])
    tags = get("tags")
    if isinstance(tags, list):
        call.tags = [tag for tag in tags if isinstance(tag, str)] or None
    for name, field in (("messages", "input_messages"), ("output", "output_messages"), ("tools", "tools")):
        value = get(field)
        if value is not None and not isinstance(value, list):
            raise BadRecordError(f"{field} is not a list", f"$.{field}")
        setattr(call, name, value or None)
    if isinstance(get("params"), dict):
        call.params = record["params"]
    if call.temperature is not None and (call.params is None or "temperature" not in call.params):
        call.params = {**(call.params or {}), "temperature": call.temperature}
    given = get("scores")
    if isinstance(given, dict):
        rated = ((str(name), measure(call, "score", value)) for name, value in given.items())
        call.scores = {name: value for name, value in rated if value is not None} or None
    return call


def measure(call: Call, name: str, value: Any) -> float | None:
    """A number beside the bill: one that cannot be read is flagged and left out, and the call stays."""
    try:
        return number(value, name)
    except BadRecordError:
        call.issue(f"impossible_{name}", str(value)[:80])
        return None


def number(value: Any, path: str) -> float | None:
    """The value as a float; None stays None. Raises BadRecordError for what is no finite number."""
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and value == value and abs(value) < 1e300:
        return float(value)
    raise BadRecordError(f"not a number: {str(value)[:40]!r}", path)


def weight(value: Any, path: str = "$.weight") -> int:
    """Calls that a row stands for, in millionths; 1 where absent."""
    if value is None:
        return 1_000_000
    found = number(value, path)
    if found is None or not 0 < found < 1e12:
        raise BadRecordError(f"a weight must be above zero and below 1e12: {value}", path)
    return round(found * 1_000_000)


def _matches(record: Any) -> bool:
    return isinstance(record, dict) and "hindcast" in record


FORMAT = Format(
    name="hindcast",
    title="Hindcast's own log (capture, demo)",
    fingerprints=(frozenset({"hindcast", "start_time", "request_model"}),),
    matches=_matches,
    open=stateless(read),
    rank=0,
    strict=True,
)
