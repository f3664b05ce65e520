"""What is read for a first answer: the newest files, whole, within a bound that is said."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from ingest.detect.known_locations import FoundLogs, LogFile
from ingest.detect.recent_files import recent_files

DAY_NS = 86_400 * 10**9
FILES = st.lists(st.tuples(st.integers(1, 1000), st.integers(0, 90)), min_size=1, max_size=20)


def logs(sizes_and_ages: list[tuple[int, int]], tool: str = "Claude Code", suffix: str = ".jsonl") -> list[FoundLogs]:
    contents = tuple(
        LogFile(Path(f"/home/{number}{suffix}"), size, (1000 - age) * DAY_NS)
        for number, (size, age) in enumerate(sizes_and_ages)
    )
    return [FoundLogs(tool, Path("/home"), contents)]


@given(FILES, st.integers(1, 5000))
def test_the_newest_files_are_taken_and_the_rest_is_counted(files: list[tuple[int, int]], budget: int) -> None:
    found = recent_files(logs(files), days=31, budget_bytes=budget)
    newest = min(age for _, age in files)
    assert found.older == sum(age - newest > 31 for _, age in files)
    assert len(found.files) + found.older + found.beyond == len(files)
    size = {Path(f"/home/{number}.jsonl"): size for number, (size, _) in enumerate(files)}
    assert len(found.files) == 1 or sum(size[path] for path in found.files) <= budget
    assert files[int(found.files[0].stem)][1] == newest


def test_what_takes_longer_to_read_weighs_more() -> None:
    for tool, suffix, taken in (("Claude Code", ".jsonl", 6), ("Codex", ".jsonl", 1), ("Claude Code", ".jsonl.zst", 1)):
        assert len(recent_files(logs([(100, 0)] * 6, tool, suffix), budget_bytes=600).files) == taken


def test_a_format_is_told_only_where_all_files_have_it() -> None:
    home = Path("/h")
    claude = FoundLogs("Claude Code", home, (LogFile(home / "a.jsonl", 1, DAY_NS),), "claude_code")
    local = FoundLogs("this folder", home / "b.jsonl", (LogFile(home / "b.jsonl", 1, DAY_NS),))
    assert recent_files([claude]).format == "claude_code"
    assert recent_files([claude, local]).format is None
    assert recent_files([]).files == ()
