"""Data: where the calls come from, what could not be read, and how much the log knows about itself."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from analysis.formatting import count as counted
from analysis.formatting import day as day_text
from analysis.formatting import share
from dashboard.data import results_cache
from dashboard.data.store_contents import StoreContents
from dashboard.documents import document_views
from dashboard.render.cards import Kpi
from dashboard.render.tables import Column, Table
from dashboard.widgets import blocks, page_frame


def show() -> None:
    """Draw the page."""
    view = page_frame.view(dates=False)
    found = results_cache.store_contents(*view.key)
    coverage = view.coverage
    blocks.finding(headline(found, coverage), level=1)
    blocks.kpis(figures_of_merit(found, coverage))
    page_frame.remarks(coverage)
    blocks.finding("Files read")
    blocks.table(sources(found), "sources")
    if found.quarantine:
        blocks.finding("Quarantine: lines that could not be read")
        blocks.table(quarantine(found), "quarantine", limit=40)
        blocks.note("Mend the file or its mapping and ingest it again: what was read before is not counted twice.")
    if found.issues:
        blocks.finding("Remarks about calls that were read")
        columns = (Column("what"), Column("calls", _count, figure=True), Column("for example"))
        blocks.table(Table("Import remarks", columns, tuple(found.issues)), "issues")
    blocks.finding("What the log says of its calls")
    blocks.table(known(found), "coverage")


def headline(found: StoreContents, coverage: document_views.Coverage) -> str:
    """How many calls from how many files, and what was left out."""
    bad = f", {counted(coverage.quarantined, 'line')} in quarantine" if coverage.quarantined else ""
    return f"{counted(coverage.calls, 'call')} from {counted(len(found.sources), 'file')}{bad}"


def figures_of_merit(found: StoreContents, coverage: document_views.Coverage) -> list[Kpi]:
    """Span, text kept, tokens reported, duplicates set aside."""
    first, last = coverage.first, coverage.last
    reported = found.known.get("reported token counts", 0)
    duplicates = sum(source["duplicates"] or 0 for source in found.sources)
    return [
        Kpi("From", _day(first), f"to {_day(last)}, UTC" if last else ""),
        Kpi("Messages with text", share(found.known.get("message text", 0) / coverage.calls), "of calls"),
        Kpi("Reported token counts", share(reported / coverage.calls), "the others are estimated or missing"),
        Kpi("Duplicates set aside", f"{duplicates:,}", "rows that were in the store already"),
    ]  # fmt: skip


def sources(found: StoreContents) -> Table:
    """Files with their counts."""
    names = ("path", "format", "rows", "calls", "duplicates", "quarantined", "complete")
    columns = (
        Column("file", _short), Column("format", minor=True),
        *(Column(name, _count, figure=True, minor=name in ("rows", "duplicates")) for name in names[2:6]),
        Column("read to its end", minor=True, text=lambda value: "yes" if value else "no",
               strong=lambda value: not value),
    )  # fmt: skip
    return Table("Files read", columns, tuple(tuple(source[name] for name in names) for source in found.sources))


def quarantine(found: StoreContents) -> Table:
    """Lines with the reason, place and beginning of each."""
    columns = (
        Column("file", _short),
        Column("line", figure=True),
        Column("reason"),
        Column("at", minor=True),
        Column("begins with"),
    )
    return Table("Quarantine", columns, tuple(found.quarantine))


def known(found: StoreContents) -> Table:
    """How many calls carry each piece of knowledge."""
    columns = (
        Column("what"), Column("calls", _count, figure=True),
        Column("share", share, figure=True, shade=lambda value: value or 0.0),
    )  # fmt: skip
    rows = tuple((what, count, count / found.calls if found.calls else None) for what, count in found.known.items())
    return Table("What the log says", columns, rows)


def _day(moment: datetime | None) -> str:
    return f"{day_text(moment.date())} {moment.year}" if moment else "unknown"


def _short(path: str | None) -> str:
    """A file's folder and name; the CSV has the whole path."""
    return "-" if path is None else "/".join(Path(path).parts[-2:])


def _count(value: Any) -> str:
    return "-" if value is None else f"{value:,}"
