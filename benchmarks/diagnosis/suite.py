"""The evaluation suite of the diagnosis: generated worlds with one cause, two causes or none, and the true dollars.

    python -m benchmarks.diagnosis.suite --singles 3 --pairs 40 --nulls 60

Development seeds are 0-999; seeds from 10,000 on are for checking only. Each line of the report is a rate over cases:
right cause first, right factor first, exact place (the same segments, and the user where the cause has one), and the
median error of the dollars against the paired world without the cause.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analysis.diagnosis import Diagnosis, diagnose
from analysis.ledger import update
from benchmarks.diagnosis.injections import CAUSES, Injection, inject
from benchmarks.diagnosis.world import World, table, with_retries
from ingest.store import Store

SIZES = (0.2, 0.5, 1.0, 4.0)
FEW = {"model_switch", "cache_breakage", "batch_to_realtime", "reasoning_growth"}  # cannot grow without bound


@dataclass
class Score:
    seed: int
    truth: list[str]
    size: float
    found: list[str]
    factors: list[str]
    cause_first: bool
    factor_first: bool
    place: bool
    error: float | None  # |estimated - true| / true
    flagged: bool
    seconds: float
    true_usd: float
    found_usd: float
    where: list[Any]


def priced_store(path: Path, world: World, calls: dict[str, Any], injections: Sequence[Injection]) -> Store:
    extra = tuple(place for injection in injections for place in injection.places)
    columns, repriced = table(world, with_retries(calls), extra)
    store = Store(path)
    with store.write() as con:
        con.register("columns_in", columns)
        con.execute("INSERT INTO calls BY NAME SELECT * FROM columns_in")
        con.unregister("columns_in")
    update(store)
    moved = np.flatnonzero(repriced != 1)
    if len(moved):
        with store.write() as con:
            money = ", ".join(
                f"{c} = {c} * {float(repriced[moved[0]]):.6f}::DECIMAL(12,6)"
                for c in ("uncached_input_usd", "cache_read_usd", "cache_write_usd", "output_usd", "reasoning_usd",
                          "other_usd")
            )  # fmt: skip
            con.execute(
                f"""UPDATE ledger SET price_id = price_id + 1000000, {money}
                    WHERE call_no IN (SELECT unnest(?::BIGINT[]))""",
                [moved.tolist()],
            )
            con.execute(
                """UPDATE ledger SET cost_usd = uncached_input_usd + cache_read_usd + cache_write_usd + output_usd
                   + reasoning_usd + other_usd WHERE cost_usd IS NOT NULL"""
            )
    return store


def last_day_cost(folder: Path, world: World, calls: dict[str, Any], injections: Sequence[Injection]) -> float:
    last = {name: values[calls["day"] == world.days - 1] for name, values in calls.items()}
    path = folder / "without.duckdb"
    path.unlink(missing_ok=True)
    store = priced_store(path, world, last, injections)
    with store.read() as con:
        return float(con.execute("SELECT sum(cost_usd) FROM costs").fetchall()[0][0])


def run(folder: Path, seed: int, causes: Sequence[str], size: float) -> Score | None:
    """One case, or None where the world has no place for the causes."""
    world = World.draw(seed)
    calls = world.calls()
    base = {name: values.copy() for name, values in calls.items()}
    rng = np.random.default_rng([seed, 3, *(list(CAUSES).index(c) for c in causes)])
    made: list[Injection] = []
    for cause in causes:
        got = inject(world, calls, cause, size, rng)
        if got is None or any(injection.segment == got[1].segment for injection in made):
            return None
        calls, injection = got
        made.append(injection)
    path = folder / "case.duckdb"
    path.unlink(missing_ok=True)
    store = priced_store(path, world, calls, made)
    start = time.perf_counter()
    found = diagnose(store, day=world.last.date())
    seconds = time.perf_counter() - start
    true_usd = float(found.actual) - last_day_cost(folder, world, base, made)
    return grade(seed, world, made, size, found, true_usd, seconds)


def grade(
    seed: int, world: World, made: list[Injection], size: float, found: Diagnosis, true_usd: float, seconds: float
) -> Score:
    claimed = [f for f in found.causes if f.cause.surprising]
    top = [f for f in found.causes if f.cause.cause != "smaller"][: max(len(made), 1)]
    places = {(p.agent, p.task) for p in (*world.places, *(p for i in made for p in i.places))}

    def cover(segments: list[dict[str, Any]]) -> set[Any]:
        held = set()
        for segment in segments:
            user = segment.get("user")
            plain = {k: v for k, v in segment.items() if k in ("agent", "task")}
            held |= {
                (agent, task, user)
                for agent, task in places
                if all({"agent": agent, "task": task}[k] == v for k, v in plain.items())
            }
        return held

    names = [f.cause.cause for f in top]
    factors = [f.cause.factors[0] for f in top]
    # one cause: what undoing it saves; two share what they did together, as Shapley dollars do
    estimate = sum(float(f.undo_saves if len(made) < 2 else f.delta) for f in top)
    return Score(
        seed=seed,
        truth=[f"{i.cause} {i.segment}" for i in made],
        size=size,
        found=[
            f"{f.cause.cause} {float(f.delta):.2f} z{f.cause.z:.1f}" for f in (found.causes if made else claimed)[:4]
        ],
        factors=factors,
        cause_first=sorted(names) == sorted(i.cause for i in made),
        factor_first=sorted(factors) == sorted(i.factor for i in made),
        place=len(top) == len(made)
        and {frozenset(cover(f.cause.segments)) for f in top} == {frozenset(cover([i.segment])) for i in made},
        error=abs(estimate - true_usd) / abs(true_usd) if true_usd else None,
        flagged=found.flagged,
        seconds=seconds,
        true_usd=true_usd,
        found_usd=estimate,
        where=[f.cause.segments for f in top],
    )


def report(title: str, scores: list[Score]) -> None:
    if not scores:
        return
    errors = [s.error for s in scores if s.error is not None]
    print(
        f"{title:<30} {len(scores):>4}  cause {np.mean([s.cause_first for s in scores]):.3f}  "
        f"factor {np.mean([s.factor_first for s in scores]):.3f}  place {np.mean([s.place for s in scores]):.3f}  "
        f"error {np.median(errors) if errors else float('nan'):.3f}  flagged {np.mean([s.flagged for s in scores]):.2f}"
        f"  {np.mean([s.seconds for s in scores]):.2f} s",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--singles", type=int, default=2, help="cases per cause and size")
    parser.add_argument("--pairs", type=int, default=0)
    parser.add_argument("--nulls", type=int, default=0)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--causes", nargs="*", default=list(CAUSES))
    parser.add_argument("--sizes", type=float, nargs="*", default=list(SIZES))
    parser.add_argument("--show", action="store_true", help="print the cases that went wrong")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    every: list[Score] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seed = args.first_seed
        singles: list[Score] = []
        for cause in args.causes:
            scores: list[Score] = []
            for size in args.sizes:
                if cause in FEW and size > 0.5:
                    continue
                done = 0
                for _ in range(60):
                    if done == args.singles:
                        break
                    score = run(folder, seed, [cause], size)
                    seed += 1
                    if score is not None:
                        scores.append(score)
                        done += 1
                        if args.show and not (score.cause_first and score.place):
                            print(json.dumps(asdict(score), default=str))
            report(cause, scores)
            singles += scores
        report("SINGLES", singles)
        counted = [s for s in singles if not s.truth[0].startswith("usage_missing")]
        report("SINGLES, without usage_missing", counted)
        pairs: list[Score] = []
        rng = np.random.default_rng([args.first_seed, 9])
        while len(pairs) < args.pairs:
            two = [str(c) for c in rng.choice([c for c in CAUSES if c != "usage_missing"], 2, replace=False)]
            score = run(folder, seed, two, float(rng.choice([0.2, 1.0])))
            seed += 1
            if score is not None:
                pairs.append(score)
                if args.show and not score.cause_first:
                    print(json.dumps(asdict(score), default=str))
        report("PAIRS", pairs)
        nulls = [
            score for i in range(args.nulls) if (score := run(folder, args.first_seed + 500 + i, [], 0)) is not None
        ]
        if nulls:
            claims = [s for s in nulls if s.flagged and s.found]
            print(f"NULLS {len(nulls)}: flagged {np.mean([s.flagged for s in nulls]):.3f}, "
                  f"with a cause {len(claims) / len(nulls):.3f}")  # fmt: skip
        every = [*singles, *pairs, *nulls]
    if args.json:
        args.json.write_text(json.dumps([asdict(s) for s in every], indent=1, default=str))


if __name__ == "__main__":
    main()
