"""The files of a folder, links followed, and what is hidden in it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

# what is hidden in many folders and holds no log
_NO_LOGS = frozenset({".git", ".gitignore", ".gitattributes", ".github", ".venv", ".DS_Store", ".editorconfig"})


class Folder(NamedTuple):
    """The files in and below a folder in order of their paths; `hidden` files and folders were not looked at."""

    files: list[Path]
    hidden: list[Path]


def files_below(folder: Path) -> Folder:
    """All files that are not hidden, each folder once wherever links lead. What cannot be listed is left out."""
    files: list[Path] = []
    hidden: list[Path] = []
    seen = {os.path.realpath(folder)}
    for place, below, names in os.walk(folder, followlinks=True):
        kept = []
        for name in sorted(below):
            if name.startswith("."):
                if name not in _NO_LOGS:
                    hidden.append(Path(place, name))
                continue
            real = os.path.realpath(Path(place, name))
            if real not in seen:
                seen.add(real)
                kept.append(name)
        below[:] = kept
        for name in names:
            path = Path(place, name)
            if name.startswith("."):
                if name not in _NO_LOGS:
                    hidden.append(path)
            elif path.is_file():
                files.append(path)
    return Folder(sorted(files), sorted(hidden))
