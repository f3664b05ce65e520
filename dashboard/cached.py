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
from dashboard import views
from ingest.errors import StoreBusyError
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
