"""Results shared by all visitors, kept until the store's next publish: a rerun never reads again what did not change.

Every function takes the store's path and `version` first; the version changes with each publish and with each new file.
The values are the documents that the commands print with --json, so a page and the terminal cannot differ.
"""

# ruff: noqa: ARG001  `version` is part of a cache key, not of the work

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import threading
from collections.abc import Hashable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import date
from pathlib import Path
from typing import Any

import streamlit as st

from analysis.diagnosis.diagnose import diagnose
from analysis.diagnosis.document import to_json
from analysis.reports import calls as listing
from analysis.reports.cost import CostReport
from analysis.reports.cost import cost as cost_report
from dashboard.data import cost_rollup, job_process, prefetch
from dashboard.data.store_contents import Holdings
from dashboard.data.store_contents import holdings as stored
from dashboard.documents import document_views
from ingest.errors import HindcastError, PriceError, StoreBusyError
from ingest.store.database import Store

Document = dict[str, Any]
MAX_KEPT = 100
AT_ONCE = 500_000  # calls whose newest day is compared faster than anyone would notice
TICK_S = 0.25


def store_path() -> Path:
    """Where `hindcast dashboard` says the store is."""
    return Path(os.environ.get("HINDCAST_STORE", "hindcast.duckdb"))


def version(path: Path) -> str:
    """Changes with each publish and with each new file at `path`. While a long publish runs, the last one known."""
    before = _state(path)  # read first: what is written meanwhile changes it again
    state, known = _seen().get(str(path), (None, ""))
    if state == before:
        return known
    try:
        found = f"{path.stat().st_ino}-{Store(path).publish_number()}"
    except StoreBusyError:
        if known:
            return known
        raise
    _seen()[str(path)] = before, found
    return found


def _state(path: Path) -> tuple[tuple[int, int, int], ...]:
    """File number, length and time of the store and of its log: no write leaves both as they are."""
    found = []
    for part in (path, path.with_name(f"{path.name}.wal")):
        with contextlib.suppress(FileNotFoundError):
            said = part.stat()
            found.append((said.st_ino, said.st_size, said.st_mtime_ns))
    return tuple(found)


@st.cache_resource
def _seen() -> dict[str, tuple[object, str]]:
    return {}


@st.cache_resource
def sound() -> set[tuple[str, str]]:
    """Paths and versions of stores that were found fit to be shown."""
    return set()


@st.cache_resource(max_entries=4, show_spinner=False)
def _whole(path: str, version: str) -> CostReport | None:
    return cost_rollup.whole(Store(path))


@st.cache_data(max_entries=128, show_spinner=False)
def cost(path: str, version: str, by: tuple[str, ...], since: date | None, until: date | None) -> Document:
    """As `hindcast cost --json`: rows, total, hidden_cache and price_book_version."""
    whole = _whole(path, version) if set(by) <= set(cost_rollup.DIMENSIONS) else None
    if whole is not None:
        return cost_rollup.rolled_up(whole, by, since, until)
    return cost_report(Store(path), by=by, since=since, until=until).to_json()


def diagnosed(path: str, version: str, day: date | None) -> Document | None:
    """A diagnosis of before, if it is kept."""
    found: Document | None = kept(("diagnosis", path, version, day))
    return found


def begun(path: str, version: str, day: date | None) -> None:
    """Begin a diagnosis if none is under way. Raises what it raised if it has ended badly."""
    job = _diagnosing(path, version, day)
    if job.done():
        job.result()


def diagnosis(path: str, version: str, day: date | None) -> Document:
    """As `hindcast diagnose --json`."""
    if (found := diagnosed(path, version, day)) is not None:
        return found
    with st.spinner("Comparing the day with earlier ones"):
        place = st.empty()
        job = _diagnosing(path, version, day)
        while not wait([job], timeout=TICK_S).done:
            place.empty()  # another click ends this run of the page here; the job goes on
    if job.exception():
        _jobs()[1].pop((path, version, day), None)  # a page that is opened again tries again
    return job.result()


@st.cache_resource
def _jobs() -> tuple[ThreadPoolExecutor, dict[Hashable, Future[Document]]]:
    """Diagnoses under way: every visitor who asks for one waits for the same."""
    return ThreadPoolExecutor(1, "diagnosis"), {}


def _diagnosing(path: str, version: str, day: date | None) -> Future[Document]:
    executor, jobs = _jobs()
    key = path, version, day
    if (found := diagnosed(path, version, day)) is not None:
        known: Future[Document] = Future()
        known.set_result(found)
        return known
    job = jobs.get(key)
    if job is None:
        job = jobs[key] = executor.submit(_diagnose, path, version, day)
        job.add_done_callback(lambda done: None if done.exception() else jobs.pop(key, None))
    return job


def _diagnose(path: str, version: str, day: date | None) -> Document:
    """In this process where it is quick; else in one of its own, so that pages are served meanwhile."""
    if coverage(path, version).calls > AT_ONCE:
        found = job_process.run("diagnosis", Path(path), copy_path(version), {"day": day}, lambda _finished: None)
    else:
        found = to_json(diagnose(Store(path), day=day))
    keep(("diagnosis", path, version, day), found)
    if day is None and coverage(path, version).calls > AT_ONCE:
        threading.Thread(target=_look_ahead, args=(path, version, found), daemon=True).start()
    return dict(found)


@st.cache_resource
def _foreseen() -> dict[Hashable, Any]:
    """Answers that were worked out before anyone asked, by version and question; of the newest version only."""
    return {}


def _look_ahead(path: str, version: str, found: Document) -> None:
    answers = _foreseen()
    answers.clear()

    def hear(told: list[Any]) -> None:
        answers.update(((path, version, *question), answer) for question, answer in told)
        told.clear()

    with contextlib.suppress(HindcastError):  # what fails here fails again on the page, in words
        job_process.run("look_ahead", Path(path), copy_path(version), {"found": found}, hear)


def warm() -> None:
    """Work out what the first page shows at once. Raises what it would raise."""
    path = store_path()
    key = str(path), version(path)
    coverage(*key)
    cost(*key, ("day", "agent"), None, None)
    cost(*key, ("day",), None, None)
    colours(*key, "agent")


def warm_more() -> None:
    """Work out what readers ask for next."""
    path = store_path()
    key = str(path), version(path)
    _diagnosing(*key, None).result()
    prices(*key, None)


@st.cache_data(max_entries=16, show_spinner=False)
def coverage(path: str, version: str) -> document_views.Coverage:
    """How much of the log has a price, a time and reported tokens."""
    return document_views.coverage(Store(path))


@st.cache_data(max_entries=32, show_spinner=False)
def colours(path: str, version: str, dimension: str) -> dict[str, str]:
    """The lasting colour of each agent, model or task."""
    from dashboard.render import palette

    return palette.assign(
        _foreseen().get((path, version, "ranked", dimension)) or document_views.ranked(Store(path), dimension)
    )


@st.cache_data(max_entries=64, show_spinner=False)
def sessions(
    path: str,
    version: str,
    where: prefetch.Filter,
    since: date | None,
    until: date | None,
    limit: int,
) -> list[Document]:
    """The dearest sessions of a segment."""
    question = where, since, until, limit
    found: list[Document] | None = _foreseen().get((path, version, "sessions", *question))
    return prefetch.sessions(Store(path), *question) if found is None else found


@st.cache_data(max_entries=64, show_spinner=False)
def calls(
    path: str,
    version: str,
    where: prefetch.Filter,
    since: date | None,
    until: date | None,
    order: str,
    limit: int,
) -> Document:
    """As `hindcast calls --json`."""
    question = where, since, until, order, limit
    found: Document | None = _foreseen().get((path, version, "calls", *question))
    return prefetch.calls(Store(path), *question) if found is None else found


@st.cache_data(max_entries=128, show_spinner=False)
def messages(path: str, version: str, call_no: int) -> list[listing.Message]:
    """The parts of one call."""
    return listing.messages(Store(path), call_no)


@st.cache_data(max_entries=32, show_spinner=False)
def prices(path: str, version: str, part: str | None) -> Document:
    """As `hindcast prices list --json`; without rows where no name fits."""
    from analysis.reports.price_list import list_rows

    try:
        return list_rows(Store(path), part).to_json()
    except PriceError:
        return {"price_book_version": "", "rows": [], "unresolved": [], "loosely_matched": []}


@st.cache_data(max_entries=16, show_spinner=False)
def own_prices(path: str, version: str) -> Document:
    """As `hindcast prices list --overrides --json`."""
    from analysis.reports.price_list import list_overrides

    return list_overrides(Store(path))


@st.cache_data(max_entries=4, show_spinner="Comparing prices")
def price_differences(path: str, version: str, file: bytes, at: date) -> Document:
    """As `hindcast prices diff --json`, of a file's content. Raises InputError for another kind of file."""
    from analysis.reports.price_list_comparison import compare

    with tempfile.TemporaryDirectory() as folder:
        theirs = Path(folder) / "prices.json"
        theirs.write_bytes(file)
        found, missing = compare(Store(path), theirs, at)
    return {"differences": [item.to_json() for item in found], "missing": missing}


@st.cache_data(max_entries=16, show_spinner=False)
def holdings(path: str, version: str) -> Holdings:
    """Files, quarantine, remarks and coverage."""
    found: Holdings | None = _foreseen().get((path, version, "holdings"))
    return stored(Store(path)) if found is None else found


# -- results of long work ----------------------------------------------------------------------------------------------


@st.cache_resource
def _kept() -> dict[Hashable, Any]:
    """Results by what they depend on; the newest last; at most MAX_KEPT."""
    return {}


def kept(key: Hashable) -> Any:
    """A result of before; None if there is none."""
    return _kept().get(key)


def keep(key: Hashable, value: Any) -> None:
    """Remember a result for all visitors."""
    found = _kept()
    found[key] = value
    while len(found) > MAX_KEPT:
        found.pop(next(iter(found)))


@st.cache_resource
def _folder() -> tempfile.TemporaryDirectory[str]:
    """Gone when the server ends."""
    return tempfile.TemporaryDirectory(prefix="hindcast-")


def copy_path(version: str) -> Path:
    """Where long work may keep a copy of this version of the store; copies of other versions are removed."""
    folder = Path(_folder().name)
    path = folder / f"{hashlib.sha256(f'{store_path()} {version}'.encode()).hexdigest()[:16]}.duckdb"
    for old in folder.iterdir():
        if not old.name.startswith(path.name):
            old.unlink(missing_ok=True)
    return path
