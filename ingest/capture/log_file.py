"""The file of captured calls, to which a thread of its own appends one line a call."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import queue
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

ROTATE_BYTES = 256 << 20
MOST_WAITING = 64 << 20  # bytes of requests and answers that wait to be written
_ROOM_SECONDS = 1.0  # that a call waits for room, unless the one before waited in vain
_SMALL = 1 << 10  # what a line holds beside them
_FLUSH_SECONDS = 5.0
_LAST_FLUSH_SECONDS = 30.0
_Work = tuple[Callable[..., Any], tuple[Any, ...], int]
_encode = msgspec.json.Encoder(enc_hook=str).encode
_logger = logging.getLogger("hindcast.capture")
_IMPORT_SECONDS = 5.0
_importing = threading.Lock()
_forking = threading.local()


def _wait_for_imports() -> None:
    """Before a fork: a child that is made while the thread imports would find that import unfinished for ever."""
    if _importing.acquire(timeout=_IMPORT_SECONDS):  # by the thread that forks, which is the only one of the child
        _forking.held = True


def _go_on() -> None:
    if getattr(_forking, "held", False):
        _forking.held = False
        _importing.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_wait_for_imports, after_in_parent=_go_on, after_in_child=_go_on)


_logs: weakref.WeakSet[Log] = weakref.WeakSet()


def flush_logs() -> None:
    """Wait until what this process captured so far is written, whatever the file."""
    for log in list(_logs):
        log.flush()


class Log:
    """Appends lines to a file from a thread of its own. Full files are put aside as NAME.1.jsonl, NAME.2.jsonl, ...

    Where more than `most_waiting` bytes wait to be written, a call waits for room, for a second at most; a call for
    which there is none is lost, counted and told.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        rotate_bytes: int = ROTATE_BYTES,
        text: bool = True,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        self.path = Path(path)
        self.text = text
        self.lost = 0  # calls that could not be written
        self._rotate = rotate_bytes
        self._queue: queue.SimpleQueue[_Work | threading.Event] = queue.SimpleQueue()
        self._most_waiting = most_waiting
        self._waiting = 0  # bytes
        self._stuck = False  # the last call that waited for room waited in vain
        self._room = threading.Condition()
        self._handle: int | None = None
        self._size = 0
        self._thread: threading.Thread | None = None
        self._owner = 0
        self._starting = threading.Lock()
        self._told = 0  # of the calls that could not be written, those that have been told
        self._torn = False  # the last line was not written to its end
        self._open: dict[
            int, Callable[[], None]
        ] = {}  # calls whose streams are being read: how to log them as they are
        _logs.add(self)
        atexit.register(self.close)

    def put(self, make: Callable[..., Any], *arguments: Any) -> None:
        """Queue `make(*arguments)`, whose result is the record to write."""
        if self._owner != os.getpid():
            self.start()
        size = _SMALL + sum(
            len(getattr(one, "sent", b"")) + sum(map(len, getattr(one, "got", ()))) for one in arguments
        )
        if self._admits(size):
            self._queue.put((make, arguments, size))
        else:
            self._lose("more calls come than can be written")

    def _admits(self, size: int) -> bool:
        """Whether there is room for so many bytes more, waiting for it if need be; a call alone always has room."""

        def fits() -> bool:
            return not self._waiting or self._waiting + size <= self._most_waiting

        with self._room:
            if not fits() and (self._stuck or not self._room.wait_for(fits, _ROOM_SECONDS)):
                self._stuck = True
                return False
            self._stuck = False
            self._waiting += size
            return True

    def _lose(self, why: object) -> None:
        if not self.lost:
            _logger.warning("%s: calls are not logged: %s", self.path, why)
        self.lost += 1

    def opened(self, number: int, end: Callable[[], None]) -> None:
        """Keep how to log a call whose stream may still be open when the process ends."""
        self._open[number] = end

    def ended(self, number: int) -> None:
        """The call has been logged."""
        self._open.pop(number, None)

    def close(self) -> None:
        """Log the streams that are still open, as cancelled, and wait until all is written: at the end of a process."""
        for end in list(self._open.values()):
            with contextlib.suppress(Exception):
                end()
        written = self.flush(_LAST_FLUSH_SECONDS)
        lost = self.lost + (0 if written else self._queue.qsize())
        if lost > self._told:
            self._told = lost
            _logger.warning("%s: %d calls were not logged", self.path, lost)

    def flush(self, timeout: float = _FLUSH_SECONDS) -> bool:
        """Wait until what was queued is written."""
        if self._thread is None or not self._thread.is_alive() or self._owner != os.getpid():
            return True
        done = threading.Event()
        self._queue.put(done)
        return done.wait(timeout)

    def start(self) -> None:
        """Have the thread ready, in this process."""
        with self._starting:
            if self._owner == os.getpid():
                return
            self._queue = queue.SimpleQueue()  # after a fork the parent's thread is not here
            self._room = threading.Condition()
            self._waiting = 0
            self._handle = None
            self._open = {}
            if (util := sys.modules.get("multiprocessing.util")) is not None:
                util.Finalize(None, self.close, exitpriority=0)  # processes of multiprocessing run no atexit
            self._thread = threading.Thread(target=self._write_all, name="hindcast-capture", daemon=True)
            self._thread.start()
            self._owner = os.getpid()

    def _write_all(self) -> None:
        with _importing, contextlib.suppress(Exception):
            import ingest.wire.request_response  # noqa: F401  while the caller waits for its first answer
        while True:
            item = self._queue.get()
            if isinstance(item, threading.Event):
                item.set()
                continue
            try:
                self._write(_encode(item[0](*item[1])) + b"\n")
            except Exception as error:  # never into the caller's program
                self._lose(error)
            finally:
                with self._room:
                    self._waiting -= item[2]
                    self._room.notify_all()

    def _write(self, line: bytes) -> None:
        if self._handle is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._size = os.fstat(self._handle).st_size
            if self._size and not self._ends_whole():
                os.write(self._handle, b"\n")  # a torn line of a crash stays alone
        if self._size and self._size + len(line) > self._rotate:
            self._put_aside()
        assert self._handle is not None
        if self._torn:
            line = b"\n" + line
        rest = memoryview(line)
        while rest:
            written = os.write(self._handle, rest)
            self._size += written
            rest = rest[written:]
            self._torn = bool(rest)

    def _ends_whole(self) -> bool:
        with self.path.open("rb") as handle:
            handle.seek(-1, os.SEEK_END)
            return handle.read(1) == b"\n"

    def _put_aside(self) -> None:
        assert self._handle is not None
        os.close(self._handle)
        number = 1
        while (aside := self.path.with_name(f"{self.path.stem}.{number}{self.path.suffix}")).exists():
            number += 1
        with contextlib.suppress(OSError):  # another process may have put it aside already
            self.path.rename(aside)
        self._handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._handle).st_size
