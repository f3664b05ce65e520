"""Portkey log exports: token units, and costs in US cents (Portkey documentation, logs export, 2026-10)."""

from __future__ import annotations

from typing import Any

from ingest.format_contract import Context, Format, Outcome, stateless
from ingest.records import agent_names
from ingest.records.call import Call, mapping_or_empty, pico_dollars, text_or_none, token_count
from ingest.records.json_paths import snake_case
from ingest.records.number_text import duration_or_none
from ingest.records.provider_names import provider_name
from ingest.records.timestamps import time_us
from ingest.records.token_counts import settle
from ingest.wire.request_response import apply_bodies, apply_request, dialect_of, opened


def read(record: Any, context: Context) -> Outcome:
    """The outcomes of one record. Raises BadRecordError if it cannot be used."""
    record = _flat(record)
    get = record.get
    call = Call()
    request, response = opened(get("request")), opened(get("response"))
    if dialect_of(response) is not None:
        apply_bodies(call, request, response)
    elif isinstance(request, dict):
        apply_request(call, request, None)
    if call.tokens_source in (None, "missing"):
        settle(
            call,
            input_tokens=token_count(get("req_units"), "$.req_units"),
            output_tokens=token_count(get("res_units"), "$.res_units"),
            total=token_count(get("total_units"), "$.total_units"),
        )
    model = text_or_none(get("ai_model"))
    call.request_model = call.request_model or model
    call.response_model = call.response_model or model
    call.provider_name = provider_name(text_or_none(get("ai_org"))) or call.provider_name
    call.start_us, call.time_precision = time_us(get("created_at"), "$.created_at", zone=context.zone)
    call.duration_ms = duration_or_none(get("response_time"))
    currency = (text_or_none(get("cost_currency")) or text_or_none(get("currency")) or "USD").upper()
    if currency == "USD":
        paid = pico_dollars(get("cost"), "$.cost", 100)
        call.logged_cost_pico = call.logged_cost_pico if paid is None else paid
    else:
        call.issue("logged_cost_not_usd", currency[:10])
    call.trace_id = text_or_none(get("trace_id"))
    call.span_id = text_or_none(get("span_id"))
    status = get("response_status_code")
    if type(status) is int and 0 < status < 1000:
        call.http_status = status
    if get("is_success") in (0, False, "0", "false"):
        call.status = "error"
    if str(get("cache_status")).upper() in ("HIT", "SEMANTIC HIT"):
        call.status = "gateway_cache_hit"
    retries = get("retry_success_count")
    if type(retries) is int and 0 < retries < 1000:
        call.attempt = retries + 1
    call.prompt_name = text_or_none(get("prompt_slug"))
    call.prompt_version = text_or_none(get("prompt_version_id"))
    metadata = opened(get("metadata"))
    if isinstance(metadata, list):  # exports write [{"key": .., "value": ..}] too
        metadata = {str(item.get("key")): item.get("value") for item in metadata if isinstance(item, dict)}
    if isinstance(metadata, dict):
        agent_names.from_metadata(call, metadata)
        call.user_id = text_or_none(metadata.get("_user")) or call.user_id
        call.environment = text_or_none(metadata.get("_environment"))
        for name in ("session_id", "conversation_id", "thread_id"):
            call.conversation_id = call.conversation_id or text_or_none(metadata.get(name))
    call.identity = call.response_id or text_or_none(get("id"))
    return call


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    """A row as exports have it. The log that a private gateway stores keeps `metrics` and the HTTP messages apart."""
    metrics = record.get("metrics")
    if not isinstance(metrics, dict):
        return record
    answer = mapping_or_empty(record.get("response"))
    told = {snake_case(name): value for name, value in {**record, **metrics}.items()}
    told.setdefault("response_time", answer.get("responseTime", answer.get("response_time")))
    told.setdefault("response_status_code", answer.get("status"))
    return {**told, "created_at": told.get("created_at") or metrics.get("createdAt")}


_KEYS = frozenset({"req_units", "res_units", "ai_model"})
_STORED = frozenset({"reqUnits", "resUnits", "aiModel"})
FORMAT = Format(
    name="portkey",
    title="Portkey log export",
    fingerprints=(_KEYS | {"created_at", "cost"},),
    matches=lambda record: (
        isinstance(record, dict)
        and (record.keys() >= _KEYS or mapping_or_empty(record.get("metrics")).keys() >= _STORED)
    ),
    open=stateless(read),
    rank=23,
    csv_columns=_KEYS,
)
