"""Reading on as logs grow: a collector's file exporter, a capture folder, a coding assistant's sessions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ingest.errors import InputError
from ingest.pipeline.run import IngestReport, ingest
from ingest.store.database import Store


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

    Only files whose size or time has changed are opened; those of a format that is read record by record go on where
    they ended. Returns the number of new calls. `options` are those of `ingest`.
    """
    wanted = [Path(path) for path in paths]
    known: dict[Path, tuple[int, int]] = {}
    calls = 0
    looks = 0
    while rounds is None or looks < rounds:
        if looks:
            time.sleep(every)
        looks += 1
        changed = []
        for path in _files(wanted):
            try:
                stat = path.stat()
            except OSError:  # rotated away between listing and looking
                continue
            state = (stat.st_size, stat.st_mtime_ns)
            if stat.st_size and known.get(path) != state:
                known[path] = state
                changed.append(path)
        if not changed:
            continue
        try:
            report = ingest(store, changed, **options)
        except InputError:  # nothing in them that is a log yet
            continue
        calls += report.calls
        if on_report is not None and (report.calls or report.quarantined):
            on_report(report)
    return calls


def _files(paths: list[Path]) -> list[Path]:
    found = []
    for path in paths:
        if path.is_dir():
            found += [
                inner
                for inner in sorted(path.rglob("*"))
                if inner.is_file() and not any(part.startswith(".") for part in inner.relative_to(path).parts)
            ]
        elif path.exists():
            found.append(path)
    return found
