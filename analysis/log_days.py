"""Which days a log has, which of them it covers whole, and over which of them a mean dollar a day is taken.

Only the log's own first and last day can be cut. One is whole if it ends (begins) as late (early) as comparable days
do: a log whose days all end at 18:00 has whole days. Without enough days to compare with, a whole day begins in the
first hour and ends in the last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from functools import cached_property
from typing import Final

import duckdb

from analysis import time_zone
from analysis.formatting import count
from ingest.store.database import Store

EDGE: Final = timedelta(hours=1)
COMPARED: Final = 14  # days with calls
ENOUGH: Final = 5  # of them, to say when days end
SAME_WEEKDAYS: Final = 3, 6  # days of the same weekday that are enough, and that are compared
QUARTER: Final = 0.25


@dataclass(frozen=True)
class LogDays:
    """The days of a log: the wall clock (without a zone) of the first and last call of each day with calls."""

    spans: Mapping[date, tuple[datetime, datetime]] = field(default_factory=dict)

    @cached_property
    def active(self) -> list[date]:
        """The days with calls, in order."""
        return sorted(self.spans)

    @cached_property
    def covered(self) -> list[date]:
        """Every day from the first call's to the last one's; empty where no call has a time."""
        if not self.active:
            return []
        first, last = self.active[0], self.active[-1]
        return [first + timedelta(days=number) for number in range((last - first).days + 1)]

    @cached_property
    def whole(self) -> list[date]:
        """The days that the log covers whole, in order; a day without a call in between is one, and cost $0."""
        days = self.covered
        if days and not self._ends():
            days = days[:-1]
        return days[1:] if days and days[0] == self.active[0] and not self._begins() else days

    @property
    def begun(self) -> date | None:
        """The newest day, where the log covers only the beginning of it."""
        return self.active[-1] if self.active and not self._ends() else None

    @property
    def until(self) -> time | None:
        """The wall clock of the last call."""
        return self.spans[self.active[-1]][1].time() if self.active else None

    def within(self, since: date | None, until: date | None) -> list[date]:
        """The whole days of a window of inclusive days."""
        return [day for day in self.whole if (since is None or day >= since) and (until is None or day <= until)]

    def idle(self, days: Sequence[date]) -> int:
        """How many of the days have no call."""
        return sum(day not in self.spans for day in days)

    def span(self, since: date | None, until: date | None) -> int:
        """How many days of a window of inclusive days the log covers, whole or in part, with calls or without."""
        return sum((since is None or day >= since) and (until is None or day <= until) for day in self.covered)

    def _ends(self) -> bool:
        """Whether the newest day is over: it ends no more than EDGE before a quarter of comparable days did."""
        newest = self.active[-1]
        ends = {day: _clock(self.spans[day][1]) for day in self.active[:-1]}
        usual = _earliest(newest, ends)
        return _clock(self.spans[newest][1]) >= (usual if usual is not None else timedelta(days=1)) - EDGE

    def _begins(self) -> bool:
        """Whether the oldest day is there from its beginning, by the days after it."""
        oldest = self.active[0]
        begins = {day: timedelta(days=1) - _clock(self.spans[day][0]) for day in self.active[1:]}
        usual = _earliest(oldest, begins)
        left = timedelta(days=1) - _clock(self.spans[oldest][0])
        return left >= (usual if usual is not None else timedelta(days=1)) - EDGE


def _clock(at: datetime) -> timedelta:
    return at - datetime.combine(at.date(), time.min)


def _earliest(day: date, lengths: Mapping[date, timedelta]) -> timedelta | None:
    """The shortest that a comparable day usually is: the lower quarter of the nearest days, or of those of the same
    weekday if that is shorter. None where too few are known."""
    near = sorted(lengths, key=lambda other: abs((other - day).days))
    same = [other for other in near if other.weekday() == day.weekday()][: SAME_WEEKDAYS[1]]
    groups = [near[:COMPARED]] if len(near) >= ENOUGH else []
    if len(same) >= SAME_WEEKDAYS[0]:
        groups.append(same)
    quarters = [sorted(lengths[other] for other in group)[int(QUARTER * (len(group) - 1))] for group in groups]
    return min(quarters, default=None)


def mean_of(days: int, idle: int, what: str = "complete day") -> str:
    """What a mean a day is of: `mean of 25 complete days, 8 of them without a call`."""
    text = f"mean of {count(days, what)}"
    return f"{text}, {idle:,} of them without a call" if idle else text


def read(con: duckdb.DuckDBPyConnection) -> LogDays:
    """The days of the calls of a connection."""
    rows = con.execute(
        f"""SELECT day, min(clock), max(clock)
            FROM (SELECT {time_zone.day_sql()} AS day, {time_zone.local_sql()} AS clock FROM calls
                  WHERE start_time IS NOT NULL)
            GROUP BY day"""
    ).fetchall()
    return LogDays({row[0]: (row[1], row[2]) for row in rows})


def of(store: Store) -> LogDays:
    """The days of the whole log, whatever a filter leaves of it."""
    with store.whole.read() as con:
        return read(con)


def nothing_logged(store: Store, since: date | None, until: date | None) -> str | None:
    """That no call falls on these days (inclusive), in a sentence with the days that the log has; None if one does,
    and where the store holds no calls at all."""
    begin = time_zone.day_start(since) if since else datetime.min
    end = time_zone.day_start(until + timedelta(days=1)) if until else datetime.max
    with store.read() as con:
        found = con.execute(
            "SELECT 1 FROM calls WHERE start_time >= $begin AND start_time < $end LIMIT 1",
            {"begin": begin, "end": end},
        ).fetchall()
        if found:
            return None
        first, last, calls = con.execute("SELECT min(start_time), max(start_time), count(*) FROM calls").fetchall()[0]
    if not calls:
        return None
    days = f"from {since} to {until}" if since and until else f"from {since} on" if since else f"up to {until}"
    has = "No call of the log has a time."
    if first:
        has = f"The log has {time_zone.day_of(first)} to {time_zone.day_of(last)}."
    return f"Nothing is logged {f'on {since}' if since == until else days}. {has}"
