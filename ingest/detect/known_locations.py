"""Logs at the places where coding assistants keep them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

# title -> folders below the home (or the variable that moves them), and the files in them
_PLACES: tuple[tuple[str, str | None, tuple[str, ...], str], ...] = (
    ("Claude Code", "CLAUDE_CONFIG_DIR", (".claude/projects", ".config/claude/projects"), "*.jsonl"),
    ("Codex", "CODEX_HOME", (".codex/sessions", ".codex/archived_sessions"), "*.jsonl"),
    ("opencode", None, (".local/share/opencode/storage/message",), "*.json"),
)


@dataclass(frozen=True)
class Found:
    """A folder with logs of one tool."""

    title: str
    folder: Path
    files: int
    size: int


def usual_places(home: Path | None = None) -> list[Found]:
    """The folders that exist and hold logs, with their sizes."""
    home = home or Path.home()
    found = []
    for title, variable, folders, pattern in _PLACES:
        places = [home / folder for folder in folders]
        moved = os.environ.get(variable) if variable else None
        if moved:
            places = [Path(moved) / Path(folder).name for folder in folders]
        for place in places:
            try:
                files = [path.stat().st_size for path in place.rglob(pattern)] if place.is_dir() else []
            except OSError:
                continue
            if files:
                found.append(Found(title, place, len(files), sum(files)))
    return found
