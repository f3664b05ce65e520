"""Helicone request exports. Its token columns leave out cache and, on the gateway path, reasoning and audio.

After Helicone/helicone packages/llm-mapper/types.ts (2026-10). A response body, where exported, is the better witness.
"""

from __future__ import annotations

from typing import Any

from ingest.format_contract import Context, Format, Outcome, stateless
from ingest.records import agent_names
from ingest.records.call import Call, pico_dollars, text_or_none, token_count
from ingest.records.endpoints import endpoint_of
from ingest.records.number_text import duration_or_none
from ingest.records.provider_names import provider_name
from ingest.records.timestamps import time_us
from ingest.records.token_counts import settle
from ingest.wire.request_response import apply_bodies, apply_request, dialect_of, opened

_SESSION = ("Helicone-Session-Id", "helicone-session-id")
_PATH = ("Helicone-Session-Name", "helicone-session-name")


def read(record: Any, context: Context) -> Outcome:
    """The outcomes of one record. Raises BadRecordError if it cannot be used."""
    get = record.get
    call = Call()
    request, response = opened(get("request_body")), opened(get("response_body"))
    if dialect_of(response) is not None:
        apply_bodies(call, request, response)
    elif isinstance(request, dict):
        apply_request(call, request, None)
    if call.tokens_source in (None, "missing"):
        _columns(call, record)
    call.response_model = text_or_none(get("response_model")) or call.response_model or text_or_none(get("model"))
    asked = text_or_none(get("model_override")) or text_or_none(get("request_model"))
    call.request_model = asked or call.request_model or call.response_model
    call.provider_name = provider_name(text_or_none(get("provider"))) or call.provider_name
    call.start_us, call.time_precision = time_us(get("request_created_at"), "$.request_created_at", zone=context.zone)
    delay = duration_or_none(get("delay_ms"))
    call.duration_ms = call.duration_ms if delay is None else delay
    call.time_to_first_chunk_ms = duration_or_none(get("time_to_first_token"))
    paid = pico_dollars(get("costUSD", get("cost")), "$.cost")
    call.logged_cost_pico = call.logged_cost_pico if paid is None else paid
    status = get("response_status")
    if type(status) is int:
        call.http_status = status if 0 < status < 1000 else None
        if status >= 400 or status < 0:
            call.status = "error"
    if get("cache_reference_id") or (get("cache_enabled") is True and str(get("cache_hit")).lower() == "true"):
        call.status = "gateway_cache_hit"
    call.region = call.region or endpoint_of(get("target_url") or get("request_path")).region
    call.user_id = text_or_none(get("request_user_id"))
    call.prompt_name = text_or_none(get("prompt_id")) or text_or_none(get("request_prompt_id"))
    call.prompt_version = text_or_none(get("prompt_version"))
    properties = opened(get("request_properties")) or opened(get("properties"))
    if isinstance(properties, dict):
        agent_names.from_metadata(call, {str(key).lower(): value for key, value in properties.items()})
        for name in _SESSION:
            call.conversation_id = call.conversation_id or text_or_none(properties.get(name))
        for name in _PATH:
            call.workflow_name = call.workflow_name or text_or_none(properties.get(name))
        call.tags = [
            f"{key}:{value}" for key, value in sorted(properties.items())
            if isinstance(value, str) and not str(key).lower().startswith("helicone-")
        ] or None  # fmt: skip
    call.identity = call.response_id or text_or_none(get("request_id"))
    return call


def _columns(call: Call, record: dict[str, Any]) -> None:
    def counted(name: str) -> int | None:
        return token_count(record.get(name), f"$.{name}")

    prompt, answer = counted("prompt_tokens"), counted("completion_tokens")
    read_, written = counted("prompt_cache_read_tokens"), counted("prompt_cache_write_tokens")
    heard, spoken, reasoning = (
        counted("prompt_audio_tokens"), counted("completion_audio_tokens"), counted("reasoning_tokens"),
    )  # fmt: skip
    call.audio_input_tokens, call.audio_output_tokens = heard, spoken
    settle(
        call,
        input_tokens=None if prompt is None else prompt + (heard or 0),
        output_tokens=None if answer is None else answer + (spoken or 0),
        cache_read=read_,
        cache_write=written,
        reasoning=reasoning,
        cache_inside=False,
        reasoning_inside=False,
    )


_KEYS = frozenset({"request_id", "request_created_at", "response_status"})
FORMAT = Format(
    name="helicone",
    title="Helicone request export",
    fingerprints=(_KEYS,),
    matches=lambda record: isinstance(record, dict) and record.keys() >= _KEYS,
    open=stateless(read),
    rank=22,
)
