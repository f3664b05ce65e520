"""Cohere's own API: request and response pairs, and bare answers."""

from __future__ import annotations

from typing import Any

from ingest.format_contract import Format, stateless
from ingest.wire import cohere
from ingest.wire.request_response import read_pair, split


def _matches(record: Any) -> bool:
    if not isinstance(record, dict):
        return False
    return cohere.matches_response(record) or cohere.matches_response(split(record)[1])


FORMAT = Format(
    name="cohere",
    title="Cohere answers",
    fingerprints=(frozenset({"usage", "message", "finish_reason"}),),
    matches=_matches,
    open=stateless(read_pair),
    strict=True,
    rank=85,
)
