"""Every price of the catalogue, through our rows and kernel, equals what genai_prices itself calculates.

30 usage shapes x every model x every service tier x a moment in every price period. Where the two may differ, the
reason is asserted too: genai-prices bills an unpriced token kind and an unlisted tier silently, we do not.
"""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from analysis.price_book.book import compile_book
from analysis.price_book.catalog import TIER_CONTEXTS, catalogue_rows
from analysis.price_book.history import load_history
from analysis.price_book.rows import HISTORY, extend_first_price_backwards
from analysis.price_book.vocabulary import KINDS, STATUSES, TIERS, UNPRICED
from analysis.pricing.load_rates import to_rate
from analysis.pricing.rate_table import RateTable, Usage

FIELDS = {
    "input": "input_tokens", "cache_read": "cache_read_tokens", "cache_write": "cache_write_tokens",
    "cache_write_1h": "cache_write_1h_tokens", "output": "output_tokens", "reasoning": "output_reasoning_tokens",
    "audio_input": "input_audio_tokens", "audio_output": "output_audio_tokens", "image_input": "input_image_tokens",
    "image_output": "output_image_tokens", "web_search": "web_searches", "file_search": "storage_searches",
}  # fmt: skip


def usage_shapes() -> list[dict[str, int]]:
    """30 shapes: plain, long, at the edge of every context tier, cached, written, reasoned, audio, images, searches."""
    rng = random.Random(20261123)
    plain = [{"input": 1000, "output": 100}, {"input": 0, "output": 0}, {"input": 7, "output": 1}]
    edges = [{"input": edge + step, "output": 333} for edge in (32000, 128000, 200000, 272000) for step in (0, 1)]
    cached = [{"input": 5000, "cache_read": 4096, "output": 50}, {"input": 300_000, "cache_read": 250_112, "output": 9}]
    written = [
        {"input": 9000, "cache_write": 8000, "output": 10},
        {"input": 9000, "cache_read": 4000, "cache_write": 3000, "cache_write_1h": 1000, "output": 10},
    ]
    thought = [{"input": 500, "output": 4000, "reasoning": 3500}]
    heard = [
        {"input": 900, "audio_input": 500, "output": 80, "audio_output": 40},
        {"input": 90, "image_input": 80, "output": 7, "image_output": 5},
    ]
    searched = [{"input": 100, "output": 10, "web_search": 3}, {"input": 100, "output": 10, "file_search": 2}]
    shapes = plain + edges + cached + written + thought + heard + searched
    while len(shapes) < 30:
        size = rng.randrange(1, 2_000_000)
        read = rng.randrange(0, size + 1)
        write = rng.randrange(0, size - read + 1)
        out = rng.randrange(0, 60_000)
        shapes.append(
            {
                "input": size, "cache_read": read, "cache_write": write, "cache_write_1h": rng.randrange(0, write + 1),
                "output": out, "reasoning": rng.randrange(0, out + 1),
            }
        )  # fmt: skip
    return shapes


SHAPES = usage_shapes()


def moments(model: Any) -> list[datetime]:
    """One moment in every period of the model's prices, at the first instant of each day that changes one."""
    items = [*(model.prices if isinstance(model.prices, list) else []), *(model.price_variants or [])]
    constraints = [item.constraint for item in items if item.constraint is not None]
    days = sorted({c.start_date for c in constraints if hasattr(c, "start_date")})
    instants = [datetime(day.year, day.month, day.day, tzinfo=UTC) for day in days]
    if instants:
        instants.insert(0, instants[0] - timedelta(milliseconds=1))
    else:
        instants = [datetime(2025, 6, 1, 12, tzinfo=UTC)]
    clocks = {(t.hour, t.minute) for c in constraints if hasattr(c, "start_time") for t in (c.start_time, c.end_time)}
    return [
        moment
        for instant in instants
        for moment in ([instant] if not clocks else [instant.replace(hour=h, minute=m) for h, m in sorted(clocks)])
    ]


def oracle(model: Any, provider: Any, shape: dict[str, int], when: datetime, context: dict[str, str]) -> Decimal:
    from genai_prices import Usage as CatalogueUsage

    counts = {FIELDS[name]: count for name, count in shape.items()}
    # a log does not split cached audio and images, so they are uncached here; the catalogue wants it said
    counts |= {"cache_audio_read_tokens": 0, "cache_image_read_tokens": 0}
    price = model.calc_price(
        CatalogueUsage(**counts), provider, genai_request_timestamp=when, price_context=context or None
    )
    return price.total_price


def our_costs(rates: RateTable, number: int, when: datetime, tier: str) -> Any:
    n = len(SHAPES)
    columns = {name: np.array([shape.get(name, 0) for shape in SHAPES], np.int64) for name in FIELDS}
    at = (when - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    return rates.price(
        Usage(
            model=np.full(n, number, np.int32),
            start_ms=np.full(n, at, np.int64),
            tier=np.full(n, TIERS.index(tier), np.int8),
            **columns,
        )
    )


@pytest.fixture(scope="module")
def catalogue() -> tuple[list[tuple[Any, Any]], RateTable]:
    from genai_prices.data import providers

    rows, _ = catalogue_rows()
    by_key: dict[Any, list[Any]] = {}
    for number, row in enumerate(rows):
        by_key.setdefault(row.key, []).append((number, row))
    models = [(provider, model) for provider in providers for model in provider.models]
    rates = RateTable.build(
        [[to_rate(*row) for row in extend_first_price_backwards(by_key.get((p.id, m.id), []))] for p, m in models],
        as_of_ms=0,
    )
    return models, rates


@pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.slow), 6])
def test_every_catalogue_price_agrees_with_calc_price(
    catalogue: tuple[list[tuple[Any, Any]], RateTable], every: int
) -> None:
    """Of all models, or of each sixth."""
    models, rates = catalogue
    seen: Counter[str] = Counter()
    for number, (provider, model) in list(enumerate(models))[::every]:
        variants = model.price_variants or []
        for when in moments(model):
            for tier, contexts in TIER_CONTEXTS.items():
                offered = [
                    context
                    for context in contexts
                    if not context
                    or any(v.when == context and (not v.constraint or v.constraint.active(when)) for v in variants)
                ]
                if tier != "standard" and not any(v.when in contexts for v in variants):
                    continue
                priced = our_costs(rates, number, when, tier)
                for i, shape in enumerate(SHAPES):
                    status = STATUSES[priced.status[i]]
                    seen[status] += 1
                    where = (provider.id, model.id, tier, when, shape, status)
                    if status == "unknown_model":  # the catalogue holds no price and calls that free
                        assert oracle(model, provider, shape, when, {}) == 0, where
                        continue
                    if status == "unknown_tier":  # calc_price bills an unlisted tier as standard, silently
                        assert not offered, where
                        continue
                    if status == "unknown_kind":  # calc_price bills a kind without a price at nothing
                        assert has_unpriced_kind(model, shape, when), where
                        continue
                    expected = oracle(model, provider, shape, when, offered[0])
                    assert priced.total[i] != UNPRICED
                    actual = Decimal(int(priced.total[i])).scaleb(-12)
                    slack = max(expected * Decimal("1e-12"), Decimal("1e-12"))
                    if is_endless(model.get_prices(when, offered[0])):
                        slack += HALF_A_NANO * (shape["input"] + shape["output"])
                    assert abs(actual - expected) <= slack, where
    assert seen["priced"] + seen["priced_fallback"] > 75_000 / every
    print(seen)


HALF_A_NANO = Decimal("0.5e-15")  # half a nano-dollar per million tokens, in dollars per token


def is_endless(prices: Any) -> bool:
    """Prices such as 1/12 that the catalogue writes with 16 decimals; the book rounds them to nine."""
    values = [v for price in vars(prices).values() if price is not None for v in steps(price)]
    return any(value != round(value, 9) for value in values)


def steps(price: Any) -> list[Decimal]:
    return [price.base, *(tier.price for tier in price.tiers)] if hasattr(price, "tiers") else [price]


def has_unpriced_kind(model: Any, shape: dict[str, int], when: datetime) -> bool:
    prices = model.get_prices(when)
    uncached = shape["input"] - sum(
        shape.get(k, 0) for k in ("cache_read", "cache_write", "audio_input", "image_input")
    )
    missing = {
        "input_mtok": uncached
        or any(shape.get(k) for k in ("cache_read", "cache_write", "audio_input", "image_input")),
        "output_mtok": shape["output"],
        "web_searches_kcount": shape.get("web_search", 0),
        "storage_searches_kcount": shape.get("file_search", 0),
        "input_audio_mtok": shape.get("audio_input", 0),
        "output_audio_mtok": shape.get("audio_output", 0),
        "output_image_mtok": shape.get("image_output", 0),
    }
    return any(count and getattr(prices, key) is None for key, count in missing.items())


def test_the_book_differs_from_the_catalogue_only_where_the_history_speaks() -> None:
    rows, _ = catalogue_rows()
    history = load_history(HISTORY)
    spoken = {(m.provider, m.model) for m in history.models}
    derived = tuple(rule.named for rule in history.derived_models)
    book = [row for row in compile_book().rows if row.key not in spoken]
    plain = {row for row in rows if row.key not in spoken}
    priced = {place(row): row for row in book}
    for row in plain:  # what the catalogue has stands as it is; rules only fill what it has no price for
        ours = dict(zip(KINDS, priced[place(row)].prices, strict=True))
        for kind, price in zip(KINDS, row.prices, strict=True):
            by_prompt = kind == "web_search" and price is not None and ours[kind] is None
            assert price in (None, ours["web_search_prompt"] if by_prompt else ours[kind]), (row, kind)
    # rows that are added are tiers before the day on which the catalogue first lists them, or by an announcement
    listed = {place(row) for row in plain}
    added = [row for row in book if place(row) not in listed]
    sources = {rule.source for rule in history.tier_rules if rule.confidence == "high"}
    assert added
    added = [row for row in added if not row.model.startswith(derived) and not row.model.endswith("-fast")]
    assert all(row.tier != "standard" and (row.confidence == "low" or row.source in sources) for row in added)


def place(row: Any) -> tuple[Any, ...]:
    """What tells a row from the others of the book."""
    return (row.key, row.tier, row.effective_from, row.effective_to, row.tod_from, row.above_tokens, row.upto_tokens)


def test_the_history_takes_no_name_from_the_catalogue_by_accident() -> None:
    """An entry that replaces a catalogue model speaks for all the exact names which that model answers to."""
    from genai_prices.data import providers

    from analysis.price_book.history import history_key

    history = load_history(HISTORY)
    replaced = {(m.provider, m.model) for m in history.models}
    for provider in providers:
        for model in provider.models:
            if (provider.id, model.id) not in replaced:
                continue
            clauses = getattr(model.match, "or_", [model.match])
            names = [clause.equals for clause in clauses if hasattr(clause, "equals")]
            alone = [name for name in names if history_key(provider.id, name.lower()) is None]
            assert not alone, (model.id, alone)


def test_price_rows_of_one_model_and_tier_never_overlap() -> None:
    groups: dict[Any, list[Any]] = {}
    for row in compile_book().rows:
        groups.setdefault((row.key, row.tier), []).append(row)
    for rows in groups.values():
        for i, a in enumerate(rows):
            for b in rows[i + 1 :]:
                apart = (
                    max(a.effective_from or "", b.effective_from or "")
                    >= min(a.effective_to or "9", b.effective_to or "9")
                    or max(a.above_tokens or -1, b.above_tokens or -1)
                    >= min(a.upto_tokens or 2**62, b.upto_tokens or 2**62)
                    or not minutes(a) & minutes(b)
                )
                assert apart, (a, b)


def minutes(row: Any) -> set[int]:
    if row.tod_from < row.tod_to:
        return set(range(row.tod_from, row.tod_to))
    return set(range(row.tod_from, 1440)) | set(range(row.tod_to))


def test_no_price_is_a_guessed_zero() -> None:
    """A row prices at least one kind, and a zero is one that its source states."""
    for row in compile_book().rows:
        assert any(price is not None for price in row.prices), row
        assert len(row.prices) == len(KINDS)
