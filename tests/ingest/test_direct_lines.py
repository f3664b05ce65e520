"""A line read straight into a call is the call that reading it the ordinary way makes, and the store is the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.files import line_files
from ingest.format_contract import UNFORESEEN, Context, format_named
from ingest.pipeline import parse_rows
from ingest.pipeline.run import ingest
from ingest.records.call import BadRecordError, Call
from ingest.store.database import Store
from ingest.store.schema import TABLES

CHAT = format_named("openai_chat")
TEXT = "Café at 9:30, no. 12 \U0001f600\n\nsee 550e8400-e29b-41d4-a716-446655440000  " + "waves and boats " * 30


def plain() -> dict[str, Any]:
    """A line of the shape that most logs have."""
    return {
        "timestamp": "2026-03-02T10:00:00.123Z", "agent": "research", "task": "gather", "session_id": "s",
        "latency_ms": 12,
        "request": {"model": "gpt-4o", "temperature": 0.7, "messages": [
            {"role": "system", "content": "You plan. " * 40}, {"role": "user", "content": TEXT}]},
        "response": {"id": "r1", "object": "chat.completion", "created": 1_772_445_600, "model": "gpt-4o-2024-08-06",
                     "choices": [{"index": 0, "message": {"role": "assistant", "content": "Yes."},
                                  "finish_reason": "stop"}],
                     "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120,
                               "prompt_tokens_details": {"cached_tokens": 64}}},
    }  # fmt: skip


def comparable(call: Call) -> dict[str, Any]:
    """The fields, with what is left as JSON decoded."""

    def opened(value: Any) -> Any:
        if isinstance(value, msgspec.Raw):
            return msgspec.json.decode(value)
        return [opened(item) for item in value] if isinstance(value, list) else value

    fields = {name: opened(value) for name, value in msgspec.structs.asdict(call).items()}
    fields["tool_count"] = fields["tool_count"] or (len(fields["tools"]) if fields["tools"] else None)
    return fields


def agree(line: bytes) -> bool:
    """Whether the line was taken directly; fails where that differs from the ordinary way."""
    assert CHAT.direct is not None
    context = Context(mtime_us=None)
    direct = CHAT.direct(context)(line)
    if direct is None:
        return False
    try:
        ordinary = CHAT.open(context).read(msgspec.json.decode(line), 1)
    except (BadRecordError, *UNFORESEEN) as error:
        raise AssertionError(f"only the direct way takes {line!r}: {error}") from error
    assert isinstance(ordinary, Call)
    one, other = comparable(direct), comparable(ordinary)
    assert one == other
    return True


def test_the_plain_line_is_taken_directly() -> None:
    assert agree(json.dumps(plain()).encode())


CHANGES: list[tuple[tuple[str, ...], Any]] = [
    (("response", "usage", "total_tokens"), 150), (("response", "usage", "prompt_tokens"), 5),
    (("response", "usage", "completion_tokens_details"), {"reasoning_tokens": 33, "audio_tokens": 1}),
    (("response", "usage", "server_tool_use"), {"web_search_requests": 2}), (("response", "usage"), None),
    (("response", "service_tier"), "priority"), (("response", "id"), None), (("response", "model"), ""),
    (("response", "metadata"), {"agent": "m"}), (("response", "choices"), []), (("response", "object"), "response"),
    (("request", "tools"), [{"type": "function", "function": {"name": "f"}}]), (("request", "messages"), []),
    (("request", "metadata"), {"agent": "m", "task": "t"}), (("request", "service_tier"), "flex"),
    (("request", "user"), "ada"), (("request", "model"), None), (("request", "input"), "x"),
    (("tags",), ["agent:zed", 5]), (("tags",), {"agent": "zed"}), (("metadata",), {"agent": "q"}), (("agent",), None),
    (("agent",), 5), (("agent_name",), "n"), (("service",), "s"), (("phase",), "p"), (("status",), 503),
    (("status",), "failed"), (("provider",), "azure"), (("user_id",), 7), (("cost_usd",), 0.25), (("attempt",), 2),
    (("team",), "z"), (("prompt_name",), "p"), (("conversation_id",), "c"), (("duration_s",), 2),
    (("latency_ms",), True), (("timestamp",), None), (("timestamp",), 1_772_445_600), (("timestamp",), "soon"),
    (("start_time",), "2026-03-02T09:00:00+02:00"), (("end_time",), "2026-03-02T09:00:01"), (("call_id",), "c9"),
    (("object",), "chat.completion"), (("type",), "message"), (("choices",), None), (("request_body",), {}),
    (("usage",), {}), (("request_id",), "q"), (("span_id",), [1]),
]  # fmt: skip


def changed(record: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for key in path[:-1]:
        if not isinstance(record.get(key), dict):
            return
        record = record[key]
    record[path[-1]] = value


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(CHANGES), max_size=3), st.booleans())
def test_whatever_is_taken_directly_is_the_same_call(changes: list[tuple[tuple[str, ...], Any]], ascii: bool) -> None:
    record = plain()
    for path, value in changes:
        changed(record, path, value)
    agree(json.dumps(record, ensure_ascii=ascii).encode())


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2_000), st.binary(max_size=3), st.integers(0, 4))
def test_mangled_lines_are_taken_only_as_the_ordinary_way_takes_them(at: int, put: bytes, cut: int) -> None:
    line = json.dumps(plain(), ensure_ascii=False).encode()
    at %= len(line)
    agree(line[:at] + put + line[at + cut :])


def everything(store: Store) -> dict[str, list[str]]:
    with store.read() as con:
        return {name: sorted(map(repr, con.execute(f"SELECT * FROM {name}").fetchall())) for name in TABLES}


@pytest.mark.parametrize("options", [{}, {"metadata_only": True}, {"redact": ["boats"]}])
def test_the_store_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]) -> None:
    lines = []
    for number, (path, value) in enumerate([*CHANGES, ((), None)] * 2):
        record = plain()
        record["response"]["id"] = f"r{number}"
        record["request"]["messages"].append({"role": "user", "content": f"And {number // 3}?"})
        if path:
            changed(record, path, value)
        lines.append(json.dumps(record, separators=(",", ":") if number % 2 else None))
    lines += [lines[3], lines[7][:-9], '{"request": {}}', "[1]", lines[0].replace('"role"', '"\\u0072ole"')]
    log = tmp_path / "log.jsonl"
    log.write_text("\n".join(lines))
    taken: list[Call | None] = []
    read = parse_rows.Readers.line

    def noted(self: parse_rows.Readers, line: bytes) -> Call | None:
        taken.append(read(self, line))
        return taken[-1]

    monkeypatch.setattr(parse_rows.Readers, "line", noted)
    ingest(Store(tmp_path / "direct.duckdb"), [log], workers=1, **options)
    assert sum(call is not None for call in taken) > len(lines) // 3
    monkeypatch.setattr(parse_rows.Readers, "line", lambda self, line: None)
    ingest(Store(tmp_path / "ordinary.duckdb"), [log], workers=1, **options)
    assert everything(Store(tmp_path / "direct.duckdb")) == everything(Store(tmp_path / "ordinary.duckdb"))


@given(
    st.lists(st.sampled_from([b"{}", b"\n", b" ", b"[1]\n", b"\n\n", b"\xef\xbb\xbf"]), max_size=12), st.integers(1, 9)
)
def test_lines_are_the_same_ones_whatever_is_copied_at_a_time(pieces: list[bytes], block: int) -> None:
    data = b"".join(pieces)
    expected = []
    offset = 5
    for number, line in enumerate(data.split(b"\n"), 1):
        content = line.removeprefix(line_files.BOM) if number == 1 else line
        if content.strip():
            expected.append((number, offset, content))
        offset += len(line) + 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_files, "_BLOCK", block)
        assert [row[:3] for row in line_files.unread_rows(data, 5, 0)] == expected
