"""Dollars per unit and per good outcome, with the intervals of their ratios."""

from __future__ import annotations

import math
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builder import build_in_memory
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student

from analysis.ledger.ledger import update
from analysis.ratio_interval import ratio_interval
from analysis.reports.unit_cost import unit_costs
from ingest.store.database import Store


def stored(path: Path, rows: list[dict[str, Any]]) -> Store:
    path.mkdir(exist_ok=True)
    store = build_in_memory(rows)
    update(store)
    return store


def call(session: str | None, tokens: int = 1_000_000, **fields: Any) -> dict[str, Any]:
    """A call of gpt-4o, whose input costs $2.50 a million tokens."""
    return {
        "start_time": "2026-03-02T10:00:00Z", "model": "gpt-4o", "provider_name": "openai", "input_tokens": tokens,
        "output_tokens": 0, "conversation_id": session, **fields,
    }  # fmt: skip


def test_dollars_per_conversation_are_the_mean_over_conversations(tmp_path: Path) -> None:
    rows = [call("a"), call("a"), call("b"), call(None), call("c", model="no-such-model")]
    found = unit_costs(stored(tmp_path, rows), "conversation")
    total = found.total
    assert (total["units"], total["calls"], total["cost_usd"], total["left_out_calls"]) == (2, 3, Decimal("7.5"), 2)
    assert total["usd_per_unit"] == Decimal("3.75")
    half = student.ppf(0.95, 1) * np.std([5.0, 2.5], ddof=1) / math.sqrt(2)
    assert float(total["high_usd"]) == pytest.approx(3.75 + half)


def test_a_unit_in_two_groups_is_one_in_the_total(tmp_path: Path) -> None:
    rows = [call("a", agent="x"), call("a", agent="y"), call("b", agent="x")]
    found = unit_costs(stored(tmp_path, rows), "conversation", ["agent"])
    assert [(row["agent"], row["units"], row["cost_usd"]) for row in found.rows] == [
        ("x", 2, Decimal("5.0")), ("y", 1, Decimal("2.5")),
    ]  # fmt: skip
    assert (found.total["units"], found.total["usd_per_unit"]) == (2, Decimal("3.75"))


def test_failures_are_paid_for_by_the_outcomes(tmp_path: Path) -> None:
    """Twenty sessions of two calls, half of them solved: each solved one bears two sessions' cost."""
    rows = [call(f"s{n}", score=float(n % 2)) for n in range(20) for _ in range(2)]
    found = unit_costs(stored(tmp_path, rows), "outcome")
    assert (found.scope, found.inferred) == ("conversation", True)
    total = found.total
    assert (total["units"], total["outcomes"], total["usd_per_unit"]) == (20, 10.0, Decimal("10"))
    assert total["low_usd"] < 10 < total["high_usd"]
    assert "$10.00" in found.summary


def test_a_score_on_the_last_call_is_its_sessions_where_the_log_says_so(tmp_path: Path) -> None:
    rows = [call("a"), call("a", score=0.5, score_scope="conversation"), call("b"), call(None)]
    total = unit_costs(stored(tmp_path, rows), "outcome").total
    assert (total["units"], total["calls"], total["cost_usd"]) == (1, 2, Decimal("5.0"))
    assert total["usd_per_unit"] == Decimal("10")
    assert total["high_usd"] is None


def test_scores_on_the_last_calls_alone_are_the_sessions(tmp_path: Path) -> None:
    """The calls before the last are what an outcome took, too."""
    rows = [call(f"s{n}", **({"score": float(n % 2)} if last else {})) for n in range(20) for last in (False, True)]
    found = unit_costs(stored(tmp_path, rows), "outcome")
    assert (found.scope, found.inferred) == ("conversation", True)
    assert (found.total["calls"], found.total["usd_per_unit"]) == (40, Decimal("10"))


def test_a_score_that_may_be_a_calls_or_a_sessions_has_both_figures(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    rows = [
        call(f"s{n}", **({"score": float(rng.integers(0, 2))} if place in scored else {}))
        for n in range(40)
        for scored in (rng.choice(4, 2, replace=False).tolist(),)
        for place in range(4)
    ]
    found = unit_costs(stored(tmp_path, rows), "outcome")
    total = found.total
    assert (found.scope, found.inferred, total["calls"]) == ("call", False, 80)
    assert total["with_unscored_usd"] == pytest.approx(2 * total["usd_per_unit"])
    assert "with the calls of the same conversations that have no score" in found.summary
    said = unit_costs(stored(tmp_path / "2", [row | {"score_scope": "call"} for row in rows]), "outcome")
    assert said.total["with_unscored_usd"] is None
    assert said.total["usd_per_unit"] == total["usd_per_unit"]


def test_what_was_scored_and_never_good_has_a_cost(tmp_path: Path) -> None:
    rows = [call(f"s{n}", score=0, score_scope="conversation") for n in range(20)]
    found = unit_costs(stored(tmp_path, rows), "outcome")
    assert found.total["usd_per_unit"] is None
    assert found.summary == "No good outcome: 20 scored conversations of no score above 0 cost $50.00."


def test_without_scores_there_are_no_outcomes(tmp_path: Path) -> None:
    found = unit_costs(stored(tmp_path, [call("a"), call("b")]), "outcome")
    assert found.total["usd_per_unit"] is None
    assert found.summary == "No outcome with a price and a score in this window."


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_the_interval_holds_the_ratios_that_a_t_test_does_not_reject(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 40))
    cost = rng.gamma(2.0, 1.0, n)
    solved = (rng.random(n) < rng.uniform(0.1, 0.9)).astype(float)
    low, high = ratio_interval(cost, solved)
    if not solved.any():
        assert (low, high) == (None, None)
        return
    limit = student.ppf(0.95, n - 1)

    def kept(ratio: float) -> bool:
        rest = cost - ratio * solved
        return bool(abs(rest.mean()) <= limit * rest.std(ddof=1) / math.sqrt(n) * (1 + 1e-9))

    assert low is not None
    if low > 0:
        assert kept(low * 1.0001)
        assert not kept(low * 0.999)
    if high is None:
        assert kept(1e9)
    else:
        assert kept(high * 0.9999)
        assert not kept(high * 1.001)


def test_the_interval_covers_the_true_ratio_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(1000):
        solved = (rng.random(50) < 0.4).astype(float)
        cost = rng.gamma(2.0, np.where(solved > 0, 0.5, 1.0))
        low, high = ratio_interval(cost, solved)
        truth = (0.4 * 1.0 + 0.6 * 2.0) / 0.4
        covered += (low or 0.0) <= truth <= (math.inf if high is None else high)
    assert 0.87 <= covered / 1000 <= 0.93


def test_conversations_that_the_window_cuts_are_counted(tmp_path: Path) -> None:
    night = [
        call(f"s{day}", start_time=f"2026-03-{day + after:02}T{hour:02}:00:00Z")
        for day in range(1, 6)
        for after, hour in ((0, 23), (1, 1))
    ]
    store = stored(tmp_path, [*night, call("noon", start_time="2026-03-03T12:00:00Z")])
    found = unit_costs(store, "conversation", since=date(2026, 3, 3), until=date(2026, 3, 4))
    assert (found.total["units"], found.cut) == (4, 2)  # s2 and s4 are cut, s3 and noon are whole
    assert unit_costs(store, "conversation").cut == 0
