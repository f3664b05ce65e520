"""Langfuse's buckets, filled by its own integrations and by callers who let them overlap."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.records.call import Call
from ingest.records.usage_details import apply_usage_details

_N = st.integers(0, 10**6)


def read(usage: dict[str, Any]) -> Call:
    call = Call()
    apply_usage_details(call, usage)
    return call


@given(fresh=_N, cached=_N, plain=_N, five=_N, hour=_N, out=_N, think=_N, with_total=st.booleans())
def test_buckets_exclude_each_other(
    fresh: int, cached: int, plain: int, five: int, hour: int, out: int, think: int, with_total: bool
) -> None:
    usage = {"input": fresh, "input_cached_tokens": cached, "input_cache_creation": plain,
             "input_cache_creation_5m": five, "input_cache_creation_1h": hour, "output": out,
             "output_reasoning_tokens": think}  # fmt: skip
    asked, made = fresh + cached + plain + five + hour, out + think
    if plain == five + hour:
        return  # reads as the sum of its parts
    call = read({**usage, **({"total": asked + made} if with_total else {})})
    assert (call.input_tokens, call.output_tokens, call.cache_read_input_tokens) == (asked, made, cached)
    assert call.cache_creation_input_tokens == plain + five + hour
    assert call.cache_creation_1h_input_tokens == hour


def test_parts_of_a_sum_that_is_there_too_are_no_further_tokens() -> None:
    call = read({"input": 10, "input_cache_creation": 300, "input_cache_creation_5m": 100,
                 "input_cache_creation_1h": 200, "output": 5, "total": 315})  # fmt: skip
    assert (call.input_tokens, call.cache_creation_input_tokens, call.cache_creation_1h_input_tokens) == (310, 300, 200)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"input": 400, "cache_read_input_tokens": 600, "cache_creation_input_tokens": 300, "output": 20,
          "total": 1020}, (1000, 20)),
        ({"input": 0, "input_cached_tokens": 400, "input_text_tokens": 900, "output": 10, "total": 910}, (900, 10)),
        ({"input": 300, "output": 0, "output_reasoning_tokens": 60, "total": 350}, (300, 50)),
        ({"input": 900, "output": 10, "input_cached_tokens": 400, "total": 910}, (900, 10)),
        ({"prompt_tokens": 900, "completion_tokens": 10, "total_tokens": 910,
          "prompt_tokens_details": {"cached_tokens": 400}}, (900, 10)),
        ({"promptTokens": 900, "completionTokens": 10, "totalTokens": 910}, (900, 10)),
        ({"promptTokenCount": 900, "candidatesTokenCount": 10, "totalTokenCount": 910}, (900, 10)),
        ({"input_tokens": 100, "cache_read_input_tokens": 800, "output_tokens": 10}, (900, 10)),
    ],
)  # fmt: skip
def test_the_total_tells_which_buckets_overlap(usage: dict[str, Any], expected: tuple[int, int]) -> None:
    call = read(usage)
    assert (call.input_tokens, call.output_tokens) == expected
