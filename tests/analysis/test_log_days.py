"""Which days of a log are whole: as far as comparable days go, whatever hours a team keeps."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

from hypothesis import given
from hypothesis import strategies as st

from analysis.log_days import LogDays

MONDAY = date(2026, 6, 1)


def log(spans: dict[int, tuple[str, str]]) -> LogDays:
    """Days counted from MONDAY, with the clock of their first and last call."""
    return LogDays(
        {
            MONDAY + timedelta(days=number): tuple(
                datetime.combine(MONDAY + timedelta(days=number), time.fromisoformat(at)) for at in span
            )
            for number, span in spans.items()
        }  # type: ignore[arg-type]
    )


OFFICE = {number: ("08:00", "17:55") for number in range(30) if number % 7 < 5}


def test_days_that_always_end_at_six_are_whole() -> None:
    assert log(OFFICE).begun is None
    assert log(OFFICE).whole == log(OFFICE).covered


def test_a_day_that_ends_at_noon_is_not() -> None:
    found = log({**OFFICE, 30: ("08:00", "12:10")})
    assert found.begun == MONDAY + timedelta(days=30)
    assert found.until == time(12, 10)
    assert found.whole[-1] == MONDAY + timedelta(days=29)


def test_short_saturdays_are_whole_where_saturdays_are_short() -> None:
    days = {number: ("08:00", "13:00" if number % 7 == 5 else "19:00") for number in range(27)}
    assert log(days).begun is None
    assert log({**days, 28: ("08:00", "13:00")}).begun == MONDAY + timedelta(days=28)


def test_a_first_day_that_began_late_is_cut() -> None:
    assert log({**OFFICE, 0: ("14:00", "17:55")}).whole[0] == MONDAY + timedelta(days=1)


def test_night_shifts_end_their_last_day_in_the_morning() -> None:
    nights = dict.fromkeys(range(1, 20), ("00:01", "23:58"))
    found = log({0: ("22:00", "23:59"), **nights, 20: ("00:02", "04:00")})
    assert found.whole == [MONDAY + timedelta(days=number) for number in range(1, 20)]


def test_idle_days_in_between_are_whole_and_counted() -> None:
    found = log(OFFICE)
    assert found.idle(found.whole) == 8
    assert found.within(MONDAY, MONDAY + timedelta(days=6)) == [MONDAY + timedelta(days=n) for n in range(7)]


def test_few_days_are_whole_only_from_midnight_to_midnight() -> None:
    assert log({0: ("00:10", "23:50"), 1: ("00:00", "12:00")}).whole == [MONDAY]
    assert LogDays().whole == []
    assert LogDays().begun is None


@given(st.dictionaries(st.integers(0, 40), st.tuples(st.integers(0, 1439), st.integers(0, 1439)), min_size=1))
def test_only_the_first_and_the_last_day_can_be_cut(spans: dict[int, tuple[int, int]]) -> None:
    found = log({n: (f"{min(s) // 60:02}:{min(s) % 60:02}", f"{max(s) // 60:02}:{max(s) % 60:02}")
                 for n, s in spans.items()})  # fmt: skip
    assert found.covered[1:-1] == [day for day in found.whole if day not in (found.covered[0], found.covered[-1])]
    assert found.begun in (None, found.active[-1])
