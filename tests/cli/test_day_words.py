"""One vocabulary of days in every command: a word means the same days everywhere, and what is unreadable says why."""

from __future__ import annotations

import json
from datetime import date, timedelta

import pytest
from builder import build_store
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from analysis.calendar_days import parse_days, parse_range
from analysis.ledger.ledger import update
from cli.app import app
from ingest.errors import InputError

NOW = date(2024, 3, 6)  # a Wednesday
DAYS = st.dates(date(1900, 1, 1), date(2999, 12, 31))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One call a day, from 20 February to 5 March 2024."""
    days = [date(2024, 2, 20) + timedelta(days=n) for n in range(15)]
    calls = [{"start_time": f"{day} 12:00:00", "input_tokens": 10, "output_tokens": 1} for day in days]
    built = build_store(tmp_path_factory.mktemp("days") / "s.duckdb", calls)
    update(built)
    return str(built.path)


def hindcast(*arguments: str) -> Result:
    return CliRunner(env={"HINDCAST_NOW": NOW.isoformat()}).invoke(app, list(arguments))


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2024-03-05", date(2024, 3, 5), date(2024, 3, 5)),
        ("2024-02", date(2024, 2, 1), date(2024, 2, 29)),
        ("2024-W09", date(2024, 2, 26), date(2024, 3, 3)),
        ("2020-W53", date(2020, 12, 28), date(2021, 1, 3)),
        ("today", NOW, NOW),
        ("Yesterday", date(2024, 3, 5), date(2024, 3, 5)),
        ("7d", date(2024, 2, 29), NOW),
        ("1d", NOW, NOW),
    ],
)
def test_a_word_names_its_first_and_last_day(text: str, first: date, last: date) -> None:
    assert parse_days(text, NOW) == (first, last)


@given(day=DAYS)
def test_every_day_is_in_its_month_and_its_week_and_is_itself(day: date) -> None:
    year, week, _ = day.isocalendar()
    for text in (day.isoformat(), f"{day:%Y-%m}", f"{year}-W{week:02}"):
        first, last = parse_days(text, NOW)
        assert first <= day <= last
    assert parse_days(day.isoformat(), NOW) == (day, day)


@given(count=st.integers(1, 36_525), now=DAYS.filter(lambda day: day.year > 2001))
def test_the_last_n_days_are_n_and_end_today(count: int, now: date) -> None:
    first, last = parse_days(f"{count}d", now)
    assert ((last - first).days + 1, last) == (count, now)


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("2024/03/05", "2024-03-05"), ("20240305", "2024-03-05"), ("5.3.2024", "2024-03-05"),
        ("2024-03-05T12:00", "2024-03-05"), ("2024W9", "2024-W09"), ("7", "7d"), ("7 days", "7d"),
        ("tody", "today"), ("2024/3", "2024-03"),
    ],
)  # fmt: skip
def test_an_unreadable_day_names_the_nearest_form(text: str, near: str) -> None:
    with pytest.raises(InputError, match=f"names no day\nDid you mean {near}\\? Write YYYY-MM-DD"):
        parse_days(text, NOW)


@pytest.mark.parametrize("text", ["", "March", "2024-02-30", "2024-13", "2021-W53", "0d", "99999d", "٢٠٢٤-٠٣-٠٥"])
def test_what_is_no_day_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="names no day"):
        parse_days(text, NOW)


def test_a_range_is_two_words_or_one() -> None:
    assert parse_range("2024-02-01..yesterday", NOW) == (date(2024, 2, 1), date(2024, 3, 5))
    assert parse_range("2024-02", NOW) == (date(2024, 2, 1), date(2024, 2, 29))


@pytest.mark.parametrize(
    ("options", "calls", "since", "until"),
    [
        (["--since", "7d"], 6, "2024-02-29", None),
        (["--since", "2024-W09", "--until", "2024-W09"], 7, "2024-02-26", "2024-03-03"),
        (["--until", "2024-02"], 10, None, "2024-02-29"),
        (["--day", "yesterday"], 1, "2024-03-05", "2024-03-05"),
    ],
)
def test_the_json_names_the_days_that_were_asked_for(
    store: str, options: list[str], calls: int, since: str | None, until: str | None
) -> None:
    found = json.loads(hindcast("cost", "--store", store, "--json", *options).stdout)
    assert found["total"]["calls"] == calls
    assert found["window"] == {"since": since, "until": until}
    listed = json.loads(hindcast("calls", "--store", store, "--json", *options).stdout)
    assert listed["total"]["calls"] == calls


def test_an_empty_window_counted_from_today_says_what_today_is(store: str) -> None:
    empty = hindcast("cost", "--store", store, "--day", "today")
    said = "Nothing is logged on 2024-03-06. The log has 2024-02-20 to 2024-03-05. Today is 2024-03-06 (UTC).\n"
    assert (empty.stdout, empty.stderr) == (said, "")
    beside = hindcast("cost", "--store", store, "--day", "today", "--json")
    assert (json.loads(beside.stdout)["total"]["calls"], beside.stderr) == (0, said)


def test_one_day_is_one_day_and_contradicts_a_window(store: str) -> None:
    assert "is 7 days\nAs a window: --since 2024-02-26 --until 2024-03-03" in str(
        hindcast("cost", "--store", store, "--day", "2024-W09").exception
    )
    both = hindcast("cost", "--store", store, "--since", "2024-03-01", "--day", "2024-03-05")
    assert "--day and --since are both given" in str(both.exception)


def test_a_wrong_today_is_bad_input(store: str) -> None:
    found = CliRunner(env={"HINDCAST_NOW": "soon"}).invoke(app, ["cost", "--store", store, "--since", "7d"])
    assert "HINDCAST_NOW is 'soon', which is not a day" in str(found.exception)
