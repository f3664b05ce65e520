"""Times in every layout that logs write."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.records.call import BadRecordError
from ingest.records.timestamps import time_us, zone_named

MOMENTS = st.datetimes(datetime(2001, 1, 1), datetime(2090, 1, 1)).map(lambda one: one.replace(microsecond=0))
# strftime layouts and who writes them; every one is of whole seconds
LAYOUTS = {
    "RFC 3339": "%Y-%m-%dT%H:%M:%SZ",
    "ISO with a space": "%Y-%m-%d %H:%M:%S",
    "American portal": "%m/%d/%Y, %I:%M:%S %p",
    "Go": "%Y-%m-%d %H:%M:%S +0000 UTC",
    "RFC 1123": "%a, %d %b %Y %H:%M:%S GMT",
    "RFC 1123 with an offset": "%a, %d %b %Y %H:%M:%S +0000",
    "Kibana": "%b %d, %Y @ %H:%M:%S.000",
    "JavaScript": "%a %b %d %Y %H:%M:%S GMT+0000 (Coordinated Universal Time)",
    "asctime": "%a %b %d %H:%M:%S %Y",
    "date(1)": "%a %b %d %H:%M:%S UTC %Y",
    "common log format": "%d/%b/%Y:%H:%M:%S +0000",
    "dotted": "%d.%m.%Y %H:%M:%S",
    "spelled out": "%B %d, %Y %I:%M:%S %p",
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@given(moment=MOMENTS)
def test_a_time_is_the_same_in_every_layout(layout: str, moment: datetime) -> None:
    expected = round(moment.replace(tzinfo=UTC).timestamp()) * 1_000_000
    assert time_us(moment.strftime(layout), "$")[0] == expected


@given(moment=MOMENTS, hours=st.integers(-12, 14))
def test_an_offset_is_taken_off(moment: datetime, hours: int) -> None:
    zone = zone_named(f"{'-' if hours < 0 else '+'}{abs(hours):02}:00")
    here = moment.replace(tzinfo=zone)
    assert time_us(format_datetime(here), "$")[0] == round(here.timestamp()) * 1_000_000


@given(moment=MOMENTS)
def test_a_time_without_a_zone_is_of_the_zone_that_is_given(moment: datetime) -> None:
    found, precision = time_us(moment.strftime("%b %d, %Y @ %H:%M:%S"), "$", zone=zone_named("+02:00"))
    assert precision == "assumed_tz"
    assert found == round((moment.replace(tzinfo=UTC) - timedelta(hours=2)).timestamp()) * 1_000_000


@pytest.mark.parametrize("text", ["1/6/2026, 9:00:00 am", "01/06/2026 09:00", "31/31/2026 09:00", "6/1/2026, 13:00 PM",
                                  "Foo 1, 2026 9:00", "09:00:00", "yesterday", "2026-13-01 09:00 UTC"])  # fmt: skip
def test_what_is_no_time_or_two_times_is_refused(text: str) -> None:
    with pytest.raises(BadRecordError):
        time_us(text, "$")


def test_a_date_with_one_reading_is_read() -> None:
    assert time_us("13/6/2026 09:00", "$") == time_us("6/13/2026, 9:00 AM", "$")
    assert time_us("/Date(1780304400000)/", "$")[0] == 1_780_304_400_000_000


@given(moment=MOMENTS, day_first=st.booleans())
def test_a_date_with_slashes_is_read_as_it_is_told(moment: datetime, day_first: bool) -> None:
    text = moment.strftime("%d/%m/%Y %H:%M:%S" if day_first else "%m/%d/%Y %H:%M:%S")
    expected = round(moment.replace(tzinfo=UTC).timestamp()) * 1_000_000
    assert time_us(text, "$", day_first=day_first)[0] == expected
    midnight = time_us(moment.strftime("%d/%m/%Y" if day_first else "%m/%d/%Y"), "$", day_first=day_first)[0]
    assert midnight == expected - expected % 86_400_000_000
