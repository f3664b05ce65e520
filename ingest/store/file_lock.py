"""Waiting for a POSIX file lock, shared or exclusive, whose file names the process that holds it.

(`filelock` has no shared lock, which readers of the store need.)
"""

from __future__ import annotations

import errno
import os
import random
import time
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # pragma: no cover
    fcntl = None  # type: ignore[assignment]

AVAILABLE = fcntl is not None


def open_private(path: Path) -> IO[bytes]:
    """Open a lock file for reading and writing; a new one is its owner's only. Raises OSError."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "a+b")


def acquire(handle: IO[bytes], *, exclusive: bool, patience_s: float) -> bool:
    """Lock the open file; False if another process still holds it after `patience_s` seconds.

    An exclusive holder writes its process id into the file. Closing the file frees the lock. Without POSIX locks every
    call succeeds. Raises OSError where the file system has no locks.
    """
    if fcntl is None:  # pragma: no cover
        return True
    kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    deadline = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
            break
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            if time.monotonic() >= deadline:
                return False
            time.sleep(random.uniform(0.005, 0.03))
    if exclusive:
        handle.seek(0)
        handle.truncate()
        handle.write(str(os.getpid()).encode())
        handle.flush()
    return True


def holder(handle: IO[bytes]) -> str | None:
    """The process id that the last exclusive holder wrote; None if there is none."""
    handle.seek(0)
    return handle.read(20).decode("ascii", "replace").strip() or None
