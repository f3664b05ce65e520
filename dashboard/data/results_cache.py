"""Results shared by all visitors, kept until the store's next publish: a rerun never reads again what did not change.

Every function takes the store's path, its `version` and the reader's `scope` (filter and time zone) first; the version
changes with each publish and with each new file.
The values are the documents that the commands print with --json, so a page and the terminal cannot differ.
"""

# ruff: noqa: ARG001  `version` is part of a cache key, not of the work

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Hashable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import streamlit as st

from analysis.diagnosis.diagnose import diagnose
from analysis.diagnosis.document import to_json
from analysis.diagnosis.period_comparison import compare_periods
from analysis.dimensions import as_filter
from analysis.gates.budgets import budget_gates
from analysis.gates.result import GateResult
from analysis.gates.settings import Settings
from analysis.reports import calls as listing
from analysis.reports.cost import cost as cost_report
from analysis.reports.filtered_store import none_has
from analysis.reports.service_levels import service_levels
from analysis.reports.unit_cost import unit_costs as costs_per_unit
from dashboard.data import cost_cells, job_process, store_version
from dashboard.data.filter_choices import filter_choices as choices_of_filter
from dashboard.data.filter_choices import tag_keys as keys_of_tags
from dashboard.data.scope import Scope
from dashboard.data.store_contents import StoreContents, read_contents
from dashboard.documents import document_views
from ingest.errors import PriceError
from ingest.store.address import open_store

Document = dict[str, Any]
Filter = tuple[tuple[str, str | None], ...]  # dimension and value; None: the log has none
MAX_KEPT = 100
AT_ONCE = 500_000  # calls whose newest day is compared faster than anyone would notice
TICK_S = 0.25
ENDED = timedelta(days=document_views.STALE)  # after its newest call a log is over


@st.cache_resource
def valid_stores() -> set[tuple[str, str]]:
    """Paths and versions of stores that were found fit to be shown."""
    return set()


@st.cache_data(max_entries=128, show_spinner=False)
def cost(
    path: str, version: str, scope: Scope, by: tuple[str, ...], since: date | None, until: date | None
) -> Document:
    """As `hindcast cost --json`: rows, total, hidden_cache and price_book_version."""
    if (cells := cost_cells.of(path, version, scope, by)) is not None:
        return cells.cost(by, since, until, scope.where).to_json()
    return cost_report(scope.whole(path), by=by, since=since, until=until, where=scope.where).to_json()


def known_diagnosis(path: str, version: str, scope: Scope, day: date | None) -> Document | None:
    """The diagnosis of a day if it is in the cache; None starts no work."""
    found: Document | None = get(("diagnosis", path, version, scope, day))
    return found


def start_diagnosis(path: str, version: str, scope: Scope, day: date | None) -> None:
    """Start a diagnosis if none is running. Raises the error of one that has failed."""
    job = _diagnosing(path, version, scope, day)
    if job.done():
        job.result()


def diagnosis(path: str, version: str, scope: Scope, day: date | None) -> Document:
    """As `hindcast diagnose --json`."""
    if (found := known_diagnosis(path, version, scope, day)) is not None:
        return found
    with st.spinner("Comparing the day with earlier ones"):
        place = st.empty()
        job = _diagnosing(path, version, scope, day)
        while not wait([job], timeout=TICK_S).done:
            place.empty()  # another click ends this run of the page here; the job goes on
    if job.exception():
        _jobs()[1].pop((path, version, scope, day), None)  # a page that is opened again tries again
    return job.result()


@st.cache_resource
def _jobs() -> tuple[ThreadPoolExecutor, dict[Hashable, Future[Document]]]:
    """Diagnoses under way: every visitor who asks for one waits for the same."""
    return ThreadPoolExecutor(1, "diagnosis"), {}


def _diagnosing(path: str, version: str, scope: Scope, day: date | None) -> Future[Document]:
    executor, jobs = _jobs()
    key = path, version, scope, day
    if (found := known_diagnosis(path, version, scope, day)) is not None:
        known: Future[Document] = Future()
        known.set_result(found)
        return known
    job = jobs.get(key)
    if job is None:
        job = jobs[key] = executor.submit(_diagnose, path, version, scope, day)
        job.add_done_callback(lambda done: None if done.exception() else jobs.pop(key, None))
    return job


def _diagnose(path: str, version: str, scope: Scope, day: date | None) -> Document:
    """In this process where it is quick; else in one of its own, so that pages are served meanwhile."""
    if coverage(path, version, scope).calls > AT_ONCE:
        found = job_process.run(
            "diagnosis", Path(path), copy_path(version), {"day": day}, lambda _finished: None, scope=scope
        )
    else:
        found = to_json(diagnose(scope.open(path), day=day))
    put(("diagnosis", path, version, scope, day), found)
    return dict(found)


def warm_first_page() -> None:
    """Compute what the first page shows at once. Raises what it would raise."""
    path = store_version.store_path()
    key = str(path), store_version.version(path), Scope()
    coverage(*key)
    filter_choices(*key[:2])
    cost(*key, ("day", "agent"), None, None)
    cost(*key, ("day",), None, None)
    colours(*key, "agent")


def warm_next_pages() -> None:
    """Compute what most readers open next: the diagnosis of the newest day, and the price list."""
    path = store_version.store_path()
    key = str(path), store_version.version(path), Scope()
    _diagnosing(*key, None).result()
    prices(*key, None)


@st.cache_data(max_entries=16, show_spinner=False)
def coverage(path: str, version: str, scope: Scope) -> document_views.Coverage:
    """How much of the log has a price, a time and reported tokens."""
    if (cells := cost_cells.of(path, version, scope)) is None:
        return document_views.coverage(scope.open(path))
    found = document_views.coverage(scope.whole(path), cells, scope.where)
    if scope.where and not found.calls:
        raise none_has(as_filter(scope.where))
    return found


@st.cache_data(max_entries=16, show_spinner=False)
def price_book(path: str, version: str) -> str:
    """The version of the price book that the calls were priced with; empty where the store names none."""
    with open_store(path).read() as con:
        found = con.execute("SELECT value FROM meta WHERE key = 'price_book_version'").fetchall()
    return str(found[0][0]) if found else ""


@st.cache_data(max_entries=16, show_spinner=False)
def filter_choices(path: str, version: str) -> list[str]:
    """The conditions that the filter bar offers."""
    return choices_of_filter(open_store(path))


@st.cache_data(max_entries=16, show_spinner=False)
def tag_keys(path: str, version: str) -> list[str]:
    """The dimensions that tags of this log make: `tag.KEY`."""
    return keys_of_tags(open_store(path))


@st.cache_data(max_entries=32, show_spinner=False)
def colours(path: str, version: str, scope: Scope, dimension: str) -> dict[str, str]:
    """The lasting colour of each name of a dimension: the same whatever the filter leaves."""
    from dashboard.render import palette

    everything = Scope(zone=scope.zone)
    store = everything.whole(path)
    return palette.assign(document_views.ranked(store, dimension, cost_cells.of(path, version, everything)))


@st.cache_data(max_entries=64, show_spinner=False)
def service(
    path: str, version: str, scope: Scope, by: tuple[str, ...], since: date | None, until: date | None
) -> list[Document]:
    """Errors and latency by dimensions."""
    return service_levels(scope.whole(path), by, since, until, scope.where)


@st.cache_data(max_entries=64, show_spinner="Adding up units")
def unit_costs(
    path: str, version: str, scope: Scope, per: str, by: tuple[str, ...], since: date | None, until: date | None
) -> Document:
    """As `hindcast cost --per ... --json`, with its sentence as `summary`."""
    found = costs_per_unit(scope.whole(path), per, by, since, until, scope.where)
    return {**found.to_json(), "summary": found.summary}


@st.cache_data(max_entries=32, show_spinner="Comparing the two periods")
def periods(
    path: str, version: str, scope: Scope, now: tuple[date, date], before: tuple[date, date], by: tuple[str, ...]
) -> Document:
    """The drivers between two periods."""
    return compare_periods(scope.open(path), now, before, by).to_json()


def budgets(path: str, version: str, scope: Scope, settings: Settings) -> list[GateResult]:
    """As the budgets of `hindcast check`, of all calls; of a log that has ended, as they stood at its newest call."""
    if not settings.budgets:
        return []
    now, newest = datetime.now(UTC), coverage(path, version, Scope(zone=scope.zone)).last
    if newest is not None and now - newest.replace(tzinfo=UTC) > ENDED:
        now = newest.replace(tzinfo=UTC)
    key = "budgets", path, version, scope.zone, settings, now.replace(minute=0, second=0, microsecond=0)
    if (found := get(key)) is None:
        found = budget_gates(scope.whole(path), settings, now)
        put(key, found)
    return list(found)


@st.cache_data(max_entries=64, show_spinner=False)
def sessions(
    path: str,
    version: str,
    scope: Scope,
    where: Filter,
    since: date | None,
    until: date | None,
    limit: int,
) -> list[Document]:
    """The dearest sessions of a segment."""
    return listing.plain_rows(listing.sessions(scope.open(path), dict(where), since=since, until=until, limit=limit))


@st.cache_data(max_entries=64, show_spinner=False)
def calls(
    path: str,
    version: str,
    scope: Scope,
    where: Filter,
    since: date | None,
    until: date | None,
    order: str,
    limit: int,
) -> Document:
    """As `hindcast calls --json`."""
    return listing.calls(scope.open(path), dict(where), since=since, until=until, order=order, limit=limit).to_json()


@st.cache_data(max_entries=128, show_spinner=False)
def messages(path: str, version: str, scope: Scope, call_no: int) -> list[listing.Message]:
    """The parts of one call."""
    return listing.messages(scope.whole(path), call_no)


@st.cache_data(max_entries=64, show_spinner=False)
def openings(path: str, version: str, scope: Scope, content_ids: tuple[int, ...]) -> dict[int, str]:
    """How texts begin, by their number; without those that the store does not keep."""
    return listing.openings(scope.whole(path), content_ids)


@st.cache_data(max_entries=32, show_spinner=False)
def prices(path: str, version: str, scope: Scope, part: str | None) -> Document:
    """As `hindcast prices list --json`; without rows where no name fits."""
    from analysis.reports.price_list import list_rows

    try:
        return list_rows(scope.open(path), part).to_json()
    except PriceError:
        return {"price_book_version": "", "rows": [], "unresolved": [], "loosely_matched": []}


@st.cache_data(max_entries=16, show_spinner=False)
def own_prices(path: str, version: str, scope: Scope) -> Document:
    """As `hindcast prices list --overrides --json`."""
    from analysis.reports.price_list import list_overrides

    return list_overrides(scope.whole(path))


@st.cache_data(max_entries=4, show_spinner="Comparing prices")
def price_differences(path: str, version: str, scope: Scope, file: bytes, at: date) -> Document:
    """As `hindcast prices diff --json`, of a file's content. Raises InputError for another kind of file."""
    from analysis.reports.price_list_comparison import compare

    with tempfile.TemporaryDirectory() as folder:
        theirs = Path(folder) / "prices.json"
        theirs.write_bytes(file)
        found, missing = compare(scope.whole(path), theirs, at)
    return {"differences": [item.to_json() for item in found], "missing": missing}


@st.cache_data(max_entries=16, show_spinner=False)
def store_contents(path: str, version: str, scope: Scope) -> StoreContents:
    """Files, quarantine, remarks and coverage."""
    return read_contents(scope.open(path))


# -- results of long work ----------------------------------------------------------------------------------------------


@st.cache_resource
def _results() -> dict[Hashable, Any]:
    """Results by what they depend on; the newest last; at most MAX_KEPT."""
    return {}


def get(key: Hashable) -> Any:
    """A cached result; None if there is none."""
    return _results().get(key)


def put(key: Hashable, value: Any) -> None:
    """Cache a result for all visitors; the oldest beyond MAX_KEPT are dropped."""
    found = _results()
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
    path = folder / f"{hashlib.sha256(f'{store_version.store_path()} {version}'.encode()).hexdigest()[:16]}.duckdb"
    for old in folder.iterdir():
        if not old.name.startswith(path.name):
            old.unlink(missing_ok=True)
    return path
