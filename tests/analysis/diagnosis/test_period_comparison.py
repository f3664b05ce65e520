"""Two periods: their drivers sum to the difference, and the amounts are the ledger's."""

from __future__ import annotations

import random
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from builder import build_in_memory
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.diagnosis.period_comparison import compare_periods
from analysis.ledger import ledger
from analysis.reports.cost import cost
from analysis.reports.filtered_store import filtered
from analysis.reports.service_levels import service_levels
from ingest.errors import InputError
from ingest.store.database import Store

FIRST = date(2024, 3, 1)
DAYS = 21
LAST_WEEK = (date(2024, 3, 15), date(2024, 3, 21))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Three agents; from 12 March `a` asks thrice as often, from 15 March `c` is new; some calls have no price."""
    rng = random.Random(8)
    rows: list[dict[str, Any]] = []
    for number in range(DAYS):
        start = datetime(2024, 3, 1) + timedelta(days=number)
        for agent, calls in (("a", 12 if number >= 11 else 4), ("b", 5), ("c", 3 if number >= 14 else 0)):
            for index in range(calls):
                rows.append(
                    {
                        "start_time": start + timedelta(minutes=rng.randrange(1440)), "agent": agent, "task": "t",
                        "model": "gpt-4-turbo" if rng.random() < 0.9 else "nobody-knows-this-model",
                        "input_tokens": 500 + rng.randrange(500), "output_tokens": 50 + rng.randrange(50),
                        "request_id": f"{agent}{number}-{index // 3}", "duration_ms": float(rng.randrange(1, 900)),
                        "status": "error" if rng.random() < 0.1 else "ok",
                    }
                )  # fmt: skip
    rows.sort(key=lambda row: row["start_time"])
    made = build_in_memory(rows)
    ledger.update(made)
    return made


def spent(store: Store, period: tuple[date, date]) -> Decimal:
    return cost(store, by=[], since=period[0], until=period[1]).total["cost_usd"] or Decimal(0)


@settings(deadline=None, max_examples=6)
@given(st.data())
def test_drivers_and_the_unexplained_sum_to_the_difference(store: Store, data: st.DataObject) -> None:
    lengths = data.draw(st.tuples(st.integers(1, 8), st.integers(1, 8)))
    begin = data.draw(st.integers(0, DAYS - sum(lengths)))
    gap = data.draw(st.integers(0, DAYS - sum(lengths) - begin))
    before = (FIRST + timedelta(days=begin), FIRST + timedelta(days=begin + lengths[0] - 1))
    start = begin + lengths[0] + gap
    now = (FIRST + timedelta(days=start), FIRST + timedelta(days=start + lengths[1] - 1))
    found = compare_periods(store, now, before, by=["agent"])
    assert sum((line.delta for line in found.drivers), found.residual) == found.actual - found.expected
    assert found.actual == spent(store, now)
    scaled = spent(store, before) * lengths[1] / lengths[0]
    assert abs(found.expected - scaled) <= Decimal("1e-9")
    assert (found.days, found.days_before) == (lengths[1], lengths[0])
    unpriced = cost(store, by=[], since=now[0], until=now[1]).total["unpriced_calls"]
    assert found.unpriced[0] == unpriced


def test_what_changed_is_named_and_what_did_not_is_not(store: Store) -> None:
    found = compare_periods(
        store, (date(2024, 3, 15), date(2024, 3, 21)), (date(2024, 3, 1), date(2024, 3, 7)), ["agent"]
    )
    by_agent: dict[str | None, Decimal] = {}
    for line in found.drivers:
        by_agent[line.segment["agent"]] = by_agent.get(line.segment["agent"], Decimal(0)) + line.delta
    assert found.drivers[0].segment == {"agent": "a"}
    assert by_agent["a"] > by_agent["c"] > abs(by_agent["b"])
    assert next(line.factor for line in found.drivers if line.segment["agent"] == "c") == "new_segment"


def test_a_filter_leaves_the_drivers_of_its_calls(store: Store) -> None:
    kept = filtered(store, ["agent=b"])
    found = compare_periods(
        kept, (date(2024, 3, 15), date(2024, 3, 21)), (date(2024, 3, 8), date(2024, 3, 14)), ["agent"]
    )
    assert {line.segment["agent"] for line in found.drivers} <= {"b"}
    assert found.actual == cost(store, by=[], since=date(2024, 3, 15), where=["agent=b"]).total["cost_usd"]


@pytest.mark.parametrize(
    ("now", "before", "says"),
    [
        ((5, 9), (7, 12), "overlap"), ((9, 5), (1, 2), "end before they begin"),
        ((5, 9), (-40, -30), "the log has no day"),
    ],
)  # fmt: skip
def test_periods_that_cannot_be_compared_say_why(
    store: Store, now: tuple[int, int], before: tuple[int, int], says: str
) -> None:
    def days(pair: tuple[int, int]) -> tuple[date, date]:
        return FIRST + timedelta(days=pair[0]), FIRST + timedelta(days=pair[1])

    with pytest.raises(InputError, match=says):
        compare_periods(store, days(now), days(before))


def test_errors_and_latency_are_those_of_the_calls(store: Store) -> None:
    with store.read() as con:
        rows = con.execute(
            "SELECT agent, status, duration_ms FROM calls WHERE start_time >= DATE '2024-03-10'"
        ).fetchall()
    found = {row["agent"]: row for row in service_levels(store, ["agent"], since=date(2024, 3, 10))}
    for agent in "abc":
        mine = [row for row in rows if row[0] == agent]
        done = sorted(row[2] for row in mine if row[1] == "ok")
        assert found[agent]["calls"] == len(mine)
        assert found[agent]["error_share"] == pytest.approx(sum(row[1] == "error" for row in mine) / len(mine))
        for name, part in (("p50_ms", 0.5), ("p95_ms", 0.95)):
            below = sum(value <= found[agent][name] for value in done) / len(done)
            under = sum(value < found[agent][name] for value in done) / len(done)
            assert under <= part <= below + 1e-9
        assert found[agent]["timed_calls"] == len(done)
