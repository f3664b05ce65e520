"""Recorded HTTP: VCR cassettes (YAML) with requests to a model provider, as test suites keep them."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import Any

from ingest.format_contract import Context, Format, Outcome, stateless
from ingest.records.call import Skip
from ingest.wire.request_response import dialect_of, opened, read_pair


def read(record: Any, context: Context) -> Outcome | list[Outcome]:
    """The outcomes of one record. Raises BadRecordError if it cannot be used."""
    interaction = record["interaction"]
    request = interaction.get("request") or {}
    response = interaction.get("response") or {}
    body = response.get("body")
    answer = opened(body.get("string") if isinstance(body, dict) else body)
    if dialect_of(answer) is None and not (isinstance(answer, dict) and answer.get("error")):
        return Skip("no answer of a model")
    pair: dict[str, Any] = {"request": opened(request.get("body")), "response": answer}
    if isinstance(request.get("uri"), str):
        pair["uri"] = request["uri"]
    status = response.get("status")
    if isinstance(status, dict) and isinstance(status.get("code"), int):
        pair["status_code"] = status["code"]
    time = _date(response.get("headers"))
    if time is not None:
        pair["timestamp"] = time
    return read_pair(pair, context)


def _date(headers: Any) -> str | None:
    if not isinstance(headers, dict):
        return None
    for name, value in headers.items():
        if str(name).lower() == "date":
            text = value[0] if isinstance(value, list) and value else value
            try:
                return parsedate_to_datetime(str(text)).isoformat()
            except (ValueError, TypeError):
                return None
    return None


FORMAT = Format(
    name="recorded_http",
    title="recorded HTTP (VCR cassette)",
    fingerprints=(frozenset({"interaction"}),),
    matches=lambda record: isinstance(record, dict) and record.keys() == {"interaction"},
    open=stateless(read),
    rank=2,
    splittable=False,
)
