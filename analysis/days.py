"""What a day is: the UTC date of a call's start; and which days of a log are whole."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta

EDGE = timedelta(hours=1)


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
