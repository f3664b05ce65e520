"""Pairs whose bodies lie in HTTP messages, as proxies that record traffic write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ingest.pipeline.run import ingest
from ingest.store.memory import MemoryStore

MODEL = "claude-sonnet-4-5-20250929"
REQUEST = {"model": MODEL, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
USAGE = {"input_tokens": 10, "cache_read_input_tokens": 30, "cache_creation_input_tokens": 0, "output_tokens": 25}
ANSWER = {"id": "msg_1", "type": "message", "role": "assistant", "model": MODEL, "stop_reason": "end_turn",
          "content": [{"type": "text", "text": "hello"}], "usage": USAGE}  # fmt: skip
EVENTS = [
    {"type": "message_start", "message": {**ANSWER, "content": [], "usage": {**USAGE, "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "hello"}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 25}},
    {"type": "message_stop"},
]  # fmt: skip
STREAM = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in EVENTS)


@pytest.mark.parametrize(
    "body",
    [{"body": ANSWER}, {"body": json.dumps(ANSWER)}, {"body_raw": STREAM}, {"raw_body": STREAM},
     {"body": None, "body_raw": STREAM}],
)  # fmt: skip
def test_the_messages_own_times_go_before_that_of_the_log(tmp_path: Path, body: dict[str, Any]) -> None:
    record = {
        "request": {"timestamp": 1780000000.5, "method": "POST", "url": "https://api.anthropic.com/v1/messages",
                    "headers": {}, "body": REQUEST},
        "response": {"timestamp": 1780000003.25, "status_code": 200, "headers": {}, **body},
        "logged_at": "2026-05-28T22:26:43.251",
    }  # fmt: skip
    source = tmp_path / "log.jsonl"
    source.write_text(json.dumps(record))
    store = MemoryStore(tmp_path / "s.duckdb")
    assert ingest(store, [source], workers=1).calls == 1
    with store.read() as con:
        found = con.execute(
            """SELECT epoch_ms(start_time), duration_ms, model, provider_name, input_tokens, output_tokens, status
               FROM calls"""
        ).fetchall()
    assert found == [(1_780_000_000_500, 2750.0, MODEL, "anthropic", 40, 25, "ok")]
