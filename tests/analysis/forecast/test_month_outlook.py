"""The month's outlook: exact where the week repeats, and never below what is spent."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as some

from analysis.forecast.month_outlook import outlook

START = date(2024, 2, 1)


def days(count: int) -> list[date]:
    return [START + timedelta(days=number) for number in range(count)]


def test_a_steady_bill_goes_on() -> None:
    costs = dict.fromkeys(days(45), Decimal(10))
    found = outlook(costs, list(costs))
    assert found is not None
    assert (found.first, found.last) == (date(2024, 3, 1), date(2024, 3, 31))
    assert found.so_far == 160
    assert found.days_left == 15
    assert found.expected == Decimal("310.00")
    assert found.low < found.expected < found.high


def test_weekends_are_expected_where_there_were_weekends() -> None:
    costs = {day: Decimal(3 if day.weekday() >= 5 else 30) for day in days(56)}
    found = outlook(costs, list(costs))
    assert found is not None
    truth = sum(3 if (date(2024, 3, n)).weekday() >= 5 else 30 for n in range(1, 32))
    assert abs(found.expected - truth) < Decimal("0.05") * truth


def test_the_level_is_that_of_the_last_week_after_a_spike() -> None:
    costs = {day: Decimal(800 if day >= date(2024, 3, 5) else 120) for day in days(42)}
    found = outlook(costs, list(costs))
    assert found is not None
    assert found.per_day == 800
    assert abs(found.expected - (4 * 120 + 27 * 800)) < 600


def test_a_day_that_is_not_over_counts_as_a_whole_one_ahead() -> None:
    costs = dict.fromkeys(days(44), Decimal(10)) | {date(2024, 3, 16): Decimal(1)}
    found = outlook(costs, days(44))
    assert found is not None
    assert found.so_far == 151
    assert found.expected == Decimal("310.00")


def test_without_a_complete_day_nothing_is_foreseen() -> None:
    assert outlook({START: Decimal(3)}, []) is None
    assert outlook({}, []) is None


@given(some.dictionaries(some.sampled_from(days(80)), some.decimals(0, 5000, places=4), min_size=1))
def test_the_month_never_costs_less_than_what_is_spent(costs: dict[date, Decimal]) -> None:
    found = outlook(costs, list(costs))
    if found is not None:
        assert found.low <= found.high
        assert found.low >= found.so_far.quantize(Decimal("0.01")) - Decimal("0.01")
