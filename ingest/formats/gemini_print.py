"""What `gemini -p` and `qwen -p` print with `--output-format json` or `stream-json`: sums of a run, by model.

`stats.models.NAME.tokens`: prompts include the cache, candidates leave the thoughts out (gemini-cli, uiTelemetry.ts).
The result of a stream names totals only, and the model stands in its first record. A model that was asked more than
once is one row, flagged `sum_of_calls`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ingest.format_contract import Context, Format, Outcome
from ingest.records.call import SUM_OF_CALLS, Call, Skip, mapping_or_empty, text_or_none, token_count
from ingest.records.token_counts import settle
from ingest.wire.agent_session import session_call
from ingest.wire.request_response import take_file_time

_STREAM = ("init", "message", "tool_use", "tool_result", "error", "result")


class Runs:
    """Reads the records of one file: whole results, or the rows of a stream."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.model: str | None = None
        self.session: str | None = None
        self.began: Any = None

    def read(self, record: Any, row: int) -> Outcome | list[Outcome]:  # noqa: ARG002
        """The outcomes of one record. Raises BadRecordError if it cannot be used."""
        stats = record.get("stats")
        models = mapping_or_empty(stats).get("models")
        if isinstance(models, dict):
            session = text_or_none(record.get("session_id"))
            found: list[Outcome] = []
            for name, told in models.items():
                call = self._model(name, mapping_or_empty(told), session)
                if call.input_tokens or call.output_tokens:
                    found.append(call)
            return found or Skip("a run without token counts")
        if record.get("type") == "init":
            self.model, self.session = text_or_none(record.get("model")), text_or_none(record.get("session_id"))
            self.began = record.get("timestamp")
        if record.get("type") != "result" or not isinstance(stats, dict):
            return Skip("printed record without token counts")
        return self._total(record, stats)

    def close(self) -> Iterable[Outcome]:
        """Nothing: no call is held back."""
        return ()

    def _model(self, name: str, told: dict[str, Any], session: str | None) -> Call:
        tokens = mapping_or_empty(told.get("tokens"))
        prompt = token_count(tokens.get("prompt"), "$.tokens.prompt")
        if prompt is None:  # before `input` told what is not cached
            prompt = token_count(tokens.get("input"), "$.tokens.input")
        call = self._begun(name, session)
        settle(
            call,
            input_tokens=None if prompt is None else prompt + (token_count(tokens.get("tool"), "$.tokens.tool") or 0),
            output_tokens=token_count(tokens.get("candidates"), "$.tokens.candidates"),
            cache_read=token_count(tokens.get("cached"), "$.tokens.cached"),
            reasoning=token_count(tokens.get("thoughts"), "$.tokens.thoughts"),
            total=token_count(tokens.get("total"), "$.tokens.total"),
            reasoning_inside=False,
        )
        api = mapping_or_empty(told.get("api"))
        if api.get("totalRequests") != 1:
            call.issue(SUM_OF_CALLS, f"the counts of {api.get('totalRequests', 'all')} requests")
        return call

    def _total(self, record: dict[str, Any], stats: dict[str, Any]) -> Outcome:
        call = self._begun(self.model, self.session)
        settle(
            call,
            input_tokens=token_count(stats.get("input_tokens"), "$.stats.input_tokens"),
            output_tokens=token_count(stats.get("output_tokens"), "$.stats.output_tokens"),
            cache_read=token_count(stats.get("cached"), "$.stats.cached"),
            total=token_count(stats.get("total_tokens"), "$.stats.total_tokens"),
        )
        if not call.input_tokens and not call.output_tokens:
            return Skip("a run without token counts")
        call.issue(SUM_OF_CALLS, "the counts of all requests of a run")
        if record.get("status") == "error":
            call.status = "error"
        return call

    def _begun(self, model: str | None, session: str | None) -> Call:
        tool = "qwen-code" if (model or "").startswith(("qwen", "coder")) else "gemini-cli"
        if self.began is None:
            call = session_call(tool, self.context, model=model, when=self.context.mtime_us or 0, session=session)
            take_file_time(call, self.context)
        else:
            call = session_call(tool, self.context, model=model, when=self.began, session=session)
        call.identity = f"gemini_print:{session}:{model}" if session else None
        call.printed = True
        return call


def _matches(record: Any) -> bool:
    if not isinstance(record, dict):
        return False
    stats = record.get("stats")
    if isinstance(stats, dict) and isinstance(stats.get("models"), dict):
        return "response" in record or "error" in record or "session_id" in record
    kind = record.get("type")
    if kind == "init":
        return record.keys() >= {"session_id", "model", "timestamp"}
    return kind == "result" and isinstance(stats, dict) and "total_tokens" in stats


FORMAT = Format(
    name="gemini_print",
    title="Output of gemini -p or qwen -p (json, stream-json)",
    fingerprints=(frozenset({"response", "stats"}), frozenset({"type", "timestamp", "session_id", "model"})),
    matches=_matches,
    open=Runs,
    rank=9,
    splittable=False,
)
