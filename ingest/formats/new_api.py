"""new-api's and one-api's log table: rows of its API or of its database, `other` being JSON in a string.

`quota` counts 1/500,000 dollars as shipped. Rows of Claude keep the cache outside `prompt_tokens` (`other.claude`).
Shape: QuantumNous/new-api, model/log.go (2026-10).
"""

from __future__ import annotations

from typing import Any

from ingest.format_contract import Context, Format, Outcome, stateless
from ingest.formats.flat_rows import RowLayout
from ingest.records.call import Skip, pico_dollars, text_or_none
from ingest.wire.request_response import opened

_QUOTA_PER_DOLLAR = 500_000
_CONSUMED, _FAILED = 2, 5  # values of `type`; the others are top-ups, refunds and management
_PATHS = {
    "start": ("created_at",),
    "duration": ("use_time",),
    "response_model": ("model_name",),
    "input": ("prompt_tokens",),
    "output": ("completion_tokens",),
    "cache_read": ("other.cache_tokens",),
    "cache_write": ("other.cache_creation_tokens",),
    "cache_write_1h": ("other.cache_creation_tokens_1h",),
    "audio_input_tokens": ("other.audio_input_token_count",),
    "streamed": ("is_stream",),
    "user_id": ("username", "user_id"),
    "api_key_alias": ("token_name",),
    "team": ("group",),
    "response_id": ("request_id",),
}
INCLUSIVE = RowLayout(_PATHS, ms_per_unit=1000)
EXCLUSIVE = RowLayout(_PATHS, ms_per_unit=1000, cache_inside=False)


def read(record: Any, context: Context) -> Outcome:
    """The outcomes of one record. Raises BadRecordError if it cannot be used."""
    kind = str(record.get("type", _CONSUMED))
    if kind not in (str(_CONSUMED), str(_FAILED)):
        return Skip("a top-up or a change of settings")
    other = opened(record.get("other"))
    other = other if isinstance(other, dict) else {}
    call = (EXCLUSIVE if other.get("claude") is True else INCLUSIVE).call({**record, "other": other}, context)
    if kind == str(_FAILED):
        call.status = "error"
    served = text_or_none(other.get("upstream_model_name"))
    if served:
        call.response_model = served
    quota = record.get("quota")
    if quota not in (None, ""):
        call.logged_cost_pico = pico_dollars(quota, "$.quota", _QUOTA_PER_DOLLAR)
        call.issue("cost_from_quota", f"1/{_QUOTA_PER_DOLLAR} dollars a unit, as shipped")
    first = other.get("frt")
    call.time_to_first_chunk_ms = float(first) if isinstance(first, int | float) and first > 0 else None
    return call


_KEYS = frozenset({"model_name", "quota", "prompt_tokens", "completion_tokens", "token_name"})
FORMAT = Format(
    name="new_api",
    title="new-api log",
    fingerprints=(_KEYS,),
    matches=lambda record: isinstance(record, dict) and record.keys() >= _KEYS,
    open=stateless(read),
    rank=32,
    csv_columns=_KEYS,
)
