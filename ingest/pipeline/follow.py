"""Reading on as logs grow: a collector's file exporter, a capture folder, a coding assistant's sessions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ingest.errors import InputError
from ingest.files.folders import files_below
from ingest.pipeline.report import IngestReport
from ingest.pipeline.run import ingest
from ingest.store.database import Store


class Follower:
    """Looks at files and folders again and again, and ingests what has changed since the last look.

    `options` are those of `ingest`. Only files whose size or time has changed are opened; those of a format that is
    read record by record go on where they ended.
    """

    def __init__(self, store: Store, paths: Iterable[str | Path], **options: Any) -> None:
        self.paths = [Path(path) for path in paths]
        self._store = store
        self._options = options
        self._known: dict[Path, tuple[int, int]] = {}

    def missing(self) -> list[Path]:
        """The paths that are not there now."""
        return [path for path in self.paths if not path.exists()]

    def look(self) -> IngestReport | None:
        """Ingest what has changed; None where nothing has, or nothing in it is a log yet.

        Raises StoreError where the store cannot be written: the next look takes the same files again.
        """
        changed: dict[Path, tuple[int, int]] = {}
        for path in _files(self.paths):
            try:
                stat = path.stat()
            except OSError:  # rotated away between listing and looking
                continue
            state = (stat.st_size, stat.st_mtime_ns)
            if stat.st_size and self._known.get(path) != state:
                changed[path] = state
        if not changed:
            return None
        try:
            report = ingest(self._store, list(changed), **self._options)
        except InputError:  # nothing in them that is a log yet
            report = None
        self._known.update(changed)
        return report


def follow(
    store: Store,
    paths: Iterable[str | Path],
    *,
    every: float = 2.0,
    rounds: int | None = None,
    on_report: Callable[[IngestReport], None] | None = None,
    **options: Any,
) -> int:
    """Ingest what is new in the files and folders every `every` seconds, for ever or for `rounds` looks.

    Returns the number of new calls. `options` are those of `ingest`.
    """
    follower = Follower(store, paths, **options)
    calls = 0
    looks = 0
    while rounds is None or looks < rounds:
        if looks:
            time.sleep(every)
        looks += 1
        report = follower.look()
        if report is None:
            continue
        calls += report.calls
        if on_report is not None and (report.calls or report.quarantined):
            on_report(report)
    return calls


def _files(paths: list[Path]) -> list[Path]:
    found = []
    for path in paths:
        try:
            if path.is_dir():
                found += files_below(path).files
            elif path.exists():
                found.append(path)
        except OSError:  # removed while it was listed, or not to be read now
            continue
    return found
