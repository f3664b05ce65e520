"""Cloudflare AI Gateway: rows of its logs API and of Logpush, in PascalCase.

`cached` marks an answer from the gateway's own cache. Shapes: developers.cloudflare.com/api, ai_gateway logs (2026-10).
"""

from __future__ import annotations

from typing import Any

from ingest.format_contract import Context, Format, Outcome, stateless
from ingest.formats.flat_rows import RowLayout
from ingest.records.call import text_or_none

_OPERATIONS = {"embeddings": "embeddings", "embedding": "embeddings", "image": "image_generation",
               "speech": "speech", "transcription": "transcription", "rerank": "rerank"}  # fmt: skip


def _both(*names: str) -> tuple[str, ...]:
    """Each name in snake_case and in PascalCase."""
    return (*names, *("".join(part.capitalize() for part in name.split("_")) for name in names))


LAYOUT = RowLayout({
    "start": _both("created_at", "datetime", "timestamp"),
    "duration": _both("duration"),
    "response_model": _both("model"),
    "provider": _both("provider"),
    "input": _both("tokens_in"),
    "output": _both("tokens_out"),
    "cost": _both("cost"),
    "cached": _both("cached"),
    "http_status": _both("status_code"),
    "success": _both("success"),
    "metadata": _both("metadata"),
    "service_name": _both("gateway"),
    "response_id": ("id", "ID", "Id", "EventId"),
    "request": _both("request_body"),
    "response": _both("response_body"),
})  # fmt: skip


def read(row: Any, context: Context) -> Outcome:
    """The outcome of one row. Raises BadRecordError if it cannot be used."""
    call = LAYOUT.call(row, context)
    step = row.get("step", row.get("Step"))
    call.attempt = step + 1 if type(step) is int and 0 <= step < 1000 else None
    kind = (text_or_none(row.get("model_type", row.get("ModelType"))) or "").lower()
    call.operation_name = next((name for word, name in _OPERATIONS.items() if word in kind), "chat")
    return call


def _matches(record: Any) -> bool:
    if not isinstance(record, dict):
        return False
    keys = record.keys()
    return keys >= {"tokens_in", "tokens_out", "cached", "provider"} or (
        keys >= {"Cached", "Provider", "Model"} and bool(keys & {"TokensIn", "Gateway"})
    )


FORMAT = Format(
    name="cloudflare",
    title="Cloudflare AI Gateway log (API, Logpush)",
    fingerprints=(
        frozenset({"tokens_in", "tokens_out", "cached", "provider", "model", "created_at"}),
        frozenset({"TokensIn", "TokensOut", "Cached", "Provider", "Model"}),
    ),
    matches=_matches,
    open=stateless(read),
    rank=29,
)
