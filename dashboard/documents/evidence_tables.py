"""Proof tables, lines and sentences made of the commands' documents: the same on a page and in a report."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from analysis.anomalies import alerts as alert_words
from analysis.diagnosis import narrative
from analysis.formatting import certainty, money, share
from dashboard.documents import document_views
from dashboard.render.tables import Column, Table

MOST_SHARE = 2.0
SHARE = "Of the whole difference; none where rises and falls nearly cancel"


def movers(found: document_views.Document, limit: int = 3) -> Table:
    """The causes that would surprise, after one that carries most of the change; drivers where there are none."""
    named = [cause for cause in document_views.causes(found) if cause["surprising"]]
    if named:
        change = Decimal(found["delta"])
        ordinary = (one for one in document_views.causes(found) if not one["surprising"] and one["cause"] != "smaller")
        named = [one for one in ordinary if 2 * Decimal(one["delta"]) * change > change * change] + named
    rows: list[tuple[object, ...]] = [
        (Decimal(cause["delta"]), cause["share"], cause["title"], document_views.places(cause), _advice(cause))
        for cause in named
    ]
    if not rows:
        rows = [
            (
                line.delta,
                line.share,
                narrative.what(line),
                narrative.place(line.segment),
                None,
            )
            for line in document_views.driver_lines(found)
        ]
    return Table(
        f"The largest movers of {found['day']}",
        (
            Column("USD", lambda value: money(value, sign=True), figure=True),
            Column("share", _part, figure=True, about=SHARE, minor=True),
            Column("what"),
            Column("where"),
            Column("what to do", minor=True),
        ),
        tuple(rows[:limit]),
    )


def _part(value: float | None) -> str:
    """A share of the change; none is given where changes up and down cancel so far that it says nothing."""
    return "-" if value is None or abs(value) > MOST_SHARE else share(value)


def days(report: document_views.Document, drawn: document_views.Trajectory, dimension: str) -> Table:
    """What the bars show: each day's dollars by name and in all, and its calls; the newest day first.

    `drawn` has the report's days and names, before days are put into weeks.
    """
    calls: dict[date, int] = {}
    priced: set[date] = set()
    for row in report["rows"]:
        if row["day"] is not None:
            day = date.fromisoformat(row["day"])
            calls[day] = calls.get(day, 0) + row["calls"]
            if row["cost_usd"] is not None:
                priced.add(day)
    at = {day: position for position, day in enumerate(drawn.days)}
    rows = tuple(
        (
            day,
            *(amounts[at[day]] or None for amounts in drawn.stacks.values()),
            drawn.totals[at[day]] if day in priced else "unpriced",
            calls[day],
        )
        for day in sorted(calls, reverse=True)
    )
    columns = (
        Column("day", lambda day: f"{day:%a} {day.day} {day:%b %Y}"),
        *(Column(name, _dollars_or_dash, figure=True, minor=True) for name in drawn.stacks),
        Column("all, USD", _dollars_or_dash, figure=True),
        Column("calls", lambda value: f"{value:,}", figure=True),
    )
    return Table(f"Cost per day by {dimension}, in USD", columns, rows)


def _dollars_or_dash(value: object) -> str:
    return money(value) if isinstance(value, Decimal) else "-" if value is None else str(value)


def causes(found: document_views.Document) -> Table:
    """Causes that would surprise: dollars, where, evidence where there is any, fix, what undoing saves."""
    columns: tuple[Column, ...] = (
        Column("USD", lambda value: money(value, sign=True), figure=True),
        Column("cause"),
        Column("where"),
        Column("evidence", lambda value: "-" if value is None else str(value).replace("->", "→"), minor=True),
        Column("what to do", minor=True),
        Column(
            "undo saves a day",
            lambda value: "-" if value is None or value <= 0 else money(value),
            figure=True,
            minor=True,
        ),
        Column(
            "confidence",
            certainty,
            figure=True,
            about="One minus the chance that the ordinary wobble of days does this",
            minor=True,
        ),
    )
    rows: tuple[tuple[object, ...], ...] = tuple(
        (
            Decimal(cause["delta"]),
            cause["title"],
            document_views.places(cause),
            "; ".join(cause["evidence"]) or None,
            _advice(cause),
            document_views.dollars(cause["undo_saves"]),
            cause["confidence"] if cause["surprising"] else None,
        )
        for cause in document_views.causes(found)
    )
    at = [column.title for column in columns].index("evidence")
    if not any(row[at] for row in rows):
        columns = (*columns[:at], *columns[at + 1 :])
        rows = tuple((*row[:at], *row[at + 1 :]) for row in rows)
    return Table(f"Causes of {found['day']}", columns, rows)


def _advice(cause: document_views.Document) -> str | None:
    """What to do about a cause; nothing where it saved money."""
    return str(cause["fix"]) if Decimal(cause["delta"]) > 0 else None


def alerts(found: document_views.Document) -> Table:
    """What stands out on the day beside the total: agents, hours, ratios, drift, and rules that need no history."""
    columns = (Column("what"), Column("on the day", figure=True), Column("expected", figure=True))
    rows = tuple(
        (
            alert_words.title(alert),
            alert_words.figure(alert, alert.actual),
            alert_words.figure(alert, alert.expected),
        )
        for alert in (alert_words.Alert(**document) for document in found["alerts"])
    )
    return Table(f"What else stands out on {found['day']}", columns, rows)


def drivers(found: document_views.Document) -> Table:
    """Segment, factor, dollars, share, before and after, and what undoing it saves."""
    columns = (
        Column("share", _part, figure=True, about=SHARE, minor=True),
        Column("USD", lambda value: money(value, sign=True), figure=True),
        Column("where"),
        Column("what"),
        Column("before", figure=True, minor=True),
        Column("after", figure=True, minor=True),
        Column("undo saves a day", lambda value: "-" if value is None else money(value), figure=True,
               about="What the day would cost less if this alone went back to its baseline", minor=True),
    )  # fmt: skip
    rows = tuple(
        (
            line.share,
            line.delta,
            narrative.place(line.segment),
            narrative.what(line),
            *narrative.pair(line),
            line.undo_saves,
        )
        for line in document_views.driver_lines(found)
    )
    unexplained = f"{money(document_views.dollars(found['residual']))} unexplained"
    share = 1.0 if document_views.amount(found["delta"]) else None
    total = (share, document_views.dollars(found["delta"]), "sums to the change", unexplained, "", "", None)
    return Table(f"Drivers of {found['day']}", columns, rows, total=total)
