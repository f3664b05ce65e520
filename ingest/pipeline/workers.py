"""The processes that parse: started early, free of what the program that starts them has in its main module, and
ended with the ingest that started them."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import get_all_start_methods, get_context, resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import Any

from ingest import threads

PARALLEL_BYTES = 48 << 20  # less is parsed before a worker has started
BEHIND = 3  # steps of niceness after which two parsers together get no more time than the publisher
_FORKSERVER = "forkserver"
_SAFE_PATH = "PYTHONSAFEPATH"


def context() -> Any:
    """How workers start: forked from a server that has imported the parsers, else afresh."""
    if _FORKSERVER not in get_all_start_methods():
        return get_context("spawn")
    found = get_context(_FORKSERVER)
    found.set_forkserver_preload(["ingest.pipeline.worker_preload"])
    from multiprocessing import forkserver

    with starting():
        forkserver.ensure_running()
    return found


def count(workers: int | None) -> int:
    """The number of parser processes: `workers`, else HINDCAST_THREADS or one per processor, and at most 8."""
    return workers if workers is not None else threads.at_most(8)


def prepare(paths: Iterable[Path], workers: int | None) -> None:
    """Let the server of workers import the parsers while this process imports its own, if there is much to read."""
    if count(workers) < 2 or _FORKSERVER not in get_all_start_methods() or not _many_bytes(paths):
        return
    context()


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


@contextmanager
def pool(count: int) -> Iterator[ProcessPoolExecutor]:
    """`count` parsers; none of them is left on leaving, and what they still do after an exception is broken off.

    Each watches a pipe whose other end only this process holds, so that they end too when this one is killed.
    """
    methods = context()
    watched, held = methods.Pipe(duplex=False)
    executor = ProcessPoolExecutor(count, methods, _begin, (watched,))
    try:
        yield executor
        executor.shutdown()
    finally:
        held.close()
        executor.shutdown()
        watched.close()


def _begin(watched: Connection) -> None:
    """Let the process that publishes go first: nobody else can do its work, and only what is read later waits."""
    Thread(target=_end_with, args=(watched,), daemon=True).start()
    with suppress(AttributeError, OSError):  # not on every system
        os.nice(BEHIND)


def _end_with(watched: Connection) -> None:
    with suppress(EOFError, OSError):
        watched.recv_bytes()
    os._exit(1)


@contextmanager
def starting() -> Iterator[None]:
    """Processes started in here import neither the main module nor any of the working folder: all is in `ingest`.

    Ctrl-C at a terminal reaches them too; they start with it blocked and leave the answer to this process.
    """
    main, safe_path = sys.modules["__main__"], os.environ.get(_SAFE_PATH)
    sys.modules["__main__"] = ModuleType("__main__")
    os.environ[_SAFE_PATH] = "1"  # multiprocessing starts `python -c`, which looks into the working folder first
    masks = hasattr(signal, "pthread_sigmask")
    if masks:
        resource_tracker.ensure_running()  # lets the signal through again when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if masks else set()
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        if safe_path is None:
            del os.environ[_SAFE_PATH]
        else:
            os.environ[_SAFE_PATH] = safe_path
        if masks:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
