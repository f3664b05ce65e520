"""genai-prices' bundled catalogue as flat, disjoint price rows.

The catalogue resolves a price from nested conditions (start dates, hours of the day, context tiers, variants by service
tier). Here every condition is evaluated once at each of its breakpoints, with the package's own resolution, so a row
says exactly what `genai_prices.calc_price` would have used.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final

from analysis.price_book.rows import Key, PriceRow, nano_dollars
from analysis.price_book.vocabulary import KINDS

# our kind -> the catalogue's price key; the last three are per thousand uses
PRICE_KEYS: Final = {
    "input": "input_mtok", "cache_read": "cache_read_mtok", "cache_write": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok", "output": "output_mtok", "reasoning": "output_reasoning_mtok",
    "audio_input": "input_audio_mtok", "audio_cache_read": "cache_audio_read_mtok",
    "audio_output": "output_audio_mtok", "image_input": "input_image_mtok", "image_cache_read": "cache_image_read_mtok",
    "image_output": "output_image_mtok", "per_request": "requests_kcount", "web_search": "web_searches_kcount",
    "file_search": "storage_searches_kcount",
}  # fmt: skip
# our service tier -> the request contexts that select it in the catalogue
TIER_CONTEXTS: Final = {
    "standard": ({},),
    "batch": ({"processing": "batch"},),
    "flex": ({"service_tier": "flex"},),
    "priority": ({"service_tier": "priority"},),
    "fast": ({"service_tier": "fast"}, {"speed": "fast"}),
}
# Models that the catalogue holds without any price because they are free; every other empty price is unknown.
FREE: Final = {("openai", "moderation")}
_ZERO_INPUT_OUTPUT = tuple(0 if kind in ("input", "output") else None for kind in KINDS)


def catalogue_rows() -> tuple[list[PriceRow], dict[Key, int]]:
    """Every price of the catalogue as rows, and the context windows that it knows."""
    from genai_prices.data import providers

    rows: list[PriceRow] = []
    windows: dict[Key, int] = {}
    for provider in providers:
        for model in provider.models:
            if model.context_window:
                windows[provider.id, model.id] = model.context_window
            rows += model_rows(provider.id, model)
    return rows, windows


def model_rows(provider: str, model: Any) -> list[PriceRow]:
    """The rows of one catalogue model, merged over equal neighbours in time."""
    conditions = model.prices if isinstance(model.prices, list) else []
    variants = model.price_variants or []
    constraints = [item.constraint for item in [*conditions, *variants] if item.constraint is not None]
    days: list[date | None] = [None, *sorted({c.start_date for c in constraints if hasattr(c, "start_date")})]
    clocks = sorted({_minute(t) for c in constraints if hasattr(c, "start_time") for t in (c.start_time, c.end_time)})
    windows = list(zip(clocks, [*clocks[1:], clocks[0]], strict=True)) if clocks else [(0, 1440)]
    rows: list[PriceRow] = []
    for tier, contexts in TIER_CONTEXTS.items():
        for number, day in enumerate(days):
            until = days[number + 1] if number + 1 < len(days) else None
            for low, high in windows:
                moment = _moment(day, days, low)
                context = next((c for c in contexts if not c or _offered(variants, c, moment)), None)
                if context is None:
                    continue
                prices = model.get_prices(moment, context)
                for above, upto, values in _by_size(prices):
                    if not any(value is not None for value in values):
                        if not (model.id.endswith(":free") or (provider, model.id) in FREE):
                            continue
                        values = _ZERO_INPUT_OUTPUT
                    rows.append(
                        PriceRow(
                            provider, model.id, tier, day.isoformat() if day else None,
                            until.isoformat() if until else None, low, high, above, upto, values,
                            "genai-prices", "high",
                        )
                    )  # fmt: skip
    return _join_neighbours(rows)


def _offered(variants: list[Any], context: dict[str, str], moment: datetime) -> bool:
    return any(
        variant.when == context and (variant.constraint is None or variant.constraint.active(moment))
        for variant in variants
    )


def _by_size(prices: Any) -> list[tuple[int | None, int | None, tuple[int | None, ...]]]:
    """(above, up to, prices per KINDS) for each context tier: the whole request is billed at the tier it reaches."""
    given = vars(prices)  # asking for a price that is not there goes through the package's list of units each time
    found: dict[str, Any] = dict.fromkeys(KINDS)
    found |= {kind: given.get(key) for kind, key in PRICE_KEYS.items()}
    starts = sorted({tier.start for value in found.values() if hasattr(value, "tiers") for tier in value.tiers})
    result = []
    for low, high in zip([None, *starts], [*starts, None], strict=True):
        result.append((low, high, tuple(nano_dollars(_at_size(found[kind], low)) for kind in KINDS)))
    return result


def _at_size(value: Any, above: int | None) -> Decimal | None:
    if not hasattr(value, "tiers"):
        return value
    price = value.base
    for tier in value.tiers:
        if above is not None and tier.start <= above:
            price = tier.price
    return price


def _minute(clock: time) -> int:
    if clock.tzinfo is not None:
        clock = datetime.combine(date(2020, 1, 1), clock).astimezone(UTC).time()
    return clock.hour * 60 + clock.minute


def _moment(day: date | None, days: list[date | None], minute: int) -> datetime:
    """A moment inside the segment that begins on `day`; before the first change, the day before it."""
    if day is None:
        later = [d for d in days if d is not None]
        day = later[0] - timedelta(days=1) if later else date(2020, 1, 1)
    return datetime(day.year, day.month, day.day, minute // 60, minute % 60, tzinfo=UTC)


def _join_neighbours(rows: list[PriceRow]) -> list[PriceRow]:
    """Rows that follow each other in time with the same prices become one."""
    joined: dict[tuple[object, ...], PriceRow] = {}
    done: list[PriceRow] = []
    for row in rows:
        place = (row.tier, row.tod_from, row.tod_to, row.above_tokens, row.upto_tokens)
        last = joined.get(place)
        if last is not None and last.effective_to == row.effective_from and last.prices == row.prices:
            joined[place] = PriceRow(
                **{**{f: getattr(row, f) for f in row.__dataclass_fields__}, "effective_from": last.effective_from}
            )
            continue
        if last is not None:
            done.append(last)
        joined[place] = row
    return done + list(joined.values())
