"""What a tool printed of a run, beside the log of its session, and rows without ids read with and without texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ingest.pipeline.report import IngestReport
from ingest.pipeline.run import ingest
from ingest.store.database import Store

SESSION = "0199a213-81c0-7800-8aa1-bbab2a035a53"
MILLIS = 1_780_304_400_000
USAGE = {"input_tokens": 100, "cache_read_input_tokens": 400, "cache_creation_input_tokens": 50, "output_tokens": 20}
TOKENS = {"input": 100, "output": 20, "reasoning": 0, "cache": {"read": 400, "write": 50}}
MODEL_USAGE = {"claude-sonnet-4-5": {"inputTokens": 100, "outputTokens": 20, "cacheReadInputTokens": 400,
                                     "cacheCreationInputTokens": 50, "costUSD": 0.01}}  # fmt: skip


def counts(times: int) -> dict[str, int]:
    return {"input_tokens": 1000 * times, "cached_input_tokens": 300 * times, "output_tokens": 100 * times,
            "reasoning_output_tokens": 0, "total_tokens": 1100 * times}  # fmt: skip


def event(seconds: int, kind: str, **payload: Any) -> dict[str, Any]:
    return {"timestamp": f"2026-06-01T09:00:{seconds:02}.000Z", "type": kind, "payload": payload}


# tool -> (file of the session's log, its rows), (file of what was printed, its rows), how many calls both are
TOOLS: dict[str, tuple[tuple[str, list[Any]], tuple[str, list[Any]], int]] = {
    "codex": (
        (f"z/rollout-2026-06-01T09-00-00-{SESSION}.jsonl", [
            event(0, "session_meta", id=SESSION, timestamp="2026-06-01T09:00:00.000Z", cwd="/p"),
            event(0, "turn_context", cwd="/p", model="gpt-5.5"),
            *(event(5 * n, "event_msg", type="token_count", info={
                "total_token_usage": counts(n), "last_token_usage": counts(1)}) for n in (1, 2))]),
        ("a.jsonl", [{"type": "thread.started", "thread_id": SESSION}, {"type": "turn.started"},
                     {"type": "turn.completed", "usage": {
                         "input_tokens": 2000, "cached_input_tokens": 600, "output_tokens": 200}}]),
        2,
    ),
    "opencode": (
        ("z/storage/message/ses_1/msg_1.json", [
            {"id": "msg_1", "sessionID": "ses_1", "role": "assistant", "modelID": "claude-sonnet-4-5",
             "providerID": "anthropic", "time": {"created": MILLIS, "completed": MILLIS + 2000}, "tokens": TOKENS}]),
        ("a.jsonl", [{"type": "step_start", "timestamp": MILLIS, "sessionID": "ses_1", "part": {"id": "p"}},
                     {"type": "step_finish", "timestamp": MILLIS + 1990, "sessionID": "ses_1",
                      "part": {"id": "q", "type": "step-finish", "reason": "stop", "tokens": TOKENS}}]),
        1,
    ),
    "claude": (
        ("z/projects/-p/s1.jsonl", [
            {"type": "assistant", "sessionId": "s1", "uuid": "a1", "requestId": "r", "timestamp":
             "2026-06-01T09:00:02.000Z", "message": {"id": "msg_1", "role": "assistant", "model": "claude-sonnet-4-5",
                                                     "stop_reason": "end_turn", "usage": USAGE}}]),
        ("a.json", [{"type": "result", "subtype": "success", "session_id": "s1", "duration_ms": 2000, "num_turns": 1,
                     "total_cost_usd": 0.01, "usage": USAGE, "modelUsage": MODEL_USAGE}]),
        1,
    ),
}  # fmt: skip


def written(folder: Path, file: tuple[str, list[Any]]) -> Path:
    path = folder / file[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in file[1]))
    return path


def calls(store: Store) -> int:
    with store.read() as con:
        return int(con.execute("SELECT count(*) FROM calls").fetchall()[0][0])


@pytest.mark.parametrize("tool", TOOLS)
def test_a_printed_run_beside_its_sessions_log_counts_once(tool: str, tmp_path: Path) -> None:
    session, printed, both = TOOLS[tool]
    written(tmp_path / "logs", session)
    written(tmp_path / "logs", printed)
    store = Store(tmp_path / "s.duckdb")
    report = ingest(store, [tmp_path / "logs"])
    assert calls(store) == both == report.calls
    assert report.rows == report.calls + report.duplicates + report.quarantined + report.skipped
    assert ingest(store, [tmp_path / "logs"]).calls == 0


@pytest.mark.parametrize("tool", TOOLS)
def test_a_printed_run_without_its_sessions_log_counts(tool: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "s.duckdb")
    assert ingest(store, [written(tmp_path, TOOLS[tool][1])]).calls == 1


@pytest.mark.parametrize("tool", TOOLS)
def test_a_session_that_is_read_after_what_was_printed_of_it_is_told(tool: str, tmp_path: Path) -> None:
    session, printed, both = TOOLS[tool]
    store = Store(tmp_path / "s.duckdb")
    ingest(store, [written(tmp_path, printed)])
    report = ingest(store, [written(tmp_path, session)])
    assert report.calls == both
    assert report.files[0]["flagged"]["counted_twice"] == 1


ASKED = {"model": "gpt-5.2", "messages": [{"role": "user", "content": "x"}]}
PAIR = {"timestamp": "2026-06-01T09:00:00Z", "request": ASKED,
        "response": {"object": "chat.completion", "model": "gpt-5.2", "choices": [{"message": {"content": "y"}}],
                     "usage": {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200}}}  # fmt: skip


@pytest.mark.parametrize("texts", [True, False])
@pytest.mark.parametrize("copies", [1, 3])
def test_rows_without_ids_read_with_texts_and_without_count_once(tmp_path: Path, texts: bool, copies: int) -> None:
    later = {**PAIR, "timestamp": "2026-06-01T09:05:00Z"}
    store = Store(tmp_path / "s.duckdb")

    def read(name: str, rows: list[Any], text: bool) -> IngestReport:
        return ingest(store, [written(tmp_path, (name, rows))], text=text)

    assert read("a.jsonl", copies * [PAIR], texts).calls == copies
    assert read("b.jsonl", [*copies * [PAIR], later], not texts).calls == 1
    assert read("b.jsonl", [*copies * [PAIR], later, later], not texts).calls == 1
    assert calls(store) == copies + 2
