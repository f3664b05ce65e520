"""What coding agents send, and the transcripts that they write of the same calls: each call once, in any order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from analysis.ledger import ledger
from ingest.formats.otlp_received import MARK
from ingest.pipeline.run import ingest
from ingest.store.database import Store

BEGIN = datetime(2026, 5, 20, 12, tzinfo=UTC)
CALLS = 8
Row = dict[str, Any]


def at(number: int, seconds: float = 0.0) -> datetime:
    return BEGIN + timedelta(seconds=20 * number + seconds)


def iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def sent(service: str, number: int, values: Row, body: str | None = None) -> Row:
    """A line of the journal with one log record, 0.2 s after the answer came."""
    nanos = int(at(number, 9.2).timestamp() * 1e9)
    record: Row = {
        "timeUnixNano": str(nanos), "observedTimeUnixNano": str(nanos),
        "attributes": [{"key": key, "value": {"intValue": str(value)} if isinstance(value, int) else
                        {"doubleValue": value} if isinstance(value, float) else {"stringValue": value}}
                       for key, value in values.items()],
    }  # fmt: skip
    if body:
        record["body"] = {"stringValue": body}
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}
    return {MARK: 1, "resourceLogs": [{"resource": resource, "scopeLogs": [{"scope": {}, "logRecords": [record]}]}]}


def claude_event(number: int) -> Row:
    """`claude_code.api_request` (code.claude.com/docs/en/monitoring-usage, 2026-10)."""
    return sent("claude-code", number, {
        "event.name": "api_request", "event.timestamp": iso(at(number, 9)), "event.sequence": number,
        "session.id": "s1", "model": "claude-sonnet-4-5-20250929", "input_tokens": 10 + number,
        "output_tokens": 500 + number, "cache_read_tokens": 20_000 + 100 * number, "cache_creation_tokens": 300,
        "cost_usd": 0.0148, "duration_ms": 8_000, "speed": "normal", "request_id": f"req_{number}",
    }, "claude_code.api_request")  # fmt: skip


def claude_rows(number: int) -> list[Row]:
    """The rows of an answer in a transcript: the first is written while it streams, with a count that is not whole."""
    rows = []
    for place, output in enumerate((3, 500 + number)):
        rows.append({
            "type": "assistant", "sessionId": "s1", "uuid": f"u{number}-{place}", "requestId": f"req_{number}",
            "timestamp": iso(at(number, 4 + 5 * place)), "cwd": "/home/me/site",
            "message": {
                "id": f"msg_{number}", "role": "assistant", "model": "claude-sonnet-4-5-20250929", "type": "message",
                "stop_reason": "end_turn" if place else None, "content": [{"type": "text", "text": f"part {place}"}],
                "usage": {"input_tokens": 10 + number, "output_tokens": output,
                          "cache_read_input_tokens": 20_000 + 100 * number, "cache_creation_input_tokens": 300},
            },
        })  # fmt: skip
    return rows


def codex_event(number: int) -> Row:
    """`codex.sse_event` of kind `response.completed` (developers.openai.com/codex, otel, 2026-10)."""
    return sent("codex_cli_rs", number, {
        "event.name": "codex.sse_event", "event.kind": "response.completed", "event.timestamp": iso(at(number, 9)),
        "conversation.id": "c1", "app.version": "0.60.0", "model": "gpt-5-codex", "slug": "gpt-5-codex",
        "input_token_count": str(9_000 + number), "output_token_count": str(300 + number),
        "cached_token_count": "8000", "reasoning_token_count": "64", "tool_token_count": str(9_300 + 2 * number),
    })  # fmt: skip


def codex_rows(number: int) -> list[Row]:
    counts = {"input_tokens": 9_000 + number, "cached_input_tokens": 8_000, "output_tokens": 300 + number,
              "reasoning_output_tokens": 64, "total_tokens": 9_300 + 2 * number}  # fmt: skip
    totals = {name: sum({**counts, "input_tokens": 9_000 + n, "output_tokens": 300 + n}[name]
                        for n in range(number + 1)) for name in counts}  # fmt: skip
    first: list[Row] = [
        {"type": "session_meta", "timestamp": iso(BEGIN), "payload": {"id": "c1", "cwd": "/home/me/site"}},
        {"type": "turn_context", "timestamp": iso(BEGIN), "payload": {"model": "gpt-5-codex"}},
    ]
    info = {"last_token_usage": counts, "total_token_usage": totals}
    count = {"type": "event_msg", "timestamp": iso(at(number, 9)), "payload": {"type": "token_count", "info": info}}
    return [*(first if number == 0 else []), count]


def gemini_event(number: int) -> Row:
    """`gemini_cli.api_response` (google-gemini/gemini-cli docs/cli/telemetry.md, 2026-10)."""
    return sent("gemini-cli", number, {
        "event.name": "gemini_cli.api_response", "event.timestamp": iso(at(number, 9)), "session.id": "g1",
        "model": "gemini-2.5-pro", "status_code": 200, "duration_ms": 8_000, "input_token_count": 7_000 + number,
        "output_token_count": 200 + number, "cached_content_token_count": 5_000, "thoughts_token_count": 50,
        "tool_token_count": 0, "total_token_count": 7_250 + 2 * number, "prompt_id": f"p{number}",
        "auth_type": "oauth-personal",
    })  # fmt: skip


def gemini_rows(number: int) -> list[Row]:
    row: Row = {
        "id": f"00000000-0000-4000-8000-{number:012}", "timestamp": iso(at(number, 9)), "type": "gemini",
        "content": "words", "model": "gemini-2.5-pro",
        "tokens": {"input": 7_000 + number, "output": 200 + number, "cached": 5_000, "thoughts": 50, "tool": 0,
                   "total": 7_250 + 2 * number},
    }  # fmt: skip
    head: Row = {"sessionId": "g1", "projectHash": "a" * 64, "startTime": iso(BEGIN), "lastUpdated": iso(BEGIN),
                 "kind": "main"}  # fmt: skip
    return [head, row] if number == 0 else [row]


AGENTS = {
    "claude": (claude_event, claude_rows, "claude-sonnet-4-5-20250929", 20_310, 500),
    "codex": (codex_event, codex_rows, "gpt-5-codex", 9_000, 300),
    "gemini": (gemini_event, gemini_rows, "gemini-2.5-pro", 7_000, 250),
}


def lines(rows: list[Row]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def looks() -> Iterator[tuple[str, ...]]:
    """Orders in which a watch may come upon the journal, a half-written transcript and the whole one."""
    for order in permutations(("events", "partial", "whole")):
        if order.index("partial") < order.index("whole"):
            yield ("claude", *order, "events", "whole")
    for agent in ("codex", "gemini"):
        yield (agent, "partial", "events", "whole", "events")


CASES = [(steps, {}) for steps in looks()] + [(steps, {"metadata_only": True}) for steps in looks()][:3]


@pytest.mark.parametrize(("steps", "keep"), CASES)
def test_each_call_is_stored_once_and_whole(tmp_path: Path, steps: tuple[str, ...], keep: dict[str, Any]) -> None:
    agent, *order = steps
    event, rows, model, asked, made = AGENTS[agent]
    store = Store(tmp_path / "s.duckdb")
    journal, transcript = tmp_path / "otlp-1.jsonl", tmp_path / "session.jsonl"
    whole = [row for number in range(CALLS) for row in rows(number)]
    for step in order:
        if step == "events":
            with journal.open("a") as handle:  # sent again after a while, as one whose answer was lost
                handle.write(lines([event(number) for number in range(CALLS)]))
            ingest(store, [journal], workers=1, **keep)
        else:
            transcript.write_text(lines(whole if step == "whole" else whole[:-1]))
            ingest(store, [transcript], workers=1, **keep)
    ledger.update(store)
    with store.read() as con:
        found = con.execute(
            "SELECT model, input_tokens, output_tokens, cost_usd IS NOT NULL FROM costs ORDER BY input_tokens"
        ).fetchall()
    step = 101 if agent == "claude" else 1
    assert found == [(model, asked + step * number, made + number, True) for number in range(CALLS)]
