"""Why a model costs what it costs on a day: the whole way from the logged name to the price row."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

import duckdb

from analysis.formatting import usd
from analysis.price_book.book import FIRST_OVERRIDE_ID, book_version, price_rows
from analysis.price_book.rows import PriceRow, extend_first_price_backwards
from analysis.price_book.vocabulary import KINDS, PARENT
from analysis.pricing.model_names import Resolution, load_aliases, resolve_all
from analysis.pricing.overrides import apply_overrides, matching_overrides
from analysis.pricing.stored_overrides import load_overrides
from ingest.store.database import connect


@dataclass(frozen=True)
class PriceExplanation:
    """The steps, the row that holds (None if there is none), and the rows before and after it."""

    provider: str | None
    model: str
    at: date
    tier: str
    resolution: Resolution
    overrides: list[str]
    row: dict[str, Any] | None
    history: list[dict[str, Any]] = field(default_factory=list)
    version: str = ""

    @property
    def extended(self) -> str | None:
        """The day from which a price is known, where the first one is used for an earlier day; else None."""
        known = self.row["effective_from"] if self.row and self.row["holds_earlier_too"] else None
        return known if known and self.at.isoformat() < known else None

    def to_json(self) -> dict[str, Any]:
        """The document of `hindcast prices explain --json`: dollars as decimal strings."""
        return {
            "provider": self.provider,
            "model": self.model,
            "at": self.at.isoformat(),
            "tier": self.tier,
            "price_model": "/".join(self.resolution.key) if self.resolution.key else None,
            "rule": self.resolution.rule,
            "confidence": self.resolution.confidence,
            "overrides": self.overrides,
            "price": self.row,
            "history": self.history,
            "price_book_version": self.version,
        }


class ModelPrices:
    """The price rows of a logged (provider, model), read once, for its prices on any day.

    With a store's connection its aliases, overrides and price ids are used; without one only the book.
    """

    def __init__(self, con: duckdb.DuckDBPyConnection | None, provider: str | None, model: str) -> None:
        self.provider, self.model = provider, model
        with nullcontext(con) if con is not None else connect() as source:
            aliases = load_aliases(source)
            [found] = resolve_all(source, [(provider, model)])
            read = price_rows(source, [found.key])[0][found.key] if found.key else []
            self._own = matching_overrides(load_overrides(source), (provider, model), found.key, aliases)
        self.resolution: Resolution = found
        self._published = {price_id: row.effective_from for price_id, row in read}
        base = extend_first_price_backwards(read) if found.key else []
        self._rows = apply_overrides(base, self._own, found.key or (provider or "", model))

    def at(self, day: date, tier: str = "standard", *, input_tokens: int = 0, minute: int = 720) -> PriceExplanation:
        """The price on a UTC day, for a request of so many input tokens at a minute of it."""
        listed = sorted(
            (entry for entry in self._rows if entry[1].tier == tier),
            key=lambda entry: (entry[1].effective_from or "", entry[1].above_tokens or -1, entry[1].tod_from),
        )
        history = [
            {
                **readable(row),
                "effective_from": row.effective_from or self._published.get(price_id),
                "holds_earlier_too": row.effective_from is None,
                "price_id": price_id if 0 <= price_id < FIRST_OVERRIDE_ID else None,
            }
            for price_id, row, _ in listed
        ]
        holding = [
            shown
            for shown, (_, row, _) in zip(history, listed, strict=True)
            if _holds(row, day.isoformat(), input_tokens, minute)
        ]
        return PriceExplanation(
            provider=self.provider,
            model=self.model,
            at=day,
            tier=tier,
            resolution=self.resolution,
            overrides=[
                f"override {number}: {item.kind}" + (f" ({item.note})" if item.note else "")
                for number, item in self._own
            ],
            row=holding[0] if holding else None,
            history=history,
            version=book_version(),
        )


def _holds(row: PriceRow, day: str, tokens: int, minute: int) -> bool:
    in_days = (row.effective_from or "") <= day and (row.effective_to is None or day < row.effective_to)
    in_size = (row.above_tokens is None or tokens > row.above_tokens) and (
        row.upto_tokens is None or tokens <= row.upto_tokens
    )
    low, high = row.tod_from, row.tod_to
    in_clock = low <= minute < high if low <= high else minute >= low or minute < high
    return in_days and in_size and in_clock


def readable(row: PriceRow) -> dict[str, Any]:
    """A price row with prices as decimal strings; kinds without a price say what they are billed at."""
    prices = dict(zip(KINDS, row.prices, strict=True))
    billed: dict[str, str | None] = {}
    for kind, nano in prices.items():
        parent = PARENT.get(kind)
        if nano is not None:
            billed[kind] = usd(Decimal(nano).scaleb(-9))
        elif parent is not None and (prices[parent] is not None or prices.get(PARENT.get(parent, "")) is not None):
            billed[kind] = f"as {parent}"
        else:
            billed[kind] = None
    all_day = (row.tod_from, row.tod_to) == (0, 1440)
    return {
        "provider": row.provider, "model": row.model, "tier": row.tier, "effective_from": row.effective_from,
        "effective_to": row.effective_to, "above_tokens": row.above_tokens, "upto_tokens": row.upto_tokens,
        "hours_utc": None if all_day else f"{_clock(row.tod_from)}-{_clock(row.tod_to)}",
        "usd_per_million": billed, "source": row.source, "confidence": row.confidence,
    }  # fmt: skip


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"
