"""Calls that use nothing of each other could run at the same time: what a session's critical path then is."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from builder import build_in_memory
from hypothesis import given
from hypothesis import strategies as st

from ingest.errors import InputError
from ingest.pipeline.run import ingest
from ingest.store.database import Store
from ingest.store.memory import MemoryStore
from replay.advice.parallelism import SHINGLE, Message, Step, critical_path, finish, stretches, waits

ROOT = Path(__file__).resolve().parents[3]


def longest(steps: list[Step], needed: list[set[int]]) -> int:
    """The end of the last step, each path of needed steps followed on its own."""
    first = min(step.start_ms for step in steps)

    def end(j: int) -> int:
        step = steps[j]
        before = [s.end_ms for s in steps[:j] if s.end_ms <= step.start_ms]
        lag = step.start_ms - max(before, default=first)
        paths = [end(i) for i in needed[j]] or [first]
        return max(paths) + lag + step.end_ms - step.start_ms

    return max(end(j) for j in range(len(steps))) - first


@st.composite
def sessions(draw: st.DrawFn) -> tuple[list[Step], list[set[int]]]:
    rows = draw(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 30)), min_size=1, max_size=8))
    steps = sorted((Step("a", a, a + d, (), None) for a, d in rows), key=lambda s: (s.start_ms, s.end_ms))
    needed = []
    for j, step in enumerate(steps):
        earlier = [i for i in range(j) if steps[i].end_ms <= step.start_ms]
        needed.append({i for i in earlier if draw(st.booleans())})
    return steps, needed


@given(sessions())
def test_the_critical_path_is_the_longest_path(case: tuple[list[Step], list[set[int]]]):
    steps, needed = case
    assert finish(steps, needed) == longest(steps, needed)


@given(sessions())
def test_every_order_kept_is_the_logged_time_and_less_order_is_never_slower(case: tuple[list[Step], list[set[int]]]):
    steps, needed = case
    everything = [{i for i in range(j) if steps[i].end_ms <= step.start_ms} for j, step in enumerate(steps)]
    logged = max(step.end_ms for step in steps) - min(step.start_ms for step in steps)
    assert finish(steps, everything) == logged
    assert finish(steps, [set() for _ in steps]) <= finish(steps, needed) <= logged


def text(word: str, n: int = 3 * SHINGLE) -> Message:
    return Message("user", tuple(f"{word}{i}" for i in range(n)))


def naive(steps: list[Step], contents: dict[int, Message], j: int, i: int) -> bool:
    """Whether a run of words in j's input was first brought by i's answer: all texts as strings."""

    def runs(words: tuple[str, ...]) -> list[str]:
        return [" ".join(words[k : k + SHINGLE]) for k in range(len(words) - SHINGLE + 1)]

    answer = contents[steps[i].output or 0].words or ()
    older = [contents[c].words or () for k in range(i + 1) for c in steps[k].inputs]
    older += [contents[steps[k].output or 0].words or () for k in range(i)]
    own = [run for run in runs(answer) if not any(run in " ".join(words) for words in older)]
    return any(run in " ".join(contents[c].words or ()) for c in steps[j].inputs for run in own)


@given(
    st.lists(
        st.tuples(st.lists(st.integers(0, 5), min_size=1, max_size=3), st.integers(6, 9), st.integers(1, 9)),
        min_size=2,
        max_size=7,
    )
)
def test_use_is_found_where_a_search_of_all_texts_finds_it(calls: list[tuple[list[int], int, int]]):
    contents = {n: text(f"w{n}x") for n in range(4)}
    contents[4] = Message("user", (*(contents[0].words or ())[:12], "and", *(contents[2].words or ())[3:]))
    contents |= {n: text(f"w{n}x") for n in range(6, 10)}
    contents[5] = Message("user", ("please", "read", *(contents[7].words or ())[4:20]))
    steps, now = [], 0
    for inputs, output, gap in calls:
        steps.append(Step("a", now, now + 5, tuple(inputs), output))
        now += 5 + gap
    for j, found in enumerate(waits(steps, contents)):
        for i in range(j):
            assert (i in found.proven) == naive(steps, contents, j, i)


def test_a_pipeline_of_sections_needs_only_its_outline():
    """Four sections made one after the other from one outline: three of them waited for nothing."""
    contents = {0: text("brief"), 1: text("outline"), **{10 + i: text(f"section{i}x") for i in range(4)}}
    outline = contents[1].words or ()
    steps = [Step("outline", 0, 10, (0,), 1)]
    for i in range(4):
        contents[20 + i] = Message("user", ("write", "part", str(i), "of", *outline))
        steps.append(Step("draft", 10 + 20 * i, 30 + 20 * i, (20 + i,), 10 + i))
    contents[30] = Message("user", tuple(word for i in range(4) for word in contents[10 + i].words or ()))
    steps.append(Step("edit", 90, 100, (30,), None))
    found = waits(steps, contents)
    assert [sorted(w.proven) for w in found] == [[], [0], [0], [0], [0], [1, 2, 3, 4]]
    assert not any(w.open for w in found)
    assert finish(steps, [w.proven for w in found]) == 10 + 20 + 10


def test_a_conversation_goes_on_in_its_order_and_a_short_answer_leaves_it_open():
    contents = {0: text("q"), 1: Message("assistant", ("yes",)), 2: Message("user", ("thanks",)), 3: text("other")}
    steps = [
        Step("chat", 0, 5, (0,), 1),
        Step("chat", 6, 9, (0, 1, 2), None),
        Step("else", 10, 12, (3,), None),
    ]
    found = waits(steps, contents)
    assert found[1].proven == {0}
    assert (found[2].proven, found[2].open) == (frozenset(), frozenset({0, 1}))


@pytest.mark.parametrize("settled", [True, False])
def test_what_asked_for_tools_may_have_changed_the_world(settled: bool):
    contents = {0: text("a"), 1: text("b"), 2: text("c")}
    steps = [Step("x", 0, 5, (0,), 1, settled), Step("y", 5, 9, (2,), None)]
    assert waits(steps, contents)[1].open == (frozenset() if settled else frozenset({0}))


def test_a_text_that_is_missing_leaves_everything_open():
    contents = {0: text("a"), 1: text("b"), 2: Message("user", None)}
    steps = [Step("x", 0, 5, (0,), 1), Step("y", 5, 9, (2,), None)]
    assert waits(steps, contents)[1].open == {0}


def test_a_pause_ends_a_stretch_and_an_untimed_call_ends_where_the_next_begins():
    steps = [
        Step("a", 0, 0, (), None, timed=False),
        Step("b", 4_000, 9_000, (), None),
        Step("c", 80_000, 81_000, (), None),
    ]
    found = list(stretches(steps))
    assert [len(part) for part in found] == [2, 1]
    assert found[0][0].end_ms == 4_000


def store_of(path: Path, rows: list[dict[str, Any]]) -> Store:
    return build_in_memory(rows)


def test_a_log_without_sessions_is_an_error_and_one_without_text_gains_nothing(tmp_path: Path):
    start = datetime(2024, 11, 1)
    alone = store_of(tmp_path, [{"start_time": start}, {"start_time": start + timedelta(seconds=9)}])
    with pytest.raises(InputError, match="no session"):
        critical_path(alone)
    rows = [
        {"start_time": start + timedelta(seconds=3 * i), "duration_ms": 2000.0, "conversation_id": "c"}
        for i in range(4)
    ]
    found = critical_path(build_in_memory(rows))
    assert (found.logged_ms, found.likely_ms, found.textless) == (11_000, 11_000, 4)
    assert found.least_ms <= found.likely_ms


def real(data: Path, folder: Path, name: str) -> Store:
    built = MemoryStore(folder / "s.duckdb")
    ingest(built, [data / name], mapping=ROOT / "sample_logs" / "mappings" / f"{name.split('_')[0]}.yaml")
    return built


@pytest.mark.data
def test_real_dialogues_of_tau2_have_nothing_to_run_side_by_side(data: Path, tmp_path: Path):
    found = critical_path(real(data, tmp_path, "tau2_dev_calls.jsonl.zst"))
    assert (found.sessions, found.calls, found.textless) == (229, 4018, 0)
    assert found.likely_ms == found.logged_ms
    assert 0.98 < found.least_ms / found.logged_ms <= 1.0


@pytest.mark.data
def test_chatdev_waits_for_a_reflection_that_its_manual_never_reads(data: Path, tmp_path: Path):
    found = critical_path(real(data, tmp_path, "chatdev_calls.jsonl.zst"))
    assert found.untimed == found.calls == 1844
    assert found.likely_ms / found.logged_ms == pytest.approx(0.85, abs=0.01)
    assert found.least_ms / found.logged_ms == pytest.approx(0.595, abs=0.01)
    top = found.needless[0]
    assert (top.before, top.after) == ("Chief Executive Officer / Reflection", "Chief Product Officer / Manual")


@pytest.mark.data
def test_one_session_of_an_assistant_is_a_chain(data: Path, tmp_path: Path):
    store = MemoryStore(tmp_path / "s.duckdb")
    ingest(store, [data / "claude_code_session.jsonl"])
    found = critical_path(store)
    assert (found.sessions, found.calls, found.untimed) == (1, 20, 14)
    assert found.least_ms == found.likely_ms == found.logged_ms == 139_487
