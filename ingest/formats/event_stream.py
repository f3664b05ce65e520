"""Server-sent event streams of OpenAI, Anthropic and Gemini, saved as text: one call per answer in the file."""

from __future__ import annotations

from typing import Any

from ingest.format_contract import Context, Format, Outcome, stateless
from ingest.records.call import BadRecordError
from ingest.wire import streaming
from ingest.wire.request_response import read_pair


def read(record: Any, context: Context) -> Outcome | list[Outcome]:
    """The outcomes of one record. Raises BadRecordError if it cannot be used."""
    body = streaming.assemble(record["sse"])
    if body is None:
        raise BadRecordError("a stream without an answer in it")
    if not body.get("usage") and "usageMetadata" not in body:
        body = {**body, "usage": None}
    return read_pair(body if "usage" in body or "usageMetadata" in body else {"response": body}, context)


FORMAT = Format(
    name="event_stream",
    title="a saved event stream (OpenAI, Anthropic, Gemini)",
    fingerprints=(frozenset({"sse"}),),
    matches=lambda record: isinstance(record, dict) and record.keys() == {"sse"},
    open=stateless(read),
    rank=1,
    splittable=False,
)
