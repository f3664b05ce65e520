"""A few rounds of `damage.py`; HINDCAST_DAMAGES=500 tries as many."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from attack.damage import Attack, Outcome

ROUNDS = int(os.environ.get("HINDCAST_DAMAGES", "8"))


@pytest.mark.slow
@pytest.mark.timeout(600 + 30 * ROUNDS)
def test_a_damaged_store_gives_words_or_the_right_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HINDCAST_NOW", "2026-11-30")
    attack = Attack(tmp_path)
    assert not [command for command, (code, _, said) in attack.said.items() if code not in (0, 1, 2) or "Trace" in said]
    outcome = Outcome()
    for number in range(ROUNDS):
        attack.round(number, outcome)
    assert not outcome.wrong
    assert outcome.damages.total() == ROUNDS
