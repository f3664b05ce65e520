"""Marks of deployments are kept once, listed in order, and named first where a change began beside them."""

from __future__ import annotations

import subprocess
from datetime import datetime
from pathlib import Path

import pytest
from builder import build_store
from quiet_days import DAY, DAYS, calls, quiet

from analysis.anomalies.annotations import (
    Annotation,
    annotate,
    git_tags,
    parse_time,
    read_annotations,
    remove,
    suspects,
)
from analysis.diagnosis.diagnose import diagnose
from analysis.diagnosis.document import to_json
from analysis.ledger.ledger import update
from dashboard.render import daily_charts
from ingest.errors import InputError


def test_marks_are_kept_once_in_order_and_can_be_removed(tmp_path: Path) -> None:
    store = build_store(tmp_path / "s.duckdb", [])
    late, early = Annotation(datetime(2026, 5, 3, 10), "v2 rollout"), Annotation(datetime(2026, 5, 1), "new prices")
    assert annotate(store, [late, early, late]) == [late, early]
    assert annotate(store, [late]) == []
    with store.read() as con:
        assert read_annotations(con) == [early, late]
    assert remove(store, late.time) == [late]
    assert remove(store, late.time) == []


def test_times_are_utc_unless_a_zone_follows() -> None:
    assert parse_time("2026-05-03T10:00") == parse_time("2026-05-03 12:00+02:00") == datetime(2026, 5, 3, 10)
    with pytest.raises(InputError, match="no time"):
        parse_time("yesterday evening")


@pytest.mark.parametrize("text", ["", "  ", "two\nlines", "x" * 201])
def test_a_text_is_one_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match="one line"):
        annotate(build_store(tmp_path / "s.duckdb", []), [Annotation(datetime(2026, 5, 3), text)])


def test_git_tags_are_read_with_their_times(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        environment = {"GIT_COMMITTER_DATE": "2026-05-03T12:00:00+02:00", "PATH": "/usr/bin:/bin:/usr/local/bin"}
        subprocess.run(["git", "-C", str(tmp_path), *who, *arguments], check=True, capture_output=True, env=environment)

    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "first")
    git("tag", "v1")
    git("tag", "-a", "v2", "-m", "second")
    assert git_tags(tmp_path) == [
        Annotation(datetime(2026, 5, 3, 10), "tag v1", "git"),
        Annotation(datetime(2026, 5, 3, 10), "tag v2", "git"),
    ]
    with pytest.raises(InputError):
        git_tags(tmp_path / "nothing")


def test_what_was_done_up_to_a_day_before_is_suspected_latest_first() -> None:
    made = [Annotation(datetime(2024, 9, day, hour), f"{day} {hour}") for day in (15, 16, 17, 18) for hour in (1, 23)]
    assert [one.text for one in suspects(made, DAY, None)] == ["17 23", "17 1", "16 23", "16 1"]


def test_the_first_suspect_of_a_flagged_day_is_the_mark_before_it(tmp_path: Path) -> None:
    store = build_store(tmp_path / "s.duckdb", [*quiet(), *calls(DAYS, 60)])
    update(store)
    annotate(store, [Annotation(datetime(2024, 9, 17, 0, 1), "v2 rollout"), Annotation(datetime(2024, 9, 3), "v1")])
    found = diagnose(store, day=DAY)
    assert found.flagged
    document = to_json(found)
    assert [one["text"] for one in document["annotations"]] == ["v2 rollout"]
    assert "First suspect: v2 rollout, Tue 17 Sep at 00:01 UTC." in document["summary"]


def test_a_mark_is_a_line_on_its_day_in_the_picture() -> None:
    made = [Annotation(datetime(2024, 9, 17, 8), "v2 <rollout>"), Annotation(datetime(2024, 1, 1), "before the log")]
    line = daily_charts.Line("logged", [DAY], [None], "#000")
    for figure in (
        daily_charts.trajectory([DAY], {}, {}, annotations=made),
        daily_charts.comparison([line], annotations=made),
    ):
        assert [shape.x0 for shape in figure.layout.shapes] == [DAY]
        assert [one.text for one in figure.layout.annotations] == ["v2 &lt;rollout&gt;"]
