"""Gemini generateContent (AI Studio): request and response pairs, and bare answers."""

from __future__ import annotations

from typing import Any

from ingest.format_contract import Format, stateless
from ingest.wire import gemini
from ingest.wire.request_response import read_pair, split


def _matches(record: Any) -> bool:
    if not isinstance(record, dict):
        return False
    return gemini.matches_response(record) or gemini.matches_response(split(record)[1])


FORMAT = Format(
    name="gemini",
    title="Gemini generateContent",
    fingerprints=(frozenset({"candidates", "usageMetadata", "modelVersion"}),),
    matches=_matches,
    open=stateless(read_pair),
    strict=True,
    rank=83,
)
