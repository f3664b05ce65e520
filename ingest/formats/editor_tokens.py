"""Continue and Kiro: one line per answer with the tokens that the editor counted.

Continue's development data (`~/.continue/dev_data/0.2.0/tokensGenerated.jsonl`) has a time; Kiro, a fork of it, writes
`dev_data/tokens_generated.jsonl` without one, often without output tokens, and with `agent` for a model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ingest.format_contract import Context, Format, Outcome, stateless
from ingest.records.call import Call, Skip, text_or_none, token_count
from ingest.records.provider_names import provider_name
from ingest.records.timestamps import time_us
from ingest.records.token_counts import settle
from ingest.wire.request_response import provider_of, take_file_time

_KEYS = frozenset({"model", "provider", "promptTokens", "generatedTokens"})
_NO_MODEL = ("agent", "auto")


def read(record: Any, context: Context) -> Outcome:
    """The outcome of one record. Raises BadRecordError if it cannot be used."""
    get = record.get
    asked = token_count(get("promptTokens"), "$.promptTokens")
    made = token_count(get("generatedTokens"), "$.generatedTokens")
    if not asked and not made:
        return Skip("a request without token counts")
    call = Call(operation_name="chat", agent="main", agent_source="transcript")
    call.service_name = "kiro" if _is_kiro(context.path) else "continue"
    model = text_or_none(get("model"))
    call.request_model = call.response_model = None if model in _NO_MODEL else model
    call.provider_name = provider_name(text_or_none(get("provider"))) or provider_of(call.response_model)
    settle(call, input_tokens=asked, output_tokens=made or None)
    if not made:
        call.issue("partial_usage", "the editor counted no output tokens")
        call.tokens_source = "partial"
    if get("timestamp") is not None:
        call.start_us, call.time_precision = time_us(get("timestamp"), "$.timestamp", zone=context.zone)
    else:
        take_file_time(call, context)
    call.user_id = text_or_none(get("userId"))
    return call


def _is_kiro(path: Path) -> bool:
    return any(part.lower().startswith("kiro") for part in path.parts)


FORMAT = Format(
    name="editor_tokens",
    title="Tokens counted by Continue or Kiro",
    fingerprints=(_KEYS,),
    matches=lambda record: isinstance(record, dict) and record.keys() >= _KEYS,
    open=stateless(read),
    rank=44,
    fields=(
        ("start_time", "timestamp"), ("model", "model"), ("input_tokens", "promptTokens"),
        ("output_tokens", "generatedTokens"),
    ),
)  # fmt: skip
