"""What `claude -p --output-format json` and `stream-json` print: the answers, and a result with the sums of the run.

An answer printed while it streamed holds a partial count, and helper models are in no answer. So where the answers of
a run add up to its result (`modelUsage`), each is a call; else the run is one call for each model, with the counts of
the result. The results of one session are running totals. Without a result the answers are the calls. Nothing printed
has a time: the file's is taken.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from ingest.format_contract import Context, Format, Outcome
from ingest.formats.claude_code import Transcript
from ingest.records.agent_names import folder_name
from ingest.records.call import (
    NOTHING,
    SUM_OF_CALLS,
    BadRecordError,
    Call,
    Skip,
    mapping_or_empty,
    pico_dollars,
    text_or_none,
    token_count,
)
from ingest.records.provider_names import claude_host
from ingest.records.timestamps import time_us
from ingest.records.token_usage import apply_usage
from ingest.wire import anthropic
from ingest.wire.agent_session import growth
from ingest.wire.request_response import flag_file_time

_TYPES = frozenset({"system", "assistant", "user", "result", "stream_event", "rate_limit_event", "control_response"})
# names in `modelUsage` -> names in a usage object
_COUNTS = {
    "inputTokens": "input_tokens", "cacheReadInputTokens": "cache_read_input_tokens",
    "cacheCreationInputTokens": "cache_creation_input_tokens", "outputTokens": "output_tokens",
}  # fmt: skip
# of `cursor-agent -p`, whose result is else the same (Cursor CLI, output formats, 2026-10); disjoint too
_CURSOR = {
    "inputTokens": "input_tokens", "cacheReadTokens": "cache_read_input_tokens",
    "cacheWriteTokens": "cache_creation_input_tokens", "outputTokens": "output_tokens",
}  # fmt: skip
_SUMMED = Skip("an answer whose counts are in the result of its run", duplicate=True)


class Printed:
    """Reads the printed records of one file."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.answers = Transcript(context)
        self.calls: list[Call] = []
        self.session: str | None = None
        self.model: str | None = None
        self.folder: str | None = None
        self.before: dict[tuple[str | None, str], dict[str, int]] = {}  # session and model -> running counts

    def read(self, record: Any, row: int) -> Outcome | list[Outcome]:
        """The outcomes of one record. Raises BadRecordError if it cannot be used."""
        kind = record.get("type") if isinstance(record, dict) else None
        if kind not in _TYPES or "sessionId" in record:
            raise BadRecordError("not printed by claude -p", "$.type")
        self.session = text_or_none(record.get("session_id")) or self.session
        if kind == "result":
            return self._result(record, row)
        if kind == "system" and record.get("subtype") == "init":
            self.model = text_or_none(record.get("model")) or self.model
            self.folder = text_or_none(record.get("cwd")) or self.folder
        if kind != "assistant":
            return Skip("printed record without token counts", claims=NOTHING)
        found = self.answers.read({**record, "sessionId": self.session, "cwd": self.folder,
                                   "isSidechain": record.get("parent_tool_use_id") is not None,
                                   "timestamp": record.get("timestamp") or self.context.mtime_us}, row)  # fmt: skip
        rest: list[Outcome] = []
        for outcome in found if isinstance(found, list) else [found]:
            if isinstance(outcome, Call):
                self.calls.append(outcome)
            else:
                rest.append(outcome)
        return rest

    def close(self) -> Iterable[Outcome]:
        """The answers of a run whose result was not printed."""
        yield from self._answered()

    def _answered(self) -> list[Call]:
        held = [outcome for outcome in self.answers.close() if isinstance(outcome, Call)]
        calls, self.calls = [*self.calls, *held], []
        for call in calls:
            flag_file_time(call)
        return calls

    def _result(self, record: dict[str, Any], row: int) -> list[Outcome]:
        answers = self._answered()
        usage = {_CURSOR.get(name, name): value for name, value in mapping_or_empty(record.get("usage")).items()}
        models = record.get("modelUsage")
        if isinstance(models, dict) and models:
            grown = {name: self._growth(name, mapping_or_empty(counts)) for name, counts in models.items()}
        else:
            counts = {ours: token_count(usage.get(name), f"$.usage.{name}") or 0 for ours, name in _COUNTS.items()}
            grown = {next((one.response_model for one in answers if one.response_model), self.model): counts}
            models = {}
        grown = {name: counts for name, counts in grown.items() if any(counts.values())}
        if _sums(answers) == {name: tuple(counts.values()) for name, counts in grown.items()}:
            if len(answers) == 1:  # what is alone in its run has its cost
                answers[0].logged_cost_pico = pico_dollars(record.get("total_cost_usd"), "$.total_cost_usd")
            return [*answers, Skip("the sum of the answers before it", claims=NOTHING)]
        found: list[Outcome] = []
        for name, counts in grown.items():
            call = self._sum(record, name, counts, usage if len(grown) == 1 else {})
            call.logged_cost_pico = pico_dollars(
                mapping_or_empty(models.get(name)).get("costUSD", record.get("total_cost_usd")), "$.modelUsage"
            )
            call.identity = f"claude_print:{self.session}:{name}:{tuple(counts.values())}" if self.session else None
            call.row = row
            found.append(call)
        return [*found, *(_SUMMED for _ in answers)] or [Skip("a run without token counts")]

    def _growth(self, name: str, counts: dict[str, Any]) -> dict[str, int]:
        totals = {key: token_count(counts.get(key), f"$.modelUsage.{key}") or 0 for key in _COUNTS}
        grown = growth(totals, self.before.get((self.session, name), {}))
        self.before[self.session, name] = totals
        return grown

    def _sum(self, record: dict[str, Any], model: str | None, counts: dict[str, int], usage: dict[str, Any]) -> Call:
        """The call that stands for all of a model in a run; `usage` is the run's, where it is all this model's."""
        call = Call(operation_name="chat", provider_name=claude_host(model) if model else None, printed=True)
        call.request_model = call.response_model = model
        written = mapping_or_empty(usage.get("cache_creation"))
        split = {"cache_creation": written} if sum(
            part for part in written.values() if type(part) is int
        ) == counts["cacheCreationInputTokens"] else {}  # fmt: skip
        apply_usage(call, {**{name: counts[ours] for ours, name in _COUNTS.items()}, **split}, "$.modelUsage")
        anthropic.apply_tier(call, usage)
        call.end_us, call.time_precision = time_us(record.get("timestamp") or self.context.mtime_us, "$.timestamp")
        duration = record.get("duration_ms")
        call.start_us = call.end_us - (duration * 1000 if type(duration) is int and 0 <= duration < 10**9 else 0)
        call.conversation_id = self.session
        call.agent, call.agent_source = "main", "transcript"
        call.task = folder_name(self.folder)
        call.task_source = "project" if call.task else None
        call.service_name = "cursor" if "request_id" in record and "modelUsage" not in record else "claude-code"
        call.status = "error" if record.get("is_error") is True else "ok"
        if record.get("timestamp") is None:
            flag_file_time(call)
        turns = record.get("num_turns")
        if type(turns) is int and turns > 1:
            call.issue(SUM_OF_CALLS, f"the counts are those of all calls of a run of {turns} turns")
        return call


def _sums(calls: list[Call]) -> dict[str | None, tuple[int, ...]]:
    """Model -> its fresh input, cache reads, cache writes and output, as `modelUsage` has them."""
    found: dict[str | None, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for call in calls:
        read, written = call.cache_read_input_tokens or 0, call.cache_creation_input_tokens or 0
        parts = ((call.input_tokens or 0) - read - written, read, written, call.output_tokens or 0)
        found[call.response_model] = [one + more for one, more in zip(found[call.response_model], parts, strict=True)]
    return {name: tuple(counts) for name, counts in found.items()}


def _matches(record: Any) -> bool:
    if not isinstance(record, dict) or "sessionId" in record or "payload" in record:
        return False
    kind = record.get("type")
    if kind == "result":
        return "subtype" in record and ("usage" in record or "total_cost_usd" in record)
    if "session_id" not in record:
        return False
    if kind in ("assistant", "user"):
        return isinstance(record.get("message"), dict) and bool(record.keys() & {"uuid", "parent_tool_use_id"})
    return (kind == "system" and "subtype" in record) or (kind == "stream_event" and "event" in record)


FORMAT = Format(
    name="claude_print",
    title="Output of claude -p or cursor-agent -p",
    fingerprints=(frozenset({"type", "session_id", "modelUsage", "total_cost_usd"}),),
    matches=_matches,
    open=Printed,
    rank=28,
    splittable=False,
    strict=True,
    fields=(
        ("start_time", "the file's time - duration_ms"), ("model", "message.model or modelUsage"),
        ("input_tokens", "inputTokens + cacheReadInputTokens + cacheCreationInputTokens"),
        ("cache_read_input_tokens", "cacheReadInputTokens"), ("output_tokens", "outputTokens"),
        ("logged_cost_usd", "costUSD or total_cost_usd"), ("conversation_id", "session_id"), ("task", "cwd"),
    ),
)  # fmt: skip
