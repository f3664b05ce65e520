"""Codex rollouts of forks, sub-agents, compactions and tiers, and what `codex exec --json` prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from builder import in_memory

from ingest.pipeline.run import ingest

PARTS = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_output_tokens")
TURNS = ((9000, 0, 300, 40), (9500, 9000, 20, 0), (12000, 9472, 700, 512))
PARENT, CHILD = "0190-parent", "0191-child"


def counts(values: tuple[int, ...]) -> dict[str, int]:
    return {**dict(zip(PARTS, values, strict=True)), "total_tokens": values[0] + values[2]}


def summed(turns: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
    return tuple(map(sum, zip(*turns, strict=True)))


def line(time: str, kind: str, payload: dict[str, Any]) -> dict[str, Any]:
    return {"timestamp": f"2026-09-1{time}Z", "type": kind, "payload": payload}


def header(time: str, thread: str, **more: Any) -> dict[str, Any]:
    return line(time, "session_meta", {"id": thread, "cwd": "/home/dev/atlas", "model_provider": "openai", **more})


def model(time: str, name: str = "gpt-5.2-codex") -> dict[str, Any]:
    return line(time, "turn_context", {"model": name, "cwd": "/home/dev/atlas"})


def count(time: str, turns: tuple[tuple[int, ...], ...], *, last: bool = True, **more: Any) -> dict[str, Any]:
    info = {"total_token_usage": counts(summed(turns))}
    if last:
        info["last_token_usage"] = counts(turns[-1])
    return line(time, "event_msg", {"type": "token_count", "info": info, **more})


def record(time: str, turns: tuple[tuple[int, ...], ...], response: str, **more: Any) -> dict[str, Any]:
    usage = {"usage": counts(turns[-1]), "thread_token_usage": counts(summed(turns))}
    return line(time, "token_usage_record", {"thread_id": PARENT, "response_id": response, **usage, **more})


def parent() -> list[dict[str, Any]]:
    return [header("0T10:00:00.000", PARENT), model("0T10:00:00.400"), count("0T10:00:20.000", TURNS[:1]),
            count("0T10:00:55.000", TURNS[:2])]  # fmt: skip


def replayed(**more: Any) -> list[dict[str, Any]]:
    """A file that begins with the parent's two turns, all written within its first second."""
    return [header("1T08:00:00.000", CHILD, **more), header("1T08:00:00.002", PARENT), model("1T08:00:00.003"),
            count("1T08:00:00.004", TURNS[:1]), count("1T08:00:00.450", TURNS[:2])]  # fmt: skip


def read(tmp_path: Path, *files: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    for number, records in enumerate(files):
        text = "".join(json.dumps(one) + "\n" for one in records)
        (tmp_path / f"rollout-{number}.jsonl").write_text(text)
    store = in_memory(tmp_path / "s.duckdb")
    report = ingest(store, sorted(tmp_path.glob("rollout-*.jsonl")), workers=1)
    assert report.quarantined == 0
    assert report.rows == report.calls + report.duplicates + report.skipped
    with store.read() as con:
        return con.execute(
            f"SELECT {', '.join('cache_read_input_tokens' if n.startswith('cached') else n for n in PARTS)} "
            "FROM calls ORDER BY start_time, output_tokens"
        ).fetchall()


SPAWNED = {"source": {"subagent": {"thread_spawn": {"parent_thread_id": PARENT, "depth": 1}}}}


@pytest.mark.parametrize("more", [{"forked_from_id": PARENT}, SPAWNED, {}], ids=["fork", "sub-agent", "unnamed"])
@pytest.mark.parametrize("child_first", [False, True])
def test_a_replayed_history_with_new_times_is_no_new_call(
    tmp_path: Path, more: dict[str, Any], child_first: bool
) -> None:
    child = [*replayed(**more), model("1T08:00:30.000"), count("1T08:00:41.000", TURNS)]
    files = (child, parent()) if child_first else (parent(), child)
    assert read(tmp_path, *files) == list(TURNS)


def test_forks_without_a_turn_of_their_own_are_no_calls(tmp_path: Path) -> None:
    assert read(tmp_path, parent(), replayed(forked_from_id=PARENT), replayed(forked_from_id=PARENT)[:4]) == list(
        TURNS[:2]
    )


def test_a_replayed_history_with_its_own_times_is_known_by_them(tmp_path: Path) -> None:
    child = [header("1T08:00:00.000", CHILD, forked_from_id=PARENT), *parent(), count("1T08:00:40.000", TURNS)]
    assert read(tmp_path, child, parent()) == list(TURNS)


def test_a_replayed_history_sets_the_total_from_which_the_own_turns_grow(tmp_path: Path) -> None:
    child = [*replayed(forked_from_id=PARENT), count("1T08:00:41.000", TURNS, last=False)]
    assert read(tmp_path, child) == [TURNS[2]]


def test_a_sub_agent_that_begins_without_history_counts_from_its_first_turn(tmp_path: Path) -> None:
    child = [header("1T08:00:00.000", CHILD, **SPAWNED), model("1T08:00:00.100"), count("1T08:00:09.000", TURNS[:1])]
    assert read(tmp_path, child) == [TURNS[0]]


def test_a_usage_record_and_its_count_are_one_call_and_a_compaction_is_another(tmp_path: Path) -> None:
    records = [
        header("0T10:00:00", PARENT), model("0T10:00:01"),
        record("0T10:00:19.900", TURNS[:1], "resp_1"), count("0T10:00:20", TURNS[:1]),
        record("0T10:00:40", TURNS[:2], "resp_2"), line("0T10:00:40", "compacted", {"message": ""}),
        count("0T10:00:41", TURNS[:1]),  # the compaction is not in this total
        record("0T10:01:00", TURNS, "resp_3"),  # the log ends before its count
    ]  # fmt: skip
    assert read(tmp_path, records) == list(TURNS)


def test_unknown_records_are_skipped_by_name(tmp_path: Path) -> None:
    kinds = ("world_state", "retained_context", "inter_agent_communication", "some_later_kind")
    records = [*parent(), *(line("0T10:02:00", kind, {}) for kind in kinds)]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in records))
    report = ingest(in_memory(tmp_path / "s.duckdb"), [path], workers=1)
    assert (report.calls, report.quarantined, report.skipped) == (2, 0, 6)
    assert report.files[0]["skipped"]["some_later_kind record"] == 1


@pytest.mark.parametrize(
    ("where", "logged", "tier"),
    [
        ("settings", "priority", "priority"), ("settings", "fast", "priority"), ("settings", "flex", "flex"),
        ("settings", "default", None), ("settings", None, None), ("count", "priority", "priority"),
        ("record", "priority", "priority"),
    ],
)  # fmt: skip
def test_the_tier_is_the_one_that_was_set_before_the_turn(
    tmp_path: Path, where: str, logged: str | None, tier: str | None
) -> None:
    def of(place: str) -> dict[str, Any]:
        return {"service_tier": logged} if where == place else {}

    settings = line("0T10:00:02", "event_msg", {"type": "thread_settings_applied", "thread_settings": of("settings")})
    records = [header("0T10:00:00", PARENT), model("0T10:00:01"), settings,
               record("0T10:00:19", TURNS[:1], "resp_1", **of("record")),
               count("0T10:00:20", TURNS[:1], **of("count"))]  # fmt: skip
    read(tmp_path, records)
    with in_memory(tmp_path / "s.duckdb").read() as con:
        assert con.execute("SELECT service_tier, response_id FROM calls").fetchall() == [(tier, "resp_1")]


def test_totals_that_fall_begin_again(tmp_path: Path) -> None:
    again = ((400, 0, 9, 0),)
    totals = [count(f"0T10:00:{20 + number}", turns, last=False) for number, turns in
              enumerate((TURNS[:1], TURNS[:2], again))]  # fmt: skip
    assert read(tmp_path, [header("0T10:00:00", PARENT), model("0T10:00:01"), *totals]) == [*TURNS[:2], *again]


def test_a_turn_without_a_model_is_a_call_of_an_unknown_model(tmp_path: Path) -> None:
    flat = line("0T10:00:20", "event_msg", {"type": "token_count", **counts(TURNS[0])})  # as of 2025-08
    assert read(tmp_path, [header("0T10:00:00", PARENT), flat]) == [TURNS[0]]
    with in_memory(tmp_path / "s.duckdb").read() as con:
        assert con.execute("SELECT model FROM calls").fetchall() == [(None,)]


def test_printed_turns_hold_the_running_total_of_their_thread(tmp_path: Path) -> None:
    def printed(thread: str, *totals: tuple[int, ...]) -> list[dict[str, Any]]:
        turns = [{"type": "turn.completed", "usage": dict(zip(PARTS, total, strict=True))} for total in totals]
        return [{"type": "thread.started", "thread_id": thread}, {"type": "turn.started"}, *turns]

    first = printed(PARENT, TURNS[0], summed(TURNS[:2]))
    other = printed(CHILD, TURNS[2])
    assert sorted(read(tmp_path, [*first, *other], first)) == sorted(TURNS)
    with in_memory(tmp_path / "s.duckdb").read() as con:
        issues = dict(con.execute("SELECT code, count(*) FROM import_issues GROUP BY 1").fetchall())
    assert issues["sum_of_calls"] == issues["time_of_file"] == 3
