"""Sessions of coding agents in files and databases: each call, or each sum, once and with its own counts."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import zstandard
from builder import in_memory

from ingest.formats import detect_record
from ingest.pipeline.run import ingest

TIME = "2026-09-10T10:00:00.000Z"
MILLIS = 1_789_034_400_000
CALL = (1270, 900, 70, 40)  # inclusive input, cache read, cache written, output
DISJOINT = (300, 900, 70, 40)


def usage(*names: str) -> dict[str, int]:
    """The call's disjoint counts under these names."""
    return dict(zip(names, DISJOINT, strict=True))


def read(tmp_path: Path, *paths: Path) -> list[tuple[Any, ...]]:
    store = in_memory(tmp_path / "s.duckdb")
    report = ingest(store, paths, workers=1)
    assert report.quarantined == 0
    assert report.rows == report.calls + report.duplicates + report.skipped
    with store.read() as con:
        return con.execute(
            """SELECT input_tokens, cache_read_input_tokens, cache_creation_input_tokens, output_tokens
                 FROM calls ORDER BY start_time, input_tokens, call_no"""
        ).fetchall()


def issues(tmp_path: Path) -> dict[str, int]:
    with in_memory(tmp_path / "s.duckdb").read() as con:
        return dict(con.execute("SELECT code, count(*) FROM import_issues GROUP BY 1").fetchall())


def value(tmp_path: Path, query: str) -> Any:
    with in_memory(tmp_path / "s.duckdb").read() as con:
        return con.execute(f"SELECT {query} FROM calls").fetchall()[0][0]


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = content if isinstance(content, list) and path.suffix == ".jsonl" else [content]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def database(path: Path, table: str, rows: list[dict[str, Any]], **others: list[dict[str, Any]]) -> Path:
    with closing(sqlite3.connect(path)) as con:
        for name, content in {table: rows, **others}.items():
            con.execute(f"CREATE TABLE {name} ({', '.join(content[0])})")
            for row in content:
                con.execute(f"INSERT INTO {name} VALUES ({', '.join('?' * len(row))})", list(row.values()))
        con.commit()
    return path


# -- databases ---------------------------------------------------------------------------------------------------------


def test_the_sums_of_goose_and_hermes_are_rows_that_say_so(tmp_path: Path) -> None:
    goose = {"id": "g1", "working_dir": "/home/dev/atlas", "created_at": "2026-09-10 10:00:00",
             "updated_at": "2026-09-10 11:00:00", "accumulated_total_tokens": 1310, "accumulated_input_tokens": 1270,
             "accumulated_output_tokens": 40, "provider_name": "anthropic",
             "model_config_json": '{"model_name": "claude-sonnet-4-5"}'}  # fmt: skip
    names = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens")
    hermes = {"id": "h1", "model": "claude-sonnet-4-5", **usage(*names), "output_tokens": 30, "reasoning_tokens": 10,
              "actual_cost_usd": None, "estimated_cost_usd": 0.25, "started_at": MILLIS / 1000 + 60, "ended_at": None,
              "cwd": "/x", "git_repo_root": None, "billing_provider": "anthropic"}  # fmt: skip
    found = read(tmp_path, database(tmp_path / "sessions.db", "sessions", [goose]),
                 database(tmp_path / "state.db", "sessions", [hermes]))  # fmt: skip
    assert found == [(1270, None, None, 40), CALL]
    assert issues(tmp_path) == {"sum_of_calls": 2}


def test_a_session_that_went_on_replaces_its_sum(tmp_path: Path) -> None:
    for number, (asked, made) in enumerate(((100, 5), (1270, 40))):
        row = {"id": "g1", "created_at": "2026-09-10 10:00:00", "updated_at": None, "accumulated_input_tokens": asked,
               "accumulated_output_tokens": made, "model_config_json": None}  # fmt: skip
        path = database(tmp_path / f"{number}.db", "sessions", [row])
        found = read(tmp_path, path)
    assert found == [(1270, None, None, 40)]


def test_crush_tells_the_cost_of_a_session_and_not_its_tokens(tmp_path: Path) -> None:
    row = {"id": "c1", "parent_session_id": None, "prompt_tokens": 1270, "completion_tokens": 40, "cost": 0.5,
           "created_at": MILLIS // 1000, "updated_at": MILLIS // 1000}  # fmt: skip
    messages = [{"session_id": "c1", "model": "gpt-5.2"}]
    child = {**row, "id": "c2", "parent_session_id": "c1"}
    path = database(tmp_path / "crush.db", "sessions", [row, child], messages=messages)
    assert read(tmp_path, path) == [(None, None, None, None)]
    assert (value(tmp_path, "logged_cost_usd::DOUBLE"), value(tmp_path, "model")) == (0.5, "gpt-5.2")


def test_requests_of_a_zed_thread_are_calls(tmp_path: Path) -> None:
    names = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens")
    thread = {"model": {"provider": "anthropic", "model": "claude-sonnet-4-5"},
              "request_token_usage": {"a": usage(*names), "b": dict.fromkeys(names, 0)}}  # fmt: skip
    rows = [{"id": name, "summary": "", "updated_at": TIME, "data_type": kind, "data": data} for name, kind, data in (
        ("t1", "zstd", zstandard.ZstdCompressor().compress(json.dumps(thread).encode())),
        ("t2", "json", json.dumps({"model": None, "cumulative_token_usage": usage(*names)})),
        ("t3", "json", "{}"))]  # fmt: skip
    assert read(tmp_path, database(tmp_path / "threads.db", "threads", rows)) == [CALL, CALL]
    assert issues(tmp_path) == {"no_model": 1, "sum_of_calls": 1, "time_of_thread": 2}


def copilot_store(path: Path) -> Path:
    row = {"id": 1, "session_id": "cp1", "created_at": TIME, "model": "claude-sonnet-4.5", "input_tokens": 1270,
           "output_tokens": 40, "cache_read_tokens": 900, "cache_write_tokens": 70, "reasoning_tokens": None,
           "duration_ms": 2500.0}  # fmt: skip
    return database(path, "assistant_usage_events", [row])


def leg(requests: int, at: str = TIME) -> dict[str, Any]:
    counts = {"inputTokens": 1270, "cacheReadTokens": 900, "cacheWriteTokens": 70, "outputTokens": 40}
    metrics = {"usage": {name: count * requests for name, count in counts.items()}}
    return {"type": "session.shutdown", "timestamp": at, "data": {"modelMetrics": {"claude-sonnet-4.5": metrics}}}


START = {"type": "session.start", "timestamp": TIME, "data": {"sessionId": "cp1"}}


def test_a_session_of_copilot_is_counted_in_the_store_or_by_its_sums(tmp_path: Path) -> None:
    events = write(tmp_path / ".copilot" / "session-state" / "cp1" / "events.jsonl", [START, leg(1)])
    assert read(tmp_path, events) == [CALL]
    other = tmp_path / "other"
    other.mkdir()
    # the store appears beside a session that was read without it in the same process
    assert read(other, copilot_store(tmp_path / ".copilot" / "session-store.db"), events) == [CALL]
    assert value(other, "epoch_ms(end_time) - epoch_ms(start_time)") == 2500


def test_sums_of_copilot_go_on_or_begin_again(tmp_path: Path) -> None:
    legs = [leg(1), leg(3, "2026-09-10T12:00:00Z"), leg(1, "2026-09-10T14:00:00Z")]
    found = read(tmp_path, write(tmp_path / "cp1" / "events.jsonl", [START, *legs]))
    assert sorted(one[0] for one in found) == [1270, 1270, 2540]


def test_messages_of_cursor_without_counts_are_no_calls(tmp_path: Path) -> None:
    def bubble(asked: int, made: int) -> str:
        return json.dumps({"tokenCount": {"inputTokens": asked, "outputTokens": made}, "createdAt": TIME,
                           "modelInfo": {"modelName": "claude-4.5-sonnet"}})  # fmt: skip

    rows = [{"key": f"bubbleId:c:{number}", "value": bubble(*counts)} for number, counts in
            enumerate(((0, 0), (1270, 40)))] + [{"key": "composerData:c", "value": "{}"}]  # fmt: skip
    assert read(tmp_path, database(tmp_path / "state.vscdb", "cursorDiskKV", rows)) == [(1270, None, None, 40)]
    assert issues(tmp_path) == {"cache_unknown": 1}


# -- files -------------------------------------------------------------------------------------------------------------


def test_usage_of_cursor_is_one_in_pages_and_in_the_export(tmp_path: Path) -> None:
    counts = usage("inputTokens", "cacheReadTokens", "cacheWriteTokens", "outputTokens")
    event = {"timestamp": str(MILLIS), "model": "gpt-5.2", "tokenUsage": {**counts, "totalCents": 1.5}}
    page = write(tmp_path / "page.json", {"totalUsageEventsCount": 1, "usageEvents": [event]})
    export = tmp_path / "usage.csv"
    header = (
        "Date,User,Kind,Model,Max Mode,Input (w/ Cache Write),Input (w/o Cache Write),Cache Read,Output Tokens,Cost"
    )
    export.write_text(f'{header}\n"{TIME}",,Included,gpt-5.2,No,70,300,900,40,$0.02\n"{TIME}",,x,auto,No,0,0,0,0,-\n')
    assert read(tmp_path, page, export) == [CALL]
    assert value(tmp_path, "logged_cost_usd::DOUBLE") == 0.015


@pytest.mark.parametrize("tool", [".pi/agent", ".openclaw/agents/main"])
def test_a_fork_of_pi_copies_rows_that_are_no_new_calls(tmp_path: Path, tool: str) -> None:
    message = {"role": "assistant", "provider": "anthropic", "model": "claude-sonnet-4-6", "timestamp": MILLIS,
               "usage": usage("input", "cacheRead", "cacheWrite", "output")}  # fmt: skip
    for name in ("a", "b"):
        header = {"type": "session", "version": 3, "id": name, "timestamp": TIME, "cwd": "/home/dev/atlas"}
        change = {"type": "model_change", "id": "1", "timestamp": TIME}
        row = {"type": "message", "id": f"{name}2", "timestamp": "2026-09-10T10:00:04Z", "message": message}
        write(tmp_path / tool / "sessions" / f"{name}.jsonl", [header, change, row])
    assert read(tmp_path, *sorted((tmp_path / tool).rglob("*.jsonl"))) == [CALL]
    assert value(tmp_path, "service_name") == tool.split("/")[0].strip(".")


def test_a_chat_of_gemini_counts_the_last_row_of_a_message(tmp_path: Path) -> None:
    def message(**tokens: int) -> dict[str, Any]:
        return {"id": "m1", "timestamp": TIME, "type": "gemini", "model": "gemini-3-pro-preview", "tokens": tokens}

    whole = message(input=1200, cached=900, tool=70, output=30, thoughts=10, total=1310)
    chat = {"sessionId": "g", "projectHash": "p", "messages": [whole]}
    rows = [{"sessionId": "g", "projectHash": "p"}, message(input=1200, output=1, total=1201), whole,
            {"$rewindTo": "m0"}, {"$set": {"messages": [whole]}}]  # fmt: skip
    assert read(tmp_path, write(tmp_path / "a.jsonl", rows), write(tmp_path / "a.json", chat)) == [
        (1270, 900, None, 40)
    ]


@pytest.mark.parametrize("tags", [1, 2])
def test_a_request_of_cline_takes_the_model_of_its_conversation_if_that_is_one(tmp_path: Path, tags: int) -> None:
    request = usage("tokensIn", "cacheReads", "cacheWrites", "tokensOut")
    row = {"ts": MILLIS, "type": "say", "say": "api_req_started", "text": json.dumps({**request, "cost": 0.01})}
    folder = tmp_path / "saoudrizwan.claude-dev" / "tasks" / "1"
    text = "".join(f"<model>claude-{name}</model>" for name in ("sonnet-4-5", "opus-4-5")[:tags])
    write(folder / "api_conversation_history.json", [{"role": "user", "content": text}])
    assert read(tmp_path, write(folder / "ui_messages.json", [row])) == [CALL]
    assert value(tmp_path, "model") == ("claude-sonnet-4-5" if tags == 1 else None)


def test_a_request_of_roo_in_openai_s_protocol_has_its_cache_inside(tmp_path: Path) -> None:
    request = {"apiProtocol": "openai", "tokensIn": 1270, "cacheReads": 900, "cacheWrites": 70, "tokensOut": 40}
    row = {"ts": MILLIS, "type": "say", "say": "api_req_started", "text": json.dumps(request)}
    assert read(tmp_path, write(tmp_path / "1" / "ui_messages.json", [row])) == [CALL]


def test_kimi_code_names_the_model_behind_an_alias_before_the_count(tmp_path: Path) -> None:
    counts = usage("inputOther", "inputCacheRead", "inputCacheCreation", "output")
    request = {"type": "llm.request", "time": MILLIS, "model": "kimi-k2-thinking", "modelAlias": "fast"}
    rows = [request, {"type": "usage.record", "time": MILLIS, "model": "fast", "usage": counts}]
    path = tmp_path / "sessions" / "wd_x" / "session_1" / "agents" / "helper" / "wire.jsonl"
    assert read(tmp_path, write(path, rows)) == [CALL]
    assert (value(tmp_path, "model"), value(tmp_path, "agent")) == ("kimi-k2-thinking", "helper")


@pytest.mark.parametrize("configured", [True, False])
def test_kimi_cli_has_the_model_of_its_configuration(tmp_path: Path, configured: bool) -> None:
    counts = usage("input_other", "input_cache_read", "input_cache_creation", "output")
    update = {"type": "StatusUpdate", "payload": {"message_id": "m", "token_usage": counts}}
    path = write(tmp_path / "sessions" / "a" / "k1" / "wire.jsonl", [{"timestamp": MILLIS / 1000, "message": update}])
    if configured:
        (tmp_path / "config.toml").write_text('default_model = "k"\n[models.k]\nmodel = "kimi-k2-turbo"\n')
    assert read(tmp_path, path) == [CALL]
    assert value(tmp_path, "model") == ("kimi-k2-turbo" if configured else None)


def test_the_sum_of_a_droid_session_is_named_by_its_file(tmp_path: Path) -> None:
    counts = usage("inputTokens", "cacheReadTokens", "cacheCreationTokens", "outputTokens")
    settings = {"model": "custom:claude-sonnet-4-5", "providerLock": "anthropic", "tokenUsage": counts}
    assert read(tmp_path, write(tmp_path / "d1.settings.json", settings)) == [CALL]
    assert (value(tmp_path, "conversation_id"), value(tmp_path, "model")) == ("d1", "claude-sonnet-4-5")
    assert issues(tmp_path) == {"sum_of_calls": 1, "time_of_file": 1}


def test_the_models_of_a_grok_turn_count_and_not_the_totals_above_them(tmp_path: Path) -> None:
    counts = {"inputTokens": 1270, "cachedReadTokens": 900, "cacheCreationTokens": 70, "outputTokens": 40,
              "costUsdTicks": 250_000_000, "modelCalls": 3}  # fmt: skip
    update = {"sessionUpdate": "turn_completed", "prompt_id": "p1",
              "usage": {"inputTokens": 10**6, "outputTokens": 10**5, "modelUsage": {"grok-4": counts}}}  # fmt: skip
    row = {"timestamp": MILLIS // 1000, "method": "session/update", "params": {"sessionId": "g", "update": update}}
    assert read(tmp_path, write(tmp_path / "updates.jsonl", [row, row])) == [CALL]
    assert value(tmp_path, "logged_cost_usd::DOUBLE") == 0.025


# -- logs of others ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "record",
    [
        {"timestamp": TIME, "model": "gpt-5.2", "tokenUsage": {"inputTokens": 10, "outputTokens": 2}},
        {"type": "user", "session_id": "s", "text": "hello"},
        {"type": "system", "session_id": "s", "level": "info"},
        {"type": "llm_call", "timestamp": TIME, "payload": {"tokens": 10}},
        {"id": "1", "timestamp": TIME, "type": "error", "content": "x"},
        {"ts": MILLIS, "type": "event", "text": "x"},
        {"type": "session", "id": "s", "user": "x"},
        {"params": {"update": {"name": "x"}}, "method": "m"},
        {"timestamp": MILLIS, "message": "text"},
        {"attributes": {"event.name": "checkout"}, "body": "x"},
        {"type": ["message"], "data": [1], "message": {"type": {}}},
    ],
    ids=lambda record: ",".join(record),
)
def test_a_log_of_something_else_is_not_taken_for_an_agent_s(record: dict[str, Any]) -> None:
    found = detect_record(record)
    assert found is None or found.name in ("mapping", "hindcast"), found.name
