"""A few rounds of `kills.py`; HINDCAST_KILLS=200 tries as many."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from attack.kills import Attack, Outcome

ROUNDS = int(os.environ.get("HINDCAST_KILLS", "3"))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes by /proc")
@pytest.mark.timeout(120 + 60 * ROUNDS)
def test_whatever_is_killed_the_next_ingest_holds_the_very_calls_of_its_files(tmp_path: Path) -> None:
    attack = Attack(tmp_path, scale=0.3)
    outcome = Outcome()
    for number in range(ROUNDS):
        attack.round(number, outcome)
    assert not outcome.wrong
    assert outcome.did["rounds"] == ROUNDS
