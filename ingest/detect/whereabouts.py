"""Where logs usually lie on a machine: the folders of the coding tools, and what is in the working folder.

Only names, sizes and counts are looked at, never a line. Folders as the tools document them, 2026-11.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

MOST_FILES: Final = 50_000  # looking stops there: the answer is for a person who waits
HERE_SUFFIXES: Final = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".ndjson")
TOOLS: Final = (
    ("Claude Code", ".claude/projects", "*.jsonl"),
    ("Codex", ".codex/sessions", "*.jsonl"),
    ("OpenCode", ".local/share/opencode/storage", "*.json"),
)


@dataclass(frozen=True)
class Found:
    """Logs in one place; `path` is what to give to `hindcast ingest`."""

    what: str
    path: Path
    files: int
    size_bytes: int


def usual_places(home: Path | None = None, here: Path | None = None) -> list[Found]:
    """What lies at the usual places, largest first."""
    home = home or Path(os.environ.get("HOME", "~")).expanduser()
    here = here or Path.cwd()
    found = [_count(what, home / folder, (home / folder).rglob(pattern)) for what, folder, pattern in TOOLS]
    for folder in (here, here / "logs"):
        if folder.is_dir():
            logs = (path for path in sorted(folder.iterdir()) if path.name.endswith(HERE_SUFFIXES))
            found += [_count("this folder", path, iter([path])) for path in islice(logs, 20)]
    return sorted((place for place in found if place.files), key=lambda place: (-place.size_bytes, str(place.path)))


def _count(what: str, path: Path, files: Iterator[Path]) -> Found:
    count = size = 0
    try:
        for file in islice(files, MOST_FILES):
            if file.is_file():
                count += 1
                size += file.stat().st_size
    except OSError:
        pass  # a folder that may not be read holds nothing for us
    return Found(what, path, count, size)
