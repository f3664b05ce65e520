"""Aider: the file of `--analytics-log`, and the chat history, which tells rounded counts.

An event `message_send` tells what one reply used: `show_usage_report` sums the requests behind it, cache included in
what was sent, and sets the sums back (aider base_coder.py, 0.86). The history has the same report as a line of text,
thousands rounded, with the cost of the reply and of the session.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from ingest.format_contract import Context, Format, Outcome
from ingest.records.call import BadRecordError, Call, Skip, mapping_or_empty, pico_dollars, text_or_none, token_count
from ingest.records.token_counts import settle
from ingest.wire.agent_session import session_call
from ingest.wire.request_response import take_file_time

_REPORT = re.compile(
    r"> Tokens: (?P<sent>[\d.,]+[kM]?) sent(?:, (?P<written>[\d.,]+[kM]?) cache write)?"
    r"(?:, (?P<read>[\d.,]+[kM]?) cache hit)?, (?P<received>[\d.,]+[kM]?) received\."
    r"(?: Cost: \$(?P<cost>[\d.,]+) message)?"
)
_STARTED = re.compile(r"# aider chat started at (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)")
_MODEL = re.compile(r"> (?:Main model|Model): (\S+)")
_THOUSANDS = {"k": 1_000, "M": 1_000_000}


class Sessions:
    """Reads the events or the lines of one file; both are in the order of time."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.started: str | None = None
        self.model: str | None = None

    def read(self, record: Any, row: int) -> Outcome:
        """The outcome of one record. Raises BadRecordError if it cannot be used."""
        if "aider" in record:
            return self._line(str(record["aider"]), row)
        told = mapping_or_empty(record.get("properties"))
        if record.get("event") != "message_send":
            return Skip("an event without token counts")
        call = session_call("aider", self.context, model=None, when=record.get("time"), unit="s")
        self._name(call, text_or_none(told.get("main_model")))
        settle(
            call,
            input_tokens=token_count(told.get("prompt_tokens"), "$.properties.prompt_tokens"),
            output_tokens=token_count(told.get("completion_tokens"), "$.properties.completion_tokens"),
            total=token_count(told.get("total_tokens"), "$.properties.total_tokens"),
        )
        call.logged_cost_pico = pico_dollars(told.get("cost"), "$.properties.cost")
        call.user_id = text_or_none(record.get("user_id"))
        return call

    def close(self) -> Iterable[Outcome]:
        """Nothing: no call is held back."""
        return ()

    def _line(self, line: str, row: int) -> Outcome:
        if started := _STARTED.match(line):
            self.started = started[1]
            return Skip("session header")
        if model := _MODEL.match(line):
            self.model = model[1]
            return Skip("session header")
        report = _REPORT.match(line)
        if report is None:
            raise BadRecordError("a report of tokens in other words")
        if self.started is None:
            call = Call(operation_name="chat", service_name="aider", agent="main", agent_source="transcript")
            take_file_time(call, self.context)
        else:
            call = session_call("aider", self.context, model=None, when=self.started)
            call.issue("time_of_session", "the history tells when a session began, not when a reply came")
        self._name(call, self.model)
        read, written = _count(report["read"]), _count(report["written"])
        settle(
            call,
            input_tokens=_count(report["sent"]),
            output_tokens=_count(report["received"]),
            cache_read=read,
            cache_write=written,
        )
        call.issue("rounded_counts", "the history rounds thousands")
        call.logged_cost_pico = pico_dollars((report["cost"] or "").replace(",", "") or None, "Cost")
        call.identity = f"aider:{self.started}:{row}:{report[0]}"
        return call

    @staticmethod
    def _name(call: Call, name: str | None) -> None:
        """The model by litellm's name, `provider/model`."""
        provider, slash, model = (name or "").partition("/")
        call.request_model = call.response_model = model if slash else name
        call.provider_name = provider if slash else call.provider_name


def _count(text: str | None) -> int | None:
    if text is None:
        return None
    number = float(text.rstrip("kM").replace(",", ""))
    return round(number * _THOUSANDS.get(text[-1], 1))


def _matches(record: Any) -> bool:
    if not isinstance(record, dict):
        return False
    if record.keys() == {"aider"}:
        return True
    told = record.get("properties")
    return (record.keys() >= {"event", "time"} and isinstance(told, dict) and "aider_version" in told) or (
        record.get("event") == "message_send" and isinstance(told, dict) and "main_model" in told
    )


FORMAT = Format(
    name="aider",
    title="Aider's analytics log or chat history",
    fingerprints=(frozenset({"event", "properties", "user_id", "time"}),),
    matches=_matches,
    open=Sessions,
    rank=17,
    splittable=False,
    fields=(
        ("start_time", "time"), ("model", "properties.main_model"), ("input_tokens", "properties.prompt_tokens"),
        ("output_tokens", "properties.completion_tokens"), ("logged_cost_usd", "properties.cost"),
    ),
)  # fmt: skip
