"""The files of a folder, links followed, and what is hidden in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ingest.files.call_bodies import is_body

# what is hidden in many folders and holds no log
_NO_LOGS = frozenset({".git", ".gitignore", ".gitattributes", ".github", ".venv", ".DS_Store", ".editorconfig"})


class Folder(NamedTuple):
    """The files in and below a folder in order of their paths; `hidden` files and folders were not looked at."""

    files: list[Path]
    hidden: list[Path]


def files_below(folder: Path) -> Folder:
    """All files that are neither hidden nor bodies of calls, each folder once. What cannot be listed is left out."""
    files: list[Path] = []
    hidden: list[Path] = []
    for place, below, names in walk(folder):
        hidden += [Path(place, name) for name in (*below, *names) if name.startswith(".") and name not in _NO_LOGS]
        below[:] = [name for name in below if not name.startswith(".")]
        shown = [Path(place, name) for name in names if not name.startswith(".")]
        files += [path for path in shown if path.is_file() and not is_body(path.as_posix())]
    return Folder(sorted(files), sorted(hidden))


def walk(folder: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """`os.walk` through links, each folder once wherever they lead. Who takes a name from `below` leaves it out."""
    seen = {os.path.realpath(folder)}
    for place, below, names in os.walk(folder, followlinks=True):
        below.sort()
        yield place, below, names
        kept = []
        for name in below:
            real = os.path.realpath(Path(place, name))
            if real not in seen:
                seen.add(real)
                kept.append(name)
        below[:] = kept
