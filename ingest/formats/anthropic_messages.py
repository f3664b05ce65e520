"""Anthropic Messages: request and response pairs, and bare answers."""

from __future__ import annotations

from typing import Any

from ingest.format_contract import Format, stateless
from ingest.wire import anthropic
from ingest.wire.request_response import read_pair, split


def _matches(record: Any) -> bool:
    if not isinstance(record, dict):
        return False
    return anthropic.matches_response(record) or anthropic.matches_response(split(record)[1])


FORMAT = Format(
    name="anthropic_messages",
    title="Anthropic Messages",
    fingerprints=(frozenset({"type", "role", "model", "content", "usage"}),),
    matches=_matches,
    open=stateless(read_pair),
    strict=True,
    rank=82,
)
