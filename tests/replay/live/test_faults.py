"""The benchmark of faults, short: no wrong answer, no exception of ours, and every paid call is logged."""

from __future__ import annotations

import pytest

from benchmarks.live_faults import FAULTS, Fault, meet

pytestmark = pytest.mark.redis


@pytest.mark.slow
@pytest.mark.parametrize("fault", [pytest.param(one, id=one.name) for one in FAULTS])
def test_a_fault_gives_nobody_a_wrong_answer(redis_server: str, fault: Fault) -> None:
    found = meet(fault, seconds=3.0, threads=3, processes=2)
    assert found["answered"] > 0
    assert (found["wrong"], found["raised"], found["fell_open"]) == (0, 0, 0)
    assert 0 <= found["unlogged"] <= (3 if fault.kills else 0)  # what was in flight when the program was killed
    assert (found["failed"] > 0) == (fault.fails > 0)
