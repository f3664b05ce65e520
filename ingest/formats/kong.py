"""Kong Gateway's log lines (any logging plugin): `ai.<plugin>.{usage,meta,payload,cache}`, one call for each plugin.

`latencies` and `started_at` count milliseconds. A cost of 0 means that no price was configured. Shape:
developer.konghq.com, AI Gateway audit log reference (2026-10).
"""

from __future__ import annotations

from typing import Any

from ingest.format_contract import Context, Format, Outcome, catch_reader_errors, stateless
from ingest.formats.flat_rows import RowLayout
from ingest.records.call import Skip, pico_dollars

LAYOUT = RowLayout({
    "start": ("started_at", "timestamp", "@timestamp"),
    "duration": ("plugin.meta.llm_latency", "plugin.usage.llm_latency", "latencies.proxy", "latencies.request"),
    "first_chunk": ("plugin.usage.time_to_first_token",),
    "request_model": ("plugin.meta.request_model",),
    "response_model": ("plugin.meta.response_model",),
    "provider": ("plugin.meta.provider_name",),
    "usage": ("plugin.usage",),
    "http_status": ("response.status",),
    "cached": ("plugin.cache.cache_status",),
    "request": ("plugin.payload.request",),
    "response": ("plugin.payload.response",),
    "service_name": ("service.name",),
    "user_id": ("consumer.username",),
    "trace_id": ("trace_id.w3c", "trace_id"),
})  # fmt: skip

_OLD_NAMES = {"prompt_token": "prompt_tokens", "completion_token": "completion_tokens"}  # of Kong 3.6


def read(record: Any, context: Context) -> list[Outcome]:
    """The outcomes of one record. Raises BadRecordError if it cannot be used."""
    found: list[Outcome] = []
    for name, plugin in record["ai"].items():
        if isinstance(plugin, dict) and isinstance(plugin.get("usage"), dict):
            found.extend(catch_reader_errors(_call, record, name, plugin, context, item=plugin))
    return found or [Skip("a request without a model call")]


def _call(record: dict[str, Any], name: str, plugin: dict[str, Any], context: Context) -> list[Outcome]:
    usage = {_OLD_NAMES.get(key, key): value for key, value in plugin["usage"].items()}
    call = LAYOUT.call({**record, "plugin": {**plugin, "usage": usage}}, context)
    call.logged_cost_pico = pico_dollars(plugin["usage"].get("cost") or None, f"$.ai.{name}.usage.cost")
    request = record.get("request")
    given = request.get("id") if isinstance(request, dict) else None
    call.identity = call.response_id or (f"{given}:{name}" if given else None)
    return [call]


FORMAT = Format(
    name="kong",
    title="Kong AI Gateway log",
    fingerprints=(frozenset({"ai", "request", "response", "latencies", "started_at"}),),
    matches=lambda record: (
        isinstance(record, dict)
        and isinstance(record.get("ai"), dict)
        and any(isinstance(one, dict) and ("usage" in one or "meta" in one) for one in record["ai"].values())
    ),
    open=stateless(read),
    rank=31,
)
