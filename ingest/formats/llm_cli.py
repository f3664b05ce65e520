"""Simon Willison's `llm`: rows of its `logs.db`, and what `llm logs --json` prints.

`token_details` holds what the provider's usage told beside the two counts, under the provider's names.
"""

from __future__ import annotations

from typing import Any

from ingest.format_contract import Context, Format, Outcome, stateless
from ingest.records.call import Call, mapping_or_empty, text_or_none
from ingest.records.number_text import duration_or_none
from ingest.records.timestamps import time_us
from ingest.records.token_usage import apply_usage
from ingest.wire.request_response import opened, provider_of

_KEYS = frozenset({"id", "model", "datetime_utc", "duration_ms", "input_tokens", "output_tokens"})


def read(record: Any, context: Context) -> Outcome:
    """The outcome of one record. Raises BadRecordError if it cannot be used."""
    get = record.get
    call = Call(operation_name="chat", service_name="llm")
    call.request_model = text_or_none(get("model"))
    call.response_model = text_or_none(get("resolved_model")) or call.request_model
    call.provider_name = provider_of(call.response_model)
    details = mapping_or_empty(opened(get("token_details")))
    if any(name in details for name in ("prompt_tokens_details", "completion_tokens_details")):
        usage = {"prompt_tokens": get("input_tokens"), "completion_tokens": get("output_tokens"), **details}
    elif "promptTokensDetails" in details or "thoughtsTokenCount" in details or "cachedContentTokenCount" in details:
        usage = {"promptTokenCount": get("input_tokens"), "candidatesTokenCount": get("output_tokens"), **details}
    else:
        usage = {"input_tokens": get("input_tokens"), "output_tokens": get("output_tokens"), **details}
    if get("input_tokens") is not None or get("output_tokens") is not None:
        apply_usage(call, usage, "$.token_details")
    call.start_us, call.time_precision = time_us(get("datetime_utc"), "$.datetime_utc")
    call.duration_ms = duration_or_none(get("duration_ms"))
    call.conversation_id = text_or_none(get("conversation_id"))
    call.response_id = text_or_none(mapping_or_empty(opened(get("response_json"))).get("id"))
    call.identity = call.response_id or f"llm:{get('id')}"
    if context.want_text and isinstance(get("prompt"), str):
        call.messages = [{"role": "user", "content": get("prompt")}]
        if isinstance(get("system"), str):
            call.messages.insert(0, {"role": "system", "content": get("system")})
        if isinstance(get("response"), str):
            call.output = [{"role": "assistant", "content": get("response")}]
        call.content_state = "truncated"  # of a conversation the last turn alone
    return call


def _matches(record: Any) -> bool:
    return isinstance(record, dict) and record.keys() >= _KEYS | {"prompt"} and record.get("database", "llm") == "llm"


FORMAT = Format(
    name="llm_cli",
    title="Logs of the llm command",
    fingerprints=(_KEYS,),
    matches=_matches,
    open=stateless(read),
    rank=43,
)
