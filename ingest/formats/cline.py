"""Cline, Roo Code, Kilo Code and their kin: `ui_messages.json`, requests as JSON in a text.

The model stands beside the request, or in tags of `api_conversation_history.json` in the same folder. Cache lies
outside `tokensIn`, except where `apiProtocol` is `openai` (Roo Code, 2026-10).
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from ingest.files.line_files import decode
from ingest.format_contract import Context, Format, Outcome
from ingest.records.call import (
    SUM_OF_CALLS,
    BadRecordError,
    Call,
    Skip,
    mapping_or_empty,
    pico_dollars,
    text_or_none,
    token_count,
)
from ingest.records.token_counts import settle
from ingest.wire.agent_session import session_call, settle_disjoint

_REQUESTS = frozenset({"api_req_started", "deleted_api_reqs", "subagent_usage"})
_MODEL = re.compile(rb"<model>([^<\\]{1,200})</model>")
_HISTORY_BYTES = 64 << 20
_TOOLS = {
    "saoudrizwan.claude-dev": "cline",
    "rooveterinaryinc.roo-cline": "roo-code",
    "kilocode.kilo-code": "kilo-code",
}


class Task:
    """Reads the messages of one task."""

    def __init__(self, context: Context) -> None:
        self.context = context
        parts = context.path.parts
        self.tool = next((_TOOLS[part.lower()] for part in parts if part.lower() in _TOOLS), "cline")
        self.task = parts[-2] if len(parts) > 1 else None
        self._models: set[str] | None = None

    def read(self, record: Any, row: int) -> Outcome:  # noqa: ARG002
        """The outcomes of one record. Raises BadRecordError if it cannot be used."""
        kind = record.get("say")
        if kind not in _REQUESTS or not isinstance(record.get("text"), str):
            return Skip("message of a task")
        try:
            request = mapping_or_empty(decode(record["text"].encode()))
        except (msgspec.DecodeError, UnicodeEncodeError) as error:
            raise BadRecordError(f"a request that is not JSON: {error}"[:200], "$.text") from None
        if "tokensIn" not in request and "tokensOut" not in request:
            return Skip("a request without token counts")
        return self._call(record, request)

    def close(self) -> tuple[Outcome, ...]:
        """Nothing: no call is held back."""
        return ()

    def _call(self, record: dict[str, Any], request: dict[str, Any]) -> Call:
        info = mapping_or_empty(record.get("modelInfo"))
        model = text_or_none(info.get("modelId")) or text_or_none(request.get("model"))
        call = session_call(
            self.tool, self.context, model=model or self._model(), when=record.get("ts"), unit="ms",
            provider=info.get("providerId"), session=self.task,
        )  # fmt: skip
        if request.get("apiProtocol") == "openai":
            settle(
                call,
                input_tokens=token_count(request.get("tokensIn"), "$.tokensIn"),
                output_tokens=token_count(request.get("tokensOut"), "$.tokensOut"),
                cache_read=token_count(request.get("cacheReads"), "$.cacheReads"),
                cache_write=token_count(request.get("cacheWrites"), "$.cacheWrites"),
            )
        else:
            settle_disjoint(call, request, "tokensIn", "cacheReads", "cacheWrites", "tokensOut")
        call.logged_cost_pico = pico_dollars(request.get("cost"), "$.cost")
        if record.get("say") != "api_req_started":
            call.issue(SUM_OF_CALLS, f"{record.get('say')} sums requests up")
        if request.get("cancelReason"):
            call.status = "error"
            call.finish_reason = text_or_none(request["cancelReason"])
        call.identity = f"{self.tool}:{self.task}:{record.get('ts')}:{record.get('say')}"
        call.replaces = True
        return call

    def _model(self) -> str | None:
        """The one model that the conversation beside this file names; None where it names none, or several."""
        if self._models is None:
            try:
                with (self.context.path.parent / "api_conversation_history.json").open("rb") as file:
                    found = _MODEL.findall(file.read(_HISTORY_BYTES))
            except OSError:
                found = []
            self._models = {name.decode("utf-8", "replace").strip() for name in found}
        return next(iter(self._models)) if len(self._models) == 1 else None


FORMAT = Format(
    name="cline",
    title="Task of Cline, Roo Code or Kilo Code",
    fingerprints=(frozenset({"ts", "type", "say", "text"}),),
    matches=lambda record: (
        isinstance(record, dict)
        and "ts" in record
        and record.get("type") in ("say", "ask")
        and bool(record.keys() & {"say", "ask"})
    ),
    open=Task,
    rank=34,
    splittable=False,
    fields=(
        ("start_time", "ts"), ("model", "modelInfo.modelId, or <model> of the conversation"),
        ("input_tokens", "tokensIn + cacheReads + cacheWrites"), ("cache_read_input_tokens", "cacheReads"),
        ("cache_creation_input_tokens", "cacheWrites"), ("output_tokens", "tokensOut"), ("logged_cost_usd", "cost"),
    ),
)  # fmt: skip
