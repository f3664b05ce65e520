"""A strategy passes only on evidence: bounds instead of hopes, and unknown stays unknown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.errors import InputError
from replay.quality import gate
from replay.quality.evidence import Demand, Evidence
from replay.quality.scores import Priors, Scores, load_priors, scores
from replay.strategy.quality_schema import Quality, QualityRow

STRONG, WEAK = 0, 1
NONE = scores([], [], [])


def evidence(
    served: Any,
    *,
    task: Any = None,
    found: Scores = NONE,
    floor: float = 0.95,
    risky: Any = None,
    counted: Any = None,
    priors: Priors | None = None,
    **spec: Any,
) -> Evidence:
    served = np.asarray(served, np.int32)
    n = len(served)
    return Evidence(
        spec=Quality(floor=floor, **spec),
        demand=Demand(
            logged=np.zeros(n, np.int32),
            served=served,
            task=np.zeros(n, np.int32) if task is None else np.asarray(task, np.int32),
            counted=np.ones(n, bool) if counted is None else np.asarray(counted, bool),
            risky=np.zeros(n, bool) if risky is None else np.asarray(risky, bool),
            weight=np.full(n, 1_000_000, np.int64),
            models=["strong", "weak"],
            tasks=[f"t{i}" for i in range(8)],
        ),
        scores=found,
        priors=priors or Priors(),
    )


def both(calls: Any, strong: Any, weak: Any) -> Scores:
    calls = np.asarray(calls)
    return scores(
        np.concatenate([calls, calls]),
        np.repeat([STRONG, WEAK], len(calls)),
        np.concatenate([np.broadcast_to(strong, len(calls)), np.broadcast_to(weak, len(calls))]),
    )


def test_an_unchanged_strategy_passes_at_any_floor_up_to_one():
    report = gate.assess(evidence([STRONG] * 50))
    assert (report.verdict, report.mean_ratio, report.unknown_share) == ("passes", 1.0, 0.0)
    assert report.lower_90 == pytest.approx(1.0)
    assert gate.assess(evidence([STRONG] * 50, floor=1.0)).verdict == "passes"
    assert gate.assess(evidence([STRONG] * 50, floor=1.01)).verdict != "passes"


def test_without_scores_a_downgrade_is_unknown_never_one():
    report = gate.assess(evidence([WEAK] * 50))
    assert (report.verdict, report.mean_ratio, report.lower_90) == ("unknown", None, None)
    assert report.unknown_share == 1.0


def test_a_clearly_worse_model_fails_and_a_good_one_passes():
    rng = np.random.default_rng(1)
    strong = np.clip(rng.normal(0.9, 0.05, 200), 0, 1)
    worse = gate.assess(evidence([WEAK] * 1000, found=both(range(200), strong, np.clip(strong - 0.25, 0, 1))))
    assert worse.verdict == "fails"
    assert worse.mean_ratio == pytest.approx(0.72, abs=0.03)
    good = gate.assess(evidence([WEAK] * 1000, found=both(range(200), strong, np.clip(strong - 0.01, 0, 1))))
    assert good.verdict == "passes"
    assert good.lower_90 is not None
    assert good.mean_ratio is not None
    assert 0.95 < good.lower_90 < good.mean_ratio < 1.0


def test_the_verdict_agrees_with_the_lower_bound_shown():
    rng = np.random.default_rng(2)
    for _ in range(60):
        n = int(rng.integers(6, 200))
        strong = (rng.random(n) < 0.9).astype(float)
        weak = (rng.random(n) < rng.uniform(0.6, 1.0)).astype(float)
        served = rng.integers(0, 2, 400)
        report = gate.assess(evidence(served, found=both(range(n), strong, weak), floor=0.9))
        if report.unknown_share == 0:
            assert report.lower_90 is not None
            assert (report.verdict == "passes") == (report.lower_90 >= 0.9 - 1e-9)


def test_routing_only_the_easy_task_passes_where_routing_everything_fails():
    rng = np.random.default_rng(3)
    task = np.arange(4000) % 2
    scored = np.arange(400)
    strong = np.clip(rng.normal(0.92, 0.04, 400), 0, 1)
    weak = np.where(task[:400] == 0, strong - 0.01, strong - 0.3)
    found = both(scored, strong, np.clip(weak, 0, 1))
    assert gate.assess(evidence(np.full(4000, WEAK), task=task, found=found)).verdict == "fails"
    assert gate.assess(evidence(np.where(task == 0, WEAK, STRONG), task=task, found=found)).verdict == "passes"


def test_a_task_floor_can_fail_what_the_whole_passes():
    task = np.arange(1000) % 8
    found = both(range(400), 0.9, np.where(task[:400] == 7, 0.7, 0.9))
    everything = np.full(1000, WEAK)
    assert gate.assess(evidence(everything, task=task, found=found, floor=0.9)).verdict == "passes"
    strict = gate.assess(evidence(everything, task=task, found=found, floor=0.9, per_task={"t7": 0.9}))
    assert strict.verdict == "fails"
    assert strict.per_task[0]["verdict"] == "fails"


def test_a_lossy_call_is_unknown_and_a_small_unknown_share_is_borne():
    found = both(range(300), 0.9, 0.9)
    few = np.zeros(1000, bool)
    few[:20] = True
    borne = gate.assess(evidence([STRONG] * 1000, found=found, risky=few))
    assert borne.unknown_share == pytest.approx(0.02)
    assert borne.verdict == "passes"
    many = gate.assess(evidence([STRONG] * 1000, found=found, risky=np.arange(1000) < 300))
    assert many.verdict == "unknown"
    assert many.unknown_share == pytest.approx(0.3)


def test_calls_outside_the_demand_do_not_count_but_their_scores_do():
    served = np.array([WEAK] * 500)
    counted = np.arange(500) >= 250
    found = both(range(250), 0.9, 0.89)
    report = gate.assess(evidence(served, counted=counted, found=found))
    assert report.verdict == "passes"
    assert report.cells[0].evidence == "paired"
    assert report.scored_calls == 250


def test_the_evidence_ladder_prefers_pairs_then_separate_calls_then_the_table():
    served = np.array([STRONG] * 100 + [WEAK] * 100)
    elsewhere = both(range(50), 0.9, 0.9)  # both models scored, but on calls that stay
    moved = next(c for c in gate.assess(evidence(served, found=elsewhere)).cells if c.served == "weak")
    assert moved.evidence == "paired_task"
    apart = scores([*range(30), *range(40, 70)], [STRONG] * 30 + [WEAK] * 30, [0.9] * 30 + [0.88] * 30)
    moved = next(c for c in gate.assess(evidence(served, found=apart)).cells if c.served == "weak")
    assert moved.evidence == "unpaired"
    table = (QualityRow(model="weak", quality=0.9, n=100), QualityRow(model="strong", quality=0.9, n=100))
    report = gate.assess(evidence(served, table=table))
    assert report.evidence == "table"
    assert gate.assess(evidence(served, priors=Priors(table))).evidence == "table"


def test_four_scores_are_no_evidence_but_thin_tasks_add_up():
    found = both([0, 1, 2, 3], 0.9, 0.9)
    assert gate.assess(evidence([WEAK] * 100, found=found)).unknown_share == 1.0
    task = np.arange(100) % 4
    thin = both([0, 1, 2, 3, 4, 5, 6, 7], 0.9, 0.9)
    report = gate.assess(evidence([WEAK] * 100, task=task, found=thin))
    assert report.unknown_share == 0.0
    assert {cell.evidence for cell in report.cells} == {"merged"}


def test_a_handful_of_perfect_scores_is_not_certainty():
    few = gate.assess(evidence([WEAK] * 1000, found=both(range(6), 1.0, 1.0), floor=0.99))
    many = gate.assess(evidence([WEAK] * 1000, found=both(range(600), 1.0, 1.0), floor=0.99))
    assert few.verdict != "passes"
    assert many.verdict == "passes"


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_more_quality_never_lowers_the_bound(seed: int):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(5, 60))
    strong, weak = rng.random(n), rng.random(n) * 0.8
    served = rng.integers(0, 2, 200)
    low = gate.assess(evidence(served, found=both(range(n), strong, weak)))
    high = gate.assess(evidence(served, found=both(range(n), strong, weak + 0.1)))
    assert low.lower_90 is not None
    assert high.lower_90 is not None
    assert high.lower_90 >= low.lower_90 - 1e-6


def test_the_bound_covers_the_truth_nine_times_in_ten():
    """Nominal 90 % one-sided: the true ratio lies above the bound in about that share of samples."""
    rng = np.random.default_rng(11)
    n, covered, runs = 3000, 0, 300
    task = rng.integers(0, 6, n)
    strong = (rng.random(n) < 0.9).astype(float)
    weak = np.where(rng.random(n) < np.linspace(0.95, 0.5, 6)[task], strong, (rng.random(n) < 0.3).astype(float))
    served = np.where(task < 4, WEAK, STRONG)
    truth = np.where(served == WEAK, weak, strong).sum() / strong.sum()
    for _ in range(runs):
        sample = rng.choice(n, 200, replace=False)
        report = gate.assess(evidence(served, task=task, found=both(sample, strong[sample], weak[sample])))
        assert report.lower_90 is not None
        covered += report.lower_90 <= truth
    assert 0.85 <= covered / runs <= 0.97


def test_a_table_of_qualities_is_read_with_its_mistakes_named(tmp_path: Path):
    table = tmp_path / "scores.csv"
    table.write_text("task,model,quality,n\ndraft,weak,0.8,50\n,strong,0.9,100\n")
    assert [(r.task, r.model, r.quality, r.n) for r in load_priors(table).rows] == [
        ("draft", "weak", 0.8, 50), (None, "strong", 0.9, 100),
    ]  # fmt: skip
    (tmp_path / "single.jsonl").write_text('{"model": "m", "score": 1}\n{"model": "m", "score": 0}\n')
    assert load_priors(tmp_path / "single.jsonl").rows[0].quality == 0.5
    for text, words in {
        "task,model,qualty\na,b,1\n": "Did you mean 'quality'",
        "model,quality\nb,1.5\n": "outside 0..1",
        "model,quality\nb,high\n": "not a number",
        "model,quality\n,1\n": "needs model and quality",
    }.items():
        table.write_text(text)
        with pytest.raises(InputError, match=words) as caught:
            load_priors(table)
        assert "scores.csv:2" in str(caught.value)
    with pytest.raises(InputError):
        load_priors(tmp_path / "absent.csv")
