"""Numbers as people's tables write them: grouped thousands, a decimal comma, a currency sign, a unit of time."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any, Literal

from ingest.records.call import BadRecordError

Mark = Literal[".", ","]
_LARGEST = 40  # power of ten beyond which a number is a mistake, and slow to reckon with
_ABSENT = frozenset({"", "-", "--", "null", "none", "nan", "n/a", "na", "<na>"})
_SPACES = re.compile(r"(?<=\d)[ \u00a0\u2009\u202f'’_](?=\d{3}(?!\d))")  # group thousands in any locale
_DIGITS = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
_PARTS = re.compile(r"([+-]?)\s*([^\d\s.,+-]{0,4})\s*([+-]?[\d.,](?:.*[\d.,])?)\s*([^\d.,]{0,12})")
# by mark of the fraction: numbers whose thousands are grouped by the other mark
_GROUPED = {
    ".": re.compile(r"[+-]?\d{1,3}(,\d{2,3})*,\d{3}(\.\d*)?"),
    ",": re.compile(r"[+-]?\d{1,3}(\.\d{3})+(,\d*)?"),
}
CURRENCIES = {
    "$": "USD", "us$": "USD", "usd": "USD", "€": "EUR", "eur": "EUR", "£": "GBP", "gbp": "GBP", "₹": "INR",
    "inr": "INR", "¥": "JPY", "jpy": "JPY", "cny": "CNY", "rmb": "CNY", "chf": "CHF", "cad": "CAD", "aud": "AUD",
    "c$": "CAD", "a$": "AUD", "sek": "SEK", "nok": "NOK", "dkk": "DKK", "pln": "PLN", "brl": "BRL", "r$": "BRL",
    "krw": "KRW", "₩": "KRW",
}  # fmt: skip
TIME_UNITS = {
    "ns": "ns", "us": "us", "µs": "us", "ms": "ms", "msec": "ms", "millis": "ms", "milliseconds": "ms", "s": "s",
    "sec": "s", "secs": "s", "second": "s", "seconds": "s", "min": "min", "mins": "min", "minutes": "min",
}  # fmt: skip


def number(value: Any, path: str, *, decimal: Mark | None = None, whole: bool = False) -> Decimal | int | None:
    """The value as an exact number; None for None, NaN and the words and signs that stand for nothing.

    `decimal` is the mark before the fraction. Where it is not given it is the dot, and commas that group thousands are
    read only where they can be nothing else: in a number that is `whole`, before a dot, or twice. Raises BadRecordError
    for what is no finite number or can be read in two ways.
    """
    if type(value) is int:
        return value
    if isinstance(value, str):
        found = _from_text(value.strip(), path, decimal, whole)
        if found is not None and found.adjusted() > _LARGEST:
            raise BadRecordError(f"impossible number: {value[:40]!r}", path)
        return found
    if value is None:
        return None
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, float) and math.isfinite(value):
        return Decimal(repr(value))
    if isinstance(value, Decimal) and value.is_finite():
        return value
    raise BadRecordError(f"not a number: {str(value)[:40]!r}", path)


def _from_text(text: str, path: str, decimal: Mark | None, whole: bool) -> Decimal | None:
    if text.lower() in _ABSENT:
        return None
    shown = repr(text[:40])
    plain = _SPACES.sub("", text.replace("\u2212", "-"))
    mark = decimal or "."
    other = "," if mark == "." else "."
    if other in plain:
        if not _GROUPED[mark].fullmatch(plain):
            raise BadRecordError(f"not a number whose fraction begins with {mark!r}: {shown}; see `decimal`", path)
        once = plain.count(other) == 1 and mark not in plain
        if decimal is None and once and not whole:
            raise BadRecordError(f"a number that can be read in two ways: {shown}; see `decimal`", path)
        plain = plain.replace(other, "")
    elif decimal is None and whole and plain.count(".") >= 1 and _GROUPED[","].fullmatch(plain):
        raise BadRecordError(f"a number that may be meant a thousand times larger: {shown}; see `decimal`", path)
    plain = plain.replace(mark, ".")
    if not _DIGITS.fullmatch(plain):
        raise BadRecordError(f"not a number: {shown}", path)
    return Decimal(plain)


def amount(value: Any, path: str, *, decimal: Mark | None = None, currency: str = "USD") -> Decimal | int | None:
    """An amount of money. Raises BadRecordError where its sign or code is that of another currency."""
    text, before, after = _apart(value)
    for sign in (before, after):
        if sign and CURRENCIES.get(sign.lower()) != currency:
            raise BadRecordError(f"not an amount in {currency}: {str(value)[:40]!r}; see `currency`", path)
    return number(text, path, decimal=decimal)


def duration_ms(value: Any, path: str, *, unit: str | None = None, decimal: Mark | None = None) -> float | None:
    """Milliseconds of a number in `unit` (ms where none is given), or of a text that names its own unit."""
    text, before, after = _apart(value)
    if before or (after and after.lower() not in TIME_UNITS):
        raise BadRecordError(f"not a duration: {str(value)[:40]!r}", path)
    found = number(text, path, decimal=decimal)
    return None if found is None else float(found * TO_MS[TIME_UNITS[after.lower()] if after else unit or "ms"])


def duration_or_none(value: Any, *, unit: str = "ms") -> float | None:
    """Milliseconds of a number in `unit` or of its text, as rows of a table have it; None for anything else."""
    if isinstance(value, bool):
        return None
    try:
        return duration_ms(value, "$", unit=unit)
    except BadRecordError:
        return None


TO_MS = {"ns": Decimal("1e-6"), "us": Decimal("1e-3"), "ms": Decimal(1), "s": Decimal(1000), "min": Decimal(60_000)}


def _apart(value: Any) -> tuple[Any, str, str]:
    """(number, what stands before it, what stands after it) of a text; any other value stays as it is."""
    if not isinstance(value, str):
        return value, "", ""
    found = _PARTS.fullmatch(value.strip())
    if found is None:
        return value, "", ""
    sign, before, digits, after = found.groups()
    return sign + digits.strip(), before.strip(), after.strip()
