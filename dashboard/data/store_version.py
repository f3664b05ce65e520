"""Which store is shown, and which publish of it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

from ingest.errors import StoreBusyError
from ingest.store.address import is_lake, open_store

_SEEN: Final[dict[str, tuple[object, str]]] = {}  # by path: the state of its files, and the version of that


def store_path() -> Path:
    """Where `hindcast dashboard` says the store is."""
    return Path(os.environ.get("HINDCAST_STORE", "hindcast.duckdb"))


def version(path: Path) -> str:
    """Changes with each publish and with each new file at `path`. While a long publish runs, the last one known."""
    if is_lake(path):
        return f"commit-{open_store(path).publish_number()}"
    before = _state(path)  # read first: what is written meanwhile changes it again
    state, known = _SEEN.get(str(path), (None, ""))
    if state == before:
        return known
    try:
        found = f"{path.stat().st_ino}-{open_store(path).publish_number()}"
    except StoreBusyError:
        if known:
            return known
        raise
    _SEEN[str(path)] = before, found
    return found


def _state(path: Path) -> tuple[tuple[int, int, int], ...]:
    """File number, length and time of the store and of its log: no write leaves both as they are."""
    found = []
    for part in (path, path.with_name(f"{path.name}.wal")):
        with contextlib.suppress(FileNotFoundError):
            said = part.stat()
            found.append((said.st_ino, said.st_size, said.st_mtime_ns))
    return tuple(found)
