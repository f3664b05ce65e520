"""The folder beside the store where parsed segments wait, and the lock that lets one ingest work at a time."""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO

from ingest.errors import StoreBusyError, StoreError
from ingest.store import file_lock


class IngestLock:
    """`folder` holds the staged segments of this ingest and of no other: its name is of this process and random.

    Whoever holds the lock removes the folders of those that held it before and were killed.
    """

    def __init__(self, store: Path, *, wait: float = 60.0) -> None:
        self.store = store
        self.folder = store.with_name(store.name + ".staging") / f"{os.getpid()}-{secrets.token_hex(8)}"
        self._lock = store.with_name(store.name + ".ingest.lock")
        self._wait = wait
        self._handle: IO[bytes] | None = None

    def __enter__(self) -> IngestLock:
        try:
            self.store.parent.mkdir(parents=True, exist_ok=True)
            self._handle = file_lock.open_private(self._lock)
        except OSError as error:
            raise StoreError(f"cannot write beside the store: {error.strerror}", where=str(self._lock)) from error
        try:
            self._acquire(self._handle)
            self._clear()
            self.folder.parent.mkdir(mode=0o700, exist_ok=True)
            self.folder.mkdir(mode=0o700)
        except OSError as error:
            self._handle.close()
            raise StoreError(f"cannot write beside the store: {error.strerror}", where=str(self.folder)) from error
        except BaseException:
            self._handle.close()
            raise
        return self

    def _acquire(self, handle: IO[bytes]) -> None:
        if not file_lock.acquire(handle, exclusive=True, patience_s=self._wait):
            raise StoreBusyError(
                f"process {file_lock.holder(handle) or '?'} is ingesting into {self.store}",
                remedy="Wait for it to finish, or use another --store.",
            )

    def discard(self, segment: Path) -> None:
        """Remove a segment that was published."""
        shutil.rmtree(segment, ignore_errors=True)

    def _clear(self) -> None:
        """Remove every folder beside the store that segments were staged in."""
        staging = self.folder.parent
        for leftover in staging.iterdir() if staging.is_dir() else ():
            if leftover.is_dir() and not leftover.is_symlink():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)
        with suppress(OSError):  # what a process that is being ended has written meanwhile goes with the next ingest
            staging.rmdir()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clear()
        if self._handle is not None:
            self._handle.close()
