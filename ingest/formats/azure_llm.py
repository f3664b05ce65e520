"""Azure API Management's GatewayLlmLogs: the diagnostic log as JSON, or the table ApiManagementGatewayLlmLog as rows.

Large messages are split over several records of one `correlationId`, told apart by `sequenceNumber`: they are one call,
whose counts are taken once. Rows of Log Analytics are in PascalCase, with ` [UTC]` after their times in a portal's CSV.
Schema: learn.microsoft.com, api-management-howto-llm-logs and the table's reference (2026-10).
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from ingest.format_contract import Context, Format, Outcome, catch_reader_errors
from ingest.records.call import NOTHING, Call, Skip, text_or_none, token_count
from ingest.records.timestamps import time_us
from ingest.records.token_counts import settle
from ingest.wire.request_response import opened

_HELD = 20_000  # calls whose parts may still come
_COUNTS = ("promptTokens", "completionTokens", "totalTokens")
_TRUE = ("true", "1")
_COLUMNS = frozenset({"CorrelationId", "ModelName", "PromptTokens", "CompletionTokens"})
_SUFFIX = re.compile(r"( \[.*\]|_[sdbgt])$")  # of a portal's CSV, and of the table AzureDiagnostics


class Records:
    """Reads the records of one file and puts the parts of a call together."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.calls: OrderedDict[str, _Parts] = OrderedDict()

    def read(self, record: Any, row: int) -> list[Outcome]:
        """The outcomes that this record completes. Raises BadRecordError if it cannot be used."""
        values = _values(record)
        identity = text_or_none(values.get("correlationId")) or text_or_none(values.get("requestId"))
        if identity is None:
            parts = _Parts(values, row)
            return parts.outcomes(self.context)
        held = self.calls.get(identity)
        if held is not None:
            held.add(values)
            return [Skip("a further part of a call's messages", claims=NOTHING)]
        self.calls[identity] = _Parts(values, row)
        if len(self.calls) > _HELD:
            oldest = self.calls.popitem(last=False)[1]
            return catch_reader_errors(oldest.outcomes, self.context, item=oldest.values)
        return []

    def close(self) -> Iterable[Outcome]:
        """The calls whose parts are all there, now that the file has ended."""
        for parts in self.calls.values():
            yield from catch_reader_errors(parts.outcomes, self.context, item=parts.values)
        self.calls.clear()


class _Parts:
    """The records of one call."""

    def __init__(self, values: dict[str, Any], row: int) -> None:
        self.row = row
        self.first = values
        self.parts = [values]
        self.values: dict[str, Any] = dict(values)

    def add(self, values: dict[str, Any]) -> None:
        self.parts.append(values)
        for key, value in values.items():
            if value in (None, ""):
                continue
            known = self.values.get(key)
            if known in (None, ""):
                self.values[key] = value
            elif key in _COUNTS:  # a part repeats the counts or has zeros
                self.values[key] = max(known, value, key=lambda one: token_count(one, f"$.{key}") or 0)

    def outcomes(self, context: Context) -> list[Outcome]:
        get = self.values.get
        call = Call(operation_name="chat", provider_name="azure.ai.openai", row=self.row)
        asked, made, total = (token_count(get(name), f"$.{name}") for name in _COUNTS)
        settle(call, input_tokens=asked, output_tokens=made, total=total or None)
        call.request_model = text_or_none(get("deploymentName")) or text_or_none(get("modelName"))
        call.response_model = text_or_none(get("modelName")) or call.request_model
        given = get("timeGenerated") or get("time")
        call.start_us, call.time_precision = time_us(given, "$.time", zone=context.zone)
        streamed = get("isStreamCompletion")
        call.stream = None if streamed is None else str(streamed).lower() in _TRUE
        call.region = text_or_none(get("region")) or text_or_none(get("location"))
        call.messages = _messages(self._text("requestMessages"))
        call.output = _messages(self._text("responseMessages"))
        call.response_id = text_or_none(get("requestId"))
        call.request_id = text_or_none(get("correlationId"))
        call.identity = call.response_id or call.request_id
        return [call]

    def _text(self, name: str) -> Any:
        def place(part: dict[str, Any]) -> int:
            number = text_or_none(part.get("sequenceNumber")) or "0"
            return int(number) if number.isdigit() else 0

        found = [part[name] for part in sorted(self.parts, key=place) if part.get(name)]
        return "".join(found) if all(isinstance(one, str) for one in found) else found[0]


def _messages(value: Any) -> list[Any] | None:
    found = opened(value) if value else None
    return [one for one in found if isinstance(one, dict)] or None if isinstance(found, list) else None


def _values(record: dict[str, Any]) -> dict[str, Any]:
    """The record's fields in camelCase, whichever way it was exported."""
    inner = opened(record.get("properties"))
    if isinstance(inner, dict):
        return {**record, **inner}
    plain = {_SUFFIX.sub("", key): value for key, value in record.items()}
    return {key[:1].lower() + key[1:]: value for key, value in plain.items()}


def _matches(record: Any) -> bool:
    if not isinstance(record, dict):
        return False
    if record.get("category") == "GatewayLlmLogs" or record.get("Category") == "GatewayLlmLogs":
        return True
    keys = record.keys()
    return keys >= _COLUMNS or (keys >= {"promptTokens", "completionTokens", "deploymentName", "correlationId"})


FORMAT = Format(
    name="azure_llm",
    title="Azure API Management LLM log (GatewayLlmLogs)",
    fingerprints=(frozenset({"category", "correlationId", "properties", "time"}), _COLUMNS),
    matches=_matches,
    open=Records,
    rank=26,
    splittable=False,
    fields=(("request_id", "correlationId"), ("tokens", "promptTokens, completionTokens, once per correlationId")),
    csv_columns=_COLUMNS,
)
