"""Azure diagnostic logs: API Management's GatewayLogs with bodies, and RequestResponse records without any tokens.

`properties` is an object or JSON in a string, in one and the same file. `requestTime` counts .NET ticks.
"""

from __future__ import annotations

from typing import Any

from ingest.format_contract import Context, Format, Outcome, stateless
from ingest.records.call import Call, Skip, mapping_or_empty, text_or_none
from ingest.records.number_text import duration_or_none
from ingest.records.timestamps import time_us
from ingest.wire.request_response import apply_bodies, dialect_of, opened

_TICKS_TO_1970 = 621_355_968_000_000_000  # of 100 ns, since year 1


def read(record: Any, context: Context) -> Outcome:
    """The outcomes of one record. Raises BadRecordError if it cannot be used."""
    get = record.get
    values = mapping_or_empty(opened(get("properties")))
    if get("category") not in ("GatewayLogs", "RequestResponse"):
        return Skip("diagnostic record without a model call")
    call = Call()
    request, answer = opened(values.get("requestBody")), opened(values.get("responseBody"))
    if isinstance(values.get("backendRequestBody"), str) and request is None:
        request = opened(values["backendRequestBody"])
    if dialect_of(answer) is not None:
        apply_bodies(call, request, answer)
    elif get("category") == "GatewayLogs" and not isinstance(request, dict):
        return Skip("gateway record without bodies")
    elif isinstance(answer, dict):
        apply_bodies(call, request, answer)
    deployment = text_or_none(values.get("modelDeploymentName"))
    named = text_or_none(values.get("modelName"))
    version = text_or_none(values.get("modelVersion"))
    if named and version:
        named = f"{named}-{version}"
    call.request_model = call.request_model or deployment or named
    call.response_model = call.response_model or named or call.request_model
    if (
        call.response_model is None
        and get("category") == "RequestResponse"
        and "chat" not in str(get("operationName")).lower()
    ):
        return Skip("diagnostic record without a model call")
    if call.tokens_source is None:
        call.tokens_source = "missing"  # RequestResponse records count nothing
    call.provider_name = "azure.ai.openai"
    ticks = values.get("requestTime")
    if isinstance(ticks, int) and ticks > _TICKS_TO_1970:
        call.start_us, call.time_precision = (ticks - _TICKS_TO_1970) // 10, "us"
    else:
        call.start_us, call.time_precision = time_us(get("time"), "$.time", zone=context.zone)
    call.duration_ms = duration_or_none(get("durationMs"))
    status = get("resultSignature", values.get("responseCode"))
    if str(status).isdigit():
        call.http_status = int(status)
        if call.http_status >= 400:
            call.status = "error"
    call.region = text_or_none(get("location"))
    call.api_key_alias = text_or_none(values.get("apimSubscriptionId"))
    call.user_id = text_or_none(values.get("userId"))
    call.identity = call.response_id or text_or_none(get("correlationId")) or text_or_none(get("CorrelationId"))
    return call


FORMAT = Format(
    name="azure",
    title="Azure diagnostic log (GatewayLogs, RequestResponse)",
    fingerprints=(frozenset({"category", "resourceId", "properties", "time"}),),
    matches=lambda record: (
        isinstance(record, dict)
        and record.get("category") in ("RequestResponse", "GatewayLogs", "Audit", "Trace")
        and "resourceId" in record
    ),
    open=stateless(read),
    rank=27,
)
