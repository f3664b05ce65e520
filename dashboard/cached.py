"""Results shared by all visitors, kept until the store's next publish: a rerun never reads again what did not change.

Every function takes the store's path and `version` first; the version changes with each publish and with each new file.
The values are the documents that the commands print with --json, so a page and the terminal cannot differ.
"""

# ruff: noqa: ARG001  `version` is part of a cache key, not of the work

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import streamlit as st

from analysis import listing
from dashboard import caching, views
from dashboard.holdings import Holdings
from dashboard.holdings import holdings as stored
from ingest.errors import InputError, PriceError, StoreBusyError
from ingest.store import Store
from replay.strategy import Strategy

Document = dict[str, Any]
MAX_REPLAYS = 100


def store_path() -> Path:
    """Where `hindcast dashboard` says the store is."""
    return Path(os.environ.get("HINDCAST_STORE", "hindcast.duckdb"))


def version(path: Path) -> str:
    """Changes with each publish and with each new file at `path`. While a long publish runs, the last one known."""
    try:
        found = f"{path.stat().st_ino}-{Store(path).publish_number()}"
        _seen()[str(path)] = found
        return found
    except StoreBusyError:
        if str(path) in _seen():
            return _seen()[str(path)]
        raise


@st.cache_resource
def _seen() -> dict[str, str]:
    return {}


@st.cache_data(max_entries=128, show_spinner=False)
def cost(
    path: str,
    version: str,
    by: tuple[str, ...],
    since: date | None,
    until: date | None,
    where: tuple[tuple[str, str], ...],
) -> Document:
    """As `hindcast cost --json`."""
    from analysis.cost import cost as report

    return report(Store(path), by=by, since=since, until=until, where=dict(where) or None).to_json()


@st.cache_data(max_entries=64, show_spinner=False)
def diagnosis(path: str, version: str, day: date | None) -> Document:
    """As `hindcast diagnose --json`."""
    from analysis.diagnosis import diagnose

    return diagnose(Store(path), day=day).to_json()


@st.cache_data(max_entries=16, show_spinner=False)
def coverage(path: str, version: str) -> views.Coverage:
    """How much of the log has a price, a time and reported tokens."""
    return views.coverage(Store(path))


@st.cache_data(max_entries=32, show_spinner=False)
def colours(path: str, version: str, dimension: str) -> dict[str, str]:
    """The lasting colour of each agent, model or task."""
    from dashboard import palette

    return palette.assign(views.ranked(Store(path), dimension))


@st.cache_data(max_entries=64, show_spinner=False)
def sessions(
    path: str,
    version: str,
    where: tuple[tuple[str, str | None], ...],
    since: date | None,
    until: date | None,
    limit: int,
) -> list[Document]:
    """The dearest sessions of a segment."""
    return listing.plain_rows(listing.sessions(Store(path), dict(where), since=since, until=until, limit=limit))


@st.cache_data(max_entries=64, show_spinner=False)
def calls(
    path: str,
    version: str,
    where: tuple[tuple[str, str | None], ...],
    since: date | None,
    until: date | None,
    order: str,
    limit: int,
) -> Document:
    """As `hindcast calls --json`."""
    return listing.calls(Store(path), dict(where), since=since, until=until, order=order, limit=limit).to_json()


@st.cache_data(max_entries=128, show_spinner=False)
def messages(path: str, version: str, call_no: int) -> list[listing.Message]:
    """The parts of one call."""
    return listing.messages(Store(path), call_no)


@st.cache_data(max_entries=16, show_spinner="Reading prompts")
def templates(path: str, version: str, since: date | None, until: date | None) -> Document | None:
    """As `hindcast templates --json`; None where the store keeps no message."""
    from analysis.templates import templates as find

    try:
        return find(Store(path), since=since, until=until).to_json()
    except InputError:
        return None


@st.cache_data(max_entries=16, show_spinner="Comparing requests")
def duplicates(path: str, version: str, since: date | None, until: date | None) -> Document:
    """As `hindcast duplicates --json`."""
    from analysis.duplicates import duplicates as find

    return find(Store(path), since=since, until=until).to_json()


@st.cache_data(max_entries=32, show_spinner=False)
def prices(path: str, version: str, part: str | None) -> Document:
    """As `hindcast prices list --json`; without rows where no name fits."""
    from analysis.price_list import list_rows

    try:
        return list_rows(Store(path), part).to_json()
    except PriceError:
        return {"price_book_version": "", "rows": [], "unresolved": [], "loosely_matched": []}


@st.cache_data(max_entries=16, show_spinner=False)
def own_prices(path: str, version: str) -> Document:
    """As `hindcast prices list --overrides --json`."""
    from analysis.price_list import list_overrides

    return list_overrides(Store(path))


@st.cache_data(max_entries=16, show_spinner=False)
def holdings(path: str, version: str) -> Holdings:
    """Files, quarantine, remarks and coverage."""
    return stored(Store(path))


@st.cache_data(max_entries=16, show_spinner="Simulating caches")
def caches(
    path: str, version: str, since: date | None, until: date | None, key: str, temperature: str
) -> caching.CacheCurves:
    """As `hindcast cache curve`."""
    return caching.cache_curves(Store(path), since, until, key, temperature)


@st.cache_data(max_entries=16, show_spinner="Examining prompts")
def doctor(path: str, version: str, since: date | None, until: date | None) -> list[tuple[Any, ...]] | None:
    """As `hindcast cache doctor`."""
    return caching.misses(Store(path), since, until)


@st.cache_resource
def _optima() -> dict[tuple[Any, ...], tuple[Document, str]]:
    return {}


def optimum(
    path: str, version: str, since: date | None, until: date | None, floor: float
) -> tuple[Document, str] | None:
    """A finished search and its strategy file, if it is kept."""
    return _optima().get((path, version, since, until, round(floor, 9)))


def search(
    path: str,
    version: str,
    since: date | None,
    until: date | None,
    floor: float,
    done: Callable[[int, str], None],
) -> tuple[Document, str]:
    """As `hindcast optimize --json`, and the strategy file it writes. `done` gets a count and what was tried."""
    from replay.optimise import optimise
    from replay.policy import written

    tried = 0

    def one(label: str) -> None:
        nonlocal tried
        tried += 1
        done(tried, label)

    found = optimise(Store(path), floor=floor, since=since, until=until, done=one)
    kept = _optima()
    result = (found.to_json(), written(found.strategy, []))
    kept[(path, version, since, until, round(floor, 9))] = result
    while len(kept) > MAX_REPLAYS:
        kept.pop(next(iter(kept)))
    return result


@st.cache_resource
def _replays() -> dict[str, Document]:
    """Finished replays, one strategy each, by key; the newest last; at most MAX_REPLAYS."""
    return {}


def replay_key(path: str, version: str, strategy: Strategy, since: date | None, until: date | None, cold: bool) -> str:
    """Names one run: the store as it is, what the strategy says, the days, and warm or cold."""
    said = json.dumps(strategy.document(), sort_keys=True)
    return hashlib.sha256(repr((path, version, said, since, until, cold)).encode()).hexdigest()


def replayed(keys: Sequence[str]) -> Document | None:
    """The replay of all these keys as one document, as `hindcast replay --json` prints it; None if any is missing."""
    kept = _replays()
    if not keys or any(key not in kept for key in keys):
        return None
    return {**kept[keys[0]], "strategies": [kept[key]["strategies"][0] for key in keys]}


def run_replays(
    path: str,
    wanted: Mapping[str, Strategy],
    since: date | None,
    until: date | None,
    cold: bool,
    done: Callable[[int, int], None],
) -> None:
    """Run the strategies whose keys are not kept yet. `done` is called with how many of how many are finished."""
    from replay.run import run

    kept = _replays()
    missing = {key: strategy for key, strategy in wanted.items() if key not in kept}
    finished = 0

    def one(_name: str) -> None:
        nonlocal finished
        finished += 1
        done(finished, len(missing))

    result = run(Store(path), list(missing.values()), since=since, until=until, cold=cold, done=one).to_json()
    for key, entry in zip(missing, result["strategies"], strict=True):
        kept[key] = {**result, "strategies": [entry]}
    while len(kept) > MAX_REPLAYS:
        kept.pop(next(iter(kept)))
