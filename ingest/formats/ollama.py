"""Ollama's own API: request and response pairs, and bare answers."""

from __future__ import annotations

from typing import Any

from ingest.format_contract import Format, stateless
from ingest.wire import ollama
from ingest.wire.request_response import read_pair, split


def _matches(record: Any) -> bool:
    if not isinstance(record, dict):
        return False
    return ollama.matches_response(record) or ollama.matches_response(split(record)[1])


FORMAT = Format(
    name="ollama",
    title="Ollama answers",
    fingerprints=(frozenset({"model", "prompt_eval_count", "eval_count", "done"}),),
    matches=_matches,
    open=stateless(read_pair),
    strict=True,
    rank=84,
)
