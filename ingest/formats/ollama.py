"""Ollama's own API: request and response pairs, and bare answers."""

from __future__ import annotations

from typing import Any

from ingest.format_contract import Context, Format, Outcome, stateless
from ingest.records.call import Skip
from ingest.wire import ollama
from ingest.wire.request_response import read_pair, split


def read(record: Any, context: Context) -> Outcome | list[Outcome]:
    """The outcomes of one record. Raises BadRecordError if it cannot be used."""
    if _is_chunk(record):
        return Skip("a chunk of a stream, whose last one has the counts")
    return read_pair(record, context)


def _is_chunk(record: Any) -> bool:
    keys = record.keys() if isinstance(record, dict) else ()
    return {"model", "created_at", "done"} <= set(keys) and record["done"] is False


def _matches(record: Any) -> bool:
    if not isinstance(record, dict):
        return False
    return _is_chunk(record) or ollama.matches_response(record) or ollama.matches_response(split(record)[1])


FORMAT = Format(
    name="ollama",
    title="Ollama answers",
    fingerprints=(frozenset({"model", "prompt_eval_count", "eval_count", "done"}),),
    matches=_matches,
    open=stateless(read),
    strict=True,
    rank=84,
)
