"""`hindcast` without a store answers from the logs it finds, and writes nothing; an ingest ends with the same."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.app import app

SAMPLES = Path(__file__).resolve().parents[2] / "sample_logs" / "formats"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home" / ".claude" / "projects" / "-home-dev-app"
    folder.mkdir(parents=True)
    shutil.copy(SAMPLES / "claude_code.jsonl", folder / "session.jsonl")
    (tmp_path / "work").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HINDCAST_STORE", raising=False)
    monkeypatch.setenv("HINDCAST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "home"


def hindcast(*arguments: str) -> Result:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result


def document(*arguments: str) -> Any:
    return json.loads(hindcast(*arguments, "--json").stdout)


def written(home: Path) -> set[str]:
    below = home.parent
    return {str(path.relative_to(below)) for path in below.rglob("*") if path.is_file() and "cache" not in path.parts}


def test_one_command_answers_from_the_logs_and_writes_nothing(home: Path) -> None:
    before = written(home)
    shown = hindcast().stdout
    assert written(home) == before
    projects = home / ".claude" / "projects"
    assert shown.splitlines()[-1] == f"Keep it, and ask more: hindcast ingest {projects}"
    assert "nothing was written: 1 file of Claude Code" in shown
    assert max(map(len, shown.splitlines()[:-1])) <= 110


def test_it_says_what_an_ingest_of_the_same_logs_says(home: Path) -> None:
    from_logs = document()
    shown = hindcast("ingest", str(home / ".claude" / "projects")).stdout
    answer = hindcast_answer(shown)
    found = from_logs["recent"]
    kept = document("cost", "--by", "day,agent,model")
    assert found["total"]["cost_usd"] == kept["total"]["cost_usd"]
    assert found["total"]["calls"] == kept["total"]["calls"]
    (home.parent / "work" / "hindcast.duckdb").unlink()
    assert hindcast_answer(hindcast().stdout) == answer


def hindcast_answer(shown: str) -> list[str]:
    """From the newest day to the sum of all."""
    lines = shown.splitlines()
    last = next(place for place, line in enumerate(lines) if line.startswith("Together "))
    first = max(place for place in range(last) if lines[place].startswith("day "))
    return lines[first : last + 1]


def test_files_of_no_known_format_are_counted_and_stop_no_other(home: Path) -> None:
    Path("notes.jsonl").write_text('{"a": 1}\n')
    found = document()
    assert found["read"] == {"files": 2, "older": 0, "beyond": 0, "unread": 1}
    assert "Not read: 1 file of no known format" in hindcast().stdout


def test_old_files_are_left_out_and_said(home: Path) -> None:
    old = home / ".claude" / "projects" / "-home-dev-app" / "old.jsonl"
    shutil.copy(SAMPLES / "claude_code.jsonl", old)
    os.utime(old, (0, datetime(2026, 1, 20, tzinfo=UTC).timestamp()))
    assert "Not read: 1 older file, last written a month or more before the newest call" in hindcast().stdout


def test_a_file_that_was_touched_long_after_its_calls_hides_no_older_one(home: Path) -> None:
    projects = home / ".claude" / "projects" / "-home-dev-app"
    session = projects / "session.jsonl"
    text = session.read_text()
    noon = datetime(2026, 3, 2, 12, tzinfo=UTC)
    assert f'"timestamp": "{noon:%Y-%m-%d}' in text
    for days in (7, 60):
        day = noon - timedelta(days=days)
        older = text.replace(f"{noon:%Y-%m-%d}", f"{day:%Y-%m-%d}").replace('"msg_', f'"msg_{days}_')
        (projects / f"{days}.jsonl").write_text(older)
        os.utime(projects / f"{days}.jsonl", (0, day.timestamp()))
    os.utime(session, (0, (noon + timedelta(days=40)).timestamp()))  # resumed, without a call
    found = document()
    assert found["read"]["files"] == 2
    assert found["read"]["older"] == 1
    assert [row["day"] for row in found["recent"]["days"]] == ["2026-03-02", "2026-02-23"]


def test_texts_of_the_logs_stay_out_of_memory(home: Path) -> None:
    from cli.logs.first_answer import in_memory
    from ingest.detect.known_locations import find_logs

    with in_memory(find_logs()) as read:
        assert read is not None
        with read.store.read() as con:
            assert con.execute("SELECT count(*) FROM contents").fetchall() == [(0,)]


def test_a_log_of_ones_own_layout_is_answered_by_a_drafted_mapping(home: Path) -> None:
    shutil.rmtree(home / ".claude")
    rows = [
        {"ts": f"2026-03-0{day}T09:00:00Z", "llm": "gpt-4o", "prompt_tokens": 1000, "completion_tokens": 100}
        for day in (1, 2)
    ]
    Path("own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = document()
    assert found["recent"]["total"]["calls"] == 2
    assert found["read"]["drafted_mapping"] == str(Path("own.jsonl").resolve())
    shown = hindcast().stdout
    assert "of no known format: its fields were guessed" in shown
    assert shown.splitlines()[-1].startswith("Keep it, and ask more: hindcast mapping init ")
    assert not list(Path.cwd().glob("*.yaml"))


def test_calls_without_a_price_are_said_to_have_none(home: Path) -> None:
    shutil.rmtree(home / ".claude")
    rows = [{"ts": f"2026-03-0{day}T09:00:00Z", "llm": "nobodys", "prompt_tokens": 9} for day in (1, 2)]
    Path("own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert hindcast().stdout.splitlines()[0] == "Mon 2 Mar 2026 has 1 call, none of them with a price."
    together = "Together 2 calls in 2 days with calls, Sun 1 Mar to Mon 2 Mar 2026, none of them with a price."
    assert together in hindcast().stdout


def test_what_the_log_says_stands_in_for_a_price_that_is_not_known(home: Path) -> None:
    shutil.rmtree(home / ".claude")
    row = {"ts": "2026-03-02T09:00:00Z", "llm": "nobodys", "prompt_tokens": 9, "cost_usd": 0.25}
    Path("own.jsonl").write_text(json.dumps(row) + "\n")
    assert hindcast().stdout.splitlines()[0] == (
        "Mon 2 Mar 2026 has 1 call, none of them with a price we know; the log itself says $0.250."
    )
