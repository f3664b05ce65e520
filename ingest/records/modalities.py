"""The audio and the images among a usage object's tokens: OpenAI's details by name, Gemini's lists by modality."""

from __future__ import annotations

from typing import Any, Final

from ingest.records.call import Call, token_count

_KINDS: Final = ("audio", "image")


def from_details(call: Call, asked: dict[str, Any], made: dict[str, Any], path: str) -> None:
    """Take the parts of input, cached input and output from OpenAI's details (chat, Responses, Realtime, LangChain)."""
    cached = asked.get("cached_tokens_details")
    for kind in _KINDS:
        setattr(call, f"{kind}_input_tokens", _named(asked, kind, path))
        setattr(call, f"{kind}_output_tokens", _named(made, kind, path))
        if isinstance(cached, dict):
            setattr(call, f"cache_read_{kind}_input_tokens", _named(cached, kind, path))


def from_lists(call: Call, usage: dict[str, Any], path: str) -> None:
    """Take the same from Gemini's lists of `{modality, tokenCount}`."""
    made = usage.get("candidatesTokensDetails", usage.get("responseTokensDetails"))
    for kind in _KINDS:
        setattr(call, f"{kind}_input_tokens", _listed(usage.get("promptTokensDetails"), kind, path))
        setattr(call, f"cache_read_{kind}_input_tokens", _listed(usage.get("cacheTokensDetails"), kind, path))
        setattr(call, f"{kind}_output_tokens", _listed(made, kind, path))


def _named(details: dict[str, Any], kind: str, path: str) -> int | None:
    count = details.get(f"{kind}_tokens")
    return token_count(details.get(kind) if count is None else count, path, f".{kind}_tokens")


def _listed(details: Any, kind: str, path: str) -> int | None:
    found = None
    for part in details if isinstance(details, list) else ():
        if isinstance(part, dict) and part.get("modality") == kind.upper():
            found = (found or 0) + (token_count(part.get("tokenCount"), path, ".TokensDetails") or 0)
    return found
