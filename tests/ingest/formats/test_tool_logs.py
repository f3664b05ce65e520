"""Logs of command-line tools, editors and evaluations: databases, archives, rounded reports, printed results."""

from __future__ import annotations

import io
import json
import sqlite3
import struct
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import zstandard
from builder import in_memory

from ingest.detect.draft_mapping import draft_mapping
from ingest.errors import InputError
from ingest.pipeline.report import IngestReport
from ingest.pipeline.run import ingest

TIME = "2026-06-01T09:00:00+00:00"
MILLIS = 1_780_304_400_000
FULL = (1000, 300, 200, 50)  # input, cache read, output, reasoning
EVENT = {
    "event": "model", "timestamp": TIME, "model": "openai/gpt-5.2", "completed": "2026-06-01T09:00:02+00:00",
    "output": {"model": "gpt-5.2", "usage": {
        "input_tokens": 700, "output_tokens": 200, "total_tokens": 1200, "input_tokens_cache_read": 300,
        "reasoning_tokens": 50}},
}  # fmt: skip
HEADER = {"version": 2, "status": "success", "eval": {"run_id": "r", "task": "t", "model": "openai/gpt-5.2"}}


def read(tmp_path: Path, path: Path, **options: Any) -> tuple[list[tuple[Any, ...]], IngestReport]:
    report = ingest(in_memory(tmp_path / "s.duckdb"), [path], **options)
    with in_memory(tmp_path / "s.duckdb").read() as con:
        return con.execute(
            """SELECT input_tokens, cache_read_input_tokens, output_tokens, reasoning_output_tokens
                 FROM calls ORDER BY call_no"""
        ).fetchall(), report


def column(tmp_path: Path, expression: str) -> list[Any]:
    with in_memory(tmp_path / "s.duckdb").read() as con:
        return [row[0] for row in con.execute(f"SELECT {expression} FROM calls ORDER BY call_no").fetchall()]


def issues(tmp_path: Path) -> set[str]:
    with in_memory(tmp_path / "s.duckdb").read() as con:
        return {row[0] for row in con.execute("SELECT DISTINCT code FROM import_issues").fetchall()}


def database(path: Path, **tables: list[dict[str, Any]]) -> Path:
    with closing(sqlite3.connect(path)) as con:
        for name, rows in tables.items():
            con.execute(f"CREATE TABLE {name} ({', '.join(rows[0])})")
            con.executemany(
                f"INSERT INTO {name} VALUES ({', '.join('?' * len(rows[0]))})", [[*row.values()] for row in rows]
            )
        con.commit()
    return path


def evaluation(path: Path, samples: list[Any], *, packed: bool = False) -> Path:
    members = {"header.json": HEADER, **{f"samples/{n}_epoch_1.json": one for n, one in enumerate(samples)},
               "summaries.json": []}  # fmt: skip
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, json.dumps(content))
    if packed:
        path.write_bytes(with_zstd(members))
    return path


def with_zstd(members: dict[str, Any]) -> bytes:
    """A zip archive whose members are compressed in the way 93, which the standard library does not write."""
    out, index = io.BytesIO(), b""
    for name, content in members.items():
        data = zstandard.ZstdCompressor().compress(json.dumps(content).encode())
        fields = (93, 0, 0, zipfile.crc32(json.dumps(content).encode()), len(data), len(json.dumps(content)), len(name))
        at = out.tell()
        out.write(struct.pack("<4sHHHHHIIIHH", b"PK\x03\x04", 63, 0, *fields, 0) + name.encode() + data)
        index += (
            struct.pack("<4sHHHHHHIIIHHHHHII", b"PK\x01\x02", 63, 63, 0, *fields, 0, 0, 0, 0, 0, at) + name.encode()
        )
    start = out.tell()
    out.write(index + struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, len(members), len(members), len(index), start, 0))
    return out.getvalue()


@pytest.mark.parametrize("packed", [False, True])
def test_samples_of_an_evaluation_in_its_archive_are_read(tmp_path: Path, packed: bool) -> None:
    samples = [{"id": n, "epoch": 1, "events": [EVENT]} for n in (1, 2)]
    found, report = read(tmp_path, evaluation(tmp_path / "log.eval", samples, packed=packed))
    assert found == [FULL, FULL]
    assert report.files[0]["format"] == "inspect_ai"
    assert column(tmp_path, "agent") == ["t", "t"]


def test_a_damaged_sample_of_an_archive_leaves_the_others(tmp_path: Path) -> None:
    path = evaluation(tmp_path / "log.eval", [{"id": 1, "epoch": 1, "events": [EVENT]}])
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("samples/9_epoch_1.json", b"{")
    found, report = read(tmp_path, path)
    assert (found, report.quarantined) == ([FULL], 1)


def test_an_archive_of_anything_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.eval"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "x")
    with pytest.raises(InputError, match="without samples"):
        ingest(in_memory(tmp_path / "s.duckdb"), [path])


HISTORY = """
# aider chat started at 2026-06-01 09:00:00

> Aider v0.86.0
> Main model: anthropic/claude-sonnet-4-5 with diff edit format

#### hello

> Tokens: 3.2k sent, 1.1k cache write, 2.0k cache hit, 512 received. Cost: $0.02 message, $0.02 session.

> Tokens: 12k sent, 1,024 received. Cost: $0.05 message, $0.07 session.
"""


def test_reports_of_aiders_history_are_calls_with_rounded_counts(tmp_path: Path) -> None:
    path = tmp_path / ".aider.chat.history.md"
    path.write_text(HISTORY)
    found, _ = read(tmp_path, path)
    assert [row[::2] for row in found] == [(3200, 512), (12000, 1024)]
    assert found[0][1] == 2000
    assert [float(cost) for cost in column(tmp_path, "logged_cost_usd")] == [0.02, 0.05]
    assert column(tmp_path, "model") == ["claude-sonnet-4-5"] * 2
    assert {"rounded_counts", "time_of_session"} <= issues(tmp_path)


DETAILS = {"prompt_tokens_details": {"cached_tokens": 300}, "completion_tokens_details": {"reasoning_tokens": 50}}
LLM = {"id": "01j", "model": "gpt-5.2", "prompt": "hi", "system": None, "response": "x", "response_json": "{}",
       "conversation_id": "c", "duration_ms": 2000, "datetime_utc": "2026-06-01T09:00:00.000000", "input_tokens": 1000,
       "output_tokens": 200, "resolved_model": None, "token_details": json.dumps(DETAILS)}  # fmt: skip
CLAUDE = {**LLM, "id": "01k", "model": "claude-sonnet-4.5", "input_tokens": 100, "token_details": json.dumps(
    {"cache_read_input_tokens": 400, "cache_creation_input_tokens": 50})}  # fmt: skip


def test_the_database_of_the_llm_command_is_read(tmp_path: Path) -> None:
    found, report = read(tmp_path, database(tmp_path / "logs.db", responses=[LLM, CLAUDE]))
    assert found == [FULL, (550, 400, 200, None)]
    assert report.files[0]["format"] == "llm_cli"


SPAN = {"span_id": "00f067aa0ba90201", "trace_id": "0af7651916cd43dd8448eb211c80319c", "parent_span_id": None,
        "name": "chat gpt-5.2", "start_time_ms": MILLIS, "end_time_ms": MILLIS + 2000, "status_code": 1,
        "operation_name": "chat", "provider_name": "github", "agent_name": "copilot", "request_model": "gpt-5.2",
        "response_model": "gpt-5.2", "input_tokens": 1000, "output_tokens": 200, "cached_tokens": 300,
        "reasoning_tokens": 50, "chat_session_id": "s"}  # fmt: skip
AGENT = {**SPAN, "span_id": "00f067aa0ba90200", "operation_name": "invoke_agent", "name": "invoke_agent copilot"}


def test_spans_of_copilot_chats_database_are_calls_without_the_agents_sums(tmp_path: Path) -> None:
    spans = [AGENT, {**SPAN, "parent_span_id": AGENT["span_id"]}]
    attributes = [{"span_id": SPAN["span_id"], "key": "gen_ai.response.id", "value": "resp_1"}]
    found, report = read(tmp_path, database(tmp_path / "agent-traces.db", spans=spans, span_attributes=attributes))
    assert found == [FULL]
    assert report.files[0]["format"] == "otel_rows"
    assert column(tmp_path, "duration_ms") == [2000.0]
    assert column(tmp_path, "response_id") == ["resp_1"]


def test_any_database_with_counts_is_read_with_a_mapping(tmp_path: Path) -> None:
    rows = [{"id": 1, "created_at": TIME, "model": "gpt-5.2", "input_tokens": 1000, "output_tokens": 200}]
    path = database(tmp_path / "own.db", notes=[{"text": "x"}], llm_calls=rows)
    with pytest.raises(InputError, match="mapping init"):
        ingest(in_memory(tmp_path / "s.duckdb"), [path])
    (tmp_path / "own.yaml").write_text(draft_mapping(path))
    assert read(tmp_path, path, mapping=tmp_path / "own.yaml")[0] == [(1000, None, 200, None)]


def test_kiros_lines_have_no_time_no_model_and_often_no_output(tmp_path: Path) -> None:
    folder = tmp_path / "kiro.kiroagent"
    folder.mkdir()
    path = folder / "tokens_generated.jsonl"
    path.write_text(
        json.dumps({"model": "agent", "provider": "kiro", "promptTokens": 1000, "generatedTokens": 0}) + "\n"
    )
    found, _ = read(tmp_path, path)
    assert found == [(1000, None, None, None)]
    assert column(tmp_path, "service_name") == ["kiro"]
    assert issues(tmp_path) == {"no_model", "partial_usage", "time_of_file"}


def test_a_printed_run_of_gemini_is_a_row_for_each_model(tmp_path: Path) -> None:
    tokens = {"prompt": 1000, "candidates": 150, "total": 1200, "cached": 300, "thoughts": 50, "tool": 0}
    path = tmp_path / "out.json"
    none = dict.fromkeys(tokens, 0)
    models = {
        "gemini-2.5-pro": {"api": {"totalRequests": 2}, "tokens": tokens},
        "gemini-2.5-flash": {"api": {"totalRequests": 1}, "tokens": none},
    }
    path.write_text(json.dumps({"session_id": "s", "response": "x", "stats": {"models": models}}))
    assert read(tmp_path, path)[0] == [FULL]
    assert issues(tmp_path) == {"printed_run", "sum_of_calls", "time_of_file"}


def test_a_printed_stream_of_gemini_has_its_model_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    rows = [
        {"type": "init", "timestamp": TIME, "session_id": "s", "model": "gemini-2.5-pro"},
        {"type": "message", "timestamp": TIME, "role": "assistant", "content": "x", "delta": True},
        {"type": "result", "timestamp": TIME, "status": "success",
         "stats": {"total_tokens": 1200, "input_tokens": 1000, "output_tokens": 200, "cached": 300, "input": 700}},
    ]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read(tmp_path, path)[0] == [(1000, 300, 200, None)]
    assert column(tmp_path, "model") == ["gemini-2.5-pro"]


def test_a_printed_result_of_cursor_is_a_call_without_a_model(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    usage = {"inputTokens": 600, "outputTokens": 200, "cacheReadTokens": 300, "cacheWriteTokens": 100}
    path.write_text(json.dumps({
        "type": "result", "subtype": "success", "is_error": False, "duration_ms": 2000, "result": "x",
        "session_id": "s", "request_id": "r", "usage": usage,
    }))  # fmt: skip
    assert read(tmp_path, path)[0] == [(1000, 300, 200, None)]
    assert column(tmp_path, "service_name") == ["cursor"]


def test_the_log_of_a_private_portkey_gateway_keeps_cost_cache_and_trace(tmp_path: Path) -> None:
    usage = {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200, **DETAILS}
    body = {"id": "chatcmpl-1", "object": "chat.completion", "model": "gpt-5.2", "choices": [], "usage": usage}
    path = tmp_path / "log.json"
    path.write_text(json.dumps({
        "_id": "1", "createdAt": TIME, "request": {"method": "POST", "url": "u", "body": {"model": "gpt-5.2"}},
        "response": {"status": 200, "body": body, "responseTime": 2000},
        "metrics": {"reqUnits": 1000, "resUnits": 200, "aiOrg": "openai", "aiModel": "gpt-5.2", "cost": 0.35,
                    "costCurrency": "USD", "cacheStatus": "MISS", "traceId": "t1"},
    }))  # fmt: skip
    found, report = read(tmp_path, path)
    assert (found, report.files[0]["format"]) == ([FULL], "portkey")
    assert [float(cost) for cost in column(tmp_path, "logged_cost_usd")] == [0.0035]
    assert column(tmp_path, "duration_ms") == [2000.0]
    assert column(tmp_path, "trace_id") == ["t1"]
