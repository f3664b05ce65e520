"""A content first seen as a bare hash gets its text from the first log that has it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from ingest.pipeline import ingest
from ingest.store import Store


def line(call_id: str, message: dict[str, Any]) -> str:
    call = {"hindcast": 1, "call_id": call_id, "start_time": "2024-03-05T12:00:00Z", "request_model": "gpt-4-turbo"}
    return json.dumps({**call, "input_tokens": 9, "output_tokens": 3, "input_messages": [message]}) + "\n"


@pytest.mark.parametrize("files", [1, 2])
def test_the_text_fills_the_hash_within_a_file_and_across_files(tmp_path: Path, files: int) -> None:
    text = {"content": "Write about tides.", "role": "user"}
    canonical = json.dumps(text, sort_keys=True, separators=(",", ":"))
    bare = {"role": "user", "sha256": hashlib.sha256(canonical.encode()).hexdigest(), "tokens": 8, "words": 3}
    lines = [line("a", bare), line("b", text)]
    store = Store(tmp_path / "s.duckdb")
    for number in range(files):
        log = tmp_path / f"{number}.jsonl"
        log.write_text("".join(lines) if files == 1 else lines[number])
        ingest(store, [log])
    with store.read() as con:
        assert con.execute("SELECT text FROM contents WHERE kind = 'message'").fetchall() == [(canonical,)]
        ids = con.execute("SELECT message_ids FROM calls ORDER BY call_no").fetchall()
    assert ids[0] == ids[1]
