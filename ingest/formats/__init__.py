"""The log formats: every module in here that defines `FORMAT`.

Adding a format is adding one module here and one sample; no list names it.
"""

from __future__ import annotations

import functools
import importlib.util
import pkgutil
from collections.abc import Iterable
from typing import Any

from ingest.errors import InputError, did_you_mean
from ingest.format_contract import Format

# where the answers of APIs and the exports of tools hold their records
_PAGE_KEYS = (
    "data", "items", "results", "records", "rows", "value", "logs", "entries", "calls", "requests", "responses",
    "generations", "observations", "traces", "runs", "spans", "events", "hits", "docs", "logEvents",
)  # fmt: skip
_PAGE_SAMPLE = 10


@functools.cache
def formats() -> tuple[Format, ...]:
    """All formats in the order in which they are tried."""
    loaded = []
    for module in pkgutil.iter_modules(__path__):
        format = getattr(importlib.import_module(f"{__name__}.{module.name}"), "FORMAT", None)
        if isinstance(format, Format):
            loaded.append(format)
    return tuple(sorted(loaded, key=lambda format: (format.rank, format.name)))


def format_named(name: str) -> Format:
    """The format of this name. Raises InputError, with the nearest name, if there is none."""
    if name.isidentifier() and importlib.util.find_spec(f"{__name__}.{name}"):  # the others need not be imported
        found = getattr(importlib.import_module(f"{__name__}.{name}"), "FORMAT", None)
        if isinstance(found, Format) and found.name == name:
            return found
    for format in formats():
        if format.name == name:
            return format
    names = [format.name for format in formats()]
    raise InputError(f"there is no format '{name}'", remedy=did_you_mean(name, names))


def detect(records: Iterable[Any]) -> Format | None:
    """The format of the first record that any format recognises."""
    for record in records:
        format = detect_record(record)
        if format is None and (inside := rows_inside(record)) is not None:
            format = detect(inside)
        if format is not None:
            return format
    return None


def detect_record(record: Any) -> Format | None:
    """The first format, in the order in which they are tried, that recognises the record."""
    for format in formats():
        if format.recognises(record):
            return format
    return None


def _held_otherwise(record: dict[str, Any], keys: frozenset[str]) -> list[str]:
    """What a record lacks that has all keys of a format and yet is none of it: what they hold is of no known kind."""
    objects = [(key, record[key]) for key in sorted(keys) if isinstance(record[key], dict)]
    if not objects:
        return [f"known values of {', '.join(sorted(keys))}"]
    return [
        f"a known object under {key}, which has {', '.join(sorted(map(str, value))[:4]) or 'no key'}"
        for key, value in objects
    ]


def rows_inside(record: Any, depth: int = 3) -> list[Any] | None:
    """The records that a list, or a page of an API, holds; None if none of the first ones is of a known format."""
    inside = record if isinstance(record, list) else None
    if isinstance(record, dict):
        lists = (record[name] for name in _PAGE_KEYS if isinstance(record.get(name), list))
        inside = next((one for one in lists if one), None)
    if not inside or depth == 0:
        return None
    for one in inside[:_PAGE_SAMPLE]:
        if detect_record(one) is not None or rows_inside(one, depth - 1) is not None:
            return inside
    return None


def nearest_formats(record: Any, limit: int = 3) -> list[tuple[Format, list[str]]]:
    """Formats that share most keys with the record, each with what it misses: keys, or else what its keys hold."""
    if not isinstance(record, dict):
        return []
    keys = set(record)
    scored = []
    for format in formats():
        for fingerprint in format.fingerprints:
            shared = len(keys & fingerprint)
            if shared:
                missing = sorted(fingerprint - keys) or _held_otherwise(record, fingerprint)
                scored.append((-shared / len(fingerprint), format.rank, format.name, format, missing))
    scored.sort(key=lambda row: row[:3])
    best: dict[str, tuple[Format, list[str]]] = {}
    for *_, format, missing in scored:
        best.setdefault(format.name, (format, missing))
    return list(best.values())[:limit]
