"""What is foreseen of a rollout, by the days before it alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from rollout_sessions import AFTER, BEFORE, BIG, MINI, ROLLOUT, SMALL, Row, adds_up, log, session, store_of

from replay.evaluation.verify import verify
from replay.rollout.assignment import arm
from replay.strategy import schema

CACHED = schema.parse("{name: cached, cache: {tiers: [{name: redis, ttl: 30d}]}}")


def test_what_the_days_before_show_of_a_model_is_foreseen_and_what_the_days_after_show_is_not(tmp_path: Path):
    """By chance half of the sessions were on the small model already, with twice the calls: the forecast expects them
    of all."""

    def each(day: int, number: int, size: float, *, after: int) -> list[Row]:
        small = day >= BEFORE or number % 2
        calls = after if day >= BEFORE else 6 if small else 3
        drawn = None if day >= BEFORE else "random"
        return session(day, number, calls=calls, model=SMALL if small else BIG, size=size, assignment=drawn)

    found = {}
    for calls in (6, 9):
        (tmp_path / str(calls)).mkdir()
        store = store_of(tmp_path / str(calls), log(partial(each, after=calls)))
        found[calls] = verify(store, MINI, rollout=ROLLOUT)
        assert adds_up(found[calls])
    assert found[6].forecast_pico == found[9].forecast_pico
    assert found[6].realised_pico == pytest.approx(found[6].forecast_pico, rel=0.1)
    rise = next(one for one in found[9].drifts if one.cause == "calls per conversation")
    assert rise.before == pytest.approx(6, rel=0.1)
    assert rise.after == 9


def asked(
    question: Callable[[int, int], int], side: Callable[[int, int], str | None]
) -> Callable[[int, int, float], list[Row]]:
    """Conversations of one call; since the rollout the cache, empty at first, answers what the treated asked before."""
    kept: set[int] = set()

    def each(day: int, number: int, size: float) -> list[Row]:
        key, drawn = question(day, number), side(day, number)
        treated = day >= BEFORE and drawn != "control"
        status = "gateway_cache_hit" if treated and key in kept else "ok"
        kept.update([key] if treated else [])
        return session(day, number, calls=1, key_canonical=key, status=status, arm=drawn)

    return each


def test_a_cache_is_foreseen_empty_at_the_start_however_many_days_are_known(tmp_path: Path):
    """Thirty questions come every day. A cache kept through all of the fourteen days before would promise half."""
    each = asked(lambda day, number: number, lambda day, number: None)
    store = store_of(tmp_path, log(each))
    result = verify(store, CACHED, rollout=ROLLOUT)
    one = session(0, 0, calls=1)
    price_pico = 10**6 * (one[0]["input_tokens"] * 25 + one[0]["output_tokens"] * 100) // 10
    assert result.realised_pico == 30 * price_pico
    assert result.forecast_pico == pytest.approx(30 * price_pico, rel=1e-9)
    assert result.inside


def test_a_cache_is_foreseen_without_the_answers_of_those_who_are_held_back(tmp_path: Path):
    """A question comes ten times a day, and never again; one conversation in five is treated, so that most find none.
    With everyone's answers nine in ten would."""

    def side(day: int, number: int) -> str | None:
        return arm(f"support{day}-{number}", share=0.2, seed=4) if day >= BEFORE else None

    each = asked(lambda day, number: day * 6 + number % 6, side)
    result = verify(store_of(tmp_path, log(each, sessions=60)), CACHED, rollout=ROLLOUT)
    assert result.units_before == pytest.approx(0.2 * 60 * BEFORE, rel=0.2)
    assert result.units_after + result.control_units == 60 * AFTER
    assert result.realised_pico == pytest.approx(result.forecast_pico, rel=0.2)
    assert result.inside
    assert adds_up(result)
