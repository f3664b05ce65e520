"""A content first seen as a bare hash gets its text from the first log that has it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from ingest.pipeline.run import ingest
from ingest.store.memory import MemoryStore


def line(call_id: str, message: dict[str, Any]) -> str:
    call = {"hindcast": 1, "call_id": call_id, "start_time": "2024-03-05T12:00:00Z", "request_model": "gpt-4-turbo"}
    return json.dumps({**call, "input_tokens": 9, "output_tokens": 3, "input_messages": [message]}) + "\n"


@pytest.mark.parametrize("files", [1, 2])
def test_the_text_fills_the_hash_within_a_file_and_across_files(tmp_path: Path, files: int) -> None:
    text = {"content": "Write about tides.", "role": "user"}
    canonical = json.dumps(text, sort_keys=True, separators=(",", ":"))
    bare = {"role": "user", "sha256": hashlib.sha256(canonical.encode()).hexdigest(), "tokens": 8, "words": 3}
    lines = [line("a", bare), line("b", text)]
    store = MemoryStore(tmp_path / "s.duckdb")
    for number in range(files):
        log = tmp_path / f"{number}.jsonl"
        log.write_text("".join(lines) if files == 1 else lines[number])
        ingest(store, [log])
    with store.read() as con:
        assert con.execute("SELECT text FROM contents WHERE kind = 'message'").fetchall() == [(canonical,)]
        ids = con.execute("SELECT message_ids FROM calls ORDER BY call_no").fetchall()
    assert ids[0] == ids[1]


@pytest.mark.parametrize("first", [0, 1])
def test_without_texts_a_hash_and_its_text_are_one_content(tmp_path: Path, first: int) -> None:
    """A log that gives a message by its sha256 and one that gives its text agree on what was repeated."""
    text = {"content": "Write about tides.", "role": "user"}
    canonical = json.dumps(text, sort_keys=True, separators=(",", ":"))
    bare = {"role": "user", "sha256": hashlib.sha256(canonical.encode()).hexdigest(), "words": 3, "chars": 18}
    lines = [line("a", bare), line("b", text)]
    store = MemoryStore(tmp_path / "s.duckdb")
    for number in (first, 1 - first):
        log = tmp_path / f"{number}.jsonl"
        log.write_text(lines[number])
        ingest(store, [log], text=False)
    with store.read() as con:
        calls = con.execute("SELECT message_ids, key_canonical, input_words FROM calls ORDER BY call_no").fetchall()
        contents = con.execute("SELECT hash, text, words FROM contents WHERE kind = 'message'").fetchall()
    assert calls[0] == calls[1]
    assert calls[0][2] == 3
    assert len(contents) == 1
    assert contents[0][1:] == (None, 3)
    plain = int.from_bytes(hashlib.sha256(canonical.encode()).digest()[:16], "big", signed=True)
    assert contents[0][0] != plain  # the hash is of no use without the key


def test_a_plain_line_without_text_is_that_content_too(tmp_path: Path) -> None:
    """The same message from a request and response pair, whose lines are read without being decoded whole."""
    text = {"role": "user", "content": "Write about tides."}
    pair = {
        "timestamp": "2024-03-05T12:00:00Z", "agent": "writer", "task": "write",
        "request": {"model": "gpt-4-turbo", "messages": [text]},
        "response": {"id": "r", "object": "chat.completion", "model": "gpt-4-turbo", "choices": [],
                     "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}},
    }  # fmt: skip
    canonical = json.dumps(text, sort_keys=True, separators=(",", ":"))
    bare = {"role": "user", "sha256": hashlib.sha256(canonical.encode()).hexdigest(), "words": 3}
    store = MemoryStore(tmp_path / "s.duckdb")
    for name, content in (("a", line("a", bare)), ("b", json.dumps(pair) + "\n")):
        (tmp_path / f"{name}.jsonl").write_text(content)
        ingest(store, [tmp_path / f"{name}.jsonl"], text=False, match_formats=False)
    with store.read() as con:
        calls = con.execute("SELECT message_ids, input_words FROM calls ORDER BY call_no").fetchall()
    assert len(calls) == 2
    assert calls[0] == calls[1]
