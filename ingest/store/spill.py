"""Where DuckDB puts what does not fit into memory: a folder of its owner's only.

DuckDB makes the folder with the process's umask when it first needs it, so the folder is made before.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@functools.cache
def _of_this_process() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="hindcast-")


def in_memory() -> str:
    """The folder of databases in memory, removed when the process ends. DuckDB would take the working folder."""
    return _of_this_process().name


@contextmanager
def beside(store: Path) -> Iterator[None]:
    """DuckDB's own folder beside a store, for as long as a connection lasts; what cannot be made is left to DuckDB."""
    folder = store.with_name(f"{store.name}.tmp")
    try:
        folder.mkdir(mode=0o700)
    except OSError:  # it is there, or nothing can be written here
        yield
        return
    try:
        yield
    finally:
        with suppress(OSError):  # another connection's spill is in it
            folder.rmdir()
