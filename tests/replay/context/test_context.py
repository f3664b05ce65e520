"""The input cost divided among what fills the context: exact sums, sources of the wire formats, lost prefixes."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from builder import build_in_memory
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import dimensions
from analysis.ledger.ledger import update
from ingest.contents.tokenizer import ensure_counted
from ingest.errors import InputError
from ingest.pipeline.run import ingest
from ingest.store.database import Store
from ingest.store.memory import MemoryStore
from replay.context.lanes import EXPIRED, MODEL, PREFIX
from replay.context.report import Context, context
from replay.traffic.load_traffic import load

START = datetime(2026, 3, 2, 9)
SONNET = "claude-sonnet-4-20250514"


def read(folder: Path, records: list[dict[str, Any]], **options: Any) -> Context:
    log = folder / "log.jsonl"
    log.write_text("".join(json.dumps(record) + "\n" for record in records))
    store = MemoryStore(folder / "s.duckdb")
    ingest(store, [log])
    update(store)
    ensure_counted(store, ["o200k_base"])
    return context(load(store), **options)


def charged(store: Store) -> int:
    """Pico-dollars of all input in the ledger."""
    with store.read() as con:
        return int(
            con.execute("SELECT sum(uncached_input_usd + cache_read_usd + cache_write_usd) FROM ledger").fetchall()[0][
                0
            ]
            * 10**12
        )


def call(turn: int, messages: list[dict[str, Any]], usage: dict[str, int], **fields: Any) -> dict[str, Any]:
    """A pair of the Anthropic API as a proxy logs it."""
    return {
        "timestamp": (START + timedelta(minutes=turn)).isoformat() + "Z",
        "session_id": "s",
        "request": {"model": fields.get("model", SONNET), "max_tokens": 100, "system": "You fix code.",
                    "messages": messages},
        "response": {"id": f"msg_{turn}", "type": "message", "role": "assistant",
                     "model": fields.get("model", SONNET), "content": [{"type": "text", "text": "Done."}],
                     "stop_reason": "end_turn", "usage": {"output_tokens": 5, **usage}},
    } | {key: value for key, value in fields.items() if key == "timestamp"}  # fmt: skip


ASKED = {"role": "user", "content": "Read the file and look at the picture. " * 20}
USED = {"role": "assistant", "content": [
    {"type": "text", "text": "I read it."},
    {"type": "tool_use", "id": "t1", "name": "Read", "input": {"file_path": "/src/app.py"}},
    {"type": "tool_use", "id": "t2", "name": "Bash", "input": {"command": "make"}}]}  # fmt: skip
GOT = {"role": "user", "content": [
    {"type": "tool_result", "tool_use_id": "t1", "content": "import os\n" * 200},
    {"type": "tool_result", "tool_use_id": "t2", "content": "ok\n" * 50},
    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 90_000}}]}  # fmt: skip


def test_every_block_of_a_request_has_its_source_and_its_charge(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        [
            call(0, [ASKED], {"input_tokens": 10, "cache_creation_input_tokens": 400}),
            call(1, [ASKED, USED, GOT], {"input_tokens": 20, "cache_creation_input_tokens": 3000,
                                         "cache_read_input_tokens": 400}),
        ],
    )  # fmt: skip
    by_source = {one.source: one for one in found.shares}
    assert {"system prompt", "user messages", "answers carried along", "tool calls", "files read", "tool results",
            "attachments"} <= set(by_source)  # fmt: skip
    assert by_source["attachments"].tokens < 5 * by_source["files read"].tokens  # not by the length of its encoding
    assert by_source["system prompt"].read_tokens > 0  # the beginning of the second prompt
    assert found.input_tokens == 410 + 3420
    labels = {(one.source, one.label) for one in found.items}
    assert {("files read", "/src/app.py"), ("tool results", "Bash"), ("tool calls", "Read")} <= labels
    asked = next(one for one in found.items if one.source == "user messages")
    assert (asked.calls, asked.again) == (2, 1)
    assert 0 < asked.again_pico < asked.pico


def test_tool_results_of_openai_messages_are_named(tmp_path: Path) -> None:
    messages = [
        {"role": "system", "content": "You search."},
        {"role": "user", "content": "Find it."},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "search", "arguments": '{"q": "x"}'}},
            {"id": "c2", "type": "function", "function": {"name": "read_file", "arguments": '{"path": "a.txt"}'}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "found " * 80},
        {"role": "tool", "tool_call_id": "c2", "content": "text " * 80},
    ]  # fmt: skip
    record = {
        "timestamp": "2026-03-02T09:00:00Z",
        "request": {"model": "gpt-4o", "messages": messages},
        "response": {"id": "r", "object": "chat.completion", "model": "gpt-4o", "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "Here."}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 300, "completion_tokens": 5, "total_tokens": 305}},
    }  # fmt: skip
    found = read(tmp_path, [record])
    labels = {(one.source, one.label) for one in found.items}
    assert {("tool results", "search"), ("files read", "a.txt"), ("tool calls", "search")} <= labels
    assert found.turns.judged == 0  # this log tells no cache writes: nothing can be said of its prefixes


@settings(max_examples=6)
@given(
    st.lists(
        st.tuples(st.integers(0, 5000), st.integers(0, 6000), st.integers(0, 6000), st.sampled_from("ab")),
        min_size=1, max_size=8,
    )
)  # fmt: skip
def test_the_parts_sum_to_the_input_cost_of_each_group(calls: list[tuple[int, int, int, str]]) -> None:
    store = build_in_memory(
        [
            {"start_time": START + timedelta(minutes=n), "model": SONNET, "provider_name": "anthropic", "agent": agent,
             "input_tokens": full + read_ + written, "cache_read_input_tokens": read_,
             "cache_creation_input_tokens": written, "output_tokens": 1, "message_ids": list(range(n % 4))}
            for n, (full, read_, written, agent) in enumerate(calls)
        ],
    )  # fmt: skip
    with store.write() as con:
        con.executemany(
            "INSERT INTO contents (content_id, hash, kind, role, text, words) VALUES (?, ?, 'message', ?, ?, ?)",
            [[n, n, role, json.dumps({"role": role, "content": "x " * (7**n)}), 7**n]
             for n, role in enumerate(("system", "user", "assistant"))],
        )  # fmt: skip
    update(store)
    found = context(load(store), by=("agent",))
    assert found.input_pico == charged(store)
    assert found.input_tokens == sum(full + read_ + written for full, read_, written, _ in calls)
    for agent in "ab":
        mine = [one for one in found.shares if one.group == (agent,)]
        theirs = [row for row in calls if row[3] == agent]
        assert sum(one.read_tokens for one in mine) == sum(row[1] for row in theirs)
        assert sum(one.written_tokens for one in mine) == sum(row[2] for row in theirs)
    assert found.again_pico <= found.input_pico


def test_a_lost_prefix_is_told_with_its_cause(tmp_path: Path) -> None:
    other = {"role": "user", "content": "Something else. " * 30}
    later = (START + timedelta(minutes=40)).isoformat() + "Z"
    wrote = {"input_tokens": 5, "cache_creation_input_tokens": 2000}
    found = read(
        tmp_path,
        [
            call(0, [ASKED], wrote),
            call(1, [ASKED, USED], {"input_tokens": 5, "cache_read_input_tokens": 2000,
                                    "cache_creation_input_tokens": 100}),
            call(2, [ASKED, other], {"input_tokens": 5, "cache_read_input_tokens": 1500,
                                     "cache_creation_input_tokens": 700}),
            call(3, [ASKED, other, GOT], {"input_tokens": 5, "cache_creation_input_tokens": 2900},
                 model="claude-3-5-haiku-20241022"),
            call(40, [ASKED, other, GOT, USED], wrote, timestamp=later, model="claude-3-5-haiku-20241022"),
        ],
    )  # fmt: skip
    assert (found.turns.judged, found.turns.kept) == (4, 1)
    assert [one.cause for one in found.turns.breaks] == [PREFIX, MODEL, EXPIRED]
    changed = found.turns.breaks[0]
    assert (changed.turn, changed.lost_tokens) == (3, 600)
    assert changed.position == 2  # after the system prompt and the first message
    assert changed.character > 0
    assert changed.lost_pico
    assert changed.lost_pico > 0


def test_a_dimension_that_no_request_has_is_refused(tmp_path: Path) -> None:
    store = build_in_memory([{"start_time": START, "input_tokens": 5, "output_tokens": 1}])
    update(store)
    unseen = next(entry.name for entry in dimensions.REGISTRY if not entry.rule)
    with pytest.raises(InputError, match=f"cannot be divided by {unseen}"):
        context(load(store), by=(unseen,))
    with pytest.raises(InputError):
        context(load(store), by=("agnet",))


def test_what_has_no_price_or_no_count_is_said(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"input_tokens": 100, "model": "house-7b"},
        {"input_tokens": None},
        {"input_tokens": 50},
    ]
    store = build_in_memory([{"start_time": START, "output_tokens": 1, **row} for row in rows])
    update(store)
    found = context(load(store))
    assert (found.calls, found.unpriced_calls, found.uncounted_calls, found.textless_calls) == (3, 2, 1, 3)
    assert found.input_tokens == 150
    assert [one.source for one in found.shares] == ["not in the log"]


def test_a_call_without_a_session_carries_nothing_again(tmp_path: Path) -> None:
    first, second = (call(turn, [ASKED], {"input_tokens": 100}) for turn in (0, 1))
    del first["session_id"], second["session_id"]
    found = read(tmp_path, [first, second])
    assert [(one.calls, one.again) for one in found.items if one.source == "user messages"] == [(2, 0)]
    assert found.again_pico == 0


def test_the_real_session_is_reproduced_turn_by_turn(tmp_path: Path, data: Path) -> None:
    store = MemoryStore(tmp_path / "s.duckdb")
    ingest(store, [data / "claude_code_session.jsonl"])
    update(store)
    ensure_counted(store, ["o200k_base"])
    found = context(load(store), by=("agent",))
    assert found.input_pico == charged(store)
    assert found.turns.judged == found.turns.kept == 17
