"""OpenAI chat completions and Responses: request and response pairs, bare responses, stored completions.

Azure OpenAI and the compatible servers write the same shapes.
"""

from __future__ import annotations

from typing import Any

from ingest.bodies import openai
from ingest.calls import BadRecordError
from ingest.format import Context, Format, Outcome, stateless
from ingest.pairs import read_openai, split


def read(record: Any, context: Context) -> Outcome:
    if not isinstance(record, dict):
        raise BadRecordError("not a JSON object")
    return read_openai(record, context)


def _matches(record: Any) -> bool:
    if not isinstance(record, dict):
        return False
    if openai.matches_chat(record) or openai.matches_responses(record) or openai.matches_embedding(record):
        return True
    request, response = split(record)
    if openai.matches_chat(response) or openai.matches_responses(response) or openai.matches_embedding(response):
        return True
    failed = isinstance(response, dict) and "error" in response
    return openai.matches_request(request) and (failed or "error" in record) and "usage" not in record


FORMAT = Format(
    name="openai",
    title="OpenAI chat completions or Responses",
    fingerprints=(
        frozenset({"request", "response"}),
        frozenset({"object", "model", "choices", "usage"}),
        frozenset({"object", "model", "output", "usage"}),
    ),
    matches=_matches,
    open=stateless(read),
    rank=80,
)
