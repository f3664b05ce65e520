"""What a score belongs to, and intervals that resample it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builder import build_in_memory

from analysis.ledger.ledger import update
from replay.quality.intervals import clustered, lower_bound, paired, ties
from replay.quality.score_units import ScoreUnits, spread, units_of
from replay.quality.scores import score_rows
from replay.traffic.load_traffic import load
from replay.traffic.traffic import Traffic


def calls(sessions: int = 30, size: int = 6, *, each: bool = False, **fields: Any) -> list[dict[str, Any]]:
    """Sessions of calls that carry their session's score, or `each` its own."""
    rng = np.random.default_rng(0)
    rows = []
    for session in range(sessions):
        score = float(rng.integers(0, 2))
        for _ in range(size):
            rows.append({
                "start_time": f"2026-03-0{1 + session % 5}T10:{len(rows) % 60:02d}:00Z", "model": "gpt-4o",
                "input_tokens": 10, "output_tokens": 5, "conversation_id": f"s{session}",
                "score": float(rng.integers(0, 2)) if each else score, **fields,
            })  # fmt: skip
    return rows


def of(tmp_path: Path, rows: list[dict[str, Any]]) -> ScoreUnits | None:
    traffic = loaded(tmp_path, rows)
    return units_of(traffic, score_rows(traffic))


def loaded(tmp_path: Path, rows: list[dict[str, Any]]) -> Traffic:
    tmp_path.mkdir(exist_ok=True)
    store = build_in_memory(rows)
    update(store)
    return load(store)


def test_scores_that_agree_within_every_session_belong_to_sessions(tmp_path: Path) -> None:
    units = of(tmp_path, calls())
    assert units is not None
    assert (units.scope, units.inferred, bool(units.whole.all())) == ("conversation", True, True)
    weights = units.weights(np.ones(len(units.unit), bool))
    assert np.bincount(units.unit, weights) == pytest.approx(np.ones(30))


def test_scores_of_single_calls_are_clustered_by_session_and_count_one_by_one(tmp_path: Path) -> None:
    units = of(tmp_path, calls(each=True))
    assert units is not None
    assert (units.scope, bool(units.whole.any()), len(np.unique(units.unit))) == ("call", False, 30)
    assert units.weights(np.ones(180, bool)).tolist() == [1.0] * 180


def test_two_sessions_of_equal_scores_infer_nothing(tmp_path: Path) -> None:
    units = of(tmp_path, calls(sessions=3))
    assert units is not None
    assert (units.scope, units.inferred) == ("call", False)


def test_what_the_log_says_goes_before_what_could_be_inferred(tmp_path: Path) -> None:
    units = of(tmp_path, calls(score_scope="call"))
    assert units is not None
    assert (units.scope, bool(units.whole.any())) == ("call", False)
    said = of(tmp_path / "2", calls(sessions=2, score_scope="conversation"))
    assert said is not None
    assert (said.scope, said.inferred, bool(said.whole.all())) == ("conversation", False, True)


def test_a_score_on_one_call_of_a_session_is_the_whole_sessions(tmp_path: Path) -> None:
    rows = calls(sessions=8, score_scope="conversation")
    for number, row in enumerate(rows):
        if number % 6:
            del row["score"]
    traffic = loaded(tmp_path, rows)
    read = score_rows(traffic)
    units = units_of(traffic, read)
    assert units is not None
    given = spread(read, units)
    assert (len(read.call), len(given.call), len(np.unique(given.call))) == (8, 48, 48)
    of_call = dict(zip(read.call.tolist(), read.score.tolist(), strict=True))
    by_unit = {int(units.unit[call]): score for call, score in of_call.items()}
    assert all(by_unit[int(units.unit[c])] == s for c, s in zip(given.call.tolist(), given.score.tolist(), strict=True))


@pytest.mark.parametrize("place", [5, 0, None], ids=["last", "first", "any"])
def test_scores_on_the_last_calls_alone_belong_to_sessions(tmp_path: Path, place: int | None) -> None:
    rng = np.random.default_rng(1)
    rows = calls(each=True)
    for session in range(30):
        kept = int(rng.integers(0, 6)) if place is None else place
        for number, row in enumerate(rows[6 * session : 6 * session + 6]):
            row["start_time"] = f"2026-03-0{1 + session % 5}T{session % 20:02d}:{number:02d}:00Z"
            if number != kept:
                del row["score"]
    units = of(tmp_path, rows)
    assert units is not None
    assert (units.scope, units.inferred, units.partly) == (
        ("conversation", True, False) if place == 5 else ("call", False, True)
    )


def test_sessions_of_one_trace_that_share_its_score_are_no_evidence_each(tmp_path: Path) -> None:
    """The score of a ticket stands in all of its sessions: there are as many scores as tickets."""
    rows = calls(sessions=40)
    for number, row in enumerate(rows):
        row["trace_id"] = f"ticket{number // 24}"
        row["score"] = float(number // 24 % 2)
    units = of(tmp_path, rows)
    assert units is not None
    assert (units.scope, units.inferred, len(np.unique(units.unit))) == ("trace", True, 10)


def test_units_of_one_call_each_give_what_calls_give() -> None:
    rng = np.random.default_rng(1)
    served, logged = rng.random(50), rng.random(50)
    plain, units = paired(served, logged), clustered(served, logged, np.arange(50), np.ones(50))
    assert lower_bound([(1.0, units)], 0.9, 0.9) == pytest.approx(lower_bound([(1.0, plain)], 0.9, 0.9))


def test_the_error_is_cr2_of_a_regression_on_a_constant() -> None:
    """Bell and McCaffrey's estimator written out with matrices: residuals times (I - H)^(-1/2) by cluster."""
    rng = np.random.default_rng(2)
    unit = rng.integers(0, 9, 60)
    y = rng.random(60) + unit / 9
    hat = np.full((60, 60), 1 / 60)
    residual = y - y.mean()
    meat = 0.0
    for number in np.unique(unit):
        mine = np.flatnonzero(unit == number)
        values, vectors = np.linalg.eigh(np.eye(len(mine)) - hat[np.ix_(mine, mine)])
        root = vectors @ np.diag(values**-0.5) @ vectors.T
        meat += float((np.ones(len(mine)) @ root @ residual[mine]) ** 2)
    moments = clustered(y, y, unit, np.ones(60))
    assert moments.var_served / moments.n == pytest.approx(meat / 60**2)


def test_sessions_that_stand_in_two_cells_tie_them() -> None:
    rng = np.random.default_rng(3)
    score = rng.random(40)
    both = clustered(score, np.zeros(40), np.arange(40), np.ones(40))
    tied = ties([(0.5, both), (0.5, both)])
    whole = lower_bound([(1.0, both)], 0.9, 0.9)
    assert lower_bound([(0.5, both), (0.5, both)], 0.9, 0.9) == pytest.approx(whole, abs=0.01)
    assert tied.freedom == pytest.approx(39)


@pytest.mark.parametrize("own", [False, True], ids=["one score a session", "a score a call"])
def test_the_bound_over_sessions_covers_nine_times_in_ten(own: bool) -> None:
    rng = np.random.default_rng(4)
    runs, covered = 400, 0
    for _ in range(runs):
        size = rng.poisson(7.5, 60) + 1
        unit = np.repeat(np.arange(60), size)
        good = rng.random(60) < 0.6
        share = np.repeat(np.where(good, 0.9, 0.3), size) if own else np.repeat(good.astype(float), size)
        score = (rng.random(len(unit)) < share).astype(float)
        weight = np.ones(len(unit)) if own else 1 / size[unit]
        truth = 0.66 if own else 0.6
        covered += lower_bound([(1.0, clustered(score, np.zeros(len(unit)), unit, weight))], 0.0, 0.9) <= truth
    assert 0.86 <= covered / runs <= 0.95
