"""Amazon Bedrock's Converse as programs log it: request and response pairs, bare answers, and streams of events."""

from __future__ import annotations

from typing import Any

from ingest.format_contract import Format, stateless
from ingest.wire import bedrock
from ingest.wire.request_response import read_pair, split


def _matches(record: Any) -> bool:
    if not isinstance(record, dict):
        return False
    return bedrock.matches_response(record) or bedrock.matches_response(split(record)[1])


FORMAT = Format(
    name="bedrock_converse",
    title="Amazon Bedrock Converse answers",
    fingerprints=(frozenset({"output", "stopReason", "usage"}),),
    matches=_matches,
    open=stateless(read_pair),
    strict=True,
    rank=84,
)
