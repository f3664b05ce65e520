"""Bifrost's log rows: `token_usage` in the shape of OpenAI's, the cost in dollars.

Shape: maximhq/bifrost, LogEntry (2026-10). `cache_debug` tells of hits in the gateway's own cache.
"""

from __future__ import annotations

from typing import Any

from ingest.format_contract import Context, Format, Outcome, stateless
from ingest.formats.flat_rows import RowLayout
from ingest.records.call import Skip, text_or_none

LAYOUT = RowLayout({
    "start": ("timestamp", "created_at"),
    "duration": ("latency",),
    "response_model": ("model",),
    "provider": ("provider",),
    "usage": ("token_usage",),
    "cost": ("cost",),
    "cached": ("cache_debug.cache_hit",),
    "success": ("status",),
    "error": ("error_details",),
    "streamed": ("stream",),
    "finish_reason": ("stop_reason",),
    "messages": ("input_history", "responses_input_history"),
    "answer": ("output_message", "responses_output"),
    "metadata": ("metadata",),
    "api_key_alias": ("virtual_key_name", "virtual_key.name", "selected_key_name"),
    "response_id": ("id",),
})  # fmt: skip
_OPERATIONS = {"embedding": "embeddings", "image": "image_generation", "speech": "speech", "video": "video_generation",
               "transcription": "transcription", "rerank": "rerank", "ocr": "ocr"}  # fmt: skip


def read(record: Any, context: Context) -> Outcome:
    """The outcomes of one record. Raises BadRecordError if it cannot be used."""
    if record.get("status") == "processing":
        return Skip("a request that is not answered yet")
    kind = text_or_none(record.get("object")) or ""
    if "list" in kind or "retrieve" in kind or "delete" in kind:
        return Skip("a request that reads or manages, and runs no model")
    call = LAYOUT.call(record, context)
    call.operation_name = next((name for word, name in _OPERATIONS.items() if word in kind), "chat")
    if record.get("status") == "cancelled":
        call.status = "cancelled"
    retries = record.get("number_of_retries")
    call.attempt = retries + 1 if type(retries) is int and 0 < retries < 1000 else None
    return call


def _matches(record: Any) -> bool:
    if not isinstance(record, dict) or not record.keys() >= {"object", "provider", "model", "status", "timestamp"}:
        return False
    return bool(record.keys() & {"token_usage", "input_history", "error_details", "cache_debug"})


FORMAT = Format(
    name="bifrost",
    title="Bifrost log",
    fingerprints=(frozenset({"id", "object", "timestamp", "provider", "model", "token_usage", "status"}),),
    matches=_matches,
    open=stateless(read),
    rank=30,
)
