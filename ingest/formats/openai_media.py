"""OpenAI images and transcriptions: request and response pairs, and bare answers."""

from __future__ import annotations

from typing import Any

from ingest.format_contract import Format, stateless
from ingest.wire import openai_media
from ingest.wire.request_response import read_pair, split


def _is_answer(body: Any) -> bool:
    return openai_media.matches_image(body) or openai_media.matches_transcription(body)


FORMAT = Format(
    name="openai_media",
    title="OpenAI images and transcriptions",
    fingerprints=(frozenset({"created", "data", "usage"}), frozenset({"text", "usage"})),
    matches=lambda record: isinstance(record, dict) and (_is_answer(record) or _is_answer(split(record)[1])),
    open=stateless(read_pair),
    strict=True,
    rank=86,
)
