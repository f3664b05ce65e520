"""Each call once: rows of another tool's log that are read again, and rows of one call that grow."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.pipeline.report import IngestReport
from ingest.pipeline.run import ingest
from ingest.store.database import Store

OWN, OTHER = "hindcast", "openai_chat"


def _own(number: int) -> dict[str, Any]:
    return {
        "hindcast": 1, "start_time": f"2026-03-02T10:00:{number:02}Z", "request_model": "gpt-4o",
        "input_tokens": 100 + number, "output_tokens": 7,
    }  # fmt: skip


def _chat(number: int) -> dict[str, Any]:
    """The same call as `_own(number)`, logged by another tool, without an id."""
    return {
        "timestamp": f"2026-03-02T10:00:{number:02}Z",
        "request": {"model": "gpt-4o", "messages": [{"role": "user", "content": f"Question {number}"}]},
        "response": {
            "object": "chat.completion", "model": "gpt-4o", "choices": [],
            "usage": {"prompt_tokens": 100 + number, "completion_tokens": 7, "total_tokens": 107 + number},
        },
    }  # fmt: skip


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _calls(store: Store) -> int:
    with store.read() as con:
        return int(con.execute("SELECT count(*) FROM calls").fetchall()[0][0])


def _law(report: IngestReport) -> None:
    assert report.rows == report.calls + report.duplicates + report.quarantined + report.skipped


@pytest.mark.parametrize("keep", [{}, {"text": False}, {"metadata_only": True}], ids=["texts", "hashes", "nothing"])
def test_another_tools_log_read_again_under_another_name_adds_nothing(tmp_path: Path, keep: dict[str, bool]) -> None:
    store = Store(tmp_path / "s.duckdb")
    assert ingest(store, [_write(tmp_path / "own.jsonl", [_own(n) for n in range(6)])], **keep).calls == 6
    rows = [_chat(n) for n in range(6)]
    for name in ("chat.jsonl", "copy.jsonl", "third.jsonl"):
        report = ingest(store, [_write(tmp_path / name, rows)], **keep)
        assert (report.calls, report.duplicates, report.to_json()["logged_elsewhere"]) == (0, 6, 6)
        _law(report)
    assert _calls(store) == 6


def test_a_log_that_grows_and_is_read_from_its_start_again_adds_only_what_is_new(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.duckdb")
    ingest(store, [_write(tmp_path / "own.jsonl", [_own(n) for n in range(6)])])
    chat = tmp_path / "chat.json"  # one document: not read on from where it ended
    for size in (2, 5, 6, 8):
        chat.write_text(json.dumps([_chat(n) for n in range(size)]))
        _law(ingest(store, [chat]))
        assert _calls(store) == max(6, size)


def test_equal_calls_of_both_logs_stay_as_many_as_each_log_has(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.duckdb")
    ingest(store, [_write(tmp_path / "own.jsonl", [_own(1)] * 3)])
    ingest(store, [_write(tmp_path / "chat.jsonl", [_chat(1)] * 3)])
    assert _calls(store) == 3
    ingest(store, [_write(tmp_path / "chat.jsonl", [_chat(1)] * 5)])
    assert _calls(store) == 5
    ingest(store, [_write(tmp_path / "copy.jsonl", [_chat(1)] * 5)])
    assert _calls(store) == 5


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    own=st.lists(st.integers(0, 3), min_size=1, max_size=4),
    chat=st.lists(st.integers(0, 3), min_size=1, max_size=4),
    again=st.lists(st.booleans(), min_size=1, max_size=3),
)
def test_reading_logs_again_in_any_order_adds_nothing(
    tmp_path_factory: pytest.TempPathFactory, own: list[int], chat: list[int], again: list[bool]
) -> None:
    folder = tmp_path_factory.mktemp("again")
    store = Store(folder / "s.duckdb")
    ingest(store, [_write(folder / "own.jsonl", [_own(n) for n in own])])
    ingest(store, [_write(folder / "chat.jsonl", [_chat(n) for n in chat])])
    calls = _calls(store)
    assert calls == sum(max(own.count(n), chat.count(n)) for n in range(4))
    for place, first in enumerate(again):
        rows = [_own(n) for n in own] if first else [_chat(n) for n in chat]
        _law(ingest(store, [_write(folder / f"copy{place}.jsonl", rows)]))
        assert _calls(store) == calls


# -- rows of one call ----------------------------------------------------------------------------------------------

_COUNTED = (
    "input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "cache_creation_1h_input_tokens",
    "output_tokens", "reasoning_output_tokens",
)  # fmt: skip
_START = {"input_tokens": 10, "output_tokens": 50, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0}
GROWTHS: dict[str, dict[str, Any]] = {
    "output": {"output_tokens": 60},
    "input": {"input_tokens": 40},
    "cache read": {"cache_read_input_tokens": 30_000},
    "cache write": {"cache_creation_input_tokens": 2_000},
    "cache write for an hour": {
        "cache_creation_input_tokens": 2_000,
        "cache_creation": {"ephemeral_1h_input_tokens": 2_000, "ephemeral_5m_input_tokens": 0},
    },
    "thinking": {"output_tokens_details": {"thinking_tokens": 20}},
    "output, and less input": {"output_tokens": 90, "input_tokens": 1},
    "nothing": {},
    "less": {"output_tokens": 1},
}


def _transcript(growth: str, usage: dict[str, Any], second: int) -> dict[str, Any]:
    return {
        "type": "assistant", "uuid": f"{growth} {second}", "sessionId": "s", "requestId": growth, "version": "2.0.0",
        "timestamp": f"2026-03-02T10:00:{second:02}.000Z",
        "message": {"id": growth, "type": "message", "role": "assistant", "model": "claude-sonnet-4-5-20250929",
                    "content": [{"type": "text", "text": "An answer."}], "usage": usage},
    }  # fmt: skip


def _counts(store: Store) -> dict[str, list[int]]:
    """The counts of the call of each growth. Raises AssertionError where a growth has several calls."""
    with store.read() as con:
        rows = con.execute(f"SELECT response_id, {', '.join(_COUNTED)} FROM calls").fetchall()
    assert sorted(row[0] for row in rows) == sorted(GROWTHS)
    return {row[0]: [value or 0 for value in row[1:]] for row in rows}


@pytest.mark.parametrize("keep", [{}, {"metadata_only": True}], ids=["texts", "nothing"])
def test_rows_of_a_call_come_to_the_same_in_one_ingest_in_two_and_in_two_files(
    tmp_path: Path, keep: dict[str, bool]
) -> None:
    first = [_transcript(growth, _START, 1) for growth in GROWTHS]
    later = [_transcript(growth, {**_START, **more}, 2) for growth, more in GROWTHS.items()]
    found = {}
    for one, other in ((first, later), (later, first)):
        ways = {
            "one": [[("t.jsonl", one + other)]],
            "two": [[("t.jsonl", one)], [("t.jsonl", one + other)]],
            "files": [[("a.jsonl", one), ("b.jsonl", other)]],
            "files apart": [[("a.jsonl", one)], [("b.jsonl", other)]],
        }
        for way, steps in ways.items():
            folder = tmp_path / f"{way}{one is first}"
            folder.mkdir()
            store = Store(folder / "s.duckdb")
            for step in steps:
                _law(ingest(store, [_write(folder / name, held) for name, held in step], format="claude_code", **keep))
            found[way, one is first] = _counts(store)
    for (way, counts), (way_too, counts_too) in itertools.combinations(found.items(), 2):
        assert counts == counts_too, (way, way_too)
