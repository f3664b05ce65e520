"""Scores on another scale than 0 to 1: the calls and their cost stay, no score of that log is used, others' are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ingest.pipeline.run import ingest
from ingest.store.database import Store


def log(folder: Path, name: str, own: list[Any], **fields: Any) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    rows = [
        {"hindcast": 1, "call_id": f"{folder.name}{name}{n}", "start_time": f"2026-03-02T10:00:{n:02}Z",
         "request_model": "gpt-4o", "input_tokens": 10, "output_tokens": 2, "score": score, **fields}
        for n, score in enumerate(own)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def kept(store: Store) -> tuple[int, list[float], list[str]]:
    """(calls, their scores, codes of what is flagged)."""
    with store.read() as con:
        calls = con.execute("SELECT score FROM calls ORDER BY call_no").fetchall()
        stored = con.execute("SELECT score FROM scores ORDER BY call_no").fetchall()
        issues = con.execute("SELECT DISTINCT code FROM import_issues ORDER BY code").fetchall()
    scores = [score for (score,) in calls if score is not None]
    assert [score for (score,) in stored] == scores
    return len(calls), scores, [code for (code,) in issues]


@pytest.mark.parametrize("scores", [[1, -1, 1, 1], [1, 5, 4, 3], [0, 10, 7.5, 1], [0.5, 100, 0, 1]])
def test_no_score_of_a_log_on_another_scale_is_used_and_no_call_is_lost(tmp_path: Path, scores: list[Any]) -> None:
    store = Store(tmp_path / "s.duckdb")
    ingest(store, [log(tmp_path / "a", "log.jsonl", scores), log(tmp_path / "b", "log.jsonl", [0.25, 0.75])])
    assert kept(store) == (6, [0.25, 0.75], ["impossible_score"])


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_files_of_one_log_have_one_scale_whenever_they_are_read(tmp_path: Path, order: tuple[int, int]) -> None:
    store = Store(tmp_path / "s.duckdb")
    files = [log(tmp_path / "a", "monday.jsonl", [1, 1, 0]), log(tmp_path / "a", "tuesday.jsonl", [1, -1])]
    for number in order:
        ingest(store, [files[number]])
    assert kept(store) == (5, [], ["impossible_score"])


def test_a_mean_that_was_rounded_is_a_score(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.duckdb")
    ingest(store, [log(tmp_path / "a", "log.jsonl", [1 + 1e-9, 0.5, -1e-12])])
    assert kept(store) == (3, [1.0, 0.5, 0.0], [])


@pytest.mark.parametrize("name", ["duration_ms", "time_to_first_chunk_ms", "temperature", "propensity", "score"])
def test_what_stands_beside_the_bill_never_takes_the_call_away(tmp_path: Path, name: str) -> None:
    store = Store(tmp_path / "s.duckdb")
    report = ingest(store, [log(tmp_path / "a", "log.jsonl", [None], **{name: "a lot"})])
    assert (report.calls, report.quarantined) == (1, 0)
    assert kept(store)[2] == [f"impossible_{name}"]


def test_scores_of_other_models_follow_the_same_scale(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.duckdb")
    ingest(store, [log(tmp_path / "a", "log.jsonl", [0.5, 0.5], scores={"gpt-4o-mini": 4})])
    with store.read() as con:
        assert con.execute("SELECT count(*) FROM scores").fetchall() == [(0,)]
        assert con.execute("SELECT count(*) FROM calls").fetchall() == [(2,)]
