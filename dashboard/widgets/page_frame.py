"""What stands around every page: which store, which days, how pictures are exported, and what no total includes."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import streamlit as st

from analysis import time_zone
from analysis.formatting import count as counted
from analysis.formatting import day as day_text
from dashboard import access
from dashboard.data import results_cache, store_version
from dashboard.data.scope import Scope
from dashboard.documents import document_views
from dashboard.widgets import blocks, filter_bar
from ingest.errors import HindcastError, InputError, StoreError
from ingest.store.address import open_store

LOOK_S = 5.0  # between two looks at whether the store was published anew
PAUSE_S = 12.0  # a reader has at least this long to read what was drawn
_DRAWN = "drawn-at"


@dataclass(frozen=True)
class View:
    """The store as it is now, and the days that the reader looks at (None: from the first, to the last)."""

    path: str
    version: str
    scope: Scope
    coverage: document_views.Coverage
    since: date | None
    until: date | None

    @property
    def key(self) -> tuple[str, str, Scope]:
        """Path and version of the store, filter and zone: what every function of `results_cache` is asked with."""
        return self.path, self.version, self.scope

    @property
    def name(self) -> str:
        """The store's file name."""
        return Path(self.path).name

    def window(self) -> str:
        """The days in words."""
        days = self.coverage.days
        if not days:
            return "no days"
        since, until = self.since or days[0], self.until or days[-1]
        if since == until:
            return f"{day_text(until)} {until.year}"
        begin = day_text(since) if since.year == until.year else f"{day_text(since)} {since.year}"
        return f"{begin} to {day_text(until)} {until.year}"

    def shown(self) -> str:
        """The days with their number and zone, and the calls: what stands under the filter bar and in every file."""
        days = self.coverage.days
        many = ((self.until or days[-1]) - (self.since or days[0])).days + 1 if days else 0
        text = f"{counted(many, 'day')}: {self.window()}, {time_zone.label()}"
        return f"{text}. Only calls with {self.scope.words()}" if self.scope.where else text

    def caption(self, title: str) -> str:
        """What a picture or a file is of: title, days and calls, the store and its publish."""
        return f"{title} · {self.shown()} · {self.source}"

    def about(self, *, dates: bool) -> list[str]:
        """The lines that a file of this page begins with: days and calls, the store and its prices, when it was
        written."""
        calls = f"only calls with {self.scope.words()}" if self.scope.where else "all calls"
        return [
            self.shown() if dates else f"{calls}, {time_zone.label()}",
            f"{self.source}, prices {results_cache.price_book(self.path, self.version) or 'unknown'}",
            f"written {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        ]

    @property
    def source(self) -> str:
        """The store, and which publish of it."""
        return f"{self.name}, version {self.version}"

    def options(self) -> str:
        """The options with which a command asks about the same days and calls."""
        parts = [f"--{name} {day}" for name, day in (("since", self.since), ("until", self.until)) if day]
        return " ".join(filter(None, [*parts, self.scope.options()]))


def check(path: Path) -> None:
    """Raise what stops every page, with the command that mends it."""
    if not open_store(path).exists():
        raise StoreError(f"there is no store at {path}", remedy="Make one with: hindcast ingest PATH")
    this = str(path), store_version.version(path)
    if this in results_cache.valid_stores():
        return
    with open_store(path).read() as con:
        found = {name for (name,) in con.execute("SELECT view_name FROM duckdb_views()").fetchall()}
        empty = con.execute("SELECT count(*) = 0 FROM calls").fetchall()[0][0]
    if empty:
        raise InputError("the store holds no calls yet", remedy="Ingest some logs: hindcast ingest PATH")
    if "costs" not in found:
        raise InputError("the calls have no cost yet", remedy="Price them: hindcast reprice")
    results_cache.valid_stores().add(this)


def view(*, dates: bool = True) -> View:
    """The store and what the reader chose in the filter bar, which is drawn; `dates`: whether the page is of a window
    of days."""
    path = store_version.store_path()
    version = store_version.version(path)
    whole = results_cache.coverage(str(path), version, Scope())
    days, scope = filter_bar.draw(str(path), version, dates=dates and bool(whole.days))
    key = str(path), version, scope
    coverage = results_cache.coverage(*key)
    since = until = None
    if dates and coverage.days:
        spike = None
        if days == filter_bar.SPIKE_ON:
            spike = document_views.stands_out_since(results_cache.diagnosis(*key, None))
            if spike is None:
                blocks.note("No day stands out by now: these are all days.")
        first, last = filter_bar.window(days, coverage.days, spike)
        since = first if first != coverage.days[0] else None
        until = last if last != coverage.days[-1] else None
    found = View(str(path), version, scope, coverage, since, until)
    st.session_state[blocks.ABOUT] = found.about(dates=dates)
    if dates:
        blocks.note(found.shown())
    elif scope.where:
        blocks.note(f"Only calls with {scope.words()}")
    return found


def remarks(coverage: document_views.Coverage, report: document_views.Document | None = None) -> None:
    """What totals leave out or guess; always on the page when there is any.

    With a cost report also the cache reads that its log hides.
    """
    for text in [*coverage.remarks(), *(document_views.hidden_reads(report) if report else [])]:
        blocks.note(text, warn=True)


@st.fragment(run_every=LOOK_S)
def _follow(path: Path, drawn: str) -> None:
    """Draw the page again once the store has been published anew; a page that was drawn from it a moment ago waits."""
    with contextlib.suppress(HindcastError, OSError):
        waited = time.monotonic() - st.session_state[_DRAWN] >= PAUSE_S
        if waited and open_store(path).exists() and store_version.version(path) != drawn:
            st.rerun()


def follow() -> None:
    """Keep the page up with the store while something writes to it, unless the reader does not want that."""
    path = store_version.store_path()
    st.session_state[_DRAWN] = time.monotonic()
    with st.sidebar:
        live = st.toggle(
            "Follow new calls", value=True, key="live", persist_state="session",
            help="Draws the page again when calls were published, as by hindcast watch or ingest --follow",
        )  # fmt: skip
    if live and open_store(path).exists():
        with contextlib.suppress(HindcastError):
            _follow(path, store_version.version(path))


def footer() -> None:
    """The sidebar's end: which file this is, what writes to it, and the export format."""
    with st.sidebar:
        if st.session_state.pop(blocks.PICTURES, False):
            st.segmented_control("Pictures export as", ["png", "svg"], default="png", key="format", required=True,
                                 persist_state="session")  # fmt: skip
        blocks.note(
            f"{store_version.store_path().name} is only read, but for what you say of a day on the Spike page. "
            f"Strategies and views that you save are files of {Path.cwd().name}/. "
            f"{access.audience()}"
        )
