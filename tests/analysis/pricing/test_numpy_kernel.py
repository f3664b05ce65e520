"""The kernel over whole arrays gives the bytes of the compiled loop, whatever the prices and the usage."""

from __future__ import annotations

import sys

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.price_book.vocabulary import KINDS, NO_TIME, TIERS, TOOLS, UNKNOWN
from analysis.pricing.rate_table import Priced, Rate, RateTable, Usage

HOUR = 3_600_000
DAY = 24 * HOUR
COUNTS = (
    "input", "output", "cache_read", "cache_write", "cache_write_1h", "reasoning", "audio_input", "audio_output",
    "image_input", "image_output", "audio_cache_read", "image_cache_read", "web_search", *TOOLS, "search_context",
)  # fmt: skip
FIELDS = ("total", "uncached_input", "cache_read", "cache_write", "output", "reasoning", "other", "status", "price_id")

price = st.one_of(st.none(), st.sampled_from((0, 1, 333, 2_500_000_000, 75 * 10**9)), st.integers(0, 10**17))
count = st.one_of(st.just(UNKNOWN), st.just(0), st.integers(0, 5000), st.integers(0, 2**40 - 1))
rate = st.builds(
    Rate,
    price_id=st.integers(0, 50),
    tier=st.sampled_from(TIERS[:-1]),
    rates=st.tuples(*[price] * len(KINDS)),
    from_ms=st.sampled_from((NO_TIME, NO_TIME + 1, 0, 3 * DAY)),
    to_ms=st.sampled_from((3 * DAY, 9 * DAY, 2**63 - 1)),
    tod_from_ms=st.sampled_from((0, 6 * HOUR, 20 * HOUR)),
    tod_to_ms=st.sampled_from((4 * HOUR, 12 * HOUR, DAY)),
    above_tokens=st.sampled_from((-1, 1000)),
    upto_tokens=st.sampled_from((1000, 2**63 - 1)),
    guessed=st.booleans(),
    zero=st.sampled_from((False, False, True)),
)
moment = st.one_of(st.just(NO_TIME), st.integers(-DAY, 12 * DAY))
weight = st.one_of(st.just(1_000_000), st.integers(0, 10**12))


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    size = draw(st.integers(0, 12))

    def column(values: st.SearchStrategy[int], kind: type) -> np.ndarray:
        return np.array(draw(st.lists(values, min_size=size, max_size=size)), kind)

    return Usage(
        model=column(st.integers(-1, 2), np.int32),
        start_ms=column(moment, np.int64),
        input=column(count, np.int64),
        output=column(count, np.int64),
        weight_micro=draw(st.one_of(st.none(), st.just(column(weight, np.int64)))),
        tier=draw(st.one_of(st.none(), st.just(column(st.integers(0, len(TIERS) - 1), np.int8)))),
        **{name: column(count, np.int64) for name in COUNTS[2:] if draw(st.booleans())},
    )


def over_arrays(table: RateTable, usage: Usage) -> Priced:
    compiled = sys.modules.pop("analysis.pricing.numba_kernel", None)
    try:
        return table.price(usage, once=True)
    finally:
        if compiled is not None:
            sys.modules["analysis.pricing.numba_kernel"] = compiled


def same(one: Priced, other: Priced) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in FIELDS)


@settings(max_examples=150)
@given(models=st.lists(st.lists(rate, max_size=4), min_size=3, max_size=3), usage=usages())
def test_both_kernels_give_the_same_integers(models: list[list[Rate]], usage: Usage) -> None:
    table = RateTable.build(models, as_of_ms=4 * DAY)
    assert same(table.price(usage), over_arrays(table, usage))


def test_many_calls_of_two_models_cost_the_same_either_way() -> None:
    rng = np.random.default_rng(3)
    size = 50_000
    prices = {"input": 3 * 10**9, "cache_read": 3 * 10**8, "output": 15 * 10**9}
    rates = [Rate(n, "standard", tuple(prices.get(kind) for kind in KINDS)) for n in (1, 2)]
    table = RateTable.build([[rates[0]], [rates[1]]], as_of_ms=0)
    usage = Usage(
        model=rng.integers(0, 2, size).astype(np.int32),
        start_ms=rng.integers(0, DAY, size),
        input=rng.integers(0, 200_000, size),
        output=rng.integers(0, 9000, size),
        cache_read=rng.integers(0, 100_000, size),
        weight_micro=np.full(size, 1_000_000),
    )
    assert same(table.price(usage), over_arrays(table, usage))
