"""Where logs lie on a machine: the folders of the coding assistants, and what is in the working folder.

Only names, sizes and counts are looked at, never a line. Folders and variables as the tools document them, 2026-11.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from ingest.files.folders import walk

MAX_FILES: Final = 50_000  # per folder; counting stops there: the answer is for a person who waits
MAX_LOCAL_FILES: Final = 20
# tool -> the variable that moves its folder, and where that lies in the home folder without it
_VARIABLES: Final = {
    "Codex": ("CODEX_HOME", ".codex"), "Copilot CLI": ("COPILOT_HOME", ".copilot"),
    "Gemini CLI": ("GEMINI_CLI_HOME", ""), "Qwen Code": ("QWEN_HOME", ".qwen"),
    "pi": ("PI_CODING_AGENT_DIR", ".pi/agent"), "OpenClaw": ("OPENCLAW_STATE_DIR", ".openclaw"),
    "Droid": ("FACTORY_HOME", ".factory"), "Kimi CLI": ("KIMI_SHARE_DIR", ".kimi"),
    "Kimi Code": ("KIMI_CODE_HOME", ".kimi-code"), "Grok Build": ("GROK_HOME", ".grok"), "Vibe": ("VIBE_HOME", ".vibe"),
    "Hermes": ("HERMES_HOME", ".hermes"), "llm": ("LLM_USER_PATH", ".config/io.datasette.llm"),
    "Continue": ("CONTINUE_GLOBAL_DIR", ".continue"),
}  # fmt: skip
_EDITORS: Final = ("Code", "Code - Insiders", "VSCodium", "Cursor", "Windsurf")
_EXTENSIONS: Final = {
    "saoudrizwan.claude-dev": "Cline", "rooveterinaryinc.roo-cline": "Roo Code", "kilocode.kilo-code": "Kilo Code",
    "zoocodeorganization.zoo-code": "Zoo Code",
}  # fmt: skip
LOCAL_SUFFIXES: Final = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".ndjson")


class LogFile(NamedTuple):
    """A file at a known location, its bytes, and when it was last written (nanoseconds since 1970)."""

    path: Path
    size_bytes: int
    written_ns: int


@dataclass(frozen=True)
class FoundLogs:
    """Logs of one tool in one folder, or one log file; `path` is what to give to `hindcast ingest`."""

    tool: str
    path: Path
    contents: tuple[LogFile, ...] = field(repr=False)
    format: str | None = None  # of all its files, where it is known without looking

    @property
    def files(self) -> int:
        """How many files there are, at most MAX_FILES."""
        return len(self.contents)

    @property
    def size_bytes(self) -> int:
        """The bytes of the files together."""
        return sum(file.size_bytes for file in self.contents)


class _Location(NamedTuple):
    tool: str
    places: tuple[Path, ...]  # folders, or files of their own
    patterns: tuple[str, ...] = ("*",)  # names of the files in the folders and below them
    format: str | None = None


def find_logs(home: Path | None = None, working_folder: Path | None = None) -> list[FoundLogs]:
    """The logs at their known locations, largest first; a folder that two locations lead to comes once.

    `home` and `working_folder` are those of this process unless given. Honoured are XDG_CONFIG_HOME, XDG_DATA_HOME,
    CLAUDE_CONFIG_DIR (several folders joined by commas) and the variables of the other tools (`_VARIABLES`). Links
    below a location are followed.
    """
    home = home or Path(os.environ.get("HOME") or "~").expanduser()
    working_folder = working_folder or Path.cwd()
    logs = []
    seen: set[str] = set()
    for location in _locations(home):
        for place in location.places:
            real = os.path.realpath(place)
            if real not in seen:
                seen.add(real)
                logs.append(_measure(location.tool, place, _files(place, location.patterns), location.format))
    for folder in (working_folder, working_folder / "logs"):
        for file in islice(_local_logs(folder), MAX_LOCAL_FILES):
            real = os.path.realpath(file)
            if real not in seen:
                seen.add(real)
                logs.append(_measure("this folder", file, [file]))
    return sorted((found for found in logs if found.files), key=lambda found: (-found.size_bytes, str(found.path)))


def _locations(home: Path) -> Iterator[_Location]:
    """The folders and files of each tool, as documented by the tools and by readers of their logs, 2026-11."""
    config = _folder("XDG_CONFIG_HOME", home / ".config")
    data = _folder("XDG_DATA_HOME", home / ".local" / "share")
    at = {tool: _folder(variable, home / usual) for tool, (variable, usual) in _VARIABLES.items()}
    named = [folder.strip() for folder in os.environ.get("CLAUDE_CONFIG_DIR", "").split(",")]
    claude = [Path(folder).expanduser() for folder in named if folder] or [home / ".claude", config / "claude"]
    applications = home / "Library" / "Application Support"  # macOS
    roaming = _folder("APPDATA", home / "AppData" / "Roaming")  # Windows
    local = _folder("LOCALAPPDATA", home / "AppData" / "Local")
    opencode = _folder("OPENCODE_DATA_DIR", data / "opencode")
    yield _Location("Claude Code", tuple(folder / "projects" for folder in claude), ("*.jsonl",), "claude_code")
    codex = at["Codex"]
    yield _Location("Codex", (codex / "sessions", codex / "archived_sessions"), ("*.jsonl", "*.jsonl.zst"))
    yield _Location("opencode", (opencode / "storage" / "message",), ("*.json",))
    yield _Location("opencode", _matching(opencode, "opencode*.db"))
    for tool in ("kilo", "mimocode"):
        yield _Location("Kilo CLI" if tool == "kilo" else "MiMoCode", _matching(data / tool, "*.db"))
    yield _Location("Copilot CLI", (at["Copilot CLI"] / "session-state",), ("events.jsonl",))
    yield _Location("Copilot CLI", (at["Copilot CLI"] / "session-store.db",))
    gemini = _folder("GEMINI_DATA_DIR", at["Gemini CLI"] / ".gemini")
    yield _Location("Gemini CLI", (gemini / "tmp",), ("session-*.json", "session-*.jsonl"))
    yield _Location("Qwen Code", (at["Qwen Code"] / "projects",), ("*.jsonl",))
    yield _Location("pi", (at["pi"] / "sessions", home / ".omp" / "agent" / "sessions"), ("*.jsonl",))
    yield _Location("OpenClaw", (at["OpenClaw"] / "agents",), ("*.jsonl",))
    yield _Location("Droid", (at["Droid"] / "sessions",), ("*.settings.json",))
    yield _Location("Kimi", (at["Kimi CLI"] / "sessions", at["Kimi Code"] / "sessions"), ("wire.jsonl",))
    yield _Location("Amp", (_folder("AMP_DATA_DIR", data / "amp") / "threads",), ("T-*.json",))
    yield _Location("Grok Build", (at["Grok Build"] / "sessions",), ("updates.jsonl",))
    yield _Location("Vibe", (at["Vibe"] / "logs" / "session",), ("meta.json",))
    yield _Location("goose", (data / "goose" / "sessions" / "sessions.db", roaming / "Block" / "goose" / "data"
                              / "sessions" / "sessions.db"))  # fmt: skip
    hermes = at["Hermes"]
    yield _Location("Hermes", (hermes / "state.db", *_matching(hermes / "profiles", "*/state.db")))
    llm = at["llm"]
    for folder in (llm, config / "io.datasette.llm", applications / "io.datasette.llm", roaming / "io.datasette.llm"):
        yield _Location("llm", (folder / "logs.db",))
    yield _Location("Aider", _matching(home, "*/.aider.chat.history.md"))
    development = at["Continue"] / "dev_data" / "0.2.0"
    yield _Location("Continue", (development / "tokensGenerated.jsonl",))
    yield _Location("Crush", _matching(home, "*/.crush/crush.db"))
    yield _Location("Zed", tuple(folder / "threads" / "threads.db"
                                 for folder in (data / "zed", applications / "Zed", local / "Zed")))  # fmt: skip
    for base in (config, applications, roaming):
        storage = base / "Cursor" / "User" / "globalStorage"
        yield _Location("Cursor", (storage / "state.vscdb",))
        kiro = base / "Kiro" / "User" / "globalStorage" / "kiro.kiroagent" / "dev_data"
        yield _Location("Kiro", (kiro / "tokens_generated.jsonl",))
        for editor in _EDITORS:
            copilot = base / editor / "User" / "globalStorage" / "github.copilot-chat"
            yield _Location("Copilot Chat", (copilot / "agent-traces.db",))
            for extension, tool in _EXTENSIONS.items():
                tasks = base / editor / "User" / "globalStorage" / extension / "tasks"
                yield _Location(tool, (tasks,), ("ui_messages.json",))
    for extension, tool in _EXTENSIONS.items():
        remote = home / ".vscode-server" / "data" / "User" / "globalStorage" / extension / "tasks"
        yield _Location(tool, (remote,), ("ui_messages.json",))


def _matching(folder: Path, pattern: str) -> tuple[Path, ...]:
    try:
        return tuple(sorted(islice(folder.glob(pattern), MAX_FILES)))
    except OSError:
        return ()


def _files(place: Path, patterns: tuple[str, ...]) -> Iterator[Path]:
    """The file itself, or the files of these names in and below the folder, each folder once wherever links lead."""
    if place.is_file():
        yield place
        return
    for folder, _, names in walk(place):
        for name in names:
            if any(fnmatchcase(name, pattern) for pattern in patterns):
                yield Path(folder, name)


def _folder(variable: str, default: Path) -> Path:
    value = os.environ.get(variable)
    return Path(value).expanduser() if value else default


def _local_logs(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.name.endswith(LOCAL_SUFFIXES))
    except OSError:
        return []


def _measure(tool: str, path: Path, files: Iterable[Path], format: str | None = None) -> FoundLogs:
    found: list[LogFile] = []
    try:
        for file in islice(files, MAX_FILES):
            if file.is_file():
                state = file.stat()
                found.append(LogFile(file, state.st_size, state.st_mtime_ns))
    except OSError:
        pass  # what cannot be listed cannot be ingested
    return FoundLogs(tool, path, tuple(found), format)
