"""Sessions of pi, OpenClaw and omp: a row for each message; cache outside input. Forks copy rows under new ids."""

from __future__ import annotations

from typing import Any

from ingest.format_contract import Context, Format, Outcome
from ingest.records.call import BadRecordError, Call, Skip, mapping_or_empty, pico_dollars, text_or_none
from ingest.records.timestamps import time_us
from ingest.wire.agent_session import counts_key, session_call, settle_disjoint

_DAY_US = 86_400_000_000


class Session:
    """Reads one session."""

    def __init__(self, context: Context) -> None:
        self.context = context
        parts = set(context.path.parts)
        self.tool = "openclaw" if parts & {".openclaw", "openclaw"} else "omp" if ".omp" in parts else "pi"
        self.session: str | None = None
        self.folder: str | None = None

    def read(self, record: Any, row: int) -> Outcome:  # noqa: ARG002
        """The outcomes of one record. Raises BadRecordError if it cannot be used."""
        kind = record.get("type") if isinstance(record, dict) else None
        if not isinstance(kind, str) or not record.keys() & {"id", "timestamp"} or "sessionId" in record:
            raise BadRecordError("not a record of a pi session", "$.type")
        if kind == "session":
            self.session = text_or_none(record.get("id"))
            self.folder = text_or_none(record.get("cwd"))
            return Skip("session header")
        message = mapping_or_empty(record.get("message"))
        if not _has_usage(message):
            return Skip("user or tool turn")
        return self._call(record, message)

    def close(self) -> tuple[Outcome, ...]:
        """Nothing: no call is held back."""
        return ()

    def _call(self, record: dict[str, Any], message: dict[str, Any]) -> Call:
        usage = message["usage"]
        logged = record.get("timestamp")
        call = session_call(
            self.tool, self.context, model=message.get("responseModel") or message.get("model"),
            when=message.get("timestamp") or logged, unit="ms" if message.get("timestamp") else None,
            provider=message.get("provider"), session=self.session, folder=self.folder,
        )  # fmt: skip
        settle_disjoint(call, usage, "input", "cacheRead", "cacheWrite", "output")
        call.logged_cost_pico = pico_dollars(mapping_or_empty(usage.get("cost")).get("total"), "$.usage.cost.total")
        call.response_id = text_or_none(message.get("responseId"))
        call.identity = call.response_id or counts_key(call)
        if logged is not None:  # written when the answer was complete
            ended, precision = time_us(logged, "$.timestamp", zone=self.context.zone)
            if call.start_us is None or not 0 <= ended - call.start_us < _DAY_US:
                call.start_us, call.time_precision = ended, precision
            else:
                call.end_us = ended
        call.finish_reason = text_or_none(message.get("stopReason"))
        call.status = "error" if call.finish_reason in ("error", "aborted") else "ok"
        if self.context.want_text and message.get("content"):
            call.output = [{"role": "assistant", "content": message["content"]}]
            call.content_state = "truncated"
        return call


def _has_usage(message: dict[str, Any]) -> bool:
    usage = message.get("usage")
    return message.get("role") == "assistant" and isinstance(usage, dict) and "input" in usage and "output" in usage


def _matches(record: Any) -> bool:
    if not isinstance(record, dict) or "sessionId" in record:
        return False
    if record.get("type") == "session":
        return "id" in record and "timestamp" in record and ("version" in record or "cwd" in record)
    return record.get("type") == "message" and _has_usage(mapping_or_empty(record.get("message")))


FORMAT = Format(
    name="pi",
    title="Session of pi or OpenClaw",
    fingerprints=(frozenset({"type", "id", "timestamp", "message"}),),
    matches=_matches,
    open=Session,
    rank=33,
    splittable=False,
    strict=True,
    fields=(
        ("start_time", "message.timestamp"), ("model", "message.model"), ("provider_name", "message.provider"),
        ("input_tokens", "usage.input + cacheRead + cacheWrite"), ("cache_read_input_tokens", "usage.cacheRead"),
        ("cache_creation_input_tokens", "usage.cacheWrite"), ("output_tokens", "usage.output"),
        ("logged_cost_usd", "usage.cost.total"), ("task", "cwd"), ("conversation_id", "the session's id"),
    ),
)  # fmt: skip
