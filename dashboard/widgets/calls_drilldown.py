"""From a figure to the calls behind it: sessions, one session as a timeline, one call, its prompt."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import partial
from typing import Any

import streamlit as st

from analysis.diagnosis import narrative
from analysis.formatting import count as counted
from analysis.formatting import money, named, tokens
from analysis.reports import calls
from dashboard.data import results_cache
from dashboard.data.results_cache import Filter
from dashboard.documents import document_views
from dashboard.render import detail_charts
from dashboard.render.tables import Column, Table
from dashboard.widgets import blocks, fragments, session_context
from dashboard.widgets.page_frame import View

DRIVERS_SHOWN = 8
SESSIONS_SHOWN = 8
CALLS_READ = 200
CALLS_SHOWN = 15


@fragments.region
def from_driver(
    view: View, found: document_views.Document, since: date | None = None, until: date | None = None
) -> None:
    """Choose a driver, then see the sessions and calls of its segment on that day, or from `since` to `until`."""
    blocks.finding("Look at the calls")
    names = {
        str(number): f"{narrative.place(line.segment)}: {narrative.what(line)}"
        for number, line in enumerate(document_views.driver_lines(found)[:DRIVERS_SHOWN])
    }
    number = st.selectbox(
        "Driver", list(names), format_func=lambda key: names[key], key="driver", bind="query-params",
        help="The sessions and calls of this segment on the day",
    )  # fmt: skip
    segment = found["drivers"][int(number or 0)]["segment"]
    day = date.fromisoformat(found["day"])
    of_segment(view, document_views.filter_of(segment), since or day, until or day)


def dearest(view: View, where: Filter, since: date | None, until: date | None) -> list[dict[str, Any]]:
    """The dearest sessions of a segment, SESSIONS_SHOWN at most."""
    return results_cache.sessions(*view.key, where, since, until, SESSIONS_SHOWN)


def of_segment(view: View, where: Filter, since: date | None, until: date | None) -> None:
    """The dearest sessions of a segment, and a chosen one call by call."""
    rows = dearest(view, where, since, until)
    if not rows:
        blocks.note("No calls here in these days.")
        return
    named = [row for row in rows if row["session"] is not None]
    session = None
    if named:
        blocks.note(
            f"The {len(rows)} dearest sessions." if len(rows) == SESSIONS_SHOWN else f"{counted(len(rows), 'session')}."
        )
        blocks.table(session_table(rows), "sessions")
        options = [row["session"] for row in named]
        session = st.selectbox(
            "Session", options, key="session", bind="query-params", help="One session, call by call",
        )  # fmt: skip
        of_session(view, {**dict(where), "session": session} if session else dict(where), since, until)
        if session:
            session_context.fold(view, session, since, until)
    else:
        blocks.note("These calls name no session.")
        of_session(view, dict(where), since, until)
    chosen = dict(where) | ({"session": session} if session else {})
    parts = [*(_option(name, value) for name, value in chosen.items()), f"--since {since}" if since else "",
             f"--until {until}" if until else "", view.scope.options()]  # fmt: skip
    blocks.command(" ".join(filter(None, ["hindcast calls", *parts])))


def of_session(view: View, where: Mapping[str, str | None], since: date | None, until: date | None) -> None:
    """A session as a timeline with the cost per call, and the prompt of one call."""
    found = results_cache.calls(*view.key, tuple(where.items()), since, until, "time", CALLS_READ)
    rows = found["calls"]
    if not rows:
        return
    colours = results_cache.colours(*view.key, "agent")
    timed = [row for row in rows if row["start_time"]]
    if timed:
        blocks.picture(
            detail_charts.timeline(timed, colours),
            "session",
            alt=f"{len(timed)} calls in time order, each with its cost; "
            f"{money(document_views.dollars(found['total']['cost_usd']))} together.",
        )
    blocks.table(call_table(rows), "calls", limit=CALLS_SHOWN)
    options = {int(row["call_no"]): _named(row) for row in rows}
    number = st.selectbox(
        "Call", list(options), key="call", bind="query-params",
        format_func=lambda chosen: options[int(chosen)], help="What was sent and what came back",
    )  # fmt: skip
    if number is not None:
        prompt(view, int(number))


def _named(row: Mapping[str, Any]) -> str:
    """A call among those of its session: number, time of day, what it cost."""
    time = [str(row["start_time"])[11:19]] if row["start_time"] else []
    return ", ".join([f"call {row['call_no']}", *time, money(document_views.dollars(row["cost_usd"]))])


def prompt(view: View, call_no: int) -> None:
    """The messages of one call, as they stand in the log; what was asked last is open."""
    parts = results_cache.messages(*view.key, call_no)
    if not parts:
        blocks.note("The store keeps no text of this call.")
        return
    kept = [(number, part) for number, part in enumerate(parts) if part.text is not None]
    if len(kept) < len(parts):
        blocks.note(f"The store keeps no text of {len(parts) - len(kept):,} of the {counted(len(parts), 'part')}.")
    asked = [number for number, part in enumerate(parts) if part.role == "user"]
    earlier = [(number, part) for number, part in kept if number < (asked or [0])[-1] and part.role != "system"]
    if len(earlier) > EARLIER:
        kept = [one for one in kept if one not in earlier]
        fragments.fold(f"{len(earlier)} earlier messages", f"earlier-{call_no}", partial(_all_of, earlier))
    for number, part in kept:
        text = partial(blocks.log_text, calls.readable(part))
        fragments.fold(_title(part), f"part-{call_no}-{number}", text, opened=number in asked[-1:])


def _all_of(parts: list[tuple[int, calls.Message]]) -> None:
    for _, part in parts:
        blocks.note(_title(part))
        blocks.log_text(calls.readable(part))


def _title(part: calls.Message) -> str:
    chars = "" if part.chars is None else f" ({part.chars:,} characters)"
    return f"{part.role or part.kind}{chars}" if part.role in ROLES else f"{part.kind}{chars}"


EARLIER = 3  # messages before the last one that was asked, each with a fold of its own
ROLES = {"system", "user", "assistant", "tool", "developer", "function"}


def session_table(rows: list[dict[str, Any]]) -> Table:
    """Sessions by cost."""
    columns = (
        Column("session"),
        Column("calls", count, figure=True),
        Column(
            "distinct requests",
            count,
            figure=True,
            minor=True,
            about="By exact request key; fewer than calls means repeats",
        ),
        Column("input tokens", tokens, figure=True, minor=True),
        Column("output tokens", tokens, figure=True, minor=True),
        Column("USD", money, figure=True),
    )
    return Table(
        "Sessions, dearest first",
        columns,
        tuple(
            (document_views.label(row["session"]), row["calls"], row["distinct_requests"] or None, row["input_tokens"],
             row["output_tokens"], document_views.dollars(row["cost_usd"]))
            for row in rows
        ),
    )  # fmt: skip


def call_table(rows: list[dict[str, Any]]) -> Table:
    """Calls in the order given."""
    columns = (
        Column("call"),
        Column(
            "time (UTC)", minor=True, text=lambda value: "-" if value is None else str(value)[:19].replace("T", " ")
        ),
        Column("agent"),
        Column("task", minor=True),
        Column("model"),
        Column("input", tokens, figure=True, minor=True),
        Column("output", tokens, figure=True, minor=True),
        Column("USD", money, figure=True),
        Column("status", minor=True),
    )
    return Table(
        "Calls",
        columns,
        tuple(
            (row["call_no"], row["start_time"], document_views.label(row["agent"]), document_views.label(row["task"]),
             document_views.label(row["model"]), row["input_tokens"], row["output_tokens"],
             document_views.dollars(row["cost_usd"]), row["status"])
            for row in rows
        ),
    )  # fmt: skip


def count(value: int | None) -> str:
    """`1,200`; `-` where it is not known."""
    return "-" if value is None else f"{value:,}"


def _option(name: str, value: str | None) -> str:
    import shlex

    return f"--{name} {shlex.quote(named(value))}"
