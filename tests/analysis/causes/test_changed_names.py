"""A changed name is no change of what runs: renamed agents, jobs that come again, aliases of models."""

from __future__ import annotations

from datetime import datetime, timedelta

from builder import build_store

from analysis.diagnosis.diagnose import diagnose
from analysis.ledger.ledger import update

DAYS = 15
MONDAY = datetime(2024, 9, 2)


def calls(day, count, *, agent="writer", task="draft", tokens=20_000, model="gpt-4-turbo", **more):
    for i in range(count):
        yield {
            "start_time": MONDAY + timedelta(days=day, minutes=5 + 10 * i), "agent": agent, "task": task,
            "model": model, "input_tokens": tokens, "output_tokens": 500, **more,
        }  # fmt: skip


def quiet(days=range(DAYS), **more):
    for day in days:
        yield from calls(day, 30, **more)
        yield from calls(day, 8, agent="editor", task="review", **more)


def causes(tmp_path, rows, day=DAYS):
    store = build_store(tmp_path / "s.duckdb", rows)
    update(store)
    found = diagnose(store, day=(MONDAY + timedelta(days=day)).date())
    assert sum(one.delta for one in found.causes) + found.residual == found.delta
    return found, {one.cause.cause: one for one in found.causes if one.cause.surprising}


def test_an_agent_under_another_name_costs_what_it_grew_by(tmp_path):
    now = [*calls(DAYS, 90, agent="writer-v2", tokens=21_000), *calls(DAYS, 8, agent="editor", task="review")]
    found, named = causes(tmp_path, [*quiet(), *now])
    assert not {"new_agent", "gone"} & set(named)
    (one,) = [named["renamed"]]
    assert one.cause.segments == [{"agent": "writer-v2", "task": "draft"}, {"agent": "writer", "task": "draft"}]
    assert one.delta == one.undo_saves
    assert abs(one.delta - found.delta) < found.delta / 20


def test_another_agent_with_other_prompts_is_new_though_one_ends_that_day(tmp_path):
    now = [*calls(DAYS, 36, agent="critic", tokens=60_000), *calls(DAYS, 8, agent="editor", task="review")]
    _, named = causes(tmp_path, [*quiet(), *now])
    assert {"new_agent", "gone"} <= set(named)


def test_a_job_of_the_month_before_is_no_new_agent(tmp_path):
    job = [row for day in (0, 31) for row in calls(day, 40, agent="invoice", task="month")]
    _, named = causes(tmp_path, [*quiet(range(32)), *job], 31)
    assert "new_agent" not in named
    assert named["runs_again"].cause.evidence == ["it made 40 calls on Mon 2 Sep 2024"]


def test_an_alias_that_another_model_answers_is_told_from_calls_that_ask_for_it(tmp_path):
    before = list(quiet(request_model="gpt-4o", model="gpt-4o-2024-08-06"))
    for name, asked, expected in (("alias", "gpt-4o", "alias_moved"), ("asked", None, "model_switch")):
        now = {"model": "gpt-4o-2024-05-13", "request_model": asked or "gpt-4o-2024-05-13"}
        (tmp_path / name).mkdir()
        _, named = causes(tmp_path / name, [*before, *quiet([DAYS], **now)])
        assert expected in named
        if asked:
            assert named[expected].cause.evidence == [
                "calls that ask for gpt-4o are answered by gpt-4o-2024-05-13 instead of gpt-4o-2024-08-06"
            ]


def test_one_user_in_all_agents_is_named_and_everybody_calling_more_is_traffic(tmp_path):
    def people(day, each, who):
        for place in ({}, {"agent": "editor", "task": "review"}, {"agent": "planner", "task": "plan"}):
            for user in who:
                yield from calls(day, each, user_id=user, **place)

    usual = [row for day in range(DAYS + 1) for row in people(day, 2, "abcdef")]
    for name, more, expected in (
        ("one", people(DAYS, 14, ["newcomer"]), True), ("all", people(DAYS, 2, "abcdefgh"), False),
    ):  # fmt: skip
        (tmp_path / name).mkdir()
        _, named = causes(tmp_path / name, [*usual, *more])
        assert ("user_surge" in named) is expected
        if expected:
            assert named["user_surge"].cause.segments == [{"user": "newcomer"}]


def test_an_agent_whose_calls_all_fail_is_not_gone(tmp_path):
    nothing = {"status": "error", "input_tokens": None, "output_tokens": None, "tokens_source": "missing"}
    failing = [{**row, **nothing} for row in calls(DAYS, 30)]
    _, named = causes(tmp_path, [*quiet(), *failing, *calls(DAYS, 8, agent="editor", task="review")])
    assert "gone" not in named
    assert named["failing"].cause.evidence == ["all 30 calls of the day failed"]
