"""The evaluation suite of the diagnosis: generated worlds with one cause, two causes or none, and the true dollars.

    python -m benchmarks.diagnosis.suite --singles 10 --pairs 60 --nulls 100

Development seeds are 0-999; seeds from 10,000 on are for checking only. Sizes and shapes take turns over the cases.
Each line of the report is a rate over cases: right cause first, right factor first, exact place (micro F1 over the
places named: the same agents and tasks, or precisely those of them where the cause changed a call, and the user where
it has one), the median error of the dollars against the paired worlds, and how often the detector flagged the day.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np

from analysis.diagnosis.diagnose import diagnose
from analysis.diagnosis.result import CauseEstimate, Diagnosis
from benchmarks.diagnosis.cases import Case, case, null_case
from benchmarks.diagnosis.injections import CAUSES, Injection

SIZES = (0.2, 0.5, 1.0, 4.0)
# what cannot grow without bound: the most there is to lose is seldom more than this part of a day
FEW = {"model_switch": (0.2, 0.5), "cache_breakage": (0.2, 0.25), "batch_to_realtime": (0.2, 0.3),
       "reasoning_growth": (0.2, 0.5)}  # fmt: skip
WORLDS = 400  # seeds from the first one on
TRIES = 200  # of them, until one has a place for a cause


@dataclass
class Score:
    seed: int
    truth: list[str]
    size: float
    shapes: list[str]
    found: list[str]
    cause_first: bool
    factor_first: bool
    hits: int  # places named exactly
    named: int
    errors: list[float]  # |estimated - true| / true, per cause
    flagged: bool
    claimed: bool  # a cause beyond the ordinary on a flagged day
    unasked: bool  # a notable cause beyond the ordinary, flagged or not
    seconds: float
    true_usd: list[float]
    found_usd: list[float] = field(default_factory=list)
    where: list[Any] = field(default_factory=list)


def run(folder: Path, seed: int, causes: Sequence[str], size: float) -> Score | None:
    """One case, or None where the world has no place for the causes."""
    made = case(folder, seed, causes, size) if causes else null_case(folder, seed)
    if made is None:
        return None
    start = time.perf_counter()
    found = diagnose(made.store, day=made.world.last.date())
    return grade(made, size, found, time.perf_counter() - start)


def covered(made: Case, segments: Sequence[dict[str, Any]]) -> frozenset[Any]:
    """The agents' tasks that segments hold, so that two ways of naming one place are equal."""
    places = {(p.agent, p.task) for p in (*made.world.places, *(p for i in made.made for p in i.places))}
    held: set[Any] = set()
    for segment in segments:
        if "model" in segment:
            held.add(("model", segment["model"]))
            continue
        plain = {k: v for k, v in segment.items() if k in ("agent", "task")}
        held |= {
            (agent, task, segment.get("user"))
            for agent, task in places
            if all({"agent": agent, "task": task}[k] == v for k, v in plain.items())
        }
    return frozenset(held)


def exact(made: Case, number: int, named: frozenset[Any], true: frozenset[Any]) -> bool:
    """Whether the places named are those of the cause: all that it was meant for, or precisely those where it changed
    a call. A loop of two requests, meant for an agent, touches one task of it: naming that task is no mistake."""
    if named == true:
        return True
    touched = made.touched[number] if made.touched else frozenset()
    if any(place[0] == "model" for place in true):
        # a model's own price: the agents' tasks that use it and no other model that day are the same calls
        return bool(touched) and named == {(*place, None) for place in touched} and _one_model(made, touched)
    return bool(touched) and named == {place for place in true if place[:2] in touched}


def _one_model(made: Case, places: frozenset[tuple[str, str]]) -> bool:
    with made.store.read() as con:
        rows = con.execute(
            "SELECT DISTINCT agent, task, model FROM calls WHERE start_time::DATE = ?", [made.world.last.date()]
        ).fetchall()
    return len({model for agent, task, model in rows if (agent, task) in places}) == 1


def grade(made: Case, size: float, found: Diagnosis, seconds: float) -> Score:
    truths = made.made if made.usd else ()
    top = [f for f in found.causes if f.cause.cause != "smaller"][: max(len(truths), 1)]
    true_places = [covered(made, [i.segment]) for i in truths]
    named = [covered(made, f.cause.segments) for f in top]
    matched = _matched(truths, true_places, top, named)
    estimates, errors = [], []
    for i, usd in enumerate(made.usd):
        one = matched[i]
        # one cause: what undoing it saves; two share what they did together, as Shapley dollars do
        estimate = 0.0 if one is None else float(one.undo_saves if len(made.usd) == 1 else one.delta)
        estimates.append(estimate)
        errors.append(abs(estimate - usd) / abs(usd) if usd else 0.0)
    beyond = [f for f in found.causes if f.cause.surprising]
    if made.decoy == "holiday":  # fewer calls are what a holiday is
        beyond = [f for f in beyond if f.delta > 0 or f.cause.cause not in ("traffic", "gone")]
    return Score(
        seed=made.world.seed,
        truth=[f"{i.cause} {i.segment}" for i in made.made] or [made.decoy],
        size=size,
        shapes=[i.shape for i in made.made],
        found=[f"{f.cause.cause} {float(f.delta):.2f} z{f.cause.z:.1f}" for f in found.causes[:5]],
        cause_first=sorted(f.cause.cause for f in top) == sorted(i.cause for i in truths),
        factor_first=sorted(f.cause.factors[0] for f in top) == sorted(i.factor for i in truths),
        hits=sum(
            one is not None and exact(made, i, covered(made, one.cause.segments), place)
            for i, (one, place) in enumerate(zip(matched, true_places, strict=True))
        ),
        named=len(named) if truths else 0,
        errors=errors,
        flagged=found.flagged,
        claimed=found.flagged and bool(beyond),
        unasked=any(abs(f.delta) >= float(found.actual) * 0.05 for f in beyond),
        seconds=seconds,
        true_usd=list(made.usd),
        found_usd=estimates,
        where=[f.cause.segments for f in top],
    )


def _matched(
    truths: Sequence[Injection], places: Sequence[Any], top: Sequence[CauseEstimate], named: Sequence[Any]
) -> list[CauseEstimate | None]:
    """Each true cause's finding, by name and place as well as they can be told apart."""
    best: tuple[int, list[CauseEstimate | None]] = (-1, [None] * len(truths))
    for order in permutations(range(len(top))):
        points, chosen = 0, []
        for i in range(len(truths)):
            at = order[i] if i < len(order) else None
            one = None if at is None else top[at]
            chosen.append(one)
            if one is not None and at is not None:
                points += 4 * (one.cause.cause == truths[i].cause) + 2 * (named[at] == places[i])
                points += one.cause.factors[0] == truths[i].factor
        if points > best[0]:
            best = (points, chosen)
    return best[1]


def report(title: str, scores: list[Score]) -> None:
    if not scores:
        return
    errors = [e for s in scores for e in s.errors]
    truths = sum(len(s.true_usd) for s in scores)
    f1 = 2 * sum(s.hits for s in scores) / max(truths + sum(s.named for s in scores), 1)
    print(
        f"{title:<22} {len(scores):>4}  cause {np.mean([s.cause_first for s in scores]):.3f}  "
        f"factor {np.mean([s.factor_first for s in scores]):.3f}  place F1 {f1:.3f}  "
        f"error median {np.median(errors):.3f} p90 {np.quantile(errors, 0.9):.3f}  "
        f"flagged {np.mean([s.flagged for s in scores]):.2f}  {np.mean([s.seconds for s in scores]):.2f} s",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--singles", type=int, default=4, help="cases per cause, sizes in turn")
    parser.add_argument("--pairs", type=int, default=0)
    parser.add_argument("--nulls", type=int, default=0)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--causes", nargs="*", default=list(CAUSES))
    parser.add_argument("--sizes", type=float, nargs="*", default=list(SIZES))
    parser.add_argument("--show", action="store_true", help="print the cases that went wrong")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        singles = _singles(Path(name), args)
        pairs = _pairs(Path(name), args)
        nulls = [score for i in range(args.nulls) if (score := run(Path(name), args.first_seed + i, [], 0)) is not None]
    for shape in sorted({s.shapes[0] for s in singles}):
        report(f"  singles, {shape}", [s for s in singles if s.shapes[0] == shape])
    for size in sorted({s.size for s in singles}):
        report(f"  singles, size {size}", [s for s in singles if s.size == size])
    report("SINGLES", singles)
    report("PAIRS", pairs)
    if nulls:
        _show(args, [s for s in nulls if s.claimed])
        print(
            f"NULLS {len(nulls)}: flagged {np.mean([s.flagged for s in nulls]):.3f}, flagged with a cause "
            f"{np.mean([s.claimed for s in nulls]):.3f}, a notable cause though unflagged {_unasked(nulls):.3f}"
        )
    if args.json:
        every = [*singles, *pairs, *nulls]
        args.json.write_text(json.dumps([asdict(s) for s in every], indent=1, default=str))


def _unasked(nulls: Sequence[Score]) -> float:
    """Decoys that cancel out hold causes, and a holiday is one: the others hold none."""
    plain = [s for s in nulls if s.truth[0] in ("plain", "monday", "growth")]
    return float(np.mean([s.unasked for s in plain])) if plain else float("nan")


def _singles(folder: Path, args: argparse.Namespace) -> list[Score]:
    singles: list[Score] = []
    for cause in args.causes if args.singles else []:
        scores: list[Score] = []
        sizes = FEW.get(cause, args.sizes)
        seed = args.first_seed
        for number in range(args.singles):
            for _ in range(TRIES):
                score = run(folder, seed, [cause], sizes[number % len(sizes)])
                seed = _next(seed, args.first_seed)
                if score is not None:
                    scores.append(score)
                    break
        _show(args, [s for s in scores if not (s.cause_first and s.hits == 1 and s.errors[0] < 0.2)])
        report(cause, scores)
        singles += scores
    return singles


def _pairs(folder: Path, args: argparse.Namespace) -> list[Score]:
    pairs: list[Score] = []
    rng = np.random.default_rng([args.first_seed, 9])
    seed = args.first_seed
    # a cause that hides dollars and one that adds them have no order
    names = [c for c in CAUSES if c != "usage_missing"]
    every = [(a, b) for a in names for b in names if a < b]
    order = rng.permutation(len(every))
    for number in range(args.pairs):
        two = [str(c) for c in rng.permutation(every[order[number % len(every)]])]
        for _ in range(TRIES):
            score = run(folder, seed, two, float((0.2, 1.0)[number % 2]))
            seed = _next(seed, args.first_seed)
            if score is not None:
                pairs.append(score)
                _show(args, [score] if not score.cause_first or score.hits < 2 else [])
                break
    return pairs


def _next(seed: int, first: int) -> int:
    return first + (seed + 1 - first) % WORLDS


def _show(args: argparse.Namespace, wrong: Sequence[Score]) -> None:
    if args.show:
        for score in wrong:
            print(json.dumps(asdict(score), default=str), flush=True)


if __name__ == "__main__":
    main()
