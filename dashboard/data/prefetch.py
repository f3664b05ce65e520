"""What readers of a large store ask for next, worked out before they ask: by a process of its own, once a publish.

Each answer is told as soon as it is known, as (question, answer); `dashboard.data.results_cache` looks there before it
reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any, Final

from analysis.reports import calls as listing
from dashboard.data.store_contents import holdings
from dashboard.documents import document_views
from ingest.store.database import Store

Filter = tuple[tuple[str, str | None], ...]
Question = tuple[Any, ...]

SESSIONS: Final = 8  # the dearest of a segment, as pages list them
CALLS: Final = 200
SEGMENTS: Final = 8  # drivers, and agents


def answers(store: Store, found: document_views.Document) -> Iterator[tuple[Question, Any]]:
    """Each driver's sessions, as the next page shows them; colours, what the store holds, sessions by agent."""
    day = date.fromisoformat(found["day"])
    segments = list(
        dict.fromkeys(document_views.filter_of(driver["segment"]) for driver in found["drivers"][:SEGMENTS])
    )
    for where in segments[:1]:
        yield from _drilled(store, where, day, day)
    for dimension in ("model", "task"):
        yield ("ranked", dimension), document_views.ranked(store, dimension)
    for where in segments[1:]:
        yield from _drilled(store, where, day, day)
    yield ("holdings",), holdings(store)
    yield from _drilled(store, (), None, None)
    for name in document_views.ranked(store, "agent")[:SEGMENTS]:
        yield from _drilled(store, (("agent", name),), None, None)


def _drilled(store: Store, where: Filter, since: date | None, until: date | None) -> Iterator[tuple[Question, Any]]:
    """The sessions of a segment, and the calls of the first one that has a name."""
    rows = sessions(store, where, since, until, SESSIONS)
    yield ("sessions", where, since, until, SESSIONS), rows
    named = next((row["session"] for row in rows if row["session"] is not None), None)
    if rows:
        inside: Filter = where if named is None else (*where, ("session", named))
        yield ("calls", inside, since, until, "time", CALLS), calls(store, inside, since, until, "time", CALLS)


def sessions(store: Store, where: Filter, since: date | None, until: date | None, limit: int) -> list[dict[str, Any]]:
    """The dearest sessions of a segment, as plain rows."""
    return listing.plain_rows(listing.sessions(store, dict(where), since=since, until=until, limit=limit))


def calls(
    store: Store, where: Filter, since: date | None, until: date | None, order: str, limit: int
) -> dict[str, Any]:
    """As `hindcast calls --json`."""
    return listing.calls(store, dict(where), since=since, until=until, order=order, limit=limit).to_json()
