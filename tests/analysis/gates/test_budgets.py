"""Budgets count what the calendar period holds, say when it is spent, and forecast by repeating the last week."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from builder import build_in_memory, build_store
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from analysis.dimensions import as_filter
from analysis.gates.budgets import budget_gates
from analysis.gates.periods import judged, span
from analysis.gates.settings import Budget, Settings
from analysis.ledger.ledger import update
from analysis.time_zone import days_in
from ingest.errors import InputError

MONDAY = datetime(2024, 9, 2)
CALL = Decimal("0.3")  # dollars: 30,000 tokens of gpt-4-turbo


def store_of(path: Path, calls: list[tuple[datetime, str]]):
    made = build_store(
        path,
        [
            {"start_time": at, "agent": agent, "input_tokens": 30_000, "output_tokens": 0, "request_id": f"r{number}"}
            for number, (at, agent) in enumerate(calls)
        ],
    )
    update(made)
    return made


def gate(store, budget: Budget, now: datetime):
    return budget_gates(store, Settings(budgets=(budget,)), now.replace(tzinfo=UTC))[0]


@pytest.fixture(scope="module")
def office(tmp_path_factory):
    """Two weeks of ten calls on each weekday, at ten o'clock; the last is Fri 13 Sep."""
    days = [MONDAY + timedelta(days=week * 7 + day, hours=10) for week in range(2) for day in range(5)]
    calls = [(day + timedelta(minutes=minute), "writer") for day in days for minute in range(10)]
    return store_of(tmp_path_factory.mktemp("office") / "s.duckdb", calls)


def test_a_month_is_forecast_with_its_idle_days(office):
    found = gate(office, Budget(Decimal(58), "usd", "month", "forecast"), datetime(2024, 9, 13, 23))
    assert found.passed is False
    assert float(found.measured) == pytest.approx(21 * 10 * float(CALL), rel=0.01)  # September 2024 has 21 weekdays
    assert found.runs_out == datetime(2024, 9, 27, 10, tzinfo=UTC)  # the twentieth weekday
    assert "$30.00 of $58.00 in September 2024 so far, spent on Fri 27 Sep" in found.sentence


def test_a_hard_budget_fails_only_when_it_is_spent(office):
    now = datetime(2024, 9, 13, 23)
    assert gate(office, Budget(Decimal(60), "usd", "month"), now).passed
    spent = gate(office, Budget(Decimal(29), "usd", "month"), now)
    assert spent.passed is False
    assert (spent.measured, spent.runs_out) == (30, datetime(2024, 9, 13, 10, tzinfo=UTC))


def test_the_day_that_ended_within_24_hours_is_judged_too(office):
    budget = Budget(Decimal(2), "usd", "day")
    assert gate(office, budget, datetime(2024, 9, 14, 6)).passed is False
    assert gate(office, budget, datetime(2024, 9, 16, 6)).passed is None  # the log ends on Friday


def test_tokens_are_counted_where_they_are_the_limit(office):
    found = gate(office, Budget(Decimal(1_000_000), "tokens", "week"), datetime(2024, 9, 13, 23))
    assert (found.passed, found.measured) == (False, 50 * 30_000)


def test_nothing_is_forecast_from_less_than_a_week(tmp_path):
    store = store_of(tmp_path / "s.duckdb", [(MONDAY + timedelta(hours=hour), "writer") for hour in range(48)])
    now = datetime(2024, 9, 4)
    assert gate(store, Budget(Decimal(100), "usd", "month", "forecast"), now).passed is None
    assert gate(store, Budget(Decimal(100), "usd", "month"), now).passed is True
    assert gate(store, Budget(Decimal(1), "usd", "month", "forecast"), now).passed is False  # spent already


def test_calls_without_a_price_are_told_and_not_taken_for_free(tmp_path):
    rows = [{"start_time": MONDAY, "model": "unheard-of", "input_tokens": 5, "output_tokens": 5}]
    store = build_in_memory(rows)
    update(store)
    found = gate(store, Budget(Decimal(100), "usd", "day"), datetime(2024, 9, 2, 12))
    assert found.passed is None
    assert "None of the 1 call on Mon 2 Sep 2024 has a price" in found.sentence


def test_a_value_that_no_call_has_is_refused_with_the_nearest(office):
    of = as_filter({"agent": "writr"}).conditions[0]
    with pytest.raises(InputError) as error:
        gate(office, Budget(Decimal(1), "usd", "day", of=of), datetime(2024, 9, 13))
    assert "no call has agent=writr" in str(error.value)
    assert "Did you mean 'writer'?" in str(error.value)


def test_periods_are_calendar_periods():
    at = datetime(2024, 2, 29, 12, tzinfo=UTC)
    assert [(span(p, at).start.date(), span(p, at).end.date()) for p in ("day", "week", "month")] == [
        (date(2024, 2, 29), date(2024, 3, 1)),
        (date(2024, 2, 26), date(2024, 3, 4)),
        (date(2024, 2, 1), date(2024, 3, 1)),
    ]
    assert len(judged("month", datetime(2024, 3, 1, 8, tzinfo=UTC))) == 2
    assert len(judged("month", datetime(2024, 3, 2, 8, tzinfo=UTC))) == 1


@pytest.fixture(scope="module")
def scattered(tmp_path_factory):
    """Sixty calls at random hours of forty days, by two agents."""
    draw = random.Random(18)
    calls = [(MONDAY, "a")]
    calls += [(MONDAY + timedelta(hours=draw.randrange(40 * 24)), draw.choice("ab")) for _ in range(60)]
    return calls, store_of(tmp_path_factory.mktemp("scattered") / "s.duckdb", calls)


@given(
    st.integers(0, 45 * 24), st.sampled_from(["day", "week", "month"]), st.sampled_from([None, "a"]), st.integers(1, 12)
)  # fmt: skip
@examples(max_examples=20)
def test_what_is_spent_is_the_sum_of_the_calls_of_the_period(scattered, at, period, agent, limit):
    calls, store = scattered
    now = MONDAY + timedelta(hours=at, minutes=1)
    of = as_filter({"agent": agent}).conditions[0] if agent else None
    found = gate(store, Budget(limit * CALL, "usd", period, of=of), now)
    known = [(at, name) for at, name in calls if at <= now]
    newest = max(at for at, _ in known)
    spans = [
        (s.start.replace(tzinfo=None), s.end.replace(tzinfo=None)) for s in judged(period, now.replace(tzinfo=UTC))
    ]
    sums = [
        CALL * sum(start <= at < end and agent in (None, name) for at, name in known)
        for start, end in spans
        if newest >= start and end > MONDAY
    ]
    if sums:
        assert (found.measured, found.passed) == (max(sums), max(sums) <= limit * CALL)
    else:
        assert found.passed is None


def test_periods_are_those_of_the_zone_of_the_days(office):
    with days_in("Pacific/Auckland"):  # ten o'clock UTC on Fri 13 Sep is already 22:00 there
        found = span("day", datetime(2024, 9, 13, 13, tzinfo=UTC))
        assert (found.first, found.start) == (date(2024, 9, 14), datetime(2024, 9, 13, 12, tzinfo=UTC))
        spent = gate(office, Budget(Decimal(1), "usd", "day"), datetime(2024, 9, 13, 11))
    assert "on Fri 13 Sep 2024, spent at 22:00" in spent.sentence


def test_a_budget_that_unpriced_calls_could_break_is_not_said_to_hold_and_refused_calls_break_none(tmp_path):
    call = {"input_tokens": 30_000, "output_tokens": 0, "model": "gpt-4-turbo"}
    refused = {"status": "error", "input_tokens": None, "output_tokens": None, "tokens_source": "missing"}
    for name, more, expected in (("house", {"model": "house-7b"}, None), ("refused", refused, True)):
        rows = [
            {"start_time": MONDAY + timedelta(hours=at), **call, **(more if at % 2 else {})} for at in range(24)
        ]  # twelve at $0.30
        store = build_store(tmp_path / f"{name}.duckdb", rows)
        update(store)
        found = gate(store, Budget(Decimal(5), "usd", "day", "hard"), datetime(2024, 9, 2, 23, 59))
        assert found.passed is expected
        assert ("would make it $7.20" in found.sentence) is (expected is None)
        loose = gate(store, Budget(Decimal(8), "usd", "day", "hard"), datetime(2024, 9, 2, 23, 59))
        assert loose.passed is True
