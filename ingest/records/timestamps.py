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
    r"^(\d{4})[-/](\d\d?)[-/](\d\d?)[T ](\d\d?):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?\s*(Z|UTC|[+-]\d\d:?\d\d)?$",
    re.IGNORECASE,
)
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


def time_us(value: Any, path: str, *, zone: tzinfo = UTC, unit: str | None = None) -> tuple[int, str]:
    """(microseconds since 1970 UTC, precision). `zone` is for times that name none.

    Numbers are seconds, ms, us or ns by `unit`, else by their size. Raises BadRecordError for what is no time, and for
    times before 2000 or after 2100, which are units or clocks gone wrong.
    """
    if isinstance(value, str):
        precision = _PLAIN.get(len(value))
        if precision is not None and (plain := _plain_us(value)) is not None:
            return plain, precision
        if _NUMBER.match(value):
            return _number_us(float(value) if "." in value else int(value), path, unit)
        return _text_us(value, path, zone)
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


def _text_us(text: str, path: str, zone: tzinfo) -> tuple[int, str]:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = _loose(text, path)
    tail = text.rpartition(".")[2] if "." in text else ""
    digits = len(tail) - len(tail.lstrip("0123456789")) if tail else 0
    return _moment(moment, path, zone, "s" if digits == 0 else "ms" if digits <= 3 else "us")


def _loose(text: str, path: str) -> datetime:
    found = _LOOSE.match(text.strip())
    if not found:
        raise BadRecordError(f"not a time: {text[:40]!r}", path)
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    stamp = f"{year}-{int(month):02}-{int(day):02}T{int(hour):02}:{minute}:{second or '00'}"
    if fraction:
        stamp += "." + fraction[:6].ljust(6, "0")
    if zone:
        stamp += "+00:00" if zone.upper() in ("Z", "UTC") else zone
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
