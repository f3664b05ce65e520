"""Where logs lie on a machine: the folders of the coding assistants, and what is in the working folder.

Only names, sizes and counts are looked at, never a line. Folders and variables as the tools document them, 2026-11.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Final, NamedTuple

MAX_FILES: Final = 50_000  # per folder; counting stops there: the answer is for a person who waits
MAX_LOCAL_FILES: Final = 20
LOCAL_SUFFIXES: Final = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".ndjson")


@dataclass(frozen=True)
class FoundLogs:
    """Logs of one tool in one folder, or one log file; `path` is what to give to `hindcast ingest`."""

    tool: str
    path: Path
    files: int
    size_bytes: int


class _Location(NamedTuple):
    tool: str
    folders: tuple[Path, ...]
    patterns: tuple[str, ...]


def find_logs(home: Path | None = None, working_folder: Path | None = None) -> list[FoundLogs]:
    """The logs at their known locations, largest first; a folder that two locations lead to comes once.

    `home` and `working_folder` are those of this process unless given. Honoured are CLAUDE_CONFIG_DIR (several folders
    joined by commas), CODEX_HOME, XDG_CONFIG_HOME and XDG_DATA_HOME.
    """
    home = home or Path(os.environ.get("HOME") or "~").expanduser()
    working_folder = working_folder or Path.cwd()
    logs = []
    seen: set[str] = set()
    for location in _locations(home):
        for folder in location.folders:
            real = os.path.realpath(folder)
            if real not in seen:
                seen.add(real)
                files = chain.from_iterable(folder.rglob(pattern) for pattern in location.patterns)
                logs.append(_measure(location.tool, folder, files))
    for folder in (working_folder, working_folder / "logs"):
        for file in islice(_local_logs(folder), MAX_LOCAL_FILES):
            real = os.path.realpath(file)
            if real not in seen:
                seen.add(real)
                logs.append(_measure("this folder", file, [file]))
    return sorted((found for found in logs if found.files), key=lambda found: (-found.size_bytes, str(found.path)))


def _locations(home: Path) -> Iterator[_Location]:
    config = _folder("XDG_CONFIG_HOME", home / ".config")
    data = _folder("XDG_DATA_HOME", home / ".local" / "share")
    named = [folder.strip() for folder in os.environ.get("CLAUDE_CONFIG_DIR", "").split(",")]
    claude = [Path(folder).expanduser() for folder in named if folder] or [home / ".claude", config / "claude"]
    codex = _folder("CODEX_HOME", home / ".codex")
    yield _Location("Claude Code", tuple(folder / "projects" for folder in claude), ("*.jsonl",))
    yield _Location("Codex", (codex / "sessions", codex / "archived_sessions"), ("*.jsonl", "*.jsonl.zst"))
    yield _Location("opencode", (data / "opencode" / "storage" / "message",), ("*.json",))


def _folder(variable: str, default: Path) -> Path:
    value = os.environ.get(variable)
    return Path(value).expanduser() if value else default


def _local_logs(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.name.endswith(LOCAL_SUFFIXES))
    except OSError:
        return []


def _measure(tool: str, path: Path, files: Iterable[Path]) -> FoundLogs:
    count = size = 0
    try:
        for file in islice(files, MAX_FILES):
            if file.is_file():
                count += 1
                size += file.stat().st_size
    except OSError:
        pass  # what cannot be listed cannot be ingested
    return FoundLogs(tool, path, count, size)
