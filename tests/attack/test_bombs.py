"""Tiny bombs of `bombs.py`, told or read without a traceback; `python -m tests.attack.bombs` is the long way."""

from __future__ import annotations

from pathlib import Path

import pytest
from attack.bombs import bombs, tried

NAMES = ("newlines.jsonl.zst", "wide_window.jsonl.zst", "deep_line.jsonl", "aliases.yaml")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="counts processor time by /proc")
@pytest.mark.parametrize("name", NAMES)
def test_a_bomb_is_told(tmp_path: Path, name: str) -> None:
    (told,) = tried(tmp_path, 0.002, {name})
    assert told.code in (0, 1, 2)
    assert "Traceback" not in told.words
    assert told.most_bytes < 1_000_000_000


def test_the_bombs_of_both_sizes_are_the_same() -> None:
    assert set(NAMES) <= set(bombs(0.001)) == set(bombs(1.0))
