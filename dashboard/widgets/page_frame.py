"""What stands around every page: which store, which days, how pictures are exported, and what no total includes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import streamlit as st

from analysis.formatting import day as day_text
from dashboard import access
from dashboard.data import results_cache
from dashboard.documents import document_views
from dashboard.widgets import blocks, page_state
from ingest.errors import InputError, StoreError
from ingest.store.address import open_store


@dataclass(frozen=True)
class View:
    """The store as it is now, and the days that the reader looks at (None: from the first, to the last)."""

    path: str
    version: str
    coverage: document_views.Coverage
    since: date | None
    until: date | None

    @property
    def key(self) -> tuple[str, str]:
        """Path and version of the store: the first two arguments of every function of `results_cache`."""
        return self.path, self.version

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
        return f"{day_text(since)} to {day_text(until)} {until.year}"


def check(path: Path) -> None:
    """Raise what stops every page, with the command that mends it."""
    if not open_store(path).exists():
        raise StoreError(f"there is no store at {path}", remedy="Make one with: hindcast ingest PATH")
    this = str(path), results_cache.version(path)
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
    """The store and the chosen days; draws the date choice in the sidebar."""
    path = results_cache.store_path()
    version = results_cache.version(path)
    coverage = results_cache.coverage(str(path), version)
    since = until = None
    days = coverage.days
    if dates and days:
        low, high = days[0], days[-1]
        page_state.bring_days(low, high)
        with st.sidebar:
            since = st.date_input(
                "From", value=low, min_value=low, max_value=high, key="since", bind="query-params", help="First day"
            )
            until = st.date_input(
                "To", value=high, min_value=low, max_value=high, key="until", bind="query-params",
                help="Last day, inclusive",
            )  # fmt: skip
        if since > until:
            raise InputError(f"the window ends ({until}) before it begins ({since})", remedy="Choose other days.")
        page_state.keep_days(since, until)
    return View(
        path=str(path),
        version=version,
        coverage=coverage,
        since=since if days and since != days[0] else None,
        until=until if days and until != days[-1] else None,
    )


def remarks(coverage: document_views.Coverage, report: document_views.Document | None = None) -> None:
    """What totals leave out or guess; always on the page when there is any.

    With a cost report also the cache reads that its log hides.
    """
    for text in [*coverage.remarks(), *(document_views.hidden_reads(report) if report else [])]:
        blocks.note(text, warn=True)


def footer() -> None:
    """The sidebar's end: which file this is, what writes to it, and the export format."""
    with st.sidebar:
        st.segmented_control("Pictures export as", ["png", "svg"], default="png", key="format", required=True)
        blocks.note(
            f"{results_cache.store_path().name} is only read, but for what you say of a day on the Spike page. "
            f"{access.audience()}"
        )
