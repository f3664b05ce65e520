"""OpenAI Responses: request and response pairs, and bare answers."""

from __future__ import annotations

from typing import Any

from ingest.bodies import openai
from ingest.format import Format, stateless
from ingest.pairs import read_pair, split


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
