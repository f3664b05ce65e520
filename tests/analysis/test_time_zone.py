"""Days of a zone begin at its midnight, and have 23 or 25 hours where clocks change."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis import time_zone
from analysis.dimensions import dimension
from ingest.errors import InputError

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/Sao_Paulo",
    "Asia/Kolkata",
    "Asia/Beirut",
    "Pacific/Apia",
    "Australia/Lord_Howe",
)


def test_days_have_23_and_25_hours_where_clocks_change() -> None:
    with time_zone.days_in("Europe/Berlin"):
        hours = [(time_zone.day_start(day + timedelta(days=1)) - time_zone.day_start(day)) / timedelta(hours=1)
                 for day in (date(2026, 3, 28), date(2026, 3, 29), date(2026, 10, 25))]  # fmt: skip
        assert hours == [24, 23, 25]
        assert time_zone.odd_hours(date(2026, 3, 29)) == time_zone.odd_hours(date(2026, 10, 25)) == {2}
    assert time_zone.zone() is None


@given(st.sampled_from(ZONES), st.datetimes(datetime(1995, 1, 1), datetime(2030, 1, 1)))
def test_an_instant_lies_between_the_beginnings_of_its_day_and_the_next(name: str, instant: datetime) -> None:
    with time_zone.days_in(name):
        day = time_zone.day_of(instant)
        assert time_zone.day_start(day) <= instant < time_zone.day_start(day + timedelta(days=1))
        text = time_zone.day_sql("$at::TIMESTAMP")
        assert duckdb.execute(f"SELECT {text}", {"at": instant}).fetchall() == [(day,)]


def test_dimensions_of_time_follow_the_zone_and_rules_do_not() -> None:
    plain = dimension("day").sql
    with time_zone.days_in("Asia/Kolkata"):
        assert "Asia/Kolkata" in dimension("day").sql
        assert "Asia/Kolkata" in dimension("hour_of_day").sql
        assert dimension("hour", "rule").sql == "hour(start_time)"
    assert dimension("day").sql == plain == "start_time::DATE"


def test_a_zone_that_does_not_exist_is_refused_with_a_near_one() -> None:
    with pytest.raises(InputError, match="no time zone") as error, time_zone.days_in("Europe/Berln"):
        pass
    assert "Europe/Berlin" in (error.value.remedy or "")
