"""OpenRouter: generation records of its API and its activity CSV. The bill follows the native token counts.

With a key of one's own (BYOK) OpenRouter's `usage` is its fee alone, and what the provider charged stands beside it.
Vercel's AI Gateway answers in the same shape, with ids that begin with `gen_` (vercel.com/docs/ai-gateway, 2026-10).
"""

from __future__ import annotations

from typing import Any

from ingest.format_contract import Context, Format, Outcome, stateless
from ingest.records import server_tools
from ingest.records.call import Bucket, Call, pico_dollars, text_or_none, token_count
from ingest.records.timestamps import time_us
from ingest.records.token_counts import settle

_PROMPT = "input"
_UPSTREAM = ("upstream_inference_cost", "byok_usage_inference", "cost_upstream")


def read(record: Any, context: Context) -> Outcome:
    """The outcomes of one record. Raises BadRecordError if it cannot be used."""
    if isinstance(record.get("data"), dict):
        record = record["data"]
    get = record.get
    if "requests" in record and "byok_usage_inference" in record:
        return _bucket(record, context)

    def either(*names: str) -> Any:
        return next((record[name] for name in names if record.get(name) not in (None, "")), None)

    identity = text_or_none(either("generation_id", "id")) or ""
    call = Call(provider_name="vercel" if identity.startswith("gen_") else "openrouter")
    call.response_model = text_or_none(either("model_permaslug", "model"))
    call.request_model = text_or_none(get("model")) or call.response_model
    settle(
        call,
        input_tokens=token_count(either("native_tokens_prompt", "tokens_prompt"), "$.native_tokens_prompt"),
        output_tokens=token_count(
            either("native_tokens_completion", "tokens_completion"), "$.native_tokens_completion"
        ),
        cache_read=token_count(either("native_tokens_cached", "tokens_cached"), "$.native_tokens_cached"),
        reasoning=token_count(either("native_tokens_reasoning", "tokens_reasoning"), "$.native_tokens_reasoning"),
    )
    results = token_count(get("num_search_results"), "$.num_search_results")
    # Exa's results are billed by the piece; a native search is billed as its provider does (OpenRouter, web search)
    server_tools.count(call, results, "web_search_results" if get("web_search_engine") == "exa" else None)
    call.start_us, call.time_precision = time_us(get("created_at"), "$.created_at", zone=context.zone)
    for names, field in (
        (("generation_time", "generation_time_ms", "latency"), "duration_ms"),
        (("time_to_first_token_ms",), "time_to_first_chunk_ms"),
    ):
        value = either(*names)
        if value is not None:
            setattr(call, field, float(value))
    own_key = str(get("is_byok")).lower() in ("true", "1")
    fee = either("usage", "total_cost", "cost_total") if own_key else either("cost_total", "total_cost", "usage")
    call.logged_cost_pico = pico_dollars(fee, "$.cost_total")
    upstream = pico_dollars(either(*_UPSTREAM), "$.upstream_inference_cost")
    if upstream and (own_key or get("is_byok") in (None, "")):
        call.logged_cost_pico = (call.logged_cost_pico or 0) + upstream
    if str(get("cancelled")).lower() in ("true", "1"):
        call.status = "cancelled"
    if str(get("streamed")).lower() in ("true", "false", "1", "0"):
        call.stream = str(get("streamed")).lower() in ("true", "1")
    call.finish_reason = text_or_none(either("finish_reason_normalized", "finish_reason", "finish_reason_raw"))
    call.user_id = text_or_none(either("user", "external_user"))
    call.region = text_or_none(get("provider_name"))
    call.service_name = text_or_none(either("app_name", "origin"))
    call.api_key_alias = text_or_none(get("api_key_name"))
    call.identity = identity or None
    call.response_id = call.identity
    return call


def _bucket(record: dict[str, Any], context: Context) -> Bucket:
    day = time_us(record.get("date"), "$.date", zone=context.zone)[0]
    return Bucket(
        kind="cost", start_us=day, end_us=day + 86_400_000_000, provider="openrouter",
        model=text_or_none(record.get("model_permaslug") or record.get("model")),
        requests=token_count(record.get("requests"), "$.requests"),
        quantity=text_or_none(record.get("prompt_tokens")), token_kind=_PROMPT,
        amount_usd=text_or_none(record.get("usage")), currency="USD",
    )  # fmt: skip


def _matches(record: Any) -> bool:
    if not isinstance(record, dict):
        return False
    inner = record["data"] if isinstance(record.get("data"), dict) else record
    return (
        "native_tokens_prompt" in inner
        or inner.keys() >= {"generation_id", "created_at", "cost_total"}
        or inner.keys() >= {"byok_usage_inference", "requests", "date"}
    )


FORMAT = Format(
    name="openrouter",
    title="OpenRouter or Vercel AI Gateway generations (CSV or API)",
    fingerprints=(
        frozenset({"generation_id", "created_at", "cost_total", "model_permaslug"}),
        frozenset({"native_tokens_prompt", "native_tokens_completion", "model"}),
    ),
    matches=_matches,
    open=stateless(read),
    rank=24,
    csv_columns=frozenset({"generation_id", "created_at", "cost_total"}),
)
