"""A few rounds of `mutations.py`; HINDCAST_MUTATIONS=500 tries as many."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from attack.mutations import SAMPLES, Attack, Outcome

ROUNDS = int(os.environ.get("HINDCAST_MUTATIONS", "4"))


@pytest.mark.timeout(300 + 60 * ROUNDS)
def test_mutated_logs_end_in_words_or_calls_and_are_read_once(tmp_path: Path) -> None:
    attack = Attack(tmp_path, sorted(SAMPLES.iterdir()))
    outcome = Outcome()
    for number in range(ROUNDS):
        attack.round(number, outcome)
    assert not outcome.wrong
    assert outcome.became["rounds"] == ROUNDS
    assert outcome.became["calls"] > 0
