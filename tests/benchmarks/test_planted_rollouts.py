"""The planted rollouts of the benchmark are what they say: a known effect that the estimate finds."""

from __future__ import annotations

import pytest

from benchmarks.trust import monitors, rollouts


@pytest.mark.parametrize("design", rollouts.DESIGNS)
def test_a_planted_rebound_is_named_and_a_world_without_effect_is_not(design: str) -> None:
    one = rollouts.world(1, design, "rebound")
    found = rollouts.judged(one)
    assert found.rebound is not None
    assert found.rebound.estimate.effect == pytest.approx(one.truth["calls"], rel=0.3)
    nothing = rollouts.world(3, design, "none")
    assert all(value == pytest.approx(0) for value in nothing.truth.values())
    assert rollouts.judged(nothing).rebound is None


def test_a_ramp_with_a_loss_ends_while_few_are_treated() -> None:
    how, day, exposed = monitors.climb(monitors.Change("a third of quality lost", loss=0.33), seed=1)
    assert how == "rolled back"
    assert day < 20
    assert exposed < 0.01
