"""What a day is: the date of a call's start, in UTC or the chosen time zone; and how days are written."""

from __future__ import annotations

import os
import re
from datetime import UTC, date, datetime, timedelta
from typing import Final

from analysis import time_zone
from ingest.errors import InputError, nearest

DAY_MS: Final = 86_400_000
RELATIVE_DAYS = ("today", "yesterday", "7d")
DAY_FORMS = "YYYY-MM-DD, YYYY-MM, YYYY, YYYY-Www (ISO week), today, yesterday or 7d (the last 7 days)"
EARLIEST, LATEST = 1900, 2999  # years of a day that a log can have
MOST_DAYS = 36_525  # of the last N days: a century


def today() -> date:
    """The present day, or the one that the environment variable HINDCAST_NOW holds as YYYY-MM-DD."""
    fixed = os.environ.get("HINDCAST_NOW")
    if not fixed:
        return time_zone.day_of(datetime.now(UTC).replace(tzinfo=None))
    try:
        return date.fromisoformat(fixed)
    except ValueError as error:
        raise InputError(f"HINDCAST_NOW is '{fixed}', which is not a day", remedy="Write it as YYYY-MM-DD.") from error


def parse_days(text: str, now: date) -> tuple[date, date]:
    """The first and the last day, both included, of what `text` names in one of `DAY_FORMS`.

    `now` is the day that `today`, `yesterday` and `7d` count from; the last 7 days end with it. Raises InputError.
    """
    try:
        found = _days(text.strip().lower(), now)
    except (ValueError, OverflowError):
        found = None
    if found is None:
        near = _nearest_form(text.strip().lower(), now)
        hint = f"Did you mean {near}? " if near else ""
        raise InputError(f"'{text}' names no day", remedy=f"{hint}Write {DAY_FORMS}.")
    return found


def first_day(text: str) -> date:
    """The first day of what `text` names (see `parse_days`), a day that a log can have. Raises InputError."""
    return _days_of_a_log(text)[0]


def last_day(text: str) -> date:
    """The last day of what `text` names (see `parse_days`), a day that a log can have. Raises InputError."""
    return _days_of_a_log(text)[1]


def single_day(text: str) -> date:
    """The day that `text` names, one that a log can have. Raises InputError, too, for a text that names several."""
    first, last = _days_of_a_log(text)
    if first != last:
        days = (last - first).days + 1
        raise InputError(f"'{text}' is {days:,} days", remedy=f"As a window: --since {first} --until {last}")
    return first


def _days_of_a_log(text: str) -> tuple[date, date]:
    first, last = parse_days(text, today())
    if not EARLIEST <= first.year <= last.year <= LATEST:
        raise InputError(f"'{text}' is not a day of any log", remedy=f"Days are of the years {EARLIEST} to {LATEST}.")
    return first, last


def parse_range(text: str, now: date) -> tuple[date, date]:
    """The first and last day, both included, of `A..B` or of one word such as `2024-02`, each as in `parse_days`.

    Raises InputError.
    """
    first, dots, last = text.partition("..")
    found = parse_days(first, now)[0], parse_days(last if dots else first, now)[1]
    if found[1] < found[0]:
        raise InputError(f"'{text}' ends before it begins", remedy="Write the earlier day first.")
    return found


def _days(text: str, now: date) -> tuple[date, date] | None:
    """As `parse_days`; None for another form. Raises ValueError or OverflowError for a day that does not exist."""
    if text == "today":
        return now, now
    if text == "yesterday":
        return now - timedelta(days=1), now - timedelta(days=1)
    if match := re.fullmatch(r"(\d{1,5})d", text, re.ASCII):
        count = int(match[1])
        return (now - timedelta(days=count - 1), now) if 1 <= count <= MOST_DAYS else None
    if match := re.fullmatch(r"\d{4}", text, re.ASCII):
        return date(int(text), 1, 1), date(int(text), 12, 31)
    if match := re.fullmatch(r"(\d{4})-(\d\d?)-(\d\d?)", text, re.ASCII):
        day = date(int(match[1]), int(match[2]), int(match[3]))
        return day, day
    if match := re.fullmatch(r"(\d{4})-w(\d\d)", text, re.ASCII):
        monday = date.fromisocalendar(int(match[1]), int(match[2]), 1)
        return monday, monday + timedelta(days=6)
    if match := re.fullmatch(r"(\d{4})-(\d\d)", text, re.ASCII):
        year, month = int(match[1]), int(match[2])
        return date(year, month, 1), date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)
    return None


def _nearest_form(text: str, now: date) -> str | None:
    """How the same day is written in one of `DAY_FORMS`; None where that cannot be guessed."""
    guess = nearest(text, RELATIVE_DAYS)
    if match := re.fullmatch(r"(\d{4})\D?(\d\d?)\D?(\d\d?)(?:\D.*)?", text, re.ASCII):
        guess = f"{match[1]}-{int(match[2]):02}-{int(match[3]):02}"
    elif match := re.fullmatch(r"(\d\d?)\.(\d\d?)\.(\d{4})", text, re.ASCII):
        guess = f"{match[3]}-{int(match[2]):02}-{int(match[1]):02}"
    elif match := re.fullmatch(r"(\d{4})\W?(?:w|week)\W?(\d\d?)", text, re.ASCII):
        guess = f"{match[1]}-W{int(match[2]):02}"
    elif match := re.fullmatch(r"(\d{4})\W(\d\d?)", text, re.ASCII):
        guess = f"{match[1]}-{int(match[2]):02}"
    elif match := re.fullmatch(r"(?:last )?-?(\d{1,3}) ?(?:d|days?)?(?: ago)?", text, re.ASCII):
        guess = f"{int(match[1])}d"
    try:
        return guess if guess and _days(guess.lower(), now) else None
    except (ValueError, OverflowError):
        return None


def utc_day_ms(day: date) -> int:
    """The UTC epoch milliseconds at which the day begins."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000
