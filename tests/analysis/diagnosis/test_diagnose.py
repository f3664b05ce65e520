"""A diagnosis of a store: the day it picks, the drivers it names, and sums that hold to the last digit."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest
from builder import build_in_memory

from analysis.diagnosis import document, narrative
from analysis.diagnosis.diagnose import diagnose
from analysis.ledger.ledger import update
from ingest.errors import InputError

MONDAY = date(2024, 2, 5)


def calls_of(day, agent, count, *, task="write", model="gpt-4-turbo", tokens=10_000, out=1000, requests=None, **more):
    """`count` calls over the day; `requests` of them share each request id."""
    for i in range(count):
        start = datetime.combine(day, datetime.min.time()) + timedelta(seconds=i * 86_000 // max(count - 1, 1))
        yield {
            "start_time": start, "agent": agent, "task": task, "model": model, "input_tokens": tokens,
            "output_tokens": out, "request_id": f"{agent}{day}-{i % requests}" if requests else None, **more,
        }  # fmt: skip


def store_of(path, rows):
    store = build_in_memory(rows)
    update(store)
    return store


def steady(days=28, **more):
    """Four weeks of 6 + weekday calls a day of one agent, at $0.13 each."""
    for i in range(days):
        day = MONDAY + timedelta(days=i)
        yield from calls_of(day, "writer", 6 + day.weekday(), **more)


def last(days=28):
    return MONDAY + timedelta(days=days)


def total(found):
    return sum((line.delta for line in found.drivers), Decimal(0)) + found.residual


def test_a_spike_is_found_on_its_day_and_named(tmp_path):
    spike = last()
    rows = [*steady(), *calls_of(spike, "writer", 6), *calls_of(spike, "reviewer", 30)]
    found = diagnose(store_of(tmp_path, rows))
    assert (found.day, found.flagged, found.verdict) == (spike, True, "flagged")
    assert found.onset == spike
    top = found.drivers[0]
    assert (top.segment, top.factor) == ({"agent": "reviewer", "task": "write"}, "new_segment")
    assert top.delta == Decimal("3.9")  # 30 x (10,000 x $10 + 1,000 x $30) / 1M
    assert total(found) == found.delta
    assert found.residual == 0
    assert found.low < found.expected < found.high < found.actual


def test_an_ordinary_day_is_ordinary_and_still_explained(tmp_path):
    found = diagnose(store_of(tmp_path, [*steady(29)]))
    assert (found.flagged, found.verdict, found.day) == (False, "ordinary", last())
    assert total(found) == found.delta
    assert abs(found.delta) < Decimal("0.05") * found.expected


def test_weekdays_are_compared_with_their_like(tmp_path):
    rows = []
    for i in range(36):
        day = MONDAY + timedelta(days=i)
        rows += calls_of(day, "writer", 3 if day.weekday() >= 5 else 12)
    found = diagnose(store_of(tmp_path, rows), day=MONDAY + timedelta(days=33))  # a Saturday
    assert not found.flagged
    assert found.expected == pytest.approx(found.actual, rel=Decimal("0.05"))


def test_requests_tell_loops_from_traffic(tmp_path):
    rows = [*steady(requests=3), *calls_of(last(), "writer", 18, requests=3)]
    found = diagnose(store_of(tmp_path, rows))
    assert found.drivers[0].factor == "calls_per_request"
    assert found.drivers[0].after == 6.0
    plain = [{**row, "request_id": None} for row in rows]
    (tmp_path / "plain").mkdir()
    assert diagnose(store_of(tmp_path / "plain", plain)).drivers[0].factor == "volume"


def test_under_seven_days_the_baseline_is_the_mean_of_the_active_days_before(tmp_path):
    rows = []
    for i, count in enumerate((1, 2, 3)):
        rows += calls_of(MONDAY + timedelta(days=2 * i), "writer", count)
    rows += calls_of(MONDAY + timedelta(days=6), "writer", 6)
    found = diagnose(store_of(tmp_path, rows), day=MONDAY + timedelta(days=6))
    assert found.low_history
    assert found.verdict == "not_enough_history"
    assert not found.flagged
    assert found.expected == Decimal("0.26")  # 2 calls a day
    assert found.delta == Decimal("0.52") == total(found)
    assert "not enough history" in document.summary(found)


def test_the_first_day_of_a_log_is_all_new(tmp_path):
    found = diagnose(store_of(tmp_path, calls_of(MONDAY, "writer", 5)), day=MONDAY)
    assert found.expected == 0
    assert found.low_history
    assert [line.factor for line in found.drivers] == ["new_segment"]
    assert total(found) == found.delta


def test_a_range_of_days_serves_as_baseline(tmp_path):
    rows = [*steady(), *calls_of(last(), "writer", 12)]
    week = (MONDAY, MONDAY + timedelta(days=6))
    found = diagnose(store_of(tmp_path, rows), day=last(), baseline=week)
    assert found.expected == Decimal(9 * 13) / 100  # the mean of 6, 7, ... 12 calls at $0.13
    assert found.baseline.kind == "range"
    assert total(found) == found.delta


def test_unpriced_calls_leave_both_sides_and_are_counted(tmp_path):
    day = last()
    rows = [
        *steady(),
        *calls_of(day - timedelta(days=1), "writer", 4, model="made-up-model"),
        *calls_of(day, "writer", 6),
        *calls_of(day, "writer", 9, model="made-up-model"),
        *calls_of(day, "stranger", 3, model="made-up-model"),
    ]
    found = diagnose(store_of(tmp_path, rows), day=day)
    assert found.unpriced[0] == 12
    assert found.unpriced[1] > 0
    assert {line.segment["agent"] for line in found.drivers} == {"writer"}
    assert total(found) == found.delta
    assert found.residual == 0


def test_dollars_against_a_side_without_a_price_are_residual_not_new(tmp_path):
    rows = [*steady()]
    for i in range(28):
        rows += calls_of(MONDAY + timedelta(days=i), "stranger", 2, model="made-up-model")
    rows += [*calls_of(last(), "writer", 6), *calls_of(last(), "stranger", 2)]
    found = diagnose(store_of(tmp_path, rows), day=last())
    assert found.residual == Decimal("0.26")
    assert total(found) == found.delta


def test_weighted_rows_count_as_many_calls(tmp_path):
    rows = [*steady(), *calls_of(last(), "writer", 4, weight=10), *calls_of(last(), "sampled", 2, weight=500)]
    found = diagnose(store_of(tmp_path, rows), metric="calls", day=last())
    assert found.actual == 1040
    assert (found.drivers[0].segment["agent"], found.drivers[0].delta) == ("sampled", 1000)
    assert total(found) == found.delta


@pytest.mark.parametrize("metric", ["cost", "calls", "tokens"])
@pytest.mark.parametrize("by", [("agent", "task"), ("model",), ("agent", "task", "model", "user")])
def test_every_metric_and_segment_adds_up(tmp_path, metric, by):
    rows = [*steady(user_id="u1")]
    rows += calls_of(last(), "writer", 17, tokens=2500, out=333, user_id="u2", model="gpt-3.5-turbo")
    rows += calls_of(last(), "writer", 13, tokens=999, cache_read_input_tokens=512, model="gpt-4o")
    found = diagnose(store_of(tmp_path, rows), metric=metric, by=by)
    assert total(found) == found.delta
    written = document.to_json(found)
    assert list(written["drivers"][0]["segment"]) == list(by)
    parts = [Decimal(str(d["delta"])) for d in written["drivers"]]
    assert sum(parts) + Decimal(str(written["residual"])) == pytest.approx(Decimal(str(written["delta"])))


def test_a_spike_that_stays_is_flagged_from_its_onset(tmp_path):
    rows = [*steady()]
    for i in range(6):
        rows += calls_of(last(28 + i), "writer", 40)
    found = diagnose(store_of(tmp_path, rows))
    assert found.flagged
    assert found.day == last(33)
    assert found.onset == last(28)
    assert found.expected < 2  # the spike's own days are no baseline for it


def test_what_cannot_be_explained_says_so(tmp_path):
    store = store_of(tmp_path, steady(3))
    with pytest.raises(InputError, match="no calls on 2020-01-01"):
        diagnose(store, day=date(2020, 1, 1))
    with pytest.raises(InputError, match="Did you mean 'agent'"):
        diagnose(store, by=("agnet",))
    with pytest.raises(InputError, match="'costs' is not a metric"):
        diagnose(store, metric="costs")


def test_shares_of_a_change_that_cancels_are_left_out(tmp_path):
    def day(number, first, second):
        when = date(2024, 3, number)
        return [*calls_of(when, "a", first), *calls_of(when, "b", second)]

    for name, counts, remark in (("cancels", (40, 20), "no share"), ("adds", (80, 40), None)):
        rows = [row for number in range(1, 9) for row in day(number, 30, 30)] + day(9, *counts)
        store = store_of(tmp_path / name, [*rows, *calls_of(date(2024, 3, 9), "c", 1)])
        found = diagnose(store, day=date(2024, 3, 9), baseline=(date(2024, 3, 1), date(2024, 3, 8)))
        shown = narrative.rows(found, 8)
        assert {row[0] for row in shown[:-1]} == {"-"} if remark else "-" not in {row[0] for row in shown}
        assert remark in narrative.crossed(found) if remark else narrative.crossed(found) is None
