"""A log's own choices: what a model was given is no sample of what it would be given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from benchmarks.trust import selection
from replay.quality import gate
from replay.quality.evidence import Evidence
from replay.quality.how_to_know import how_to_know
from replay.quality.intervals import estimates
from replay.quality.selection import Assignment, OffPolicy, Sample, evaluate

STRONG, WEAK = 0, 1
NO_TEXT = "no texts"


def world(seed: int, *, n: int = 3000, chance: tuple[float, float] = (0.1, 0.9)) -> dict[str, np.ndarray]:
    """Hard and easy calls, of which a router sends each kind to the weak model with its own probability."""
    rng = np.random.default_rng(seed)
    easy = rng.random(n) < 0.5
    strong = (rng.random(n) < np.where(easy, 0.95, 0.85)).astype(float)
    weak = (rng.random(n) < np.where(easy, 0.93, 0.45)).astype(float)
    p = np.where(easy, chance[1], chance[0])
    to_weak = rng.random(n) < p
    return {
        "easy": easy, "strong": strong, "weak": weak, "logged": to_weak.astype(np.int32),
        "score": np.where(to_weak, weak, strong), "p": np.where(to_weak, p, 1 - p),
    }  # fmt: skip


def evidence(
    log: dict[str, np.ndarray],
    *,
    propensity: bool = True,
    random: bool = False,
    floor: float = 0.8,
    before: Mapping[str, np.ndarray] | None = None,
) -> Evidence:
    """All calls moved to the weak model. `before`: what was known of each call before it was sent."""
    n = len(log["score"])
    assignment = Assignment(
        propensity=log["p"] if propensity else np.full(n, np.nan),
        random=np.full(n, random),
        reachable=lambda: np.ones(n, bool),
        learner=lambda _: NO_TEXT,
        before=lambda calls: {name: values[calls] for name, values in (before or {}).items()},
    )
    return selection.evidence(log["logged"], log["score"], assignment, floor, WEAK)


def test_a_routers_own_log_passes_nothing_by_itself() -> None:
    log = world(1)
    truth = log["weak"].mean() / log["score"].mean()
    assert truth < 0.8
    naive = log["score"][log["logged"] == WEAK].mean() / log["score"][log["logged"] == STRONG].mean()
    assert naive > 0.95  # what the means of what each model was given would say
    report = gate.assess(evidence(log, propensity=False))
    assert report.verdict == "unknown"
    moved = next(cell for cell in report.cells if cell.logged == "strong")
    assert (moved.evidence, moved.moments) == ("unpaired", None)
    assert moved.to_json()["why"] == NO_TEXT


def test_with_logged_propensities_the_downgrade_fails_and_the_truth_is_covered() -> None:
    covered = failed = 0
    runs = 200
    for seed in range(runs):
        log = world(seed)
        report = gate.assess(evidence(log, floor=0.9))
        cell = next(cell for cell in report.cells if cell.logged == "strong")
        assert cell.evidence == "propensity"
        assert cell.moments is not None
        moved = log["logged"] == STRONG
        expected = np.where(log["easy"], 0.93, 0.45)[moved].mean() - np.where(log["easy"], 0.95, 0.85)[moved].mean()
        found = estimates([cell.moments], 1.0)[0]
        covered += abs(found.mean - expected) < 1.96 * found.error
        failed += report.verdict == "fails"
    assert 0.91 <= covered / runs <= 0.99
    assert failed / runs > 0.9  # the truth is .79 of the logged quality


def test_without_overlap_it_is_unknown_whatever_the_propensities_say() -> None:
    log = world(3, chance=(0.0, 0.9))
    report = gate.assess(evidence(log))
    assert report.verdict == "unknown"
    moved = next(cell for cell in report.cells if cell.logged == "strong")
    assert "never gives" in str(moved.to_json()["why"])


def test_chance_alone_needs_no_propensity() -> None:
    log = world(4, chance=(0.3, 0.3))
    report = gate.assess(evidence(log, propensity=False, random=True))
    assert report.verdict == "fails"
    cell = next(cell for cell in report.cells if cell.logged == "strong")
    assert cell.evidence == "randomised"
    assert cell.moments is not None
    assert cell.moments.mean_served == pytest.approx(log["weak"].mean(), abs=0.04)


def test_calls_of_several_models_that_move_together_are_one_cell() -> None:
    rng = np.random.default_rng(5)
    log = world(5)
    third = (log["logged"] == STRONG) & (rng.random(3000) < 0.5)
    log["logged"] = np.where(third, 2, log["logged"]).astype(np.int32)
    log["p"] = np.where(log["logged"] == WEAK, log["p"], log["p"] / 2)
    made = evidence(log)
    made = replace(made, demand=replace(made.demand, models=["strong", "weak", "third"]))
    cells = [cell for cell in gate.assess(made).cells if cell.evidence == "propensity"]
    assert len(cells) == 1
    assert set(str(cells[0].logged).split(", ")) == {"strong", "third"}
    assert cells[0].share == pytest.approx((log["logged"] != WEAK).mean())


def test_a_model_that_stays_beside_makes_logged_propensities_useless() -> None:
    """The odds of the moved calls' models are not told where a third model took some of the same calls."""
    log = world(6)
    sample = Sample(
        control=log["logged"] == WEAK, score=log["score"], weight=np.ones(3000), unit=np.arange(3000),
        call=np.arange(3000), propensity=log["p"], random=np.zeros(3000, bool), complete=False, models=1,
    )  # fmt: skip
    found: OffPolicy = evaluate(sample, lambda _: NO_TEXT)
    assert (found.kind, found.moments, found.why) == ("none", None, NO_TEXT)


def test_the_estimate_equals_the_formula_written_out() -> None:
    log = world(7, n=800)
    control = log["logged"] == WEAK
    sample = Sample(
        control=control, score=log["score"], weight=np.ones(800), unit=np.arange(800), call=np.arange(800),
        propensity=log["p"], random=np.zeros(800, bool), complete=True, models=1,
    )  # fmt: skip
    found = evaluate(sample, lambda _: NO_TEXT)
    assert found.moments is not None
    assert found.overlap is not None
    mean = sum(y for y, c in zip(log["score"], control, strict=True) if c) / control.sum()
    total = weights = 0.0
    for y, p, is_control in zip(log["score"], log["p"], control, strict=True):
        total += (1 - p) / p * (y - mean) if is_control else mean
        weights += (1 - p) / p * y if is_control else 0.0
    odds = [(1 - p) / p for p, is_control in zip(log["p"], control, strict=True) if is_control]
    assert found.moments.mean_served == pytest.approx(total / (~control).sum())
    assert found.moments.mean_logged == pytest.approx(log["score"][~control].mean())
    assert found.overlap.snips == pytest.approx(weights / sum(odds))
    assert found.overlap.effective == pytest.approx(sum(odds) ** 2 / sum(o * o for o in odds))
    assert found.overlap.largest_weight == pytest.approx(max(odds) / sum(odds))


def moved_cell(report: gate.QualityReport) -> dict[str, Any]:
    return next(cell for cell in report.cells if cell.logged == "strong").to_json()


@pytest.mark.parametrize("said", ["random", "propensity"])
@pytest.mark.parametrize("column", ["input tokens", "calls of agent `x`"])
def test_a_log_that_contradicts_what_it_says_of_chance_is_not_believed(said: str, column: str) -> None:
    """Chance is said to have chosen; the weak model got nine tenths of the easy calls and a tenth of the others."""
    log = world(20)
    length = np.where(log["easy"], 7.0, 8.0) + np.random.default_rng(0).normal(0, 0.1, 3000)
    before = {"the hour": np.arange(3000.0) % 24, column: length if column == "input tokens" else 1.0 * log["easy"]}
    lied = log | {"p": np.full(3000, 0.5)}
    told = {"random": said == "random", "propensity": said == "propensity"}
    assert gate.assess(evidence(lied, **told)).verdict == "passes"  # what it would say, at .79 of the logged quality
    report = gate.assess(evidence(lied, before=before, **told))
    assert report.verdict == "unknown"
    assert report.mean_ratio is None
    assert str(moved_cell(report)["why"]).endswith(f"but its calls differ in {column}")
    assert gate.assess(evidence(log, before=before, floor=0.9)).verdict == "fails"  # true propensities balance it


def test_a_log_that_tells_the_truth_is_believed() -> None:
    """Columns by the dozen, some of them rare marks: chance alone makes none differ."""
    believed = 0
    for seed in range(60):
        log = world(seed, n=1000)
        rng = np.random.default_rng(seed)
        before = {f"{number}": rng.normal(0, 1.5, 1000) + log["easy"] for number in range(6)}
        before |= {f"mark {number}": (rng.random(1000) < 0.03).astype(float) for number in range(6)}
        believed += moved_cell(gate.assess(evidence(log, before=before)))["evidence"] == "propensity"
    assert believed >= 59


@pytest.mark.parametrize("way", ["random", "propensity"])
def test_scores_that_are_missing_more_often_of_one_model_say_nothing(way: str) -> None:
    """Every answer of the strong model is scored, and of the weak model's failures six in ten."""
    log = world(21, chance=(0.5, 0.5)) if way == "random" else world(21, chance=(0.3, 0.7))
    told = {"random": way == "random", "propensity": way == "propensity"}
    rng = np.random.default_rng(21)
    chosen = log["score"].copy()
    chosen[(log["logged"] == WEAK) & (log["score"] == 0) & (rng.random(3000) > 0.6)] = np.nan
    report = gate.assess(evidence(log | {"score": chosen}, **told))
    assert report.verdict == "unknown"
    assert "which ones may depend on the answer" in str(moved_cell(report)["why"])
    by_chance = log["score"].copy()
    by_chance[rng.random(3000) > 0.7] = np.nan
    assert gate.assess(evidence(log | {"score": by_chance}, floor=0.9, **told)).verdict == "fails"


def test_praise_alone_is_no_score() -> None:
    """Both models are praised equally often, by the rare user who praises."""
    log = world(22, chance=(0.3, 0.3))
    praised = np.where(np.random.default_rng(22).random(3000) < 0.2, 1.0, np.nan)
    report = gate.assess(evidence(log | {"score": praised}, propensity=False, random=True))
    assert report.verdict == "unknown"
    assert "only the score 1 was ever given" in str(moved_cell(report)["why"])


def test_nothing_good_is_no_measure() -> None:
    log = world(23, chance=(0.3, 0.3)) | {"score": np.zeros(3000)}
    report = gate.assess(evidence(log, propensity=False, random=True))
    assert (report.verdict, report.mean_ratio) == ("unknown", None)


def test_propensities_are_learned_from_texts_where_they_tell_the_kinds_apart() -> None:
    pytest.importorskip("sklearn")
    from replay.quality import call_learner

    log = world(8, n=1500, chance=(0.2, 0.8))
    rng = np.random.default_rng(8)
    words = [["add", "apples", "price", "cost"], ["prove", "lemma", "bound", "limit"]]
    texts = [" ".join(rng.choice(words[0] if easy else words[1], 12)) for easy in log["easy"]]
    made = call_learner.of_frame(pl.DataFrame({"text": texts}))
    assert not isinstance(made, str)
    found = evidence(log, propensity=False, floor=0.9)
    assert found.assignment is not None
    report = gate.assess(replace(found, assignment=replace(found.assignment, learner=lambda _: made)))
    cell = next(cell for cell in report.cells if cell.logged == "strong")
    assert cell.evidence == "learned"
    assert cell.moments is not None
    assert cell.moments.mean_served == pytest.approx(log["weak"][log["logged"] == STRONG].mean(), abs=0.06)
    assert report.verdict == "fails"
    textless = call_learner.of_frame(pl.DataFrame({"text": [None] * 10}, schema={"text": pl.String}))
    assert isinstance(textless, str)


def test_an_unknown_verdict_says_what_would_make_it_known() -> None:
    report = gate.assess(evidence(world(9), propensity=False, floor=0.95))
    (found,) = how_to_know(report.cells, 0.95, 10, {"weak": 2_000_000_000})
    assert found.model == "weak"
    assert found.cost_pico == found.calls * 2_000_000_000
    assert found.share is not None
    assert found.days is not None
    assert "hindcast shadow --model weak" in found.words
    assert "assignment: random" in found.words
    (whole,) = how_to_know(report.cells, 0.95, 10, {}, "conversation")
    assert (
        "of the conversations, each as a whole, at random" in whole.words
    )  # a mixed one has no model to be scored for
    (stricter,) = how_to_know(report.cells, 0.98, 10, {})
    assert stricter.calls > found.calls
    assert stricter.cost_pico is None
    known = gate.assess(evidence(world(9)))
    assert how_to_know(known.cells, 0.95, 10, {}) == ()
