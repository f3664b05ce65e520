"""A cache that is read less is told by its reason: the prefix, its life, cold starts side by side, or the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from builder import build_in_memory
from hypothesis import given
from hypothesis import strategies as st

from analysis.causes.lost_prefixes import first_difference
from analysis.causes.root_causes import Cause
from analysis.diagnosis.diagnose import diagnose
from analysis.ledger.ledger import update

MONDAY = datetime(2026, 3, 2, 8)
DAYS = 12
SIZE = 20_000  # tokens of a conversation's beginning; each turn adds a thousand


def turn(
    day: int, session: int, number: int, *, pause_s: float = 60, read: bool = True, model: str = "claude-sonnet-4-5",
    start_s: float = 0, hour: bool = False, **more: Any,
) -> dict[str, Any]:  # fmt: skip
    """A turn that reads what the one before had left, and writes the rest."""
    whole = SIZE + 1_000 * number
    cached = SIZE + 1_000 * (number - 1) if read and number else 0
    begin = MONDAY + timedelta(days=day, minutes=60 * session, seconds=start_s + pause_s * number)
    return {
        "start_time": begin, "end_time": begin + timedelta(seconds=20), "agent": "coder", "task": "fix",
        "provider_name": "anthropic", "model": model, "input_tokens": whole, "output_tokens": 300,
        "cache_read_input_tokens": cached, "cache_creation_input_tokens": whole - cached,
        "cache_creation_1h_input_tokens": whole - cached if hour else 0, "conversation_id": f"s{day}-{session}", **more,
    }  # fmt: skip


def ordinary(days: int = DAYS, **more: Any) -> Iterator[dict[str, Any]]:
    for day in range(days):
        for session in range(6):
            for number in range(8):
                yield turn(day, session, number, **more)


def first_cause(folder: Path, rows: list[dict[str, Any]], texts: Sequence[tuple[int, str, str]] = ()) -> Cause:
    store = build_in_memory(rows)
    if texts:
        ids, roles, said = zip(*texts, strict=True)
        with store.write() as con:
            given = pa.table({"content_id": ids, "role": roles, "text": said})  # noqa: F841  read by DuckDB
            con.execute("INSERT INTO contents BY NAME SELECT * FROM given")
    update(store)
    found = diagnose(store, day=(MONDAY + timedelta(days=DAYS)).date())
    assert sum(one.delta for one in found.causes) + found.residual == found.delta
    return next(one.cause for one in found.causes if one.cause.cause != "traffic")


def test_a_prefix_that_changes_is_named_with_the_turn_the_message_and_the_byte(tmp_path: Path) -> None:
    rows = [
        {**row, "message_ids": [1, *range(10, 11 + place % 8)]} for place, row in enumerate(ordinary())
    ] + [
        turn(DAYS, session, number, read=False, message_ids=[100 + number, *range(10, 11 + number)])
        for session in range(6) for number in range(8)
    ]  # fmt: skip
    texts = [(1, "system", "You are é, now 08:00")]
    texts += [(100 + number, "system", f"You are é, now 08:0{number}") for number in range(8)]
    texts += [(10 + number, "user", f"question {number}") for number in range(8)]
    cause = first_cause(tmp_path, rows, texts)
    assert cause.cause == "prefix_changed"
    where = f"message 1 (system), byte {len('You are é, now 08:0'.encode())}"
    call_no = len(rows) - 41  # the last turn of the first session
    assert cause.evidence[1] == f"turn 8 of call {call_no} differs from the turn before at {where}"
    assert cause.evidence[2] == "42 of 42 such turns at that message"


def test_without_messages_only_the_turns_are_told(tmp_path: Path) -> None:
    rows = [*ordinary(), *(turn(DAYS, s, n, read=False) for s in range(6) for n in range(8))]
    cause = first_cause(tmp_path, rows)
    assert cause.cause == "cache_breakage"
    assert cause.evidence == [
        "turns that lost the prefix of the one before within its life are 87.5 % of turns, 0.0 % before"
    ]


@pytest.mark.parametrize(("hour", "name"), [(True, "cache_life_changed"), (False, "cache_expired")])
def test_a_cache_that_ends_before_the_next_turn_is_told_from_one_kept_for_less(
    tmp_path: Path, hour: bool, name: str
) -> None:
    before = ordinary(pause_s=400 if hour else 60, hour=hour)
    rows = [*before, *(turn(DAYS, s, n, pause_s=400, read=False) for s in range(6) for n in range(8))]
    cause = first_cause(tmp_path, rows)
    assert cause.cause == name
    assert "turns that come after the cache's life are 87.5 % of turns, 0.0 % before" in cause.evidence
    assert ("0.0 % of what is written is kept for an hour, 100.0 % before" in cause.evidence) == hour


@pytest.mark.parametrize(("beside", "name"), [(True, "cold_fan_out"), (False, "cold_starts")])
def test_agents_that_start_side_by_side_write_what_one_could_have_written(
    tmp_path: Path, beside: bool, name: str
) -> None:
    def sent(day: int, session: int, number: int, cold: bool) -> dict[str, Any]:
        read = SIZE if number and not cold else 0
        start_s = 2 * number if beside and cold else 100 * number
        more = {"cache_read_input_tokens": read, "cache_creation_input_tokens": SIZE - read, "input_tokens": SIZE}
        return {**turn(day, session, 0, start_s=start_s), **more, "conversation_id": f"s{day}-{session}-{number}"}

    rows = [sent(day, s, n, cold=day == DAYS) for day in range(DAYS + 1) for s in range(6) for n in range(8)]
    cause = first_cause(tmp_path, rows)
    assert cause.cause == name
    assert cause.evidence[0] == "calls that begin a conversation uncached are 100.0 % of turns, 12.5 % before"
    if beside:
        assert cause.evidence[1] == "87.5 % of them while another call of the agent was running"


def test_models_that_take_turns_read_nothing_of_each_other(tmp_path: Path) -> None:
    models = ("claude-sonnet-4-5", "claude-opus-4-5")
    rows = [row for model in models for row in ordinary(model=model)]
    for row in rows[len(rows) // 2 :]:
        row["conversation_id"] += " other"
    rows += [turn(DAYS, s, number, read=False, model=models[number % 2]) for s in range(12) for number in range(8)]
    cause = first_cause(tmp_path, rows)
    assert cause.cause == "model_changes"
    assert cause.evidence == ["turns on another model than the one before are 87.5 % of turns, 0.0 % before"]


def test_a_cache_that_is_read_as_before_has_no_such_cause(tmp_path: Path) -> None:
    rows = [*ordinary(DAYS + 1), *(turn(DAYS, s, n) for s in range(6, 12) for n in range(8))]
    store = build_in_memory(rows)
    update(store)
    found = diagnose(store, day=(MONDAY + timedelta(days=DAYS)).date())
    names = {"prefix_changed", "cache_expired", "cache_life_changed", "cold_starts", "cold_fan_out", "model_changes"}
    assert not names & {one.cause.cause for one in found.causes}


@given(st.binary(max_size=6), st.binary(max_size=6))
def test_the_first_difference_is_the_end_of_what_both_begin_with(before: bytes, after: bytes) -> None:
    found = first_difference(before, after)
    if found is None:
        assert after.startswith(before)
    else:
        assert before[:found] == after[:found]
        assert before[found : found + 1] != after[found : found + 1]
