"""The time zone whose calendar bounds the days: UTC unless a person chose another. The store keeps UTC.

A day begins at midnight of the zone's wall clock, so that two days a year have 23 or 25 hours where clocks change.
The choice is of a process, in the environment variable HINDCAST_TZ, so that every worker it starts means the same days;
a server whose readers choose for themselves sets it for one thread (`set_in_thread`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from ingest.errors import InputError, nearest

VARIABLE: Final = "HINDCAST_TZ"
DAY: Final = timedelta(days=1)
QUARTER: Final = timedelta(minutes=15)  # no zone is off by less
_NO_PLACE: Final = {"Factory", "localtime"}  # of the machine, and unknown to the database
_NAME: Final = re.compile(r"[A-Za-z0-9_+\-/]{1,64}")
_IN_THREAD: Final[ContextVar[str | None]] = ContextVar("zone of the days", default=None)


def named(name: str) -> ZoneInfo:
    """The zone of an IANA name such as `Europe/Berlin`. Raises InputError with the nearest name."""
    known = available_timezones() - _NO_PLACE
    if not _NAME.fullmatch(name) or name not in known:
        near = nearest(name, sorted(known))
        remedy = f"Did you mean '{near}'?" if near else "Write a name such as Europe/Berlin or America/New_York."
        raise InputError(f"there is no time zone '{name}'", remedy=remedy)
    return ZoneInfo(name)


@cache
def _cached(name: str) -> ZoneInfo:
    return named(name)


def zone() -> ZoneInfo | None:
    """The zone of the days; None for UTC. Raises InputError for a name that HINDCAST_TZ holds and nobody knows."""
    name = _IN_THREAD.get() or os.environ.get(VARIABLE) or "UTC"
    return None if name in ("UTC", "Etc/UTC") else _cached(name)


def label() -> str:
    """The name of the zone of the days: `UTC`, `Europe/Berlin`."""
    own = zone()
    return "UTC" if own is None else own.key


def set_in_thread(name: str | None) -> None:
    """From here on days are those of this zone, in this thread; of the process's zone for None. Raises InputError."""
    if name is not None:
        _cached(name)
    _IN_THREAD.set(name)


@contextmanager
def days_in(name: str | None) -> Iterator[None]:
    """Within the block days are those of this zone; of the zone as it was for None. Raises InputError."""
    if name is None:
        yield
        return
    _cached(name)
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = name
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before


def local(instant: datetime) -> datetime:
    """The wall clock of the zone at an instant; both without a zone, the instant in UTC."""
    own = zone()
    return instant if own is None else instant.replace(tzinfo=UTC).astimezone(own).replace(tzinfo=None)


def day_of(instant: datetime) -> date:
    """The day that holds an instant (UTC without a zone)."""
    return local(instant).date()


def day_start(day: date) -> datetime:
    """The instant (UTC without a zone) at which the day begins; the end of one day is the start of the next."""
    own = zone()
    begin = datetime.combine(day, time.min)
    return begin if own is None else begin.replace(tzinfo=own).astimezone(UTC).replace(tzinfo=None)


def day_start_ms(day: date) -> int:
    """As `day_start`, in epoch milliseconds."""
    return round(day_start(day).replace(tzinfo=UTC).timestamp() * 1000)


def odd_hours(day: date) -> set[int]:
    """The hours of the day's wall clock that come twice or not at all, where clocks change."""
    if day_start(day + DAY) - day_start(day) == DAY:
        return set()
    times = [0] * 24
    instant, end = day_start(day), day_start(day + DAY)
    while instant < end:
        times[local(instant).hour] += 1
        instant += QUARTER
    return {hour for hour, quarters in enumerate(times) if quarters != 4}


def local_sql(column: str = "start_time") -> str:
    """SQL of the wall clock at a UTC timestamp without a zone: the column itself where days are UTC's."""
    own = zone()
    return column if own is None else f"timezone('{own.key}', timezone('UTC', {column}))"


def day_sql(column: str = "start_time") -> str:
    """SQL of the day of a UTC timestamp without a zone."""
    return f"{local_sql(column)}::DATE"
