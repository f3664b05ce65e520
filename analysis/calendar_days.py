"""What a day is: the UTC date of a call's start; and which days of a log are whole."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ingest.store.database import Store

DAY_MS: Final = 86_400_000
EDGE = timedelta(hours=1)


def utc_day_ms(day: date) -> int:
    """The UTC epoch milliseconds at which the day begins."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000


def complete_days(days: Sequence[date], first: datetime | None, last: datetime | None) -> list[date]:
    """The days of `days` that the log covers whole, given the times (UTC) of its first and last call.

    Only the log's own first and last day can be cut: they count as whole if the log begins in the first hour of the
    one, or ends in the last hour of the other. Nothing else tells a quiet evening from an export made at noon.
    """
    if first is None or last is None:
        return []
    cut = set()
    if first - datetime.combine(first.date(), time.min) > EDGE:
        cut.add(first.date())
    if datetime.combine(last.date() + timedelta(days=1), time.min) - last > EDGE:
        cut.add(last.date())
    return [day for day in days if day not in cut]


def nothing_logged(store: Store, since: date | None, until: date | None) -> str | None:
    """That no call falls on these UTC days (inclusive), in a sentence with the days that the log has; None if one does,
    and where the store holds no calls at all."""
    with store.read() as con:
        found = con.execute(
            "SELECT 1 FROM calls WHERE start_time >= ?::DATE AND start_time < ?::DATE + 1 LIMIT 1",
            [(since or date.min).isoformat(), (until or date.max).isoformat()],
        ).fetchall()
        if found:
            return None
        first, last, calls = con.execute(
            "SELECT min(start_time)::DATE, max(start_time)::DATE, count(*) FROM calls"
        ).fetchall()[0]
    if not calls:
        return None
    days = f"from {since} to {until}" if since and until else f"from {since} on" if since else f"up to {until}"
    has = f"The log has {first} to {last}." if first else "No call of the log has a time."
    return f"Nothing is logged {f'on {since}' if since == until else days}. {has}"
