"""OpenAI chat completions: request and response pairs, bare answers, stored completions, embeddings.

Azure OpenAI and the compatible servers write the same shapes.
"""

from __future__ import annotations

from typing import Any

from ingest.columnar.openai_chat_messages import PairTexts
from ingest.columnar.openai_chat_metadata import PairColumns
from ingest.format_contract import Format, stateless
from ingest.wire import openai
from ingest.wire.request_response import read_pair, split


def _matches(record: Any) -> bool:
    if not isinstance(record, dict):
        return False
    if openai.matches_chat(record) or openai.matches_embedding(record):
        return True
    request, response = split(record)
    if openai.matches_chat(response) or openai.matches_embedding(response):
        return True
    failed = (isinstance(response, dict) and "error" in response) or "error" in record
    return failed and openai.matches_request(request) and "usage" not in record


FORMAT = Format(
    name="openai_chat",
    title="OpenAI chat completions",
    fingerprints=(frozenset({"request", "response"}), frozenset({"object", "model", "choices", "usage"})),
    matches=_matches,
    open=stateless(read_pair),
    strict=True,
    columns=PairColumns,
    texts=PairTexts,
    rank=80,
)
