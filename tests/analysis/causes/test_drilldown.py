"""Every cause leads to its calls: where they sit, and commands and SQL that work as they are."""

from __future__ import annotations

import shlex

import duckdb
import pytest
from builder import build_store
from quiet_days import DAY, DAYS, MONDAY, calls, quiet
from typer.testing import CliRunner

from analysis.causes.drilldown import Inside, commands, sits, sql
from analysis.diagnosis import document
from analysis.diagnosis.diagnose import diagnose
from analysis.ledger.ledger import update
from cli.app import app


def found(tmp_path, rows, **options):
    store = build_store(tmp_path / "s.duckdb", rows)
    update(store)
    return store, diagnose(store, day=DAY, **options)


def burst():
    """A storm of retries at one hour, at a model of its own."""
    for n in range(3):
        for i, row in enumerate(calls(DAYS, 9)):
            moment = MONDAY.replace(day=DAY.day, hour=14, minute=(7 * i + n) % 60)
            yield {**row, "start_time": moment, "model": "gpt-4", "attempt": 2 + n}


def test_a_cause_is_placed_at_its_model_and_hours(tmp_path):
    _, told = found(tmp_path, [*quiet(DAYS + 1), *burst()])
    first = told.causes[0]
    assert first.cause.cause == "retry_storm"
    assert {one.dimension: one.value for one in first.inside} == {"model": "gpt-4", "hours": "14:00-15:00 UTC"}
    assert all(one.share > 0.9 for one in first.inside)
    assert "14:00-15:00 UTC" in document.summary(told)


def test_a_cause_that_is_spread_like_every_day_is_placed_nowhere(tmp_path):
    _, told = found(
        tmp_path, [*quiet(DAYS), *calls(DAYS, 9, tokens=80_000), *calls(DAYS, 6, agent="editor", task="review")]
    )
    assert told.causes[0].cause.cause == "prompt_growth"
    assert told.causes[0].inside == []


def test_hours_of_a_minor_cause_are_not_those_of_its_place(tmp_path):
    # the retries are a small part of what the place grew by, so its hours say nothing of them
    rows = [*quiet(DAYS + 1), *burst(), *calls(DAYS, 4, agent="writer", tokens=400_000)]
    _, told = found(tmp_path, rows)
    for cause in told.causes:
        for one in cause.inside:
            assert one.share <= 1


@pytest.mark.parametrize("agent", ["writer", "o'brien's \"bot\"; rm -rf $HOME", "-x", "--store", "a b\n`c`", "ünï"])
def test_the_commands_and_the_sql_of_a_cause_work_as_they_are(tmp_path, agent):
    rows = [*quiet(DAYS + 1), *calls(DAYS, 60, agent=agent, task=None, user="u 1")]
    store, told = found(tmp_path, rows)
    written = document.to_json(told, str(store.path))
    named = [cause for cause in written["causes"] if cause["surprising"]]
    assert named
    for cause in named:
        assert cause["commands"]
        for command in cause["commands"]:
            program, *arguments = shlex.split(command)
            assert program == "hindcast"
            run = CliRunner().invoke(app, [*arguments, "--json"])
            assert run.exit_code == 0, (command, run.output)
        with duckdb.connect(str(store.path), read_only=True) as con:
            for query in cause["sql"].values():
                assert con.execute(query).fetchall(), query


def test_the_command_lists_the_calls_of_the_cause_and_no_others(tmp_path):
    rows = [*quiet(DAYS + 1), *calls(DAYS, 60, agent="o'brien", task=None)]
    store, told = found(tmp_path, rows)
    cause = next(c for c in document.to_json(told, str(store.path))["causes"] if c["cause"] == "new_agent")
    run = CliRunner().invoke(app, [*shlex.split(cause["commands"][0])[1:], "--limit", "100", "--json"])
    with duckdb.connect(str(store.path), read_only=True) as con:
        listed = con.execute(cause["sql"]["calls"].removesuffix("LIMIT 20")).fetchall()
        sessions = con.execute(cause["sql"]["sessions"].removesuffix("LIMIT 20")).fetchall()
    assert run.stdout.count('"call_no"') == len(listed) == 60 == sum(row[1] for row in sessions)
    assert {row[2] for row in listed} == {"o'brien"}


def test_repeats_and_retries_list_only_themselves(tmp_path):
    rows = [{**row, "key_canonical": n} for n, row in enumerate(quiet(DAYS + 1))]
    rows += [{**row, "key_canonical": 5000, "request_id": f"r{n}"} for n, row in enumerate(calls(DAYS, 40))]
    store, told = found(tmp_path, rows)
    cause = next(f.cause for f in told.causes if f.cause.cause == "duplicate_calls")
    with duckdb.connect(str(store.path), read_only=True) as con:
        query = sql(cause.segments, DAY, cause=cause.cause)["calls"].removesuffix("LIMIT 20")
        assert len(con.execute(query).fetchall()) == 39
    assert commands(cause.segments, DAY, cause=cause.cause)[0].startswith("hindcast duplicates ")


def test_what_no_longer_runs_is_shown_by_its_last_day(tmp_path):
    leaving = [row for day in range(DAYS) for row in calls(day, 60, agent="critic", task="review")]
    store, told = found(tmp_path, [*quiet(DAYS + 1), *leaving])
    written = document.to_json(told, str(store.path))
    cause = next(c for c in written["causes"] if c["cause"] == "gone")
    assert f"--day {told.day_before}" in cause["commands"][0]
    assert told.day_before < DAY
    with duckdb.connect(str(store.path), read_only=True) as con:
        assert con.execute(cause["sql"]["calls"]).fetchall()


def test_a_place_of_several_segments_has_a_command_for_each_and_one_query():
    places = [{"agent": "a"}, {"agent": "b", "region": "eu", "prompt": "t"}]
    listed = commands(places, DAY)
    assert listed == [
        "hindcast calls --agent a --day 2024-09-17",
        "hindcast calls --agent b --where region=eu --where prompt=t --day 2024-09-17",
    ]
    assert "(agent = 'a') OR (agent = 'b' AND region = 'eu' AND prompt_name = 't')" in sql(places, DAY)["calls"]


def test_shares_read_as_words():
    assert sits([Inside("model", "gpt-4", 1.0), Inside("hours", "09:00-12:00 UTC", 0.934)]) == (
        "all in model gpt-4, 93 % at 09:00-12:00 UTC"
    )
