"""Usage and cost reports of OpenAI and Anthropic: totals to reconcile the calls with, never calls.

OpenAI: `organization.usage.*.result` and `organization.costs.result`, bare or inside `bucket` and `page` objects.
Anthropic: usage and cost reports, whose amounts are decimal strings in cents; and the Console's CSV exports, one row a
day, model and key, with dollars.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

from ingest.format_contract import Context, Format, Outcome, catch_reader_errors, stateless
from ingest.records.call import BadRecordError, Bucket, Skip, mapping_or_empty, text_or_none, token_count
from ingest.records.timestamps import time_us

_OPENAI_TOKENS = ("input_tokens", "input_cached_tokens", "input_cache_write_tokens", "output_tokens",
                  "input_audio_tokens", "output_audio_tokens")  # fmt: skip
_LIMIT = Decimal(10) ** 18  # of tokens or dollars; the store's columns hold more
_CONSOLE_TOKENS = {
    "usage_input_tokens_no_cache": "uncached_input_tokens", "usage_input_tokens_cache_read": "cache_read_input_tokens",
    "usage_output_tokens": "output_tokens", "usage_input_tokens_cache_write": "cache_creation_5m_input_tokens",
    "usage_input_tokens_cache_write_5m": "cache_creation_5m_input_tokens",
    "usage_input_tokens_cache_write_1h": "cache_creation_1h_input_tokens", "web_search_count": "web_searches",
}  # fmt: skip
_CONSOLE_KEYS = frozenset({"usage_date_utc", "api_key"})
_DAY_US = 86_400_000_000
_ANTHROPIC_TOKENS = ("uncached_input_tokens", "cache_read_input_tokens", "output_tokens")


def read(record: Any, context: Context) -> Outcome | list[Outcome]:
    """The outcomes of one record. Raises BadRecordError if it cannot be used."""
    if "usage_date_utc" in record:
        return _console(record, context)
    found: list[Outcome] = []
    for bucket in _buckets(record):
        start = _time(bucket.get("start_time", bucket.get("starting_at")), context)
        end = _time(bucket.get("end_time", bucket.get("ending_at")), context)
        for result in bucket.get("results", [bucket]):
            if isinstance(result, dict):
                found.extend(catch_reader_errors(_result, result, start, end))
    return found or [Skip("an empty usage report")]


def _console(row: dict[str, Any], context: Context) -> list[Outcome]:
    """The buckets of a row of the Console's usage or cost CSV."""
    get = row.get
    start = _time(get("usage_date_utc"), context)
    common: dict[str, Any] = {
        "start_us": start, "end_us": None if start is None else start + _DAY_US, "provider": "anthropic",
        "model": text_or_none(get("model_version")) or text_or_none(get("model")),
        "project": text_or_none(get("workspace")), "api_key": text_or_none(get("api_key")),
        "service_tier": text_or_none(get("usage_type")),
    }  # fmt: skip
    if get("cost_usd") is not None:
        return [
            Bucket(
                kind="cost",
                line_item=text_or_none(get("cost_type")),
                token_kind=text_or_none(get("token_type")),
                amount_usd=_decimal(get("cost_usd"), 1),
                currency="USD",
                **common,
            )
        ]
    return [
        Bucket(kind="usage", token_kind=kind, quantity=_decimal(get(name), 1), **common)
        for name, kind in _CONSOLE_TOKENS.items()
        if get(name) is not None
    ]


def _buckets(record: dict[str, Any]) -> list[dict[str, Any]]:
    if isinstance(record.get("data"), list):
        return [item for item in record["data"] if isinstance(item, dict)]
    return [record]


def _time(value: Any, context: Context) -> int | None:
    return None if value is None else time_us(value, "$.start_time", zone=context.zone)[0]


def _result(result: dict[str, Any], start: int | None, end: int | None) -> list[Outcome]:
    get = result.get
    kind = str(get("object") or "")
    common: dict[str, Any] = {
        "start_us": start, "end_us": end, "model": text_or_none(get("model")),
        "project": text_or_none(get("project_id")) or text_or_none(get("workspace_id")),
        "api_key": text_or_none(get("api_key_id")),
        "service_tier": "batch" if get("batch") is True else text_or_none(get("service_tier")),
    }  # fmt: skip
    if kind == "organization.costs.result":
        amount = mapping_or_empty(get("amount"))
        return [Bucket(kind="cost", provider="openai", line_item=text_or_none(get("line_item")),
                       quantity=_decimal(get("quantity"), 1), amount_usd=_decimal(amount.get("value"), 1),
                       currency=(text_or_none(amount.get("currency")) or "usd").upper(), **common)]  # fmt: skip
    if kind.startswith("organization.usage."):
        requests = token_count(get("num_model_requests"), "$.num_model_requests")
        return [Bucket(kind="usage", provider="openai", line_item=kind.split(".")[2], token_kind=name,
                       quantity=_decimal(get(name), 1), requests=requests, **common)
                for name in _OPENAI_TOKENS if get(name) is not None]  # fmt: skip
    if "amount" in result:  # Anthropic's cost report counts cents
        return [Bucket(kind="cost", provider="anthropic",
                       line_item=text_or_none(get("description")) or text_or_none(get("cost_type")),
                       token_kind=text_or_none(get("token_type")), amount_usd=_decimal(get("amount"), 100),
                       currency=text_or_none(get("currency")) or "USD", **common)]  # fmt: skip
    found: list[Outcome] = []
    created = mapping_or_empty(get("cache_creation"))
    for name, value in (
        *((name, get(name)) for name in _ANTHROPIC_TOKENS),
        ("cache_creation_5m_input_tokens", created.get("ephemeral_5m_input_tokens")),
        ("cache_creation_1h_input_tokens", created.get("ephemeral_1h_input_tokens")),
    ):
        if value is not None:
            found.append(
                Bucket(kind="usage", provider="anthropic", token_kind=name, quantity=_decimal(value, 1), **common)
            )
    return found


def _decimal(value: Any, scale: int) -> str | None:
    if value is None:
        return None
    try:
        number = Decimal(str(value)) / scale
    except InvalidOperation:
        raise BadRecordError(f"not a number: {str(value)[:40]!r}", "$.amount") from None
    if not (number.is_finite() and abs(number) < _LIMIT):
        raise BadRecordError(f"impossible amount {str(value)[:40]!r}", "$.amount")
    return f"{number:f}"


def _matches(record: Any) -> bool:
    if not isinstance(record, dict):
        return False
    if record.keys() >= _CONSOLE_KEYS:
        return True
    kind = str(record.get("object") or "")
    if kind == "bucket" or kind.startswith(("organization.usage.", "organization.costs.")):
        return True
    if kind == "page" and isinstance(record.get("data"), list):
        return any(isinstance(item, dict) and item.get("object") == "bucket" for item in record["data"])
    return {"starting_at", "ending_at", "results"} <= record.keys()


FORMAT = Format(
    name="provider_usage",
    title="usage or cost report of OpenAI or Anthropic",
    fingerprints=(frozenset({"object", "start_time", "end_time", "results"}),
                  frozenset({"starting_at", "ending_at", "results"}), _CONSOLE_KEYS),
    matches=_matches,
    open=stateless(read),
    rank=18,
    csv_columns=_CONSOLE_KEYS,
)  # fmt: skip
