"""The ledger in the shape of an invoice: tokens and dollars by hour, model and token kind."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

import duckdb

from analysis.pricing.model_names import resolve_all
from analysis.reports.price_explanation import ModelPrices

TOKEN_KINDS: Final = ("input", "cache_read", "cache_write", "output")  # what the two sides are compared by
_DATED: Final = re.compile(r"(-20\d\d-\d\d-\d\d|-20\d{6}|@\d{8}|-\d{4}|-v\d+:\d+|-v\d+|:\d+|-latest)$")
_EPOCH: Final = datetime(1970, 1, 1)


@dataclass
class BilledCell:
    """Tokens and dollars of one model on one day: by (kind, tier) and of what is not tokens."""

    tokens: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    unpriced: dict[str, Decimal] = field(default_factory=dict)  # tokens without a price, by kind
    usd: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    other_usd: Decimal = Decimal(0)
    calls: int = 0

    def add(self, hour: Hour) -> None:
        """Count the calls of one hour."""
        for kind, count in hour.tokens.items():
            if hour.priced:
                place = (kind, hour.tier)
                self.tokens[place] = self.tokens.get(place, Decimal(0)) + count
                self.usd[place] = self.usd.get(place, Decimal(0)) + hour.usd[kind]
            else:
                self.unpriced[kind] = self.unpriced.get(kind, Decimal(0)) + count
        self.other_usd += hour.other_usd
        self.calls += hour.calls

    @property
    def total_usd(self) -> Decimal:
        """The dollars of all token kinds."""
        return sum(self.usd.values(), self.other_usd)


@dataclass(frozen=True)
class Hour:
    """The calls of one UTC hour, model and tier."""

    hour: int  # since 1970
    model: str  # base name: without provider, region and date
    provider: str | None
    raw_model: str | None
    tier: str
    priced: bool
    calls: int
    tokens: dict[str, Decimal]
    usd: dict[str, Decimal]
    other_usd: Decimal


def ledger_hours(con: duckdb.DuckDBPyConnection, providers: Iterable[str] | None) -> list[Hour]:
    """Every hour of the ledger, of all providers or of those that bill (`openai`, `anthropic`, `aws`, ...)."""
    rows = con.execute(
        """
        SELECT epoch(date_trunc('hour', start_time))::BIGINT // 3600, provider_name, model,
               CASE WHEN is_batch THEN 'batch' WHEN service_tier IS NULL THEN 'standard'
                    WHEN lower(service_tier) IN ('standard', 'default', 'auto', 'on_demand', 'on-demand')
                    THEN 'standard' ELSE lower(service_tier) END AS tier,
               cost_usd IS NOT NULL AS priced, count(*),
               sum(weight * (coalesce(input_tokens, 0) - coalesce(cache_read_input_tokens, 0)
                             - coalesce(cache_creation_input_tokens, 0))),
               sum(weight * coalesce(cache_read_input_tokens, 0)),
               sum(weight * coalesce(cache_creation_input_tokens, 0)),
               sum(weight * coalesce(output_tokens, 0)),
               sum(uncached_input_usd), sum(cache_read_usd), sum(cache_write_usd), sum(output_usd + reasoning_usd),
               sum(other_usd)
        FROM costs
        WHERE start_time IS NOT NULL AND coalesce(status, 'ok') <> 'gateway_cache_hit'
        GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
        """
    ).fetchall()
    names = sorted({(row[1], row[2]) for row in rows}, key=str)
    keys = dict(zip(names, resolve_all(con, names), strict=True))
    wanted = None if providers is None else set(providers)
    found = []
    for hour, provider, model, tier, priced, calls, *values in rows:
        key = keys[provider, model].key
        if wanted is not None and not wanted & _billers(provider, key):
            continue
        tokens = dict(zip(TOKEN_KINDS, (Decimal(value) for value in values[:4]), strict=True))
        usd = dict(zip(TOKEN_KINDS, (value or Decimal(0) for value in values[4:8]), strict=True))
        found.append(
            Hour(
                hour, base_name(model), provider, model, tier, priced, calls, tokens, usd, values[8] or Decimal(0)
            )
        )  # fmt: skip
    return found


def _billers(provider: str | None, key: tuple[str, str] | None) -> set[str]:
    """Who may bill a call: the logged provider where it is known, else whoever the model resolves to."""
    from analysis.price_book.provider_names import PROVIDERS

    if provider:
        return {PROVIDERS.get(provider.lower(), provider.lower())}
    return {key[0]} if key else set()


def base_name(model: str | None) -> str:
    """A model name without provider, region and date: what an invoice and a log agree on."""
    name = (model or "(no model)").strip().lower()
    name = name.rsplit("/", 1)[-1]
    name = re.sub(r"^(us|eu|apac|global|jp|au)\.(?=[a-z]+\.)", "", name)
    name = re.sub(r"^(anthropic|amazon|meta|mistral|cohere|ai21|deepseek|openai|qwen)\.(?=\w)", "", name)
    before = None
    while before != name:
        before, name = name, _DATED.sub("", name)
    return name


def by_day(hours: Iterable[Hour], offset: int) -> dict[tuple[date, str], BilledCell]:
    """Hours summed to days of the zone that lies `offset` hours east of UTC."""
    cells: dict[tuple[date, str], BilledCell] = {}
    for hour in hours:
        day = date.fromordinal(_EPOCH.toordinal() + (hour.hour + offset) // 24)
        cells.setdefault((day, hour.model), BilledCell()).add(hour)
    return cells


class BookPrices:
    """The book's prices in USD per token on a day, each looked up once."""

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self.con = con
        self.models: dict[tuple[str | None, str], ModelPrices] = {}
        self.rows: dict[tuple[str | None, str, str, date], dict[str, Any]] = {}

    def at(self, provider: str | None, model: str | None, kind: str, tier: str, day: date) -> Decimal | None:
        """The price of a token kind; None where there is none."""
        if model is None:
            return None
        place = (provider, model, tier, day)
        if place not in self.rows:
            if (provider, model) not in self.models:
                self.models[provider, model] = ModelPrices(self.con, provider, model)
            row = self.models[provider, model].at(day, tier).row
            self.rows[place] = row["usd_per_million"] if row else {}
        prices = self.rows[place]
        text = prices.get(kind)
        if text and text.startswith("as "):
            text = prices.get(text.removeprefix("as "))
        return Decimal(text) / 1_000_000 if text and not text.startswith("as ") else None
