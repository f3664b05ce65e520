"""Whatever hours a team keeps, terminal, report and pages name the right day, and agree on what a day costs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from builder import build_store
from terminal import hindcast

from analysis import time_zone
from analysis.diagnosis.diagnose import diagnose
from analysis.diagnosis.document import to_json
from analysis.forecast.month_outlook import outlook
from analysis.formatting import money
from analysis.ledger.ledger import update
from analysis.reports.cost import cost
from cli.logs.status import standing
from dashboard.documents import document_views, story
from dashboard.render import palette
from ingest.store.database import Store
from replay.engine.run import run
from replay.strategy.schema import Strategy

FIRST = datetime(2026, 6, 1)  # a Monday
TOKENS = 50_000


def calls(day: int, start: float, end: float, count: int = 24, **more: Any) -> Iterator[dict[str, Any]]:
    """So many calls of one price from hour `start` to hour `end` of a day counted from FIRST, in UTC."""
    for number in range(count):
        at = FIRST + timedelta(days=day, hours=start + (end - start) * number / max(count - 1, 1))
        yield {"start_time": at, "agent": "writer", "task": "draft", "model": "gpt-4o", "input_tokens": TOKENS,
               "output_tokens": 500, "request_id": f"{day}-{number}-{start}", **more}  # fmt: skip


def made(path: Path, rows: Iterator[dict[str, Any]] | list[dict[str, Any]]) -> Store:
    store = build_store(path / "s.duckdb", rows)
    update(store)
    return store


def office(days: int, busy: int | None = None, until: float = 17.9) -> Iterator[dict[str, Any]]:
    """Office hours on weekdays; `busy` is a day with eight times the calls, the last day ends at `until`."""
    for day in range(days):
        if day % 7 < 5:
            end = until if day == days - 1 else 17.9
            whole = 24 * (8 if day == busy else 1)
            yield from calls(day, 8, end, max(1, round(whole * (end - 8) / 9.9)))


def day_of(number: int) -> date:
    return (FIRST + timedelta(days=number)).date()


def names(store: Store) -> tuple[str, str, str]:
    """What the terminal, the page and the report say first."""
    terminal = standing(store)["day"]["summary"]
    page = document_views.sentences(to_json(diagnose(store)))[0]
    return terminal, page, story.headline(story.gather(store, []))


def test_the_newest_day_of_office_hours_is_whole_and_named(tmp_path: Path) -> None:
    store = made(tmp_path, office(31, busy=30))
    found = diagnose(store)
    assert (found.day, found.flagged, found.until) == (day_of(30), True, None)
    assert all("Wed 1 Jul" in text for text in names(store))


def test_a_morning_that_exceeds_a_whole_day_is_flagged_at_once(tmp_path: Path) -> None:
    found = diagnose(made(tmp_path, office(31, busy=30, until=11.0)))
    assert (found.day, found.flagged, found.exceeds_whole_day) == (day_of(30), True, True)
    assert "more than a whole day's range" in " ".join(to_json(found)["sentences"])


def test_an_ordinary_morning_is_compared_with_mornings(tmp_path: Path) -> None:
    found = diagnose(made(tmp_path, office(31, until=11.0)))
    assert (found.day, found.flagged) == (day_of(30), False)
    assert found.until is not None
    assert found.until.hour == 11
    assert float(found.actual) == pytest.approx(float(found.expected), rel=0.2)
    assert sum(line.delta for line in found.drivers) + found.residual == found.delta


def test_the_first_minutes_of_a_day_are_left_out_and_said_so(tmp_path: Path) -> None:
    found = diagnose(made(tmp_path, office(31, until=8.0)))
    assert found.day == day_of(29)
    assert found.left_out is not None
    assert found.left_out.day == day_of(30)
    assert "Wed 1 Jul has begun; it is too early to judge it." in to_json(found)["summary"]


def test_a_morning_dearer_than_any_day_is_told_even_without_the_history_to_judge_it(tmp_path: Path) -> None:
    sentences = to_json(diagnose(made(tmp_path, office(4, busy=3, until=11.0))))["sentences"]
    (told,) = [sentence for sentence in sentences if "too early to judge it" in sentence]
    assert "more than any day before it" in told


def test_an_old_spike_is_old_news_with_its_year(tmp_path: Path) -> None:
    store = made(tmp_path, [row for day in range(70) for row in calls(day, 0, 23.9, 60 if day == 20 else 20)])
    found = to_json(diagnose(store))
    assert found["day"] == day_of(69).isoformat()
    (run_found,) = found["flagged_runs"]
    assert (run_found["first"], run_found["kind"], run_found["days_ago"]) == (day_of(20).isoformat(), "day", 49)
    told = story.gather(store, [])
    assert "no day stands out lately" in story.headline(told)
    assert "Sun 21 Jun 2026 alone, 49 days earlier" in story.days_in_words(told)


def test_one_odd_day_is_told_as_a_day_and_a_step_as_a_level(tmp_path: Path) -> None:
    rows = [row for day in range(40) for row in calls(day, 0, 23.9, 60 if day == 35 else 20)]
    told = story.gather(made(tmp_path, rows), [])
    assert told.run is not None
    assert not told.run.lasting
    assert story.headline(told).startswith("Mon 6 Jul cost")
    assert "went from" not in story.headline(told)
    (tmp_path / "step").mkdir()
    rows = [row for day in range(40) for row in calls(day, 0, 23.9, 60 if day >= 35 else 20)]
    told = story.gather(made(tmp_path / "step", rows), [])
    assert told.run is not None
    assert told.run.lasting
    assert "went from" in story.headline(told)


def test_a_night_shift_is_judged_by_its_hours_and_by_its_zone(tmp_path: Path) -> None:
    """Work from 20:00 to 04:00 of Berlin: a UTC day cuts each night in two, a day of Honolulu holds it whole."""
    nights = [row for day in range(30) for row in calls(day, 18, 26, 200 if day == 29 else 24)]
    store = made(tmp_path, nights)
    found = diagnose(store)
    assert found.until is not None
    assert (found.day, found.flagged) == (day_of(30), True)
    with time_zone.days_in("Pacific/Honolulu"):
        found = diagnose(store)
        assert (found.day, found.flagged, found.until) == (day_of(29), True, None)


def test_two_zones_of_workers_make_one_long_day(tmp_path: Path) -> None:
    rows = [row for day in range(26) if day % 7 < 5 for hours in ((7, 16), (15, 23.5))
            for row in calls(day, *hours, 120 if (day, hours[0]) == (25, 15) else 20)]  # fmt: skip
    found = diagnose(made(tmp_path, rows))
    assert (found.day, found.flagged, found.until) == (day_of(25), True, None)


def test_a_holiday_is_no_fall_of_the_day_after_it(tmp_path: Path) -> None:
    rows = [row for row in office(32) if row["start_time"].date() not in (day_of(29), day_of(28))]
    found = diagnose(made(tmp_path, rows))
    assert (found.day, found.flagged) == (day_of(31), False)


def test_report_overview_strategies_and_replay_have_one_mean_a_day(tmp_path: Path) -> None:
    store = made(tmp_path, office(26))
    policy = Strategy.model_validate({"name": "same", "route": [{"default": "gpt-4o"}]})
    told, replayed = story.gather(store, [policy]), run(store, [policy])
    coverage = document_views.coverage(store)
    drawn = document_views.trajectory(told.by_agent, "agent", palette.assign(["writer"]))
    mean = replayed.per_day()
    assert mean is not None
    assert told.mean(told.coverage.mean_days) == mean
    assert replayed.strategies[0].per_day() == replayed.strategies[0].logged_per_day() == mean
    assert told.replay is not None
    assert told.replay.per_day() == mean
    assert document_views.trajectory_finding(drawn, "agent", told.diagnosis, coverage.mean_days).startswith(money(mean))
    shown = story.numbers(told)
    assert {value for label, value, _ in shown[:2]} == {money(mean)}
    assert "mean of 26 complete days, 6 of them without a call" in shown[0][2]
    assert replayed.mean_of() == "mean of 26 complete days, 6 of them without a call"
    assert replayed.to_json()["baseline"]["days_without_calls"] == 6


WORLDS = {
    "office": lambda: office(26),
    "weekdays around the clock": lambda: (row for day in range(26) if day % 7 < 5 for row in calls(day, 0, 23.9, 48)),
    "nights": lambda: (row for day in range(30) for row in calls(day, 18, 26)),
    "two zones": lambda: (row for day in range(26) if day % 7 < 5 for hours in ((7, 16), (15, 23.5))
                          for row in calls(day, *hours, 20)),
    "holidays": lambda: (row for row in office(32) if row["start_time"].date() not in (day_of(29), day_of(28))),
    "a last day that is under way": lambda: office(31, until=11.0),
}  # fmt: skip
A_DAY = re.compile(r"\\?\$([\d.,]+)(?: a day|/day)")


@pytest.mark.parametrize(
    "world", [pytest.param(name, marks=[] if name == "holidays" else [pytest.mark.slow]) for name in WORLDS]
)
def test_every_amount_a_day_that_is_printed_is_the_one_mean(tmp_path: Path, world: str) -> None:
    """Of one agent under a policy that moves nothing: both reports, the replay's table and its JSON, and the page."""
    store = made(tmp_path, WORLDS[world]())
    (tmp_path / "same.yaml").write_text("name: same\nroute:\n  - default: gpt-4o\n")
    mean = run(store, []).per_day()
    assert mean is not None
    printed = [
        hindcast(tmp_path, "report", "same.yaml", "--for", audience, "--md", "-o", "-", "--store", "s.duckdb").stdout
        for audience in ("stakeholders", "engineers")
    ]
    replayed = hindcast(tmp_path, "replay", "same.yaml", "--store", "s.duckdb").stdout
    told = story.gather(store, [])
    drawn = document_views.trajectory(told.by_agent, "agent", palette.assign(["writer"]))
    days = document_views.coverage(store).mean_days
    printed += [replayed, document_views.trajectory_finding(drawn, "agent", told.diagnosis, days)]
    amounts = [A_DAY.findall(text) for text in printed]
    assert all(amounts)
    assert {f"${amount}" for found in amounts for amount in found} == {money(mean)}
    said = json.loads(hindcast(tmp_path, "replay", "same.yaml", "--store", "s.duckdb", "--json").stdout)
    per_day = [said["baseline"]["usd_per_day"], *(one["usd_per_day"] for one in said["strategies"])]
    assert {round(float(value), 6) for value in per_day} == {round(float(mean), 6)}


def test_what_a_policy_saves_is_told_beside_what_the_same_days_cost(tmp_path: Path) -> None:
    """After a new level the policy is replayed on its days alone, and the card says what those cost."""
    store = made(tmp_path, office(31, busy=30))
    policy = Strategy.model_validate({"name": "small", "route": [{"default": "gpt-4o-mini"}]})
    told = story.gather(store, [policy])
    (_, cost, beside), *_ = [row for row in story.numbers(told) if row[0].startswith("With")]
    logged, saved = re.fullmatch(r"a day instead of \$([\d.]+), ([\d.]+) % less", beside).groups()  # type: ignore[union-attr]
    assert float(cost.lstrip("$")) / float(logged) == pytest.approx(1 - float(saved) / 100, abs=0.01)
    assert float(logged) > 2 * float(told.mean(told.coverage.mean_days) or 0)


def test_costs_and_replays_have_the_same_days_in_a_zone_whose_clocks_change(tmp_path: Path) -> None:
    start = (datetime(2026, 10, 23) - FIRST).days
    store = made(tmp_path, [row for day in range(start, start + 5) for row in calls(day, 0, 23.9, 48)])
    with time_zone.days_in("Europe/Berlin"):
        told = cost(store, by=("day",)).to_json()
        days = {row["day"]: row["calls"] for row in told["rows"]}
        assert days == {row.day.isoformat(): row.calls for row in run(store, []).daily}
        assert days["2026-10-25"] > days["2026-10-24"]  # 25 hours
        sunday = date(2026, 10, 25)
        assert cost(store, by=(), since=sunday, until=sunday).to_json()["total"]["calls"] == days["2026-10-25"]


def test_the_month_is_not_billed_for_weekends(tmp_path: Path) -> None:
    store = made(tmp_path, office(12))
    coverage, costs = document_views.coverage(store), document_views.day_costs(story.gather(store, []).by_agent)
    ahead = outlook(costs, coverage.whole_days)
    assert ahead is not None
    weekday = costs[day_of(0)]
    assert float(ahead.expected) == pytest.approx(float(22 * weekday), rel=0.01)
    assert ahead.low <= 22 * weekday <= ahead.high
