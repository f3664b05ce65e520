"""The processes that parse: started early, and free of what the program that starts them has in its main module."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import get_all_start_methods, get_context
from pathlib import Path
from types import ModuleType
from typing import Any

PARALLEL_BYTES = 48 << 20  # less is parsed before a worker has started
BEHIND = 3  # steps of niceness after which two parsers together get no more time than the publisher
_FORKSERVER = "forkserver"


def context() -> Any:
    """How workers start: forked from a server that has imported the parsers, else afresh."""
    found = get_context(_FORKSERVER if _FORKSERVER in get_all_start_methods() else "spawn")
    found.set_forkserver_preload(["ingest.pipeline.worker_preload"])
    return found


def count(workers: int | None) -> int:
    """The number of parser processes: `workers`, else one per processor and at most 8."""
    return workers if workers is not None else min(os.cpu_count() or 1, 8)


def prepare(paths: Iterable[Path], workers: int | None) -> None:
    """Let the server of workers import the parsers while this process imports its own, if there is much to read."""
    if count(workers) < 2 or _FORKSERVER not in get_all_start_methods() or not _many_bytes(paths):
        return
    from multiprocessing import forkserver

    context()
    with without_main():
        forkserver.ensure_running()


def _many_bytes(paths: Iterable[Path]) -> bool:
    size = 0
    for path in paths:
        for file in path.rglob("*") if path.is_dir() else [path]:
            try:
                size += file.stat().st_size
            except OSError:
                continue
            if size >= PARALLEL_BYTES:
                return True
    return False


def give_way() -> None:
    """Let the process that publishes go first: nobody else can do its work, and only what is read later waits."""
    with suppress(AttributeError, OSError):  # not on every system
        os.nice(BEHIND)


@contextmanager
def without_main() -> Iterator[None]:
    """Processes started in here do not import the main module: what they run is all in `ingest`."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
