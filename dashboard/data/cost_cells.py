"""The cells of the stores that are shown, read once for every visitor and every question that they answer."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from analysis import time_zone
from analysis.reports.cost_cells import CostCells
from analysis.reports.lake_cells import read_cells
from dashboard.data import store_version
from dashboard.data.scope import Scope
from ingest.errors import HindcastError

KEPT: Final = 4  # states of a store, or zones
_READING: Final = ThreadPoolExecutor(1, "cells")
_FOUND: Final[dict[tuple[str, str, str | None], Future[CostCells | None]]] = {}
_LOCK: Final = threading.Lock()


def of(path: str, version: str, scope: Scope, by: Sequence[str] = ()) -> CostCells | None:
    """The cells that answer a question by these dimensions of the calls of `scope`; None where the calls must be asked.

    Raises what reading the store raises.
    """
    time_zone.set_in_thread(scope.zone)
    cells = _started(path, version, scope.zone).result()
    return cells if cells and cells.answers(by, scope.where) else None


def start() -> None:
    """Begin to read the cells of the first page; an error is raised again where they are asked for."""
    path = store_version.store_path()
    try:
        _started(str(path), store_version.version(path), None)
    except HindcastError:
        return


def _started(path: str, version: str, zone: str | None) -> Future[CostCells | None]:
    key = path, version, zone
    with _LOCK:
        found = _FOUND.get(key)
        if found is None or (found.done() and found.exception()):
            found = _FOUND[key] = _READING.submit(_read, path, zone)
            while len(_FOUND) > KEPT:
                del _FOUND[next(iter(_FOUND))]
        return found


def _read(path: str, zone: str | None) -> CostCells | None:
    return read_cells(Scope(zone=zone).whole(path))
