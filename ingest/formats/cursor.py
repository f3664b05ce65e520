"""Cursor: usage events of the dashboard and the admin API, its CSV export, and counts in `state.vscdb`.

In events and in the CSV the counts are disjoint, money is in cents and what the model cost (`totalCents`) is taken as
the logged cost. The messages in `state.vscdb` hold 0 tokens since 2026: those are no calls, since nothing is known.
"""

from __future__ import annotations

import re
from typing import Any

from ingest.format_contract import Context, Format, Outcome, catch_reader_errors, stateless
from ingest.records.call import BadRecordError, Call, Skip, mapping_or_empty, pico_dollars, text_or_none, token_count
from ingest.records.token_counts import settle
from ingest.wire.agent_session import counts_key, session_call, settle_disjoint

_PAGES = ("usageEvents", "usageEventsDisplay")
_EVENT_KEYS = frozenset(
    {"chargedCents", "requestsCosts", "usageBasedCosts", "isTokenBasedCall", "maxMode", "owningUser"}
)
_WRITTEN, _FRESH, _READ, _MADE = "Input (w/ Cache Write)", "Input (w/o Cache Write)", "Cache Read", "Output Tokens"
_COSTS = ("Cost", "Cost ($)", "Cost to you", "API Cost")
_AMOUNT = re.compile(r"[0-9]+([.][0-9]+)?")


def read(record: Any, context: Context) -> Outcome | list[Outcome]:
    """The outcomes of one record. Raises BadRecordError if it cannot be used."""
    for page in _PAGES:
        if isinstance(record.get(page), list):
            found: list[Outcome] = []
            for event in record[page]:
                found.extend(catch_reader_errors(_listed, mapping_or_empty(event), context))
            return found or Skip("a page without events")
    if record.get("database") == "cursor":
        return _bubble(record, context)
    return _exported(record, context) if _FRESH in record else _event(record, context)


def _listed(event: dict[str, Any], context: Context) -> list[Outcome]:
    return [_event(event, context)]


def _event(event: dict[str, Any], context: Context) -> Outcome:
    usage = event.get("tokenUsage")
    if not isinstance(usage, dict):
        return Skip("a request without token counts")
    call = session_call("cursor", context, model=event.get("model"), when=_when(event.get("timestamp")))
    settle_disjoint(call, usage, "inputTokens", "cacheReadTokens", "cacheWriteTokens", "outputTokens")
    cents = usage.get("totalCents")
    call.logged_cost_pico = pico_dollars(event.get("chargedCents") if cents is None else cents, "$.totalCents", 100)
    call.user_id = text_or_none(event.get("userEmail") or event.get("owningUser"))
    call.identity = f"{counts_key(call)}:{call.user_id}"
    return call


def _exported(row: dict[str, Any], context: Context) -> Outcome:
    if not any((row.get(name) or "0").strip() not in ("", "0", "-") for name in (_WRITTEN, _FRESH, _READ, _MADE)):
        return Skip("a request without token counts")
    call = session_call("cursor", context, model=row.get("Model"), when=row.get("Date"))
    plain = {name: (row.get(name) or "0").replace(",", "") for name in (_WRITTEN, _FRESH, _READ, _MADE)}
    settle_disjoint(call, plain, _FRESH, _READ, _WRITTEN, _MADE)
    for name in _COSTS:
        cost = (text_or_none(row.get(name)) or "").replace(",", "").removeprefix("$")
        # else "Included", "-"; a whole number without a sign was a number of requests (exports until 2025-07)
        if _AMOUNT.fullmatch(cost) and ("." in cost or cost == "0" or name != "Cost" or "$" in str(row[name])):
            call.logged_cost_pico = pico_dollars(cost, name)
            break
    call.user_id = text_or_none(row.get("User"))
    call.identity = f"{counts_key(call)}:{call.user_id}"
    return call


def _bubble(row: dict[str, Any], context: Context) -> Outcome:
    value = mapping_or_empty(row.get("value"))
    counts = mapping_or_empty(value.get("tokenCount"))
    asked = token_count(counts.get("inputTokens"), "$.tokenCount.inputTokens")
    made = token_count(counts.get("outputTokens"), "$.tokenCount.outputTokens")
    if not asked and not made:
        return Skip("a message without token counts")
    if value.get("createdAt") is None:
        raise BadRecordError("a message without a time", "$.createdAt")
    key = str(row.get("key")).split(":")
    call: Call = session_call(
        "cursor", context, model=mapping_or_empty(value.get("modelInfo")).get("modelName"),
        when=value["createdAt"], session=key[1] if len(key) > 2 else None,
    )  # fmt: skip
    settle(call, input_tokens=asked, output_tokens=made)
    call.issue("cache_unknown", "the log does not tell what of the input was read from a cache")
    call.identity = f"cursor:{row.get('key')}"
    return call


def _when(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isdigit() else value


def _matches(record: Any) -> bool:
    if not isinstance(record, dict):
        return False
    if "database" in record:
        return record["database"] == "cursor"
    if any(isinstance(record.get(page), list) for page in _PAGES):
        return True
    usage = record.get("tokenUsage")
    if not isinstance(usage, dict) or "timestamp" not in record or "model" not in record:
        return _FRESH in record and _MADE in record
    return "totalCents" in usage or bool(record.keys() & _EVENT_KEYS)


FORMAT = Format(
    name="cursor",
    title="Cursor usage",
    fingerprints=(frozenset({"timestamp", "model", "tokenUsage"}),),
    matches=_matches,
    open=stateless(read),
    rank=38,
    csv_columns=frozenset({"Date", "Model", _WRITTEN, _FRESH, _READ, _MADE}),
    fields=(
        ("start_time", "timestamp"), ("model", "model"),
        ("input_tokens", "inputTokens + cacheReadTokens + cacheWriteTokens"),
        ("cache_read_input_tokens", "cacheReadTokens"), ("cache_creation_input_tokens", "cacheWriteTokens"),
        ("output_tokens", "outputTokens"), ("logged_cost_usd", "totalCents / 100"), ("user_id", "userEmail"),
    ),
)  # fmt: skip
