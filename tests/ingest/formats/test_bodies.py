"""Answers of other APIs than chat completions: what they are paid by, and which model they name."""

from __future__ import annotations

import json
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from builder import in_memory

from ingest.formats import nearest_formats
from ingest.pipeline.report import IngestReport
from ingest.pipeline.run import ingest
from sample_logs.formats import bodies
from sample_logs.formats.truth import true_calls


def read(tmp_path: Path, text: str, name: str = "log.jsonl") -> tuple[IngestReport, list[dict[str, Any]]]:
    path = tmp_path / name
    path.write_text(text)
    store = in_memory(tmp_path / "s.duckdb")
    report = ingest(store, [path], workers=1)
    assert report.rows == report.calls + report.duplicates + report.quarantined + report.skipped
    with store.read() as con:
        found = con.execute("SELECT * FROM calls ORDER BY call_no")
        names = [column[0] for column in found.description]
        return report, [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def test_a_table_of_azure_gives_the_calls_of_its_log_once_each(tmp_path: Path) -> None:
    truth = true_calls(20, seed=4)
    report, calls = read(tmp_path, bodies.azure_llm_table(truth), "table.csv")
    assert (report.calls, report.skipped) == (20, 10)
    assert [(call["input_tokens"], call["output_tokens"], call["model"]) for call in calls] == [
        (one.input_tokens, one.output_tokens, one.model) for one in truth
    ]
    assert [call["start_time"].timestamp() for call in calls] == pytest.approx([one.start.timestamp() for one in truth])
    again = ingest(in_memory(tmp_path / "s.duckdb"), [_written(tmp_path, bodies.azure_llm(truth))], workers=1)
    assert (again.calls, again.duplicates) == (0, 20)


def _written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "log2.jsonl"
    path.write_text(text)
    return path


def test_an_image_is_paid_by_image_tokens_and_speech_by_audio_tokens_or_not_by_tokens(tmp_path: Path) -> None:
    image, heard, timed = true_calls(3)
    _, calls = read(tmp_path, bodies.openai_media([image, heard, timed]))
    assert [call["operation_name"] for call in calls] == ["image_generation", "transcription", "transcription"]
    assert calls[0]["image_output_tokens"] == image.output_tokens
    assert calls[1]["audio_input_tokens"] == heard.input_tokens
    assert (calls[2]["input_tokens"], calls[2]["tokens_source"]) == (None, "missing")


def event(kind: str, **values: Any) -> str:
    return json.dumps({"type": kind, "event_id": f"event-{kind}-{len(values)}", **values}) + "\n"


def answer(number: int, **values: Any) -> str:
    usage = {"total_tokens": 1100, "input_tokens": 1000, "output_tokens": 100,
             "input_token_details": {"text_tokens": 700, "audio_tokens": 300, "cached_tokens": 200},
             "output_token_details": {"text_tokens": 20, "audio_tokens": 80}}  # fmt: skip
    made = {"object": "realtime.response", "id": f"resp_{number}", "status": "completed", "usage": usage, **values}
    return event("response.done", response=made)


def test_the_model_of_a_realtime_answer_is_its_sessions(tmp_path: Path) -> None:
    text = (
        event("session.created", session={"id": "s1", "model": "gpt-realtime"}) + answer(1)
        + event("session.updated", session={"instructions": "be brief"}) + answer(2)
        + event("session.created", session={"id": "s2", "model": "gpt-realtime-mini"}) + answer(3, status="failed")
    )  # fmt: skip
    _, calls = read(tmp_path, text)
    assert [(call["model"], call["conversation_id"], call["status"]) for call in calls] == [
        ("gpt-realtime", "s1", "ok"), ("gpt-realtime", "s1", "ok"), ("gpt-realtime-mini", "s2", "error"),
    ]  # fmt: skip
    assert {(call["cache_read_input_tokens"], call["audio_input_tokens"], call["audio_output_tokens"])
            for call in calls} == {(200, 300, 80)}  # fmt: skip


def test_a_realtime_answer_without_its_session_is_a_call_of_no_known_model(tmp_path: Path) -> None:
    _, (call,) = read(tmp_path, answer(1))
    assert (call["model"], call["input_tokens"], call["output_tokens"]) == (None, 1000, 100)


def test_what_the_user_said_is_a_call_of_the_transcribing_model(tmp_path: Path) -> None:
    session = {"id": "s", "model": "gpt-realtime", "input_audio_transcription": {"model": "gpt-4o-mini-transcribe"}}
    usage = {"type": "tokens", "total_tokens": 60, "input_tokens": 40, "output_tokens": 20,
             "input_token_details": {"text_tokens": 0, "audio_tokens": 40}}  # fmt: skip
    heard = event("conversation.item.input_audio_transcription.completed", item_id="i", content_index=0,
                  transcript="hello", usage=usage)  # fmt: skip
    _, (call,) = read(tmp_path, event("session.created", session=session) + heard)
    assert (call["model"], call["input_tokens"], call["audio_input_tokens"]) == ("gpt-4o-mini-transcribe", 40, 40)


def test_a_bare_answer_takes_what_a_logger_put_beside_it(tmp_path: Path) -> None:
    usage = {"prompt_tokens": 900, "completion_tokens": 70, "total_tokens": 970}
    body = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1780304400, "model": "gpt-5-mini",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
            "usage": usage}  # fmt: skip
    beside = {"timestamp": "2026-05-01T00:00:00Z", "agent": "a1", "cost": 0.00045, "latency_ms": 900}
    _, (call,) = read(tmp_path, json.dumps({**body, **beside}) + "\n")
    assert (call["start_time"].month, call["agent"], call["duration_ms"]) == (5, "a1", 900)
    assert str(call["logged_cost_usd"]).startswith("0.00045")


@pytest.mark.parametrize("usage", [{"billed_units": {"search_units": 3}}, {"billed_units": {"classifications": 2}}])
def test_units_that_are_no_tokens_are_not_read_as_tokens(tmp_path: Path, usage: dict[str, Any]) -> None:
    row = {"timestamp": "2026-06-01T09:00:00Z", "request": {"model": "rerank-v3.5", "query": "q", "documents": ["d"]},
           "response": {"id": "r", "results": [], "meta": usage}}  # fmt: skip
    _, (call,) = read(tmp_path, json.dumps(row) + "\n")
    assert (call["operation_name"], call["input_tokens"], call["tokens_source"]) == ("rerank", None, "missing")


@pytest.mark.parametrize(("beside", "moment"), [
    ({"date": "2026-06-01", "timestamp_ms": 1780304400123}, "09:00:00.123"),
    ({"timestamp_ms": 1780304400123, "timestamp": "2026-06-01T10:00:00Z"}, "10:00:00"),
    ({"date": "2026-06-01"}, "00:00:00"),
])  # fmt: skip
def test_a_day_is_the_last_resort_for_a_time(tmp_path: Path, beside: dict[str, Any], moment: str) -> None:
    body = {"id": "c", "object": "chat.completion", "model": "gpt-5-mini", "choices": [],
            "usage": {"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 16}}  # fmt: skip
    row = {**beside, "request": {"model": "gpt-5-mini", "messages": []}, "response": body, "execution_time_ms": 70}
    _, (call,) = read(tmp_path, json.dumps(row) + "\n")
    assert str(call["start_time"].astimezone(UTC).time()).startswith(moment)
    assert call["duration_ms"] == 70


@pytest.mark.parametrize("record", [
    {"request": {"model": "m"}, "response": {"kind": "a", "tokens": 3}},
    {"request": "what", "response": "that"},
    {"key": "k", "response": {}},
    {"ai": {}, "request": {}, "response": {}, "latencies": {}, "started_at": 1},
])  # fmt: skip
def test_what_an_unknown_record_lacks_is_always_said(record: dict[str, Any]) -> None:
    for _, missing in nearest_formats(record):
        assert missing
        assert all(missing)


@pytest.mark.parametrize(("url", "provider", "model"), [
    ("https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:generateContent", "gcp.gemini",
     "gemini-2.5-flash"),
    ("https://aiplatform.googleapis.com/v1/projects/p/locations/global/publishers/google/models/gemini-2.5-pro:x",
     "gcp.vertex_ai", "gemini-2.5-pro"),
])  # fmt: skip
def test_a_model_that_only_the_address_names_is_taken_from_it(
    tmp_path: Path, url: str, provider: str, model: str
) -> None:
    body = {"candidates": [{"content": {"parts": [{"text": "hi"}]}}],
            "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 2, "totalTokenCount": 11}}  # fmt: skip
    row = {"timestamp": "2026-06-01T09:00:00Z", "url": url, "request": {"contents": []}, "response": body}
    _, (call,) = read(tmp_path, json.dumps(row) + "\n")
    assert (call["provider_name"], call["model"]) == (provider, model)


def test_a_call_of_azure_that_cannot_be_used_leaves_the_others(tmp_path: Path) -> None:
    rows = [json.loads(line) for line in bodies.azure_llm(true_calls(3)).splitlines()]
    rows[0]["properties"]["promptTokens"] = -1
    report, calls = read(tmp_path, "".join(json.dumps(row) + "\n" for row in rows))
    assert (len(calls), report.quarantined) == (2, 1)
