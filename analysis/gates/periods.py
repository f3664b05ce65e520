"""Calendar periods of a budget, in the time zone of the days, and which of them a moment asks about."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from analysis import time_zone
from analysis.formatting import day as day_text
from analysis.gates.settings import Period

DAY: Final = timedelta(days=1)


@dataclass(frozen=True)
class Span:
    """A period that begins with the day `first`: from `start` up to but without `end`, both UTC."""

    period: Period
    first: date
    start: datetime
    end: datetime

    @property
    def words(self) -> str:
        """`on Tue 5 Mar 2024`, `in the week of Mon 4 Mar 2024`, `in March 2024`."""
        named = f"{day_text(self.first)} {self.first.year}"
        return {"day": f"on {named}", "week": f"in the week of {named}", "month": f"in {self.first:%B %Y}"}[self.period]

    @property
    def last(self) -> date:
        """The last day of the period."""
        return local_day(self.end) - DAY


def span(period: Period, at: datetime) -> Span:
    """The period that holds `at`; weeks are ISO weeks and begin on Monday."""
    day = local_day(at)
    first = {"day": day, "week": day - timedelta(days=day.weekday()), "month": day.replace(day=1)}[period]
    after = {"day": first + DAY, "week": first + 7 * DAY, "month": (first.replace(day=28) + 4 * DAY).replace(day=1)}
    return Span(period, first, begin_of(first), begin_of(after[period]))


def judged(period: Period, now: datetime) -> list[Span]:
    """The period that holds `now`, after the one before it where that ended within the last 24 hours.

    So that a check that runs once a day also sees the end of each period.
    """
    current = span(period, now)
    if now - current.start >= DAY:
        return [current]
    return [span(period, current.start - timedelta(seconds=1)), current]


def naive(at: datetime) -> datetime:
    """A moment as the store keeps it: UTC without a zone."""
    return at.astimezone(UTC).replace(tzinfo=None)


def local_day(at: datetime) -> date:
    """The day, in the zone of the days, that holds a moment."""
    return time_zone.day_of(naive(at))


def begin_of(day: date) -> datetime:
    """The moment at which the day begins."""
    return time_zone.day_start(day).replace(tzinfo=UTC)
