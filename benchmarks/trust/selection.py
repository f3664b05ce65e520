"""Verdicts on confounded logs: three kinds of router over twelve pairs of models, with and without propensities.

Each world draws a log from public outcomes that know both models' scores (ZeroEval, RouteLLM), with replacement, lets a
router choose who answers, keeps only that answer's score, and asks whether everything may go to the weak model. Reads
`routing_outcomes.parquet` from the folder of real data: HINDCAST_DATA, else beside the project.

    python -m benchmarks.trust.selection [WORLDS PER PAIR AND ROUTER]
"""

from __future__ import annotations

import sys
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import stdtrit
from sklearn.linear_model import Ridge

from benchmarks.router_pairs import DATA, PAIRS, outcomes
from replay.quality import gate
from replay.quality.call_learner import CallLearner, of_frame
from replay.quality.evidence import Demand, Evidence
from replay.quality.intervals import estimates
from replay.quality.scores import scores
from replay.quality.selection import Assignment
from replay.strategy.quality_schema import Quality

Floats = NDArray[np.float64]
FLOOR = 0.95
STRONG, WEAK = 0, 1
LEAST, MOST = 0.05, 0.95  # of the routers' probabilities
LOGGED_WORLDS = 4  # for each world in which propensities are learned, which takes longer
BALANCED = 12  # features of the texts in which the models' weighted calls are held against each other
KINDS = ("logged", "learned", "no text", "no overlap, logged", "no overlap, text")


@dataclass(frozen=True)
class Pool:
    """Queries with both models' scores, what is learned from, and each router's chance of asking the weak model."""

    strong: Floats
    weak: Floats
    learner: CallLearner
    routers: dict[str, Floats]


def pool(rows: pl.DataFrame, source: str, strong: str, weak: str) -> Pool:
    """The queries that both models answered, and routers by task, by length and by a learned gain."""
    found = outcomes(rows.filter(pl.col("source") == source), strong, weak)
    made = of_frame(pl.DataFrame({"text": list(found.texts)}))
    assert isinstance(made, CallLearner)
    length = np.log1p([float(len(text)) for text in found.texts])
    length = (length - length.mean()) / length.std()
    gain = Ridge(alpha=30).fit(made.dense, found.strong - found.weak).predict(made.dense)
    gain = (gain - gain.mean()) / gain.std()
    easiest = min(np.unique(found.task), key=lambda task: float((found.strong - found.weak)[found.task == task].mean()))
    one_task = len(np.unique(found.task)) == 1
    by_task = np.where(length < 0, 0.85, 0.15) if one_task else np.where(found.task == easiest, 0.9, 0.1)
    routers = {
        "task": by_task,
        "length": np.clip(1 / (1 + np.exp(1.5 * length)), LEAST, MOST),
        "gain": np.clip(1 / (1 + np.exp(1.5 * gain)), LEAST, MOST),
    }
    return Pool(found.strong, found.weak, made, routers)


def evidence(logged: NDArray[np.int32], score: Floats, assignment: Assignment, floor: float, target: int) -> Evidence:
    """What a log of one task tells of sending all its calls to one of two models. `score`: NaN where there is none."""
    n = len(score)
    known = np.flatnonzero(~np.isnan(score))
    return Evidence(
        spec=Quality(floor=floor),
        demand=Demand(
            logged=logged,
            served=np.full(n, target, np.int32),
            task=np.zeros(n, np.int32),
            counted=np.ones(n, bool),
            risky=np.zeros(n, bool),
            weight=np.full(n, 1_000_000, np.int64),
            models=["strong", "weak"],
            tasks=["answer"],
        ),
        scores=scores(known, logged[known], score[known]),
        assignment=assignment,
    )


def assessed(
    to_weak: NDArray[np.bool_], score: Floats, propensity: Floats, learner: CallLearner | str, target: int = WEAK
) -> gate.QualityReport:
    """The verdict on sending every call to one model."""
    n = len(score)
    columns = {} if isinstance(learner, str) else {f"feature {k}": learner.dense[:, k] for k in range(BALANCED)}
    assignment = Assignment(
        propensity, np.zeros(n, bool), lambda: np.ones(n, bool), lambda _: learner,
        lambda calls: {name: values[calls] for name, values in columns.items()},
    )  # fmt: skip
    return gate.assess(evidence(to_weak.astype(np.int32), score, assignment, FLOOR, target))


def world(pool: Pool, router: str, seed: int, *, learned: bool = True) -> dict[str, dict[str, Any]]:
    """What is said of one log, by what it tells, beside the truth; only of logged propensities without `learned`."""
    rng = np.random.default_rng(seed)
    n = len(pool.strong)
    drawn = rng.integers(0, n, n)
    chance = pool.routers[router]
    sure = (chance > np.median(chance)).astype(float) if len(np.unique(chance)) > 2 else (chance > 0.5).astype(float)
    learner = CallLearner(pool.learner.dense[drawn], pool.learner.sparse[drawn], pool.learner.fold[drawn])
    none = np.full(n, np.nan)
    result: dict[str, dict[str, Any]] = {}
    for policy, p in (("", chance), ("no overlap, ", sure)):
        to_weak = rng.random(n) < p[drawn]
        score = np.where(to_weak, pool.weak[drawn], pool.strong[drawn])
        own = np.where(to_weak, p[drawn], 1 - p[drawn])
        told: dict[str, tuple[Floats, CallLearner | str]] = {"logged": (own, learner)}
        if learned:
            told["text" if policy else "learned"] = (none, learner)
        if not policy:
            told["no text"] = (none, "no texts")
        for name, (propensity, made) in told.items():
            report = assessed(to_weak, score, propensity, made)
            result[policy + name] = _compared(pool, p, report, float((~to_weak).mean()))
    return result


def _compared(pool: Pool, chance: Floats, report: gate.QualityReport, share: float) -> dict[str, Any]:
    """The verdict beside the truth over the population that the log was drawn from."""
    logged = chance * pool.weak + (1 - chance) * pool.strong
    row: dict[str, Any] = {"verdict": report.verdict, "holds": bool(pool.weak.mean() >= FLOOR * logged.mean())}
    cell = next(cell for cell in report.cells if cell.logged == "strong")
    if cell.moments is not None:
        truth = float(((1 - chance) * (pool.weak - pool.strong)).sum() / (1 - chance).sum())
        found = estimates([cell.moments], 1.0)[0]
        row["error"] = (found.mean - truth) * share  # of the mean over all calls
        row["covered"] = abs(found.mean - truth) <= float(stdtrit(found.freedom, 0.975)) * found.error
    return row


def case(rows: pl.DataFrame) -> None:
    """One log, as it is: haiku got nine tenths of the school mathematics and one tenth of the rest."""
    made = pool(rows, "zeroeval", "claude-3-5-sonnet-20240620", "claude-3-haiku-20240307")
    chance = made.routers["task"]
    to_weak = np.random.default_rng(1).random(len(chance)) < chance
    score = np.where(to_weak, made.weak, made.strong)
    none = np.full(len(score), np.nan)
    told: dict[str, tuple[Floats, CallLearner | str]] = {
        "propensities": (np.where(to_weak, chance, 1 - chance), made.learner),
        "texts": (none, made.learner),
        "neither": (none, "no texts"),
    }
    for name, truth, target in (("haiku", made.weak, WEAK), ("sonnet", made.strong, STRONG)):
        print(f"all to {name}: truth {truth.mean() / score.mean():.3f} of the logged quality")
        for kind, (propensity, learner) in told.items():
            found = assessed(to_weak, score, propensity, learner, target)
            ratio = "-" if found.mean_ratio is None or found.verdict == "unknown" else f"{found.mean_ratio:.3f}"
            print(f"  log tells {kind:13} {found.verdict:8} {ratio}")


def main(worlds: int = 3) -> None:
    if not DATA.exists():
        print(f"the outcomes are not at {DATA} (set HINDCAST_DATA)")
        return
    rows = pl.read_parquet(DATA)
    case(rows)
    seen: dict[str, list[dict[str, Any]]] = defaultdict(list)
    bias: dict[tuple[str, str], list[float]] = defaultdict(list)
    for number, (source, strong, weak) in enumerate(PAIRS):
        made = pool(rows, source, strong, weak)
        for router in made.routers:
            for seed in range(LOGGED_WORLDS * worlds):
                for kind, row in world(made, router, 1000 * number + seed, learned=seed < worlds).items():
                    seen[kind].append(row)
                    if kind == "learned" and "error" in row:
                        bias[f"{number}", router].append(row["error"])
        print(f"{strong.split('/')[-1]} > {weak.split('/')[-1]}: done", file=sys.stderr, flush=True)
    titles = ("unknown", "false passes", "false fails", "95 % covers", "bias")
    print(f"{'log tells':20} {'worlds':>6}" + "".join(f"{title:>14}" for title in titles))
    for kind in KINDS:
        found = seen[kind]
        wrong = [
            sum(r["verdict"] == word and r["holds"] is (word == "fails") for r in found) for word in ("passes", "fails")
        ]
        known = [r for r in found if "covered" in r]
        unknown = sum(r["verdict"] == "unknown" for r in found)
        shares = "".join(f"{number / len(found):14.1%}" for number in (unknown, *wrong))
        sure = (
            f"{sum(r['covered'] for r in known) / len(known):14.3f}{np.mean([r['error'] for r in known]):+14.4f}"
            if known
            else f"{'-':>14}{'-':>14}"
        )
        print(f"{kind:20} {len(found):6}{shares}{sure}")
    means = [abs(float(np.mean(errors))) for errors in bias.values()]
    print(f"learned, by pair and router: largest |mean error| {max(means):.3f}, median {np.median(means):.3f}")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:2]))
