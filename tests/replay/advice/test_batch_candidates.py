"""What could wait, and what a batch would save."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from builder import build_in_memory

from analysis.ledger import ledger
from ingest.store.database import Store
from replay.advice.batch_candidates import candidates
from replay.engine.run import run
from replay.stages import rule_evaluation
from replay.strategy.schema import parse
from replay.traffic.load_traffic import load


def store_of(path: Path) -> Store:
    """A chat that goes on at once, and a nightly report that nobody waits for."""
    rows = []
    for day in range(4):
        for number in range(20):
            start = datetime(2024, 11, 1 + day, 10) + timedelta(seconds=20 * number)
            rows.append({"start_time": start, "task": "chat", "conversation_id": f"c{day}"})
            night = datetime(2024, 11, 1 + day, 2) + timedelta(minutes=2 * number)
            rows.append({"start_time": night, "task": "report", "conversation_id": f"r{day}"})
    for row in rows:
        row |= {"model": "gpt-4o", "agent": "a", "input_tokens": 1000, "output_tokens": 100, "duration_ms": 2000.0}
    store = build_in_memory(rows)
    ledger.update(store)
    return store


def test_only_what_nobody_goes_on_with_could_wait(tmp_path: Path):
    rows = {row.segment: row for row in candidates(store_of(tmp_path))}
    assert rows["a / chat"].waited == pytest.approx(0.95)  # the last message of a day is the exception
    assert rows["a / report"].waited == 0.0
    for row in rows.values():
        assert row.sold == 1.0
        assert row.saving_pico == row.cost_pico // 2  # OpenAI's batch price is half


def test_a_batch_rule_saves_exactly_half_of_the_calls_it_names(tmp_path: Path):
    chosen = parse("name: b\nbatch: [{match: {task: report}}]")
    found = run(store_of(tmp_path), [chosen]).strategies[0]
    assert found.baseline_pico - found.cost_pico == found.baseline_pico // 4
    assert found.savings_pico == {"batch": found.baseline_pico - found.cost_pico}
    assert found.quality["verdict"] == "passes"


def test_a_discount_that_came_later_saves_nothing_before(tmp_path: Path):
    """gpt-4-turbo has a batch price since April 2024; a call of March keeps its tier and its price."""
    rows = [
        {
            "start_time": datetime(2024, month, 20),
            "model": "gpt-4-turbo",
            "agent": "a",
            "task": "report",
            "input_tokens": 1000,
            "output_tokens": 100,
        }
        for month in (3, 6)
    ]
    store = build_in_memory(rows)
    ledger.update(store)
    found = run(store, [parse("name: b\nbatch: [{match: {task: report}}]")]).strategies[0]
    march, june = (row.cost_pico for row in found.daily if row.calls)
    assert march == 2 * june
    assert found.unpriced_calls == 0
    assert "no batch or flex price for gpt-4-turbo on the day of 1 call: taken as logged" in found.limits


def dialogue(path: Path, *, stream: bool = False, gap_s: float = 20.0, jitter: int = 7, tool: bool = False) -> Store:
    """A chat of three turns, a pipeline of three prompts, a nightly job and a stray call; texts by role alone."""
    start = datetime(2024, 11, 4, 9)
    rows: list[dict[str, object]] = []
    for turn in range(3):
        when = start + timedelta(seconds=(gap_s + 2) * turn + (jitter * turn * turn if gap_s > 1 else 0))
        rows.append(
            {"task": "chat", "conversation_id": "c", "start_time": when, "message_ids": list(range(1 + 2 * turn))}
        )
        step = start + timedelta(seconds=3 * turn + turn * turn)
        rows.append({"task": "pipeline", "conversation_id": "p", "start_time": step, "message_ids": [10 + turn]})
    for day in range(12):
        rows.append({"task": "nightly", "start_time": start + timedelta(days=day)})
    rows.append({"task": "stray", "start_time": start, "message_ids": [20]})
    rows.append({"task": "stream", "start_time": start, "stream": True})
    rows.append({"task": "flex", "start_time": start, "service_tier": "flex", "stream": True})
    for row in rows:
        row |= {"model": "gpt-4o", "agent": "a", "input_tokens": 1000, "output_tokens": 100, "duration_ms": 2000.0}
        row["pending_tool_calls"] = tool and row["task"] == "pipeline"
    store = build_in_memory(rows)
    with store.write() as con:
        for number in range(21):
            role = "assistant" if number in (1, 3) else "user"
            con.execute(
                "INSERT INTO contents (content_id, hash, kind, role, text) VALUES (?, ?, 'message', ?, NULL)",
                [number, number, role],
            )
    ledger.update(store)
    return store


def who_waits(store: Store) -> dict[str | None, set[bool | None]]:
    traffic = load(store)
    answers: dict[str | None, set[bool | None]] = {}
    for task, value in zip(traffic.task, traffic.rule_frame(["online"])["online"].to_list(), strict=True):
        answers.setdefault(traffic.tasks[task], set()).add(value)
    return answers


def test_whether_a_user_waits_is_read_from_turns_streams_tiers_and_cadence(tmp_path: Path):
    found = who_waits(dialogue(tmp_path))
    assert found["chat"] == {True}
    assert found["pipeline"] == {False}
    assert found["nightly"] == {False}  # the same time every day: a timer
    assert found["stray"] == {None}  # one prompt alone says nothing
    assert found["stream"] == {True}
    assert found["flex"] == {False}


def test_replies_within_a_second_are_a_programs_and_tools_leave_it_open(tmp_path: Path):
    found = who_waits(dialogue(tmp_path, gap_s=0.5, tool=True))
    assert found["chat"] == {False}
    assert found["pipeline"] == {None}


def test_unknown_is_neither_online_nor_offline(tmp_path: Path):
    store = dialogue(tmp_path)
    for value, tasks in (("true", {"chat", "stream"}), ("false", {"pipeline", "nightly", "flex"})):
        frame = load(store).rule_frame(["online", "task"])
        chosen = parse(f"name: b\nbatch: [{{match: {{online: {value}}}}}]").batch[0]
        assert set(frame.filter(rule_evaluation.selected(chosen, frame))["task"].to_list()) == tasks


def test_the_batch_of_the_design_page_saves_half_of_its_agents_pipeline(tmp_path: Path):
    store = dialogue(tmp_path)
    with store.write() as con:
        con.execute("UPDATE calls SET agent = 'research_agent' WHERE task IN ('chat', 'pipeline')")
    ledger.update(store, rebuild=True)
    found = run(store, [parse("name: b\nbatch: [{match: {agent: research_agent, online: false}}]")]).strategies[0]
    call = 1000 * 2_500_000 + 100 * 10_000_000  # gpt-4o at 2.50 and 10 dollars per million, in pico-dollars
    assert found.savings_pico["batch"] == 3 * call // 2
    assert any("inferred" in limit for limit in found.limits)
    assert any("chain of them" in limit for limit in found.limits)


def test_the_list_tells_users_from_chains(tmp_path: Path):
    rows = {row.segment: row for row in candidates(dialogue(tmp_path))}
    assert (rows["a / chat"].users, rows["a / chat"].chains_pico) == (1.0, 0)
    assert rows["a / pipeline"].users == 0.0
    assert rows["a / pipeline"].chains_pico == 2 * (
        rows["a / pipeline"].saving_pico // 3
    )  # the last step is gone on with by none
    assert rows["a / nightly"].idle_pico == rows["a / nightly"].saving_pico > 0
    assert rows["a / stray"].unsure == 1.0
