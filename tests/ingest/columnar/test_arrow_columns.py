"""Reading a log as columns and reading it call by call store the same, whatever the log holds."""

from __future__ import annotations

import copy
import json
import random
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.columnar import arrow_columns, openai_chat_messages
from ingest.pipeline import parse_columns, parse_rows
from ingest.pipeline.run import ingest
from ingest.records.call import BadRecordError
from ingest.records.timestamps import time_us
from ingest.store.memory import MemoryStore

ROOT = Path(__file__).resolve().parents[3]
SAMPLES = ROOT / "sample_logs" / "formats"
TABLES = ("sources", "calls", "scores", "quarantine", "import_issues", "request_keys", "contents")


def stored(folder: Path, *logs: Path, by_columns: bool, **options: Any) -> dict[str, list[Any]]:
    """All tables of a store made of `log` without its messages."""
    with pytest.MonkeyPatch.context() as patch:
        if not by_columns:
            patch.setattr(parse_columns, "has_columns", lambda *_: False)
        store = MemoryStore(folder / "s.duckdb")
        ingest(store, logs, metadata_only=True, workers=1, **options)
    with store.read() as con:
        return {name: con.execute(f"SELECT * FROM {name}").fetchall() for name in TABLES}


def same(folder: Path, *logs: Path, **options: Any) -> dict[str, list[Any]]:
    found = stored(folder, *logs, by_columns=True, **options)
    assert found == stored(folder, *logs, by_columns=False, **options)
    return found


def line(number: int, **changes: Any) -> dict[str, Any]:
    """A row of a transcript as Claude Code writes it; `changes` as `changed` takes them."""
    record: dict[str, Any] = {
        "type": "assistant", "timestamp": f"2026-10-01T10:{number // 60 % 60:02}:{number % 60:02}.250Z",
        "sessionId": "s", "requestId": f"req_{number}", "uuid": f"u{number}", "cwd": "/home/dev/atlas",
        "version": "2.0.0",
        "message": {
            "id": f"msg_{number}", "type": "message", "role": "assistant", "model": "claude-sonnet-4-20250514",
            "stop_reason": "tool_use" if number % 3 else "end_turn",
            "content": [{"type": "text", "text": "ä" * number}],
            "usage": {
                "input_tokens": number, "output_tokens": 7, "cache_creation_input_tokens": 100 + number,
                "cache_read_input_tokens": 5, "service_tier": "standard", "server_tool_use": {"web_search_requests": 0},
                "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": number},
            },
        },
    }  # fmt: skip
    return changed(record, changes)


def changed(record: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`record` with other values at some paths, whose steps are joined by `__`; ... takes a key away."""
    for path, value in changes.items():
        *parents, leaf = path.split("__")
        place: Any = record
        for parent in parents:
            place = place[int(parent) if parent.isdigit() else parent]
        if value is ...:
            place.pop(leaf, None)
        else:
            place[leaf] = value
    return record


def written(folder: Path, records: list[Any], name: str = "session") -> Path:
    """A transcript; records that are bytes stand as they are."""
    path = folder / "projects" / "-home-dev-atlas" / f"{name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = [one if isinstance(one, bytes) else json.dumps(one, ensure_ascii=False).encode() for one in records]
    path.write_bytes(b"\n".join(whole) + b"\n")
    return path


def each_in_a_file(folder: Path, logs: list[list[Any]]) -> Path:
    """A folder of transcripts, one for each of `logs`, whose calls have other identities in every file."""
    for number, records in enumerate(logs):
        path = written(folder, records, f"log{number:03}")
        path.write_bytes(re.sub(rb'"(msg_|req_|r)(\d+)"', rb'"\g<1>%d000\2"' % (number + 1), path.read_bytes()))
    return folder / "projects"


ODD: dict[str, list[Any]] = {
    "a further block": [line(1), line(1)],
    "a fuller row": [line(1), line(1, message__usage__output_tokens=90, timestamp="2026-10-01T10:00:09.000Z")],
    "a smaller row": [line(1), line(1, message__usage__output_tokens=1, timestamp="2026-10-01T10:00:09.000Z")],
    "time runs back": [line(9), line(9, message__usage__output_tokens=90, timestamp="2026-10-01T10:00:00.000Z")],
    "no request": [line(1, requestId=None), line(1)],
    "two requests": [line(1), line(1, requestId="other"), line(1, requestId="other")],
    "a sidechain repeats": [line(1), line(1, requestId="other", isSidechain=True), line(2, isSidechain=True)],
    "the sidechain was first": [line(1, isSidechain=True), line(1, requestId="other")],
    "no message id": [line(1, message__id=None), line(2)],
    "no model": [line(1, message__model=None), line(2)],
    "no time": [line(1, timestamp=...), line(2)],
    "a time without a zone": [line(1, timestamp="2026-10-01T10:00:00"), line(2)],
    "no such day": [line(1, timestamp="2026-02-30T10:00:00.000Z"), line(2)],
    "a leap day": [line(1, timestamp="2028-02-29T23:59:59.999Z"), line(2)],
    "seconds alone": [line(1, timestamp="2026-10-01T10:00:00Z"), line(2, timestamp="2026-10-01T10:00:00Z")],
    "a number for a time": [line(1, timestamp=1_790_000_000), line(2)],
    "synthetic": [line(1, message__model="<synthetic>"), line(2)],
    "an error": [line(1, isApiErrorMessage=True), line(2)],
    "fast, elsewhere": [line(1, message__usage__speed="fast", message__usage__inference_geo="us"), line(2)],
    "a batch tier": [line(1, message__usage__service_tier="batch"), line(2)],
    "hour above writes": [line(1, message__usage__cache_creation={"ephemeral_1h_input_tokens": 900}), line(2)],
    "writes by age alone": [line(1, message__usage__cache_creation_input_tokens=None), line(2)],
    "thoughts": [line(1, message__usage__output_tokens_details={"thinking_tokens": 3}), line(2)],
    "more thoughts than output": [line(1, message__usage__output_tokens_details={"thinking_tokens": 30}), line(2)],
    "searches": [line(1, message__usage__server_tool_use={"web_search_requests": 2, "web_fetch_requests": 4})],
    "iterations": [line(1, message__usage__iterations=[{"type": "message", "input_tokens": 1, "output_tokens": 7}])],
    "an advisor": [line(1, message__usage__iterations=[
        {"type": "message", "input_tokens": 1, "output_tokens": 7},
        {"type": "advisor", "input_tokens": 3, "output_tokens": 2, "model": "claude-opus-4-20250514"}])],
    "an unknown count": [line(1, message__usage__new_tokens=3), line(2)],
    "a total": [line(1, message__usage__total_tokens=3000), line(2)],
    "a negative count": [line(1, message__usage__input_tokens=-4), line(2)],
    "a count as text": [line(1, message__usage__input_tokens="12"), line(2)],
    "a count as a float": [line(1, message__usage__input_tokens=12.0), line(2)],
    "a huge count": [line(1, message__usage__input_tokens=1 << 50), line(2)],
    "a count beyond 64 bits": [line(1, message__usage__output_tokens=1 << 70), line(2)],
    "a cost beyond a float": [json.dumps(line(1, costUSD=7)).encode().replace(b'D": 7', b'D": 1e999'), line(2)],
    "a number beyond a float, elsewhere": [json.dumps(line(1)).encode().replace(b'"2.0.0"', b"1e999"), line(2)],
    "no usage": [line(1, message__usage=...), line(2, message__usage={})],
    "old usage": [line(1, message__usage=..., inputTokens=4, outputTokens=2), line(2)],
    "logged cost": [line(1, costUSD=0.0123), line(2, costUSD=1), line(3, costUSD=None)],
    "an impossible cost": [line(1, costUSD=1e30), line(2)],
    "user turns": [line(1, type="user", message={"role": "user", "content": "hello"}), line(2), {"type": "summary",
        "leafUuid": "u", "summary": "x"}, {"type": "system", "sessionId": "s"}],
    "unknown rows": [line(1), {"type": "novelty", "sessionId": "s"}, {"foo": 1}, [1, 2], 5, line(2)],
    "progress": [line(1), {"type": "progress", "sessionId": "s", "data": {"type": "hook"}}, {"type": "progress",
        "sessionId": "s", "data": {"message": line(4)}}],
    "a message that is text": [line(1, message="hello"), line(2)],
    "bedrock": [line(1, message__model="us.anthropic.claude-sonnet-4-20250514-v1:0"), line(2)],
    "no folder": [line(1, cwd=...), line(2, cwd="/"), line(3, cwd=r"C:\code\atlas")],
    "broken": [line(1), b'{"type": "assistant", "mess', b"", b"  ", line(2), b"\xff\xfe", line(3)],
    "not utf-8 inside": [line(1), json.dumps(line(2)).encode().replace(b'"2.0.0"', b'"\xff"'), line(3)],
    "one in two lines": [line(1), json.dumps(line(2)).encode().replace(b', "uuid"', b',\n "uuid"'), line(3)],
    "two in one line": [json.dumps(line(1)).encode() + json.dumps(line(2)).encode(), line(3)],
    "lines that end in CR LF": [json.dumps(line(n)).encode() + b"\r" for n in (1, 2)],
    "a byte order mark": [b"\xef\xbb\xbf" + json.dumps(line(1)).encode(), line(2)],
    "more than are held": [*(line(n) for n in range(300)), line(1, message__usage__output_tokens=90),
        line(299, message__usage__output_tokens=90)],
}  # fmt: skip


def test_odd_transcripts_are_stored_the_same_either_way(tmp_path: Path) -> None:
    found = same(tmp_path, each_in_a_file(tmp_path, list(ODD.values())))
    assert len(found["sources"]) == len(ODD)
    assert len(found["calls"]) > len(ODD)


def test_a_plain_transcript_is_read_as_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = written(tmp_path, [line(n // 2) for n in range(400)])
    monkeypatch.setattr("ingest.formats.claude_code.Transcript.read", None)  # would fail if it were asked
    found = stored(tmp_path, log, by_columns=True)
    assert len(found["calls"]) == 200


def test_the_samples_are_stored_the_same_either_way(tmp_path: Path) -> None:
    logs = sorted(SAMPLES.glob("*.json*"))
    assert len(same(tmp_path, *logs)["sources"]) >= len(logs)


def test_the_real_session_and_the_fixtures_are_stored_the_same_either_way(tmp_path: Path, data: Path) -> None:
    for log in (data / "claude_code_session.jsonl", *sorted((data / "fixtures" / "claude_code").glob("*.jsonl"))):
        assert same(tmp_path, log)["calls"]


def pair(number: int, **changes: Any) -> dict[str, Any]:
    """A line of a log of OpenAI pairs."""
    return changed(
        {
            "timestamp": f"2026-10-01T10:{number // 60 % 60:02}:{number % 60:02}.250Z", "agent": "research",
            "task": "gather", "session_id": f"s{number % 3}", "latency_ms": 12.3 + number,
            "request": {"model": "gpt-4o", "temperature": 0.7, "max_tokens": 100, "messages": [
                {"role": "system", "content": "You plan."}, {"role": "user", "content": "é" * number}]},
            "response": {
                "id": f"r{number}", "object": "chat.completion", "created": 1_790_000_000, "model": "gpt-4o-2024-08-06",
                "choices": [{"index": 0, "message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 100 + number, "completion_tokens": 20, "total_tokens": 120 + number,
                          "prompt_tokens_details": {"cached_tokens": 64}},
            },
        },
        changes,
    )  # fmt: skip


TOOL_CALL = [{"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
PART = [{"type": "text", "text": "Yes."}]
PAIR_CHANGES: list[dict[str, Any]] = [
    {"timestamp": ...}, {"timestamp": 1_790_000_000.5}, {"timestamp": "2026-10-01 10:00:00"}, {"timestamp": ""},
    {"agent": ...}, {"agent": ""}, {"agent": 5}, {"task": ...}, {"task": ""}, {"session_id": None},
    {"latency_ms": 0.0005}, {"latency_ms": -1}, {"latency_ms": 1e15}, {"latency_ms": "9"}, {"latency_ms": 7},
    {"user_id": "u"}, {"status": "error"}, {"cost_usd": 0.5}, {"tags": ["a:b"]}, {"metadata": {"agent": "x"}},
    {"call_id": "c"}, {"end_time": "2026-10-01T10:59:00Z"}, {"object": "chat.completion"}, {"type": "message"},
    {"error": {"code": "x"}}, {"strange": [1, {"a": None}]},
    {"request__model": "gpt-4o-mini"}, {"request__model": ...}, {"request__messages": ...},
    {"request__messages": "hello"}, {"request__temperature": 1}, {"request__temperature": True},
    {"request__max_completion_tokens": 9}, {"request__max_tokens": 1 << 70}, {"request__max_tokens": "9"},
    {"request__stream": True}, {"request__tools": TOOL_CALL}, {"request__tools": []}, {"request__user": "u"},
    {"request__reasoning_effort": "high"}, {"request__reasoning_effort": ""}, {"request__service_tier": "flex"},
    {"request__response_format": {"type": "json_object"}}, {"request__seed": 4}, {"request__metadata": {"task": "x"}},
    {"response__id": ...}, {"response__id": ""}, {"response__object": ...}, {"response__object": "response"},
    {"response__model": ""}, {"response__service_tier": "flex"}, {"response__service_tier": "default"},
    {"response__choices": []}, {"response__choices": ...}, {"response__choices__0__finish_reason": "tool_calls"},
    {"response__choices__0__finish_reason": None}, {"response__choices__0__message__tool_calls": TOOL_CALL},
    {"response__choices__0__message__tool_calls": []}, {"response__choices__0__message__content": PART},
    {"response__choices__0__message__content": None}, {"response__choices__0__message": "text"},
    {"response__usage": ...}, {"response__usage__prompt_tokens": None}, {"response__usage__total_tokens": 500},
    {"response__usage__total_tokens": 1}, {"response__usage__total_tokens": ...},
    {"response__usage__prompt_tokens": -1}, {"response__usage__completion_tokens": 1 << 50},
    {"response__usage__prompt_tokens_details": {"cached_tokens": 900}}, {"response__usage__prompt_tokens_details": 5},
    {"response__usage__completion_tokens_details": {"reasoning_tokens": 9, "audio_tokens": 2}},
    {"response__usage__completion_tokens_details": {"reasoning_tokens": 90}},
    {"response__usage__prompt_tokens_details": {"cache_write_tokens": 3, "audio_tokens": 1, "image_tokens": 0}},
    {"response__usage__cache_read_input_tokens": 4}, {"response__metadata": {"agent": "y"}},
]  # fmt: skip


def test_odd_pairs_among_plain_ones_are_stored_the_same_either_way(tmp_path: Path) -> None:
    records: list[Any] = []
    for number, change in enumerate(PAIR_CHANGES):
        records += [pair(2 * number), pair(2 * number + 1, **change)]
    records += [pair(3), b'{"request": {', b"", json.dumps(pair(900)).encode().replace(b"Yes.", b"\xff")]
    found = same(tmp_path, written(tmp_path, records), format="openai_chat")
    assert len(found["calls"]) > 1.6 * len(PAIR_CHANGES)


def test_logs_of_odd_pairs_alone_are_stored_the_same_either_way(tmp_path: Path) -> None:
    logs = [[pair(number, **change) for number in range(4)] for change in PAIR_CHANGES]
    found = same(tmp_path, each_in_a_file(tmp_path, logs), format="openai_chat")
    assert len(found["sources"]) == len(PAIR_CHANGES)
    assert len(found["calls"]) > 2 * len(PAIR_CHANGES)


def test_plain_pairs_are_read_as_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.pipeline.parse_rows.read_row", None)  # would fail if a line were left
    found = stored(tmp_path, written(tmp_path, [pair(number) for number in range(50)]), by_columns=True)
    assert len(found["calls"]) == 50


@pytest.fixture
def every_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of any size are read as columns, a few lines at a time."""
    monkeypatch.setattr(parse_rows, "PLAIN_BYTES", 0)
    monkeypatch.setattr(openai_chat_messages, "BLOCK_BYTES", 3000)


def with_texts(folder: Path, log: Path, *, by_columns: bool, **options: Any) -> dict[str, list[Any]]:
    """All tables of a store made of `log` with its messages, or with their hashes."""
    with pytest.MonkeyPatch.context() as patch:
        if not by_columns:
            patch.setattr(parse_rows, "PLAIN_BYTES", 1 << 40)
        store = MemoryStore(folder / "s.duckdb")
        (folder / "key").write_text("0" * 64)
        ingest(store, [log], workers=1, hash_key=folder / "key", **options)
    with store.read() as con:
        return {name: con.execute(f"SELECT * FROM {name}").fetchall() for name in (*TABLES, "content_tokens")}


def same_texts(folder: Path, log: Path, **options: Any) -> dict[str, list[Any]]:
    found = with_texts(folder, log, by_columns=True, **options)
    assert found == with_texts(folder, log, by_columns=False, **options)
    return found


def talk(number: int, **changes: Any) -> dict[str, Any]:
    """A call of one of three sessions, each of which resends what was said before."""
    said = [{"role": "system", "content": "You plan."}]
    for turn in range(number // 3 + 1):
        said += [{"role": "user", "content": f"Ask {turn}, é"}, {"role": "assistant", "content": "Yes."}]
    return changed(pair(number, request__messages=said[:-1]), changes)


TEXT_CHANGES: list[dict[str, Any]] = [
    *PAIR_CHANGES, {"request__messages": []}, {"request__messages": [{"role": "user"}, 5]},
    {"request__messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
    {"request__messages": [{"role": "user", "content": "a\n\"b\" \\ 12 May"}, {"content": "no role  "}]},
    {"request__messages": [{"role": "user", "sha256": "ab" * 32, "words": 3}]}, {"request__prompt": "hello"},
    {"response__choices": [{"message": {"role": "assistant", "content": "a"}}, {"message": {"content": "b"}}]},
    {"response__choices__0__message": None}, {"request__user": "u", "request__metadata": {"z": 1}},
    {"request__tools": TOOL_CALL, "request__tool_choice": "auto", "request__top_p": 1},
]  # fmt: skip


@pytest.mark.usefixtures("every_piece")
@pytest.mark.parametrize("text", [True, False])
def test_odd_pairs_among_plain_ones_are_stored_the_same_with_their_texts(tmp_path: Path, text: bool) -> None:
    records: list[Any] = []
    for number, change in enumerate(TEXT_CHANGES):
        records += [talk(2 * number), talk(2 * number + 1, **change)]
    records += [talk(3), b'{"request": {', b"", b"\xef\xbb\xbf" + json.dumps(pair(901)).encode()]
    records += [json.dumps(pair(900)).encode().replace(b"Yes.", b"\xff"), line(1), talk(400), talk(403)]
    found = same_texts(tmp_path, written(tmp_path, records), format="openai_chat", text=text)
    assert len(found["calls"]) > 1.6 * len(TEXT_CHANGES)
    assert found["contents"]
    assert found["quarantine"]


@pytest.mark.usefixtures("every_piece")
def test_logs_of_odd_pairs_alone_are_stored_the_same_with_their_texts(tmp_path: Path) -> None:
    logs = [[talk(number, **change) for number in range(4)] for change in TEXT_CHANGES]
    found = same_texts(tmp_path, each_in_a_file(tmp_path, logs), format="openai_chat")
    assert len(found["sources"]) == len(TEXT_CHANGES)
    assert len(found["calls"]) > 2 * len(TEXT_CHANGES)


@pytest.mark.usefixtures("every_piece")
def test_plain_pairs_are_read_as_columns_with_their_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.pipeline.parse_rows.read_row", None)  # would fail if a line were left
    found = with_texts(tmp_path, written(tmp_path, [talk(number) for number in range(50)]), by_columns=True)
    assert len(found["calls"]) == 50


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    rows=st.lists(st.tuples(st.integers(0, 8), st.just({}) | st.sampled_from(TEXT_CHANGES)), min_size=1, max_size=12),
    spaced=st.booleans(),
    bites=st.lists(st.tuples(st.integers(0, 10_000), st.binary(max_size=3)), max_size=2),
)
@pytest.mark.usefixtures("every_piece")
def test_mangled_pairs_are_stored_the_same_with_their_texts(
    tmp_path: Path, rows: list[tuple[int, dict[str, Any]]], spaced: bool, bites: list[tuple[int, bytes]]
) -> None:
    records = [talk(1), *(talk(number, **copy.deepcopy(change)) for number, change in rows)]
    separators = (", ", ": ") if spaced else (",", ":")
    text = bytearray(b"\n".join(json.dumps(one, separators=separators).encode() for one in records) + b"\n")
    for place, bite in bites:
        at = 700 + place % len(text)
        text[at : at + 2] = bite
    log = tmp_path / "pairs.jsonl"
    log.write_bytes(bytes(text))
    found = same_texts(tmp_path, log, format="openai_chat")
    for source in found["sources"]:
        rows_, calls, duplicates, quarantined, skipped = source[5:10]
        assert rows_ == calls + duplicates + quarantined + skipped


changes = st.dictionaries(
    st.sampled_from(
        ["requestId", "sessionId", "isSidechain", "type", "uuid", "timestamp", "cwd", "costUSD", "message__id",
         "message__model", "message__role", "message__stop_reason", "message__usage", "message__usage__output_tokens",
         "message__usage__input_tokens", "message__usage__cache_read_input_tokens", "message__usage__cache_creation",
         "message__usage__iterations", "message__usage__speed", "message__usage__surprise", "inputTokens", "data"]
    ),
    st.one_of(
        st.just(...), st.none(), st.booleans(), st.integers(-5, 3000), st.sampled_from(["", "a", "req_1", "msg_2"]),
        st.just({"ephemeral_1h_input_tokens": 4}), st.floats(allow_nan=False), st.just([{"type": "message"}]),
    ),
    max_size=2,
)  # fmt: skip


def _changed(number: int, change: dict[str, Any]) -> dict[str, Any]:
    ordered = sorted(change.items(), key=lambda item: -item[0].count("__"))  # inner ones before what holds them
    return line(number, **dict(ordered))


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    rows=st.lists(st.tuples(st.integers(0, 4), st.just({}) | changes), min_size=1, max_size=12),
    bites=st.lists(st.tuples(st.integers(0, 10_000), st.binary(max_size=3)), max_size=2),
)
def test_a_mangled_transcript_is_stored_the_same_either_way(
    tmp_path: Path, rows: list[tuple[int, dict[str, Any]]], bites: list[tuple[int, bytes]]
) -> None:
    log = written(tmp_path, [line(0), *(_changed(number, copy.deepcopy(change)) for number, change in rows)])
    text = bytearray(log.read_bytes())
    for place, bite in bites:
        at = 700 + place % len(text)
        text[at : at + 2] = bite
    log.write_bytes(bytes(text))
    found = same(tmp_path, log, format="claude_code")
    for source in found["sources"]:
        rows_, calls, duplicates, quarantined, skipped = source[5:10]
        assert rows_ == calls + duplicates + quarantined + skipped


@given(
    st.lists(st.datetimes(min_value=datetime(1995, 1, 1)), min_size=1, max_size=5),
    st.sampled_from(["%S.%fZ", "%SZ", "%S.%f"]),
)
def test_times_by_the_column_are_the_times_one_by_one(moments: list[Any], tail: str) -> None:
    written_ = [f"{moment:%Y-%m-%dT%H:%M:{tail}}" for moment in moments]
    try:
        expected = [time_us(text, "$") for text in written_]
    except BadRecordError:
        assert arrow_columns.times(written_) is None
        return
    found = arrow_columns.times(written_)
    assert found is not None
    assert list(zip(found[0].tolist(), found[1].tolist(), strict=True)) == expected


def test_a_line_is_one_value_even_where_values_and_lines_are_as_many() -> None:
    assert arrow_columns.line_ends(b'{"a":1}\n{"b":2}\n') is not None
    for data in (b'{"a":\n1} {"b":2}\n', b'{"a":1}\n\n{"b":2}', b' {"a":1}\n', b'{"a":1}\r\n{"b":2}\r\n', b""):
        assert arrow_columns.line_ends(data) is None


def test_the_order_of_both_readers_rows_is_the_order_of_the_file(tmp_path: Path) -> None:
    rng = random.Random(3)
    log = written(tmp_path, [line(n) if rng.random() < 0.8 else b"{broken" for n in range(200)])
    found = same(tmp_path, log, format="claude_code")
    assert len(found["calls"]) + len(found["quarantine"]) == 200
