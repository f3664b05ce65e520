"""The units and the days of a rollout: what lies across an edge, and what is counted in which unit."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from rollout_sessions import (
    BEFORE,
    BIG,
    FIRST,
    HELD_BACK,
    MINI,
    ROLLOUT,
    SMALL,
    Row,
    adds_up,
    held_back,
    log,
    session,
    store_of,
)

from ingest.errors import InputError
from replay.evaluation.rollout_log import observed, whole_days
from replay.evaluation.verify import verify
from replay.strategy import schema
from replay.traffic.demand_units import demand_units
from replay.traffic.load_traffic import load


def test_conversations_that_span_the_day_are_billed_alike_on_both_sides(tmp_path: Path):
    def each(day: int, number: int, size: float) -> list[Row]:
        rows = session(day, number, size=size, model=SMALL if day >= BEFORE else BIG)
        if day == BEFORE - 1 and number < 5:
            rows[-1]["start_time"] += timedelta(days=1)
        return rows

    result = verify(store_of(tmp_path, log(each)), MINI, rollout=ROLLOUT)
    assert any(note.startswith("5 conversations began before the rollout and cost") for note in result.notes)
    assert result.units_after == 7 * 30
    assert result.inside
    assert adds_up(result)


def test_conversations_that_last_days_are_not_compared_where_only_the_short_ones_are_whole(tmp_path: Path):
    """Each makes one call a day for three days. Nothing is rolled out, yet those begun near an edge look cheaper."""

    def each(day: int, number: int, size: float) -> list[Row]:
        rows = session(day, number, size=size)
        for place, row in enumerate(rows):
            row["start_time"] += timedelta(days=place)
        return [row for row in rows if row["start_time"].date() < FIRST + timedelta(days=28)]

    store = store_of(tmp_path, log(each, days=28))
    result = verify(store, schema.parse("name: logged"), rollout=ROLLOUT)
    assert not [name for name, one in result.effects.effects.items() if one.claimed]
    assert result.effects.effects["calls"].estimate.within == 3.0


def test_a_last_day_that_is_cut_short_is_left_out_of_the_series(tmp_path: Path):
    rows = log(lambda day, number, size: session(day, number, size=size) if day < 20 or number < 4 else [])
    store = store_of(tmp_path, rows)
    first, last = whole_days(load(store))
    assert last - first == 19
    result = verify(store, schema.parse("name: logged"), rollout=ROLLOUT)
    assert result.effects.effects["demand"].estimate.groups == 20
    assert not any(one.claimed for one in result.effects.effects.values())


@pytest.mark.parametrize(
    ("unit", "noun", "units"),
    [("conversation", "conversation", 6), ("user", "user-day", 4), ("call", "call", 18), ("tag:article", "article", 3)],
)
def test_units_are_counted_as_they_are_asked_for(tmp_path: Path, unit: str, noun: str, units: int):
    rows = [
        {**row, "user_id": f"u{number % 2}", "tags": ["x:1", f"article:{number % 3}"]}
        for day in range(2)
        for number in range(3)
        for row in session(day, number)
    ]
    found = demand_units(load(store_of(tmp_path, rows)), unit)
    assert (found.noun, len(found), found.known) == (noun, units, 1.0)
    assert found.of_call[found.first].tolist() == list(range(units))


def test_an_unknown_unit_is_refused_with_the_nearest(tmp_path: Path):
    store = store_of(tmp_path, session(0, 0))
    for wrong, words in (
        ("conversatoin", "Did you mean 'conversation'"),
        ("user", "no call of the log names its user"),
    ):
        with pytest.raises(InputError) as error:
            demand_units(load(store), wrong)
        assert words in f"{error.value} {error.value.remedy}"


def test_the_log_is_read_once_into_units(tmp_path: Path):
    store = store_of(tmp_path, log(held_back, days=16, sessions=10))
    found = observed(store, HELD_BACK, rollout=ROLLOUT)
    assert len(found.table) == 160
    assert found.table.calls.sum() == len(found.traffic)
    assert found.table.cost.sum() == pytest.approx(found.traffic.cost.sum() / 1e12)
