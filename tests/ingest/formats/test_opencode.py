"""opencode's messages in files, in its database, exported and printed: each call once, with its own counts."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ingest.errors import InputError
from ingest.pipeline.report import IngestReport
from ingest.pipeline.run import ingest
from ingest.store.database import Store


def message(number: int = 1, session: str = "ses_a", **more: Any) -> dict[str, Any]:
    created = 1_770_000_000_000 + 60_000 * number
    return {
        "id": f"msg_{session}_{number}", "sessionID": session, "role": "assistant", "modelID": "gpt-5.2",
        "providerID": "openai", "agent": "build", "finish": "stop", "cost": 0.01,
        "path": {"cwd": "/home/dev/atlas", "root": "/home/dev/atlas"},
        "time": {"created": created, "completed": created + 5000},
        "tokens": {"input": 700, "output": 90 + number, "reasoning": 0, "cache": {"read": 300, "write": 20}}, **more,
    }  # fmt: skip


def database(path: Path, messages: list[dict[str, Any]]) -> None:
    with closing(sqlite3.connect(path)) as con:
        con.execute("CREATE TABLE session (id TEXT PRIMARY KEY, parent_id TEXT, directory TEXT)")
        con.execute("CREATE TABLE message (id TEXT PRIMARY KEY, session_id TEXT, time_created INT, data TEXT)")
        insert(con, messages)


def insert(con: sqlite3.Connection, messages: list[dict[str, Any]]) -> None:
    for one in messages:
        data = {key: value for key, value in one.items() if key not in ("id", "sessionID")}
        con.execute("INSERT OR IGNORE INTO session VALUES (?, NULL, '/home/dev/atlas')", (one["sessionID"],))
        row = (one["id"], one["sessionID"], one["time"]["created"], json.dumps(data))
        con.execute("INSERT INTO message VALUES (?, ?, ?, ?)", row)
    con.commit()


def written(path: Path, document: Any) -> Path:
    path.write_text(json.dumps(document))
    return path


def read(tmp_path: Path, *paths: Path) -> tuple[list[tuple[Any, ...]], IngestReport]:
    store = Store(tmp_path / "s.duckdb")
    report = ingest(store, paths, workers=1)
    assert report.quarantined == 0
    assert report.rows == report.calls + report.duplicates + report.skipped
    with store.read() as con:
        found = con.execute(
            """SELECT input_tokens, cache_read_input_tokens, cache_creation_input_tokens, output_tokens, agent, task,
                      conversation_id FROM calls ORDER BY start_time"""
        ).fetchall()
    return found, report


def expected(*numbers: int) -> list[tuple[Any, ...]]:
    return [(1020, 300, 20, 90 + number, "build", "atlas", "ses_a") for number in numbers]


def test_a_message_is_one_call_in_a_file_in_the_database_and_exported(tmp_path: Path) -> None:
    messages = [message(1), message(2)]
    database(tmp_path / "opencode.db", messages)
    export = {"info": {"id": "ses_a"}, "messages": [{"info": one, "parts": []} for one in messages]}
    files = [written(tmp_path / "m1.json", messages[0]), tmp_path / "opencode.db",
             written(tmp_path / "export.json", export)]  # fmt: skip
    found, report = read(tmp_path, *files)
    assert found == expected(1, 2)
    assert report.duplicates == 3


def test_messages_that_a_fork_copies_are_no_new_calls(tmp_path: Path) -> None:
    copies = [{**message(1), "id": "msg_other", "sessionID": "ses_b"}, message(3, "ses_b")]
    database(tmp_path / "opencode.db", [message(1), message(2), *copies])
    found, _ = read(tmp_path, tmp_path / "opencode.db")
    assert found == [*expected(1, 2), (1020, 300, 20, 93, "build", "atlas", "ses_b")]


def test_an_answer_counts_once_it_is_written(tmp_path: Path) -> None:
    empty = {"input": 0, "output": 0, "reasoning": 0, "cache": {"read": 0, "write": 0}}
    open_ = message(1, tokens=empty, time={"created": 1_770_000_060_000})
    found, report = read(tmp_path, written(tmp_path / "m.json", open_))
    assert (found, report.skipped) == ([], 1)
    found, _ = read(tmp_path, written(tmp_path / "m.json", message(1)))
    assert found == expected(1)


@pytest.mark.parametrize(
    ("tokens", "output"),
    [
        ({"input": 700, "output": 500, "reasoning": 400, "total": 1200}, 500),
        ({"input": 700, "output": 100, "reasoning": 400, "total": 1200}, 500),
        ({"input": 700, "output": 500, "reasoning": 400, "total": 1520, "cache": {"read": 300, "write": 20}}, 500),
        ({"input": 700, "output": 100, "reasoning": 400}, 500),
    ],
)
def test_the_total_tells_whether_reasoning_lies_inside_output(
    tmp_path: Path, tokens: dict[str, Any], output: int
) -> None:
    found, _ = read(tmp_path, written(tmp_path / "m.json", message(1, tokens=tokens)))
    assert [one[3] for one in found] == [output]


@pytest.mark.parametrize("path", [{"cwd": "C:\\Users\\dev\\atlas", "root": "C:\\Users\\dev\\atlas"},
                                  {"cwd": "/home/dev/atlas/", "root": "/"}])  # fmt: skip
def test_the_project_is_the_last_folder_on_every_system(tmp_path: Path, path: dict[str, str]) -> None:
    assert read(tmp_path, written(tmp_path / "m.json", message(1, path=path)))[0] == expected(1)


def test_a_printed_step_is_a_call_of_an_unknown_model(tmp_path: Path) -> None:
    part = {"id": "prt_1", "type": "step-finish", "cost": 0.02, "tokens": message(1)["tokens"]}
    events = [{"type": "step_start", "timestamp": 1_770_000_060_000, "sessionID": "ses_a", "part": {}},
              {"type": "step_finish", "timestamp": 1_770_000_065_000, "sessionID": "ses_a", "part": part}]  # fmt: skip
    path = tmp_path / "run.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in events))
    found, _ = read(tmp_path, path)
    assert found == [(1020, 300, 20, 91, "main", None, "ses_a")]


# -- the database ----------------------------------------------------------------------------------------------------


@pytest.fixture
def live(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A database that its tool has open, with changes in the write-ahead log alone."""
    path = tmp_path / "home" / "opencode.db"
    path.parent.mkdir()
    database(path, [message(1)])
    with closing(sqlite3.connect(path)) as con:
        con.execute("PRAGMA journal_mode = WAL")
        con.execute("PRAGMA wal_autocheckpoint = 0")
        insert(con, [message(2)])
        yield con


def test_what_stands_in_the_write_ahead_log_is_read_and_nothing_is_written(
    tmp_path: Path, live: sqlite3.Connection
) -> None:
    home = tmp_path / "home"
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in home.iterdir()}
    assert read(tmp_path, home / "opencode.db")[0] == expected(1, 2)
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in home.iterdir()} == before
    insert(live, [message(3)])  # the database's own file stays as it was
    found, report = read(tmp_path, home / "opencode.db")
    assert (found, report.calls) == (expected(1, 2, 3), 1)
    assert read(tmp_path, home / "opencode.db")[1].files[0]["unchanged"] is True


def test_a_database_of_another_tool_is_refused_in_words(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "x.db")) as con:
        con.execute("CREATE TABLE message (id TEXT, body TEXT)")
        con.commit()
    with pytest.raises(InputError, match="of no known tool"):
        ingest(Store(tmp_path / "s.duckdb"), [tmp_path / "x.db"], workers=1)


def test_a_damaged_database_gives_what_it_can_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "opencode.db"
    database(path, [message(number) for number in range(200)])
    body = bytearray(path.read_bytes())
    body[len(body) // 2 :] = b"\xff" * (len(body) - len(body) // 2)
    path.write_bytes(body)
    store = Store(tmp_path / "s.duckdb")
    try:
        report = ingest(store, [path], workers=1)
    except InputError:
        return  # a damage that leaves no row
    assert report.quarantined >= 1
    assert report.calls < 200
