"""Rules of the price book beside its dated rows: modalities, tools, tiers, regions and models that follow others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal, InvalidOperation
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from analysis.price_book.rows import PriceRow, clip, nano_dollars, scale_price
from analysis.price_book.vocabulary import AS_TEXT, KINDS, TOKEN_KINDS


def _decimal(value: Any) -> Decimal:
    try:
        return Decimal(str(value))
    except InvalidOperation:
        raise ValueError(f"'{value}' is not a number with a point, such as 2.75") from None


Price = Annotated[Decimal, BeforeValidator(_decimal), Field(ge=0, lt=10**9, decimal_places=9)]


class Strict(BaseModel):
    """A part of a file in which a word that nothing reads is a mistake."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class KindPrices(Strict):
    """What each kind of `vocabulary.KINDS` costs: USD per million tokens, or per 1,000 uses; None: no price."""

    input: Price | None = None
    cache_read: Price | None = None
    cache_write: Price | None = None
    cache_write_1h: Price | None = None
    output: Price | None = None
    reasoning: Price | None = None
    audio_input: Price | None = None
    audio_cache_read: Price | None = None
    audio_output: Price | None = None
    image_input: Price | None = None
    image_cache_read: Price | None = None
    image_output: Price | None = None
    per_request: Price | None = None  # USD per 1,000 uses from here on
    per_request_medium: Price | None = None
    per_request_low: Price | None = None
    web_search: Price | None = None
    web_search_prompt: Price | None = None
    web_result: Price | None = None
    file_search: Price | None = None
    code_interpreter: Price | None = None
    maps: Price | None = None
    image_generation: Price | None = None
    other_tool: Price | None = None


class TierRule(Strict):
    """A service tier billed at a fraction of the standard price, for models whose own tier price is not listed."""

    provider: str
    models: list[str]  # globs of price models
    tier: Literal["batch", "flex", "priority", "fast"]
    multiplier: Price
    start: date = Field(alias="from")
    source: str
    confidence: Literal["high", "low"] = "low"


class OnePriceRule(Strict):
    """Modalities that a provider bills at its price of text, for models that list no other price of them."""

    provider: str
    models: list[str]  # globs of price models
    kinds: list[Literal["audio_input", "audio_output", "image_input", "image_output"]]
    since: date
    source: str


class ToolPrice(Strict):
    """Prices in USD per thousand uses of a provider's tools, for models that list none."""

    provider: str
    models: list[str]
    prices: dict[str, Price]
    since: date  # the day the tool was offered; there are no earlier uses
    source: str


class SearchByPrompt(Strict):
    """Models whose searches are billed once a request that searched, however often it did."""

    provider: str
    models: list[str]
    source: str


class DerivedModels(Strict):
    """Price models that cost a multiple of others, told by the beginning of their names."""

    provider: str
    beside: str  # one for each model whose name begins so ...
    named: str  # ... under this beginning ...
    times: str  # ... at a multiple of the one that begins so, where it is there, else of the first
    multiplier: Price
    source: str


class PlanModel(Strict):
    """Names of a subscription's own, which has no price by the token: what others take them for."""

    names: list[str]
    like: str  # provider/model
    source: str


class RegionalRule(Strict):
    """What a provider adds to its token prices for keeping a request in a region."""

    served_by: list[str]  # the provider that bills, in the catalogue's words
    models: list[str]  # globs of price models
    regions: list[str]  # globs of logged regions
    elsewhere: list[str] = []  # globs of regions that the rule leaves out
    multiplier: Price
    start: date = Field(alias="from")
    source: str


class BookRules(Strict):
    """The rules of one overlay file."""

    tier_rules: list[TierRule] = []
    one_price: list[OnePriceRule] = []
    search_by_prompt: list[SearchByPrompt] = []
    tool_prices: list[ToolPrice] = []
    regional_rules: list[RegionalRule] = []
    derived_models: list[DerivedModels] = []
    plan_models: list[PlanModel] = []


def with_rules(row: PriceRow, rules: BookRules) -> PriceRow:
    """The row with the prices that the rules on modalities and tools state, where it has none."""
    prices = dict(zip(KINDS, row.prices, strict=True))
    for one in rules.one_price:
        if one.provider == row.provider and speaks_for(one.models, row.model):
            for modality in one.kinds:
                for name in (str(modality), modality.replace("_input", "_cache_read")):
                    if prices[name] is None and name in AS_TEXT:
                        prices[name] = prices[AS_TEXT[name]]
    for asked in rules.search_by_prompt:
        if asked.provider == row.provider and speaks_for(asked.models, row.model):
            prices["web_search"], prices["web_search_prompt"] = None, prices["web_search"]
    for tool in rules.tool_prices:
        if tool.provider == row.provider and speaks_for(tool.models, row.model):
            for kind, price in tool.prices.items():
                if prices[kind] is None:
                    prices[kind] = nano_dollars(price)
    completed = tuple(prices[kind] for kind in KINDS)
    return row if completed == row.prices else replace(row, prices=completed)


def speaks_for(globs: list[str], model: str) -> bool:
    """Whether a glob fits the name of the model."""
    return any(fnmatchcase(model, glob) for glob in globs)


def regional_rows(
    rows: list[tuple[int, PriceRow]], rules: Sequence[RegionalRule], served_by: str, region: str
) -> list[tuple[int, PriceRow]] | None:
    """The rows of one model as `served_by` bills them in a region, or None where no rule speaks of it.

    A row is cut at the day from which a rule holds; a part under a rule has the id -1. Fees by the use stay.
    """
    place = region.lower()
    changed = False
    result = rows
    for rule in rules:
        if not (
            served_by in rule.served_by and speaks_for(rule.regions, place) and not speaks_for(rule.elsewhere, place)
        ):
            continue
        parts: list[tuple[int, PriceRow]] = []
        for price_id, row in result:
            day = rule.start.isoformat()
            before, after = clip(row, None, day), clip(row, day, None)
            if after is None or not speaks_for(rule.models, row.model):
                parts.append((price_id, row))
                continue
            if before is not None:
                parts.append((price_id, before))
            prices = tuple(
                price if price is None or kind not in TOKEN_KINDS else scale_price(price, rule.multiplier)
                for kind, price in zip(KINDS, row.prices, strict=True)
            )
            parts.append((-1, replace(after, prices=prices, source=f"{row.source}; {rule.source}")))
            changed = True
        result = parts
    return result if changed else None


def derived(row: PriceRow, model: str, rule: DerivedModels) -> PriceRow:
    """The row of a model whose token prices are a multiple of another's."""
    prices = tuple(
        price if price is None or kind not in TOKEN_KINDS else scale_price(price, rule.multiplier)
        for kind, price in zip(KINDS, row.prices, strict=True)
    )
    return replace(row, model=model, prices=prices, source=rule.source)
