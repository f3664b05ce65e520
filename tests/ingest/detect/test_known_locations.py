"""Where logs are found on a machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingest.detect.known_locations import find_logs

# variable -> (a log below the folder that it names, the tool)
FOLDERS = {
    "CODEX_HOME": ("sessions/2026/09/10/rollout-a.jsonl.zst", "Codex"),
    "OPENCODE_DATA_DIR": ("opencode.db", "opencode"),
    "COPILOT_HOME": ("session-state/s/events.jsonl", "Copilot CLI"),
    "GEMINI_CLI_HOME": (".gemini/tmp/p/chats/session-a.json", "Gemini CLI"),
    "GEMINI_DATA_DIR": ("tmp/p/chats/session-a.jsonl", "Gemini CLI"),
    "QWEN_HOME": ("projects/p/chats/a.jsonl", "Qwen Code"),
    "PI_CODING_AGENT_DIR": ("sessions/p/a.jsonl", "pi"),
    "OPENCLAW_STATE_DIR": ("agents/main/sessions/a.jsonl", "OpenClaw"),
    "FACTORY_HOME": ("sessions/p/a.settings.json", "Droid"),
    "KIMI_SHARE_DIR": ("sessions/a/b/wire.jsonl", "Kimi"),
    "KIMI_CODE_HOME": ("sessions/wd_a/s/agents/main/wire.jsonl", "Kimi"),
    "AMP_DATA_DIR": ("threads/T-a.json", "Amp"),
    "GROK_HOME": ("sessions/p/s/updates.jsonl", "Grok Build"),
    "VIBE_HOME": ("logs/session/session_a/meta.json", "Vibe"),
    "HERMES_HOME": ("profiles/work/state.db", "Hermes"),
    "LLM_USER_PATH": ("logs.db", "llm"),
    "CONTINUE_GLOBAL_DIR": ("dev_data/0.2.0/tokensGenerated.jsonl", "Continue"),
}
USUAL = {
    ".local/share/opencode/opencode-local.db": "opencode", ".local/share/kilo/kilo.db": "Kilo CLI",
    ".local/share/mimocode/mimocode.db": "MiMoCode", ".copilot/session-store.db": "Copilot CLI",
    ".gemini/tmp/p/chats/session-a.jsonl": "Gemini CLI", ".qwen/projects/p/chats/a.jsonl": "Qwen Code",
    ".pi/agent/sessions/p/a.jsonl": "pi", ".omp/agent/sessions/p/a.jsonl": "pi",
    ".openclaw/agents/main/sessions/a.jsonl": "OpenClaw", ".factory/sessions/p/a.settings.json": "Droid",
    ".kimi/sessions/a/b/wire.jsonl": "Kimi", ".local/share/amp/threads/T-a.json": "Amp",
    ".local/share/goose/sessions/sessions.db": "goose", ".hermes/state.db": "Hermes",
    "project/.crush/crush.db": "Crush", ".grok/sessions/p/s/updates.jsonl": "Grok Build",
    ".vibe/logs/session/session_a/meta.json": "Vibe", ".local/share/zed/threads/threads.db": "Zed",
    "Library/Application Support/Zed/threads/threads.db": "Zed",
    ".config/Cursor/User/globalStorage/state.vscdb": "Cursor",
    ".config/Code/User/globalStorage/saoudrizwan.claude-dev/tasks/1/ui_messages.json": "Cline",
    "AppData/Roaming/Code/User/globalStorage/rooveterinaryinc.roo-cline/tasks/1/ui_messages.json": "Roo Code",
    ".config/io.datasette.llm/logs.db": "llm", "project/.aider.chat.history.md": "Aider",
    ".continue/dev_data/0.2.0/tokensGenerated.jsonl": "Continue",
    ".config/Kiro/User/globalStorage/kiro.kiroagent/dev_data/tokens_generated.jsonl": "Kiro",
    ".config/Code/User/globalStorage/github.copilot-chat/agent-traces.db": "Copilot Chat",
    ".vscode-server/data/User/globalStorage/kilocode.kilo-code/tasks/1/ui_messages.json": "Kilo Code",
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (*FOLDERS, "CLAUDE_CONFIG_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "APPDATA", "LOCALAPPDATA"):
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


@pytest.mark.parametrize("variable", FOLDERS)
def test_the_variable_of_each_tool_moves_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    file, tool = FOLDERS[variable]
    path = log(tmp_path / "moved" / file)
    log(tmp_path / "moved" / "notes.txt")
    monkeypatch.setenv(variable, str(tmp_path / "moved"))
    found = find_logs(tmp_path / "home", tmp_path / "none")
    assert [(one.tool, one.files) for one in found] == [(tool, 1)]
    assert path.is_relative_to(found[0].path)


@pytest.mark.parametrize("file", USUAL)
def test_each_tool_is_found_in_its_usual_place(tmp_path: Path, file: str) -> None:
    log(tmp_path / file)
    assert [(found.tool, found.files) for found in find_logs(tmp_path, tmp_path / "none")] == [(USUAL[file], 1)]


def test_links_below_a_location_are_followed_once(tmp_path: Path) -> None:
    log(tmp_path / "data" / "claude" / "atlas" / "a.jsonl")
    projects = tmp_path / ".claude" / "projects"
    projects.mkdir(parents=True)
    (projects / "atlas").symlink_to(tmp_path / "data" / "claude" / "atlas")
    (tmp_path / "data" / "claude" / "atlas" / "loop").symlink_to(projects)
    assert listed(tmp_path, tmp_path / "none") == [("Claude Code", projects, 1, 100)]
