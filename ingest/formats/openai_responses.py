"""OpenAI Responses: request and response pairs, and bare answers."""

from __future__ import annotations

from typing import Any

from ingest.format_contract import Format, stateless
from ingest.wire import openai
from ingest.wire.request_response import read_pair, split


def _matches(record: Any) -> bool:
    if not isinstance(record, dict):
        return False
    return openai.matches_responses(record) or openai.matches_responses(split(record)[1])


FORMAT = Format(
    name="openai_responses",
    title="OpenAI Responses",
    fingerprints=(frozenset({"object", "model", "output", "usage"}),),
    matches=_matches,
    open=stateless(read_pair),
    strict=True,
    rank=81,
)
