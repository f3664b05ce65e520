"""Where logs are found on a machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingest.detect.known_locations import find_logs


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("CLAUDE_CONFIG_DIR", "CODEX_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(variable, raising=False)


def log(path: Path, size: int = 100) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x" * size)
    return path


def listed(home: Path, working_folder: Path) -> list[tuple[str, Path, int, int]]:
    return [(found.tool, found.path, found.files, found.size_bytes) for found in find_logs(home, working_folder)]


def test_folders_of_assistants_are_found_largest_first_and_empty_ones_are_not(tmp_path: Path) -> None:
    log(tmp_path / ".claude" / "projects" / "atlas" / "a.jsonl")
    log(tmp_path / ".codex" / "archived_sessions" / "2026" / "b.jsonl.zst", 300)
    (tmp_path / ".codex" / "sessions").mkdir()
    log(tmp_path / ".local" / "share" / "opencode" / "storage" / "message" / "s" / "m.json", 200)
    assert listed(tmp_path, tmp_path / "none") == [
        ("Codex", tmp_path / ".codex" / "archived_sessions", 1, 300),
        ("opencode", tmp_path / ".local" / "share" / "opencode" / "storage" / "message", 1, 200),
        ("Claude Code", tmp_path / ".claude" / "projects", 1, 100),
    ]


@pytest.mark.parametrize(
    ("variable", "value", "file", "tool"),
    [
        ("CLAUDE_CONFIG_DIR", "moved", "moved/projects/p/a.jsonl", "Claude Code"),
        ("CLAUDE_CONFIG_DIR", "elsewhere, moved", "moved/projects/p/a.jsonl", "Claude Code"),
        ("CODEX_HOME", "moved", "moved/sessions/a.jsonl", "Codex"),
        ("XDG_CONFIG_HOME", "moved", "moved/claude/projects/p/a.jsonl", "Claude Code"),
        ("XDG_DATA_HOME", "moved", "moved/opencode/storage/message/s/a.json", "opencode"),
    ],
)
def test_variables_that_move_a_folder_are_honoured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, file: str, tool: str
) -> None:
    log(tmp_path / file)
    monkeypatch.setenv(variable, ",".join(str(tmp_path / part.strip()) for part in value.split(",")))
    assert [found.tool for found in find_logs(tmp_path / "home", tmp_path / "none")] == [tool]


def test_a_folder_that_two_locations_lead_to_comes_once(tmp_path: Path) -> None:
    log(tmp_path / ".claude" / "projects" / "a.jsonl")
    (tmp_path / ".config").mkdir()
    (tmp_path / ".config" / "claude").symlink_to(tmp_path / ".claude")
    working = tmp_path / "work"
    log(working / "calls.jsonl")
    (working / "logs").symlink_to(working)
    assert [(found.tool, found.path) for found in find_logs(tmp_path, working)] == [
        ("Claude Code", tmp_path / ".claude" / "projects"),
        ("this folder", working / "calls.jsonl"),
    ]
