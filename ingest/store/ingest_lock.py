"""The folder beside the store where parsed segments wait, and the lock that lets one ingest work at a time."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import TracebackType
from typing import IO

from ingest.errors import StoreBusyError, StoreError
from ingest.store import file_lock


class IngestLock:
    """`folder` holds the staged segments of this ingest. Leftovers of one that was killed are removed."""

    def __init__(self, store: Path, *, wait: float = 60.0) -> None:
        self.store = store
        self.folder = store.with_name(store.name + ".staging")
        self._lock = store.with_name(store.name + ".ingest.lock")
        self._wait = wait
        self._handle: IO[bytes] | None = None

    def __enter__(self) -> IngestLock:
        try:
            self.store.parent.mkdir(parents=True, exist_ok=True)
            self._handle = self._lock.open("a+b")
        except OSError as error:
            raise StoreError(f"cannot write beside the store: {error.strerror}", where=str(self._lock)) from error
        try:
            self._acquire(self._handle)
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir()
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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._handle is not None:
            self._handle.close()
