"""Points in time as microseconds since 1970 UTC, from every way that logs write them."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ingest.errors import InputError
from ingest.records.call import BadRecordError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UTC_EPOCH_S = 946_684_800  # 2000-01-01: a call before it is a unit or clock mistake
_MAX_S = 4_102_444_800  # 2100-01-01
_SCALE = {"s": 1_000_000, "ms": 1_000, "us": 1}
# ClickHouse and others write nanoseconds or a space before the zone, which fromisoformat refuses
_LOOSE = re.compile(
    r"^(\d{4})[-/](\d\d?)[-/](\d\d?)[T ](\d\d?):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?"
    r"\s*(Z|UTC|GMT|[ECMP][SD]T|[+-]\d\d:?\d\d)?$",
    re.IGNORECASE,
)
# the names of zones that RFC 2822 defines; others mean different zones in different countries
_ZONES = {"EDT": "-04:00", "EST": "-05:00", "CDT": "-05:00", "CST": "-06:00", "MDT": "-06:00", "MST": "-07:00",
          "PDT": "-07:00", "PST": "-08:00"}  # fmt: skip
_MONTHS = {
    "jan": 1, "feb": 2, "mar": 3, "apr": 4, "may": 5, "jun": 6, "jul": 7, "aug": 8, "sep": 9, "oct": 10, "nov": 11,
    "dec": 12,
}  # fmt: skip
_CLOCK = r"(?P<hour>\d\d?):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d+))?)?"
_HALF = r"(?:\s*(?P<half>[AaPp])\.?[Mm]\.?)?"
_ZONE = r"(?:\s*(?P<zone>Z|UTC|GMT|[ECMP][SD]T|[+-]\d\d:?\d\d|(?:GMT|UTC)[+-]\d\d:?\d\d))?"
_NAMED = r"(?P<month>[A-Za-z]{3})[a-z]*"
# layouts that are told by their separators, and who writes them; none can be mistaken for another
_LAYOUTS = tuple(
    re.compile(rf"^{pattern}$")
    for pattern in (
        # Go's time.String(): `2026-06-01 09:00:00.5 +0000 UTC m=+0.1`
        rf"(?P<year>\d{{4}})-(?P<month>\d\d)-(?P<day>\d\d) {_CLOCK} (?P<zone>[+-]\d{{4}}) [A-Z]\w*(?: m=\S+)?",
        # RFC 1123 and 2822, with or without the week-day: `Mon, 01 Jun 2026 09:00:00 GMT`
        rf"(?:[A-Za-z]{{3,9}}, ?)?(?P<day>\d\d?)[ -]{_NAMED}[ -](?P<year>\d{{4}}),? {_CLOCK}{_HALF}{_ZONE}",
        # Kibana, JavaScript and spreadsheets: `Jun 1, 2026 @ 09:00:00.000`, `June 1, 2026, 9:00 AM`
        rf"{_NAMED} (?P<day>\d\d?), (?P<year>\d{{4}})(?:,| @| at)? {_CLOCK}{_HALF}{_ZONE}",
        # C's asctime, and JavaScript's Date as text: `Mon Jun 01 2026 09:00:00 GMT+0200 (CEST)`
        rf"[A-Za-z]{{3}} {_NAMED} +(?P<day>\d\d?) (?P<year>\d{{4}}) {_CLOCK}{_ZONE}(?: \(.*\))?",
        rf"[A-Za-z]{{3}} {_NAMED} +(?P<day>\d\d?) {_CLOCK}{_ZONE} (?P<year>\d{{4}})",
        # web servers' common log format: `01/Jun/2026:09:00:00 +0000`
        rf"(?P<day>\d\d)/{_NAMED}/(?P<year>\d{{4}}):{_CLOCK}{_ZONE}",
        # portals in American English: `6/1/2026, 9:00:00.123 AM`; elsewhere the day may come first
        rf"(?P<first>\d\d?)/(?P<other>\d\d?)/(?P<year>\d{{4}})(?:,? {_CLOCK}{_HALF}{_ZONE})?",
        # dates with dots, of which no country's begin with the month
        rf"(?P<day>\d\d?)\.(?P<month>\d\d?)\.(?P<year>\d{{4}})(?:,?[ T]{_CLOCK}{_ZONE})?",
    )
)
_JSON_DATE = re.compile(r"^/Date\((-?\d+)(?:[+-]\d{4})?\)/$")  # .NET: milliseconds
_OFFSET = re.compile(r"^[+-]\d\d:?\d\d$")
_NUMBER = re.compile(r"^-?\d+(\.\d+)?$")
_PLAIN = {20: "s", 24: "ms", 27: "us"}  # lengths of `2026-10-01T12:34:56[.123[456]]Z`, with their precision
_MINUTES: dict[str, int] = {}  # microseconds of the minutes met of late
_MINUTES_LIMIT = 5_000


def zone_named(name: str) -> tzinfo:
    """A time zone by its IANA name or as an offset such as `+02:00`. Raises InputError."""
    if name.upper() in ("UTC", "Z"):
        return UTC
    if _OFFSET.match(name):
        sign = -1 if name[0] == "-" else 1
        hours, minutes = int(name[1:3]), int(name[-2:])
        return timezone(sign * timedelta(hours=hours, minutes=minutes))
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InputError(
            f"there is no time zone '{name}'", remedy="Use a name such as Europe/Berlin, or an offset such as +02:00."
        ) from None


def time_us(
    value: Any, path: str, *, zone: tzinfo = UTC, unit: str | None = None, day_first: bool | None = None
) -> tuple[int, str]:
    """(microseconds since 1970 UTC, precision). `zone` is for times that name none, `day_first` for dates with slashes.

    Numbers are seconds, ms, us or ns by `unit`, else by their size. Raises BadRecordError for what is no time, and for
    times before 2000 or after 2100, which are units or clocks gone wrong.
    """
    if isinstance(value, str):
        precision = _PLAIN.get(len(value))
        if precision is not None and (plain := _plain_us(value)) is not None:
            return plain, precision
        if _NUMBER.match(value):
            return _number_us(float(value) if "." in value else int(value), path, unit)
        return _text_us(value, path, zone, day_first)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _number_us(value, path, unit)
    if isinstance(value, datetime):
        return _moment(value, path, zone, "us")
    raise BadRecordError("no time" if value is None else f"not a time: {str(value)[:40]!r}", path)


def _plain_us(text: str) -> int | None:
    """Microseconds of a UTC time as most logs write it; None for one that is written otherwise."""
    if text[-1] != "Z" or text[16] != ":" or text[10] != "T" or not text.isascii():
        return None
    seconds, fraction = text[17:19], text[20:-1]
    if not seconds.isdigit() or seconds > "59" or (fraction and (text[19] != "." or not fraction.isdigit())):
        return None
    minute = text[:16]
    start = _MINUTES.get(minute)
    if start is None:
        try:
            moment = datetime.fromisoformat(minute + ":00+00:00")
            start = _moment(moment, "$", UTC, "s")[0]
        except (ValueError, BadRecordError):
            return None
        if len(_MINUTES) >= _MINUTES_LIMIT:
            _MINUTES.clear()
        _MINUTES[minute] = start
    return start + int(seconds) * 1_000_000 + int(fraction.ljust(6, "0") if fraction else 0)


def _text_us(text: str, path: str, zone: tzinfo, day_first: bool | None) -> tuple[int, str]:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = _loose(text, path, day_first)
    tail = text.rpartition(".")[2] if "." in text else ""
    digits = len(tail) - len(tail.lstrip("0123456789")) if tail else 0
    return _moment(moment, path, zone, "s" if digits == 0 else "ms" if digits <= 3 else "us")


def _loose(text: str, path: str, day_first: bool | None) -> datetime:
    text = text.strip()
    dated = _JSON_DATE.match(text)
    if dated:
        return _EPOCH + timedelta(milliseconds=int(dated[1]))
    found = _LOOSE.match(text)
    if found:
        year, month, day, hour, minute, second, fraction, zone = found.groups()
        return _built(text, path, int(year), int(month), int(day), int(hour), minute, second, fraction, zone)
    for layout in _LAYOUTS:
        found = layout.match(text)
        if found:
            return _of_layout(text, path, found.groupdict(), day_first)
    raise BadRecordError(f"not a time: {text[:40]!r}", path)


def _of_layout(text: str, path: str, told: dict[str, str | None], day_first: bool | None) -> datetime:
    hour, half = int(told["hour"] or 0), told.get("half")
    if half:
        if not 1 <= hour <= 12:
            raise BadRecordError(f"not a time: {text[:40]!r}", path)
        hour = hour % 12 + (12 if half in "Pp" else 0)
    if "first" in told:
        month, day = int(told["first"] or 0), int(told["other"] or 0)
        american = half in ("A", "P")  # writes `AM` in capitals, and the month first
        if day_first or (month > 12 and day_first is None):
            month, day = day, month
        elif day_first is None and not american and day <= 12 and month != day:
            raise BadRecordError(f"a date that may be read in two ways: {text[:40]!r}", path)
    else:
        named = told["month"] or ""
        month = int(named) if named.isdigit() else _MONTHS.get(named.lower(), 0)
        day = int(told["day"] or 0)
    return _built(
        text, path, int(told["year"] or 0), month, day, hour, told["minute"] or "00", told["second"],
        told["fraction"], told.get("zone"),
    )  # fmt: skip


def _built(
    text: str, path: str, year: int, month: int, day: int, hour: int, minute: str, second: str | None,
    fraction: str | None, zone: str | None,
) -> datetime:  # fmt: skip
    stamp = f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute}:{second or '00'}"
    if fraction:
        stamp += "." + fraction[:6].ljust(6, "0")
    if zone:
        zone = _ZONES.get(zone.upper(), zone.upper()).removeprefix("GMT").removeprefix("UTC")
        stamp += zone if zone not in ("", "Z") else "+00:00"
    try:
        return datetime.fromisoformat(stamp)
    except ValueError:
        raise BadRecordError(f"not a time: {text[:40]!r}", path) from None


def _moment(moment: datetime, path: str, zone: tzinfo, precision: str) -> tuple[int, str]:
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
        precision = "assumed_tz"
    gap = moment - _EPOCH
    micros = (gap.days * 86_400 + gap.seconds) * 1_000_000 + gap.microseconds
    return _plausible(micros, path, moment), precision


def _number_us(number: float, path: str, unit: str | None) -> tuple[int, str]:
    if not math.isfinite(number):
        raise BadRecordError(f"not a time: {number}", path)
    if unit is None:
        size = abs(number)
        unit = "s" if size < 1e11 else "ms" if size < 1e14 else "us" if size < 1e17 else "ns"
    if unit == "ns":
        micros = int(number) // 1000
    elif isinstance(number, int):
        micros = number * _SCALE[unit]
    else:
        micros = round(number * _SCALE[unit])
    precision = "us" if unit == "s" and isinstance(number, float) and number != int(number) else unit
    return _plausible(micros, path, f"{number} as {unit}"), precision


def _plausible(micros: int, path: str, shown: object) -> int:
    if not _UTC_EPOCH_S * 1_000_000 <= micros < _MAX_S * 1_000_000:
        raise BadRecordError(f"a time outside 2000-2100: {shown}", path)
    return micros
