"""Durations and sizes as people write them: `5m`, `24h`, `2GB`."""

from __future__ import annotations

import re
from decimal import Decimal

_NUMBER_UNIT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*")
_MS = {"ms": 1, "s": 1000, "m": 60_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
# as Redis reads `maxmemory` (redis.conf, 7.x): k = 1000 bytes, kb = 1024 bytes
_BYTES = {
    "": 1,
    "b": 1,
    "k": 1000,
    "kb": 1024,
    "kib": 1024,
    "m": 1000**2,
    "mb": 1024**2,
    "mib": 1024**2,
    "g": 1000**3,
    "gb": 1024**3,
    "gib": 1024**3,
    "tb": 1024**4,
    "tib": 1024**4,
}


def duration_ms(value: object) -> int:
    """Milliseconds of `250ms`, `5m`, `24h`, `7d`; a bare number is seconds. ValueError names the accepted units."""
    return _scaled(value, {**_MS, "": 1000}, "a duration such as 30s, 5m, 24h or 7d")


def duration_text(ms: int) -> str:
    """The shortest way to write a duration: `5m` for 300,000."""
    for unit in ("d", "h", "m", "s"):
        if ms % _MS[unit] == 0:
            return f"{ms // _MS[unit]}{unit}"
    return f"{ms}ms"


def size_bytes(value: object) -> int:
    """Bytes of `512kb`, `2GB`; a bare number is bytes. ValueError names the accepted units."""
    return _scaled(value, _BYTES, "a size such as 512KB, 100MB or 2GB")


def _scaled(value: object, units: dict[str, int], wanted: str) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"must be {wanted}")
    match = _NUMBER_UNIT.fullmatch(str(value))
    factor = units.get(match.group(2).lower()) if match else None
    if match is None or factor is None:
        raise ValueError(f"'{value}' is not {wanted}")
    amount = int(Decimal(match.group(1)) * factor)
    if amount >= 2**62:
        raise ValueError(f"'{value}' is too large")
    return amount
