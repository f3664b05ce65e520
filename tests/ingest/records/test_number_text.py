"""Numbers in texts: what can be read in one way is exact, what can be read in two is refused."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.records.call import BadRecordError
from ingest.records.number_text import amount, duration_ms, number

COUNTS = st.integers(0, 10**12)
MONEY = st.decimals(-(10**9), 10**9, places=4)


@settings(deadline=None)
@given(count=COUNTS, mark=st.sampled_from([",", ".", " ", "'", "\u00a0", "\u202f", "_"]))
def test_a_count_with_its_thousands_grouped(count: int, mark: str) -> None:
    text = f"{count:,}".replace(",", mark)
    if mark == ".":
        assert number(text, "$", decimal=",", whole=True) == count
        if count >= 1000:
            with pytest.raises(BadRecordError):
                number(text, "$", whole=True)
    else:
        assert number(text, "$", whole=True) == count
        assert number(text, "$", decimal=".", whole=True) == count


@settings(deadline=None)
@given(paid=MONEY, sign=st.sampled_from(["${}", "{} USD", "US$ {}", "{}"]), grouped=st.booleans())
def test_an_amount_with_its_sign(paid: Decimal, sign: str, grouped: bool) -> None:
    text = f"{paid:,.4f}" if grouped else f"{paid:.4f}"
    assert amount(sign.format(text), "$") == paid
    german = text.translate(str.maketrans(",.", ".,"))
    assert amount(f"{german} €", "$", decimal=",", currency="EUR") == paid
    with pytest.raises(BadRecordError):
        amount(f"{text} €", "$")


@pytest.mark.parametrize("text", ["1,234", "0,5", "1.234,56", "1,23", "abc", "1e999", "1.2.3", "12 34", "--1", "inf"])
def test_what_can_be_read_in_two_ways_or_none_is_refused(text: str) -> None:
    with pytest.raises(BadRecordError):
        number(text, "$")


@pytest.mark.parametrize("value", ["", " ", "-", "N/A", "null", "NaN", None, float("nan")])
def test_what_stands_for_nothing_is_none(value: Any) -> None:
    assert number(value, "$") is None
    assert amount(value, "$") is None
    assert duration_ms(value, "$") is None


@pytest.mark.parametrize(("text", "ms"), [("1.25s", 1250), ("350 ms", 350), ("2 min", 120_000), ("5µs", 0.005)])
def test_a_duration_may_name_its_unit(text: str, ms: float) -> None:
    assert duration_ms(text, "$", unit="ns") == ms


@pytest.mark.parametrize("text", ["00:01", "1 hour", "$5"])
def test_no_duration(text: str) -> None:
    with pytest.raises(BadRecordError):
        duration_ms(text, "$")
