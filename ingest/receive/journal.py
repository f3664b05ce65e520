"""A journal of received exports: lines are on the disk before their sender is answered, whatever happens next.

A thread writes what waits in one piece and syncs once for all of it (group commit). Files are put aside at a size; who
has taken one into the store removes it.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from ingest.errors import StoreBusyError, StoreError
from ingest.store import file_lock

ROTATE_BYTES: Final = 8 << 20
ROTATE_SECONDS: Final = 600.0
KEPT_SECONDS: Final = 600.0  # for what a restart has to know of open traces
KEPT_BYTES: Final = 64 << 20
GROUP_BYTES: Final = 4 << 20  # written and synced in one piece at most
SUFFIX: Final = ".inbox"


def inbox_of(store: Path) -> Path:
    """The folder beside the store in which its journal lies."""
    return store.with_name(store.name + SUFFIX)


class Journal:
    """The journal in `folder`, written by one process at a time. Raises StoreBusyError where another one writes it.

    What the store has is removed `kept_seconds` later, with 0 at once: where texts are not to be kept.
    """

    def __init__(
        self, folder: Path, *, rotate_bytes: int = ROTATE_BYTES, rotate_seconds: float = ROTATE_SECONDS,
        kept_seconds: float = KEPT_SECONDS,
    ) -> None:  # fmt: skip
        self.folder = folder
        self._rotate = rotate_bytes
        self._rotate_s = rotate_seconds
        self._kept_s = kept_seconds
        self._opened = 0.0
        self._queue: queue.SimpleQueue[tuple[bytes, Future[None]] | None] = queue.SimpleQueue()
        self._handle: int | None = None
        self._size = 0
        self._names = threading.Lock()
        self._current: Path | None = None
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = file_lock.open_private(folder / ".lock")
        except OSError as error:
            raise StoreError(f"cannot write beside the store: {error.strerror}", where=str(folder)) from error
        if not file_lock.acquire(self._lock, exclusive=True, patience_s=0.5):
            who = file_lock.holder(self._lock) or "?"
            self._lock.close()
            raise StoreBusyError(
                f"process {who} is receiving for this store already", remedy="Stop it, or use another --store."
            )
        for left in self.files():
            _cut_torn_line(left)
        self._thread = threading.Thread(target=self._write_all, name="hindcast-journal", daemon=True)
        self._thread.start()

    def append(self, lines: bytes) -> Future[None]:
        """Write whole lines; the future is done once they are on the disk, and has an OSError where they are not."""
        done: Future[None] = Future()
        self._queue.put((lines, done))
        return done

    def put_old_aside(self) -> None:
        """Make the file that is being written complete if it is old, so that it can be removed."""
        self.append(b"").result()

    def files(self) -> list[Path]:
        """All files of the journal, oldest first."""
        return sorted(self.folder.glob("otlp-*.jsonl"))

    def complete(self) -> list[Path]:
        """The files to which nothing will be added."""
        with self._names:
            return [path for path in self.files() if path != self._current]

    def waiting_bytes(self) -> int:
        """The size of what has not been removed yet."""
        size = 0
        for path in self.files():
            with suppress(OSError):
                size += path.stat().st_size
        return size

    def remove(self, paths: Iterable[Path]) -> None:
        """Forget complete files whose records are in the store, the latest ones not yet: see `replay`."""
        latest = time.time() - self._kept_s
        for path in paths:
            with suppress(OSError):
                if path.stat().st_mtime <= latest or self.waiting_bytes() > KEPT_BYTES:
                    path.unlink()

    def replay(self, take: Callable[[dict[str, Any]], None]) -> None:
        """Hand over the lines of what was written last: traces that a process before this one received in part."""
        for path in self.files():
            with path.open("rb") as handle:
                for line in handle:
                    with suppress(msgspec.DecodeError):
                        take(msgspec.json.decode(line))

    def close(self) -> None:
        """Write what waits, and let another process write the journal. All files are complete then."""
        self._queue.put(None)
        self._thread.join()
        if self._handle is not None:
            self._put_aside()
        self._lock.close()

    # -- the writing thread ----------------------------------------------------------------------------------------

    def _write_all(self) -> None:
        ended = False
        while not ended:
            item = self._queue.get()
            group: list[tuple[bytes, Future[None]]] = []
            size = 0
            while item is not None:
                group.append(item)
                size += len(item[0])
                if size >= GROUP_BYTES:
                    break
                try:
                    item = self._queue.get_nowait()
                except queue.Empty:
                    break
            ended = item is None
            if group:
                self._write_group(group)

    def _write_group(self, group: list[tuple[bytes, Future[None]]]) -> None:
        try:
            self._write(b"".join(lines for lines, _ in group))
        except OSError as error:
            for _, done in group:
                done.set_exception(error)
        else:
            for _, done in group:
                done.set_result(None)

    def _write(self, data: bytes) -> None:
        if self._handle is not None and (
            self._size >= self._rotate or time.monotonic() - self._opened > self._rotate_s
        ):
            self._put_aside()
        if not data:
            return
        if self._handle is None:
            self._open()
        assert self._handle is not None
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._handle, rest) :]
            os.fsync(self._handle)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._handle, self._size)  # no line stays by halves
            raise
        self._size += len(data)

    def _put_aside(self) -> None:
        assert self._handle is not None
        os.close(self._handle)
        with self._names:
            self._handle = self._current = None

    def _open(self) -> None:
        path = self.folder / f"otlp-{time.time_ns():020}.jsonl"
        opened = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with self._names:
            self._handle, self._current = opened, path
        self._size = 0
        self._opened = time.monotonic()
        directory = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(directory)  # the file's name is as durable as its lines
        finally:
            os.close(directory)


def _cut_torn_line(path: Path) -> None:
    """Remove the beginning of a line whose writer was killed: its sender has had no answer, and sends it again."""
    with path.open("r+b") as handle:
        size = handle.seek(0, os.SEEK_END)
        end = size
        while end:
            start = max(0, end - (1 << 16))
            handle.seek(start)
            found = handle.read(end - start).rfind(b"\n")
            if found >= 0:
                end = start + found + 1
                break
            end = start
        if end < size:
            handle.truncate(end)
