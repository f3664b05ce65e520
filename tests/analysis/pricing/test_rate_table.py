"""Prices: the kernel is exact, rounds half-even, and never prices what it does not know."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.price_book.vocabulary import KINDS, NO_TIME, STATUSES, TIERS, TOOLS, UNKNOWN, UNPRICED
from analysis.pricing.rate_table import Rate, RateTable, Usage

DAY = 86_400_000


def rates(**prices: int | None) -> tuple[int | None, ...]:
    return tuple(prices.get(kind) for kind in KINDS)


def table(*rows: Rate) -> RateTable:
    return RateTable.build([list(rows)], as_of_ms=0)


def usage(n: int = 1, **columns: object) -> Usage:
    base = {"model": np.zeros(n, np.int32), "start_ms": np.zeros(n, np.int64)}
    given_columns = {name: np.array(value).reshape(-1) for name, value in columns.items()}
    for name in ("input", "output"):
        given_columns.setdefault(name, np.zeros(n, np.int64))
    return Usage(**{**base, **given_columns})


GPT4T = Rate(price_id=7, tier="standard", rates=rates(input=10 * 10**9, output=30 * 10**9))


def status(priced: object, i: int = 0) -> str:
    return STATUSES[priced.status[i]]


def test_a_thousand_tokens_of_gpt_4_turbo_cost_a_cent() -> None:
    priced = table(GPT4T).price(usage(input=[1000], output=[500]))
    assert priced.total[0] == 10**10 + 15 * 10**9
    assert (priced.uncached_input[0], priced.output[0], priced.price_id[0]) == (10**10, 15 * 10**9, 7)


@given(
    tokens=st.integers(0, 2**40 - 1),
    rate=st.integers(0, 600 * 10**9),
    weight=st.one_of(st.just(10**6), st.integers(0, 10**12)),
)
@settings(max_examples=300)
def test_amounts_equal_exact_fractions_rounded_half_even(tokens: int, rate: int, weight: int) -> None:
    priced = table(Rate(1, "standard", rates(input=rate, output=0))).price(
        usage(input=[tokens], output=[0], weight_micro=[weight])
    )
    exact = round(Fraction(tokens * rate * weight, 10**9))
    if exact >= 10**18:
        assert status(priced) == "too_large"
        assert priced.total[0] == UNPRICED
    else:
        assert priced.total[0] == exact


def test_a_day_change_is_exclusive_at_its_end_and_half_open() -> None:
    old = Rate(1, "standard", rates(input=10**9, output=0), to_ms=5 * DAY)
    new = Rate(2, "standard", rates(input=2 * 10**9, output=0), from_ms=5 * DAY)
    priced = table(new, old).price(usage(3, start_ms=[5 * DAY - 1, 5 * DAY, 9 * DAY], input=[1, 1, 1], output=[0] * 3))
    assert priced.price_id.tolist() == [1, 2, 2]


def test_the_whole_request_is_billed_at_the_context_tier_it_reaches() -> None:
    small = Rate(1, "standard", rates(input=3 * 10**9, output=15 * 10**9), upto_tokens=200_000)
    large = Rate(2, "standard", rates(input=6 * 10**9, output=22_500_000_000), above_tokens=200_000)
    priced = table(small, large).price(usage(2, input=[200_000, 200_001], output=[10, 10]))
    assert priced.price_id.tolist() == [1, 2]
    assert priced.total.tolist() == [200_000 * 3 * 10**6 + 150 * 10**6, 200_001 * 6 * 10**6 + 225 * 10**6]


def test_a_window_of_the_day_may_wrap_over_midnight() -> None:
    day = Rate(1, "standard", rates(input=2, output=2), tod_from_ms=DAY // 4, tod_to_ms=DAY // 2)
    night = Rate(2, "standard", rates(input=1, output=1), tod_from_ms=DAY // 2, tod_to_ms=DAY // 4)
    at = [0, DAY // 4, DAY // 2 - 1, DAY // 2, DAY - 1]
    priced = table(day, night).price(usage(5, start_ms=at, input=[1] * 5, output=[1] * 5))
    assert priced.price_id.tolist() == [2, 1, 1, 2, 2]


def test_cached_written_and_reasoning_tokens_are_parts_and_not_additions() -> None:
    row = Rate(
        1, "standard",
        rates(input=1000, cache_read=100, cache_write=1250, cache_write_1h=2000, output=5000, reasoning=None),
    )  # fmt: skip
    priced = table(row).price(
        usage(input=[1000], cache_read=[600], cache_write=[300], cache_write_1h=[100], output=[50], reasoning=[20])
    )
    assert priced.uncached_input[0] == 100
    assert priced.cache_read[0] == 60
    assert priced.cache_write[0] == 250 + 200
    assert (priced.output[0], priced.reasoning[0]) == (150, 100)
    assert status(priced) == "priced"


def test_a_kind_without_its_own_price_is_billed_at_its_parent_and_says_so() -> None:
    priced = table(GPT4T).price(usage(input=[1000], cache_read=[900], output=[1]))
    assert status(priced) == "priced_fallback"
    assert priced.total[0] == 1000 * 10**7 + 30 * 10**6


NULL_CASES = [
    ({"model": np.array([-1], np.int32), "input": [1], "output": [1]}, "unknown_model"),
    ({"model": np.array([1], np.int32), "input": [1], "output": [1]}, "unknown_model"),
    ({"tier": np.array([TIERS.index("flex")], np.int8), "input": [1], "output": [1]}, "unknown_tier"),
    ({"tier": np.array([TIERS.index("unknown")], np.int8), "input": [1], "output": [1]}, "unknown_tier"),
    ({"input": [UNKNOWN], "output": [1]}, "no_usage"),
    ({"input": [1], "output": [UNKNOWN]}, "no_usage"),
    *(({"input": [1], "output": [1], kind: [2]}, "unknown_kind") for kind in ("web_search", *TOOLS)),
    *(({"input": [9], "output": [9], kind: [2]}, "unknown_kind") for kind in ("audio_input", "audio_output")),
    ({"input": [9], "output": [9], "cache_read": [4], "audio_cache_read": [2]}, "unknown_kind"),
    ({"input": [9], "output": [9], "image_output": [2]}, "unknown_kind"),
]


def test_what_is_not_known_has_no_cost_rather_than_zero() -> None:
    for columns, name in NULL_CASES:
        priced = RateTable.build([[GPT4T], []], as_of_ms=0).price(usage(**columns))
        assert status(priced) == name
        assert priced.total[0] == UNPRICED
        assert priced.uncached_input[0] == priced.output[0] == 0


def test_an_embedding_without_output_count_is_priced_and_its_output_is_not() -> None:
    row = table(Rate(1, "standard", rates(input=20_000_000)))
    assert row.price(usage(input=[1000], output=[UNKNOWN])).total[0] == 20_000_000
    assert status(row.price(usage(input=[1000], output=[5]))) == "unknown_kind"


def test_a_call_without_a_time_takes_the_price_of_the_books_day() -> None:
    old = Rate(1, "standard", rates(input=1, output=1), to_ms=DAY)
    new = Rate(2, "standard", rates(input=2, output=2), from_ms=DAY)
    priced = RateTable.build([[old, new]], as_of_ms=3 * DAY).price(usage(start_ms=[NO_TIME], input=[1], output=[1]))
    assert (priced.price_id[0], status(priced)) == (2, "priced_fallback")


def test_the_total_is_the_sum_of_the_rounded_components() -> None:
    row = Rate(1, "standard", rates(input=1501, cache_read=333, output=777, reasoning=None))
    priced = table(row).price(usage(input=[7], cache_read=[3], output=[5], reasoning=[2]))
    parts = [priced.uncached_input, priced.cache_read, priced.cache_write, priced.output, priced.reasoning]
    assert priced.total[0] == sum(int(part[0]) for part in parts)


def test_tools_and_requests_are_priced_per_thousand_uses() -> None:
    prices = {"per_request": 5, "web_search": 10, "file_search": 2, "maps": 25, "other_tool": 7, "web_result": 4}
    row = Rate(1, "standard", rates(input=1, output=1, **{kind: usd * 10**9 for kind, usd in prices.items()}))
    uses = {"web_search": [0, 3, 0], "file_search": [0, 0, 2], "maps": [0, 1, 0], "other_tool": [0, 0, 1]}
    priced = table(row).price(usage(3, input=[0] * 3, output=[0] * 3, **uses))
    assert priced.other.tolist() == [5 * 10**9, (5 + 30 + 25) * 10**9, (5 + 4 + 7) * 10**9]
    assert [status(priced, i) for i in range(3)] == ["priced"] * 3


def test_a_search_that_is_billed_by_the_prompt_costs_once_however_often_it_asked() -> None:
    row = Rate(1, "standard", rates(input=1, output=1, web_search_prompt=35 * 10**9))
    priced = table(row).price(usage(3, input=[0] * 3, output=[0] * 3, web_search=[UNKNOWN, 1, 7]))
    assert priced.other.tolist() == [0, 35 * 10**9, 35 * 10**9]


def test_a_container_may_have_been_opened_by_another_call_so_its_fee_is_no_certain_one() -> None:
    row = Rate(1, "standard", rates(input=1, output=1, code_interpreter=30 * 10**9))
    priced = table(row).price(usage(2, input=[0, 0], output=[0, 0], code_interpreter=[0, 1]))
    assert [status(priced, i) for i in (0, 1)] == ["priced", "priced_fallback"]
    assert priced.other.tolist() == [0, 30 * 10**9]


def test_the_fee_of_a_request_is_that_of_its_search_context() -> None:
    prices = {"per_request": 14, "per_request_medium": 10, "per_request_low": 6}
    row = Rate(1, "standard", rates(input=1, output=1, **{kind: usd * 10**9 for kind, usd in prices.items()}))
    sizes = [UNKNOWN, 1, 2, 3]
    priced = table(row).price(usage(4, input=[0] * 4, output=[0] * 4, search_context=sizes))
    assert priced.other.tolist() == [14 * 10**9, 6 * 10**9, 10 * 10**9, 14 * 10**9]
    flat = Rate(1, "standard", rates(input=1, output=1, per_request=5 * 10**9))
    assert (
        table(flat).price(usage(4, input=[0] * 4, output=[0] * 4, search_context=sizes)).other.tolist()
        == [5 * 10**9] * 4
    )


def test_cached_audio_and_images_are_parts_of_the_cache_and_of_their_modality() -> None:
    row = Rate(
        1, "standard",
        rates(input=1000, cache_read=100, output=1, audio_input=9000, audio_cache_read=3000, image_input=2000,
              image_cache_read=500),
    )  # fmt: skip
    priced = table(row).price(
        usage(input=[1000], output=[0], cache_read=[400], audio_input=[300], audio_cache_read=[100], image_input=[50],
              image_cache_read=[30])
    )  # fmt: skip
    assert priced.cache_read[0] == 270 * 100 // 1000
    assert priced.uncached_input[0] == 1000 - 400 - 200 - 20
    assert priced.other[0] == 200 * 9 + 100 * 3 + 20 * 2 + 30 * 500 // 1000
    assert status(priced) == "priced"


def test_audio_and_images_are_parts_of_the_counts_and_stand_in_other() -> None:
    row = Rate(1, "standard", rates(input=1000, output=2000, audio_input=40_000, audio_output=80_000, image_input=5000))
    priced = table(row).price(usage(input=[100], audio_input=[60], image_input=[10], output=[50], audio_output=[20]))
    assert priced.uncached_input[0] == 30
    assert priced.output[0] == 60
    assert priced.other[0] == 60 * 40 + 10 * 5 + 20 * 80
    assert status(priced) == "priced"
