"""Price rows: their type, the book that holds them all, and what can be done with a row alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal
from functools import cache
from pathlib import Path

HISTORY = Path(__file__).parent / "prices" / "history.yaml"
Key = tuple[str, str]  # (price provider, price model)
_NANO = Decimal(1_000_000_000)


@dataclass(frozen=True, order=True)
class PriceRow:
    """One price. Dates are UTC days, `effective_to` exclusive, None = open. Prices follow KINDS, None = none."""

    provider: str
    model: str
    tier: str
    effective_from: str | None  # ISO day
    effective_to: str | None
    tod_from: int  # minutes of the UTC day; a window may wrap over midnight
    tod_to: int
    above_tokens: int | None  # requests with more input tokens than this
    upto_tokens: int | None  # and at most this many
    prices: tuple[int | None, ...]
    source: str
    confidence: str  # high, or low for a backdated or inferred row

    @property
    def key(self) -> Key:
        """(price provider, price model)."""
        return (self.provider, self.model)


@dataclass(frozen=True)
class Book:
    """Every price row, sorted, and what is known of each model's context window."""

    version: str
    as_of: date  # calls without a time are priced at this day
    rows: tuple[PriceRow, ...]
    windows: dict[Key, int]

    def of(self, key: Key) -> list[PriceRow]:
        """The rows of one model, in the order of the book."""
        return self._by_key.get(key, [])

    @property
    def _by_key(self) -> dict[Key, list[PriceRow]]:
        return _index(self.rows)


@cache
def _index(rows: tuple[PriceRow, ...]) -> dict[Key, list[PriceRow]]:
    found: dict[Key, list[PriceRow]] = {}
    for row in rows:
        found.setdefault(row.key, []).append(row)
    return found


def nano_dollars(price: Decimal | None) -> int | None:
    """Dollars as nano-dollars (10^-9 USD), rounded half-even; None stays None."""
    return None if price is None else int((price * _NANO).to_integral_value(ROUND_HALF_EVEN))


def scale_price(nano: int, factor: Decimal) -> int:
    """A price in nano-dollars times `factor`, rounded half-even."""
    return int((nano * factor).to_integral_value(ROUND_HALF_EVEN))


def extend_first_price_backwards(rows: Sequence[tuple[int, PriceRow]]) -> list[tuple[int, PriceRow]]:
    """The rows of one model, the earliest of its standard tier holding for all earlier calls too.

    An alias may be younger than its first log line; its family's first price is the best that is known.
    """
    first = min((row.effective_from or "" for _, row in rows if row.tier == "standard"), default="")
    return [
        (number, replace(row, effective_from=None))
        if row.tier == "standard" and (row.effective_from or "") == first
        else (number, row)
        for number, row in rows
    ]


def clip(row: PriceRow, start: str | None, end: str | None) -> PriceRow | None:
    """The part of the row inside [start, end), or None if there is none."""
    low = max(row.effective_from or "", start or "")
    ends = [day for day in (row.effective_to, end) if day]
    high = min(ends) if ends else None
    if high is not None and low >= high:
        return None
    return replace(row, effective_from=low or None, effective_to=high)
