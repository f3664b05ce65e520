"""Work that takes long on a large store: each is a command's own function, run in a process of its own.

A job takes the store, plain arguments and `report`, which it calls with the step it has finished or begun.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import duckdb

from dashboard.data import cache_lab_data
from ingest.contents.tokenizer import ensure_counted
from ingest.errors import InputError, StoreError
from ingest.store.address import as_text, is_lake
from ingest.store.database import Store

if TYPE_CHECKING:
    from replay.engine.run import Replay

Report = Callable[[str], None]
Document = dict[str, Any]


class CopyOnWriteStore(Store):
    """A store that is only read: what a command would add to it (token counts of texts) goes to a copy at `copy`.

    The copy is made at the first write, is read from then on, and serves later jobs until the store changes.
    """

    def __init__(self, path: Path, copy: Path) -> None:
        self.original, self.copy = path, copy
        super().__init__(copy if copy.exists() else path)

    @contextmanager
    def write(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A write to the copy."""
        if self.path == self.original:
            self._copy()
            super().__init__(self.copy)
        with super().write() as con:
            yield con

    def _copy(self) -> None:
        part = self.copy.with_name(f"{self.copy.name}.{os.getpid()}")
        try:
            with self.read():  # nothing is published meanwhile
                shutil.copyfile(self.original, part)
                log = self.original.with_name(f"{self.original.name}.wal")
                if log.exists():
                    shutil.copyfile(log, self.copy.with_name(f"{self.copy.name}.wal"))
            part.replace(self.copy)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise StoreError(
                f"texts must be counted first, and there is no room for a copy: {error.strerror}",
                where=str(self.copy.parent),
                remedy="Count them in the store itself, once: hindcast ingest PATH --count-tokens",
            ) from error


def copy_on_write(path: Path, copy: Path) -> Store:
    """The store at a path, only read: what a command would add to it goes to a file at `copy`."""
    if not is_lake(path):
        return CopyOnWriteStore(path, copy)
    from ingest.store.lake import LakeStore

    return LakeStore(as_text(path), changes=copy)


def diagnosis(store: Store, day: date | None, report: Report) -> Document:  # noqa: ARG001  one step
    """As `hindcast diagnose --json`."""
    from analysis.diagnosis.diagnose import diagnose
    from analysis.diagnosis.document import to_json

    return to_json(diagnose(store, day=day))


def periods(
    store: Store,
    now: tuple[date, date],
    before: tuple[date, date],
    by: tuple[str, ...],
    report: Report,  # noqa: ARG001  one step
) -> Document:
    """The drivers between two periods."""
    from analysis.diagnosis.period_comparison import compare_periods

    return compare_periods(store, now, before, by).to_json()


def replay(
    store: Store, strategies: Sequence[Document], since: date | None, until: date | None, cold: bool, report: Report
) -> Replay:
    """As `hindcast replay`, from the strategies' documents."""
    from replay.engine.run import run
    from replay.strategy.schema import Strategy

    chosen = [Strategy.model_validate(document) for document in strategies]
    return run(store, chosen, since=since, until=until, cold=cold, done=report)


def search(
    store: Store, since: date | None, until: date | None, floor: float, reach: float | None, report: Report
) -> tuple[Document, str]:
    """As `hindcast optimize --json`, and the strategy file that it writes; `reach`: of another point of the front."""
    from replay.optimize.search import optimize
    from replay.optimize.write_strategy import written

    found = optimize(store, floor=floor, reach=reach, since=since, until=until, done=report)
    return json.loads(json.dumps(found.to_json(), default=str)), written(found.strategy, [])


def caches(
    store: Store, since: date | None, until: date | None, key: str, temperature: str, report: Report
) -> cache_lab_data.CacheCurves:
    """As `hindcast cache curve`."""
    report("reading calls")
    return cache_lab_data.cache_curves(store, since, until, key, temperature)


def doctor(store: Store, since: date | None, until: date | None, report: Report) -> list[tuple[Any, ...]]:
    """As `hindcast cache doctor`."""
    report("counting tokens")
    ensure_counted(store, ["o200k_base"])
    report("reading prompts")
    return cache_lab_data.misses(store, since, until)


def templates(store: Store, since: date | None, until: date | None, report: Report) -> Document:
    """As `hindcast templates --json`; empty where the store keeps no message."""
    from analysis.reports.prompt_templates import templates as find

    report("reading prompts")
    try:
        return find(store, since=since, until=until).to_json()
    except InputError:
        return {}


def duplicates(store: Store, since: date | None, until: date | None, report: Report) -> Document:
    """As `hindcast duplicates --json`."""
    from analysis.reports.duplicate_requests import duplicates as find

    report("comparing requests")
    return find(store, since=since, until=until).to_json()


def context(store: Store, since: date | None, until: date | None, report: Report) -> Document:
    """As `hindcast context --no-replays --json`."""
    from replay.context.report import context as divided
    from replay.traffic.load_traffic import load

    report("counting tokens")
    ensure_counted(store, ["o200k_base"])
    report("reading prompts")
    return divided(load(store, since=since, until=until)).to_json()


def session_context(store: Store, session: str, since: date | None, until: date | None, report: Report) -> Document:
    """What fills the context of one session, turn by turn: as `hindcast context --json` of its calls, by turn."""
    from analysis.reports.filtered_store import filtered
    from replay.context.report import context as divided
    from replay.traffic.load_traffic import load

    chosen = filtered(store, {"session": session})
    report("counting tokens")
    ensure_counted(chosen, ["o200k_base"])
    report("reading prompts")
    return divided(load(chosen, since=since, until=until), by=["turn"]).to_json()


_JOBS: Final = (diagnosis, periods, replay, search, caches, doctor, templates, duplicates, context, session_context)
JOBS: Final[dict[str, Callable[..., Any]]] = {job.__name__: job for job in _JOBS}
