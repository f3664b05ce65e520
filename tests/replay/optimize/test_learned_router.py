"""A learned router is worth showing only beside what is simpler, and only where strong is better than weak."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.errors import InputError
from replay.optimize import learned_router

pytest.importorskip("sklearn")


def zeroeval(data: Path, strong: str, weak: str) -> learned_router.Outcomes:
    rows = pl.read_parquet(data / "routing_outcomes.parquet").filter(
        (pl.col("source") == "zeroeval") & pl.col("model").is_in([strong, weak])
    )
    wide = rows.pivot(
        on="model", index=["task", "query_id", "prompt"], values=["quality", "cost_usd"], aggregate_function="first"
    ).sort("task", "query_id")
    return learned_router.Outcomes(
        texts=wide["prompt"].to_list(),
        task=wide["task"].rank("dense").to_numpy().astype(np.int64) - 1,
        strong=wide[f"quality_{strong}"].to_numpy().astype(float),
        weak=wide[f"quality_{weak}"].to_numpy().astype(float),
        strong_cost=wide[f"cost_usd_{strong}"].to_numpy(),
        weak_cost=wide[f"cost_usd_{weak}"].to_numpy(),
    )


def test_the_learned_router_beats_length_on_zeroeval(data: Path):
    outcomes = zeroeval(data, "claude-3-5-sonnet-20241022", "claude-3-haiku-20240307")
    assert len(outcomes) == 2840
    rows = {row.name: row for row in learned_router.compare(outcomes)}
    learned, length, table = (rows[name].apgr or 0 for name in ("learned", "length", "task table"))
    assert learned >= 0.68
    assert learned >= length + 0.10
    assert learned >= table
    assert rows["random mix"].apgr == pytest.approx(0.5, abs=0.02)
    assert (rows["oracle"].apgr or 0) > 0.9
    assert (rows["oracle"].cost_at or 1) < (rows["learned"].cost_at or 1) < (rows["random mix"].cost_at or 1)


def toy(n: int = 200, seed: int = 0) -> learned_router.Outcomes:
    rng = np.random.default_rng(seed)
    hard = rng.random(n) < 0.3
    return learned_router.Outcomes(
        texts=["prove the lemma" if h else "say hello" for h in hard],
        task=np.zeros(n, np.int64),
        strong=np.ones(n),
        weak=np.where(hard, 0.0, 1.0),
        strong_cost=np.full(n, 10.0),
        weak_cost=np.full(n, 1.0),
    )


def test_words_that_tell_hard_from_easy_are_learned():
    rows = {row.name: row for row in learned_router.compare(toy(), share=1.0)}
    hard = 1 - toy().weak.mean()
    assert rows["learned"].cost_at == pytest.approx(0.1 + 0.9 * hard, abs=1e-9) == rows["oracle"].cost_at
    assert (rows["random mix"].cost_at or 0) > 0.9


def test_apgr_is_refused_where_strong_is_not_better():
    outcomes = toy()
    swapped = learned_router.Outcomes(
        outcomes.texts, outcomes.task, outcomes.weak, outcomes.strong, outcomes.strong_cost, outcomes.weak_cost
    )
    assert all(row.apgr is None for row in learned_router.compare(swapped))
    assert learned_router.apgr(np.arange(3.0), np.ones(3), np.ones(3)) is None


def test_too_few_scores_are_an_error_not_a_number():
    with pytest.raises(InputError, match="too few"):
        learned_router.compare(toy(30))


@given(st.integers(2, 60), st.integers(0, 99))
def test_apgr_of_chance_and_oracle_bracket_every_order(n: int, seed: int):
    rng = np.random.default_rng(seed)
    strong, weak = rng.random(n) + 0.5, rng.random(n)
    best = learned_router.apgr(strong - weak, strong, weak)
    worst = learned_router.apgr(weak - strong, strong, weak)
    some = learned_router.apgr(rng.random(n), strong, weak)
    if best is not None and worst is not None and some is not None:
        assert worst - 1e-9 <= some <= best + 1e-9


@given(st.integers(2, 40), st.integers(0, 999), st.floats(0.5, 1.0))
def test_no_order_of_calls_costs_less_than_the_bound(n: int, seed: int, share: float):
    rng = np.random.default_rng(seed)
    strong_cost, weak_cost = rng.random(n) + 0.2, rng.random(n) * 0.6
    found = learned_router.Outcomes(
        [""] * n, np.zeros(n, np.int64), rng.random(n), rng.random(n) * 0.8, strong_cost, weak_cost
    )
    least = learned_router.least_cost(found, share)
    for order in (rng.random(n), found.strong - found.weak, (found.strong - found.weak) / (strong_cost - weak_cost)):
        reached = learned_router.cost_at(order, found, share)
        if reached is not None:
            assert least is not None
            assert least <= reached + 1e-9
