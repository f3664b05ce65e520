"""Planted rollouts with a known effect: does `verify`'s estimate hold it, and is it claimed and named rightly?

    python -m benchmarks.trust.rollouts [--worlds 200] [--null-worlds 200]

Each world is a log of units (conversations) over weeks: more and other ones at weekends, days that are alike with the
days before them (AR(1)), skewed sizes, users with habits, a score of every unit or of a share of them by chance. In it
one thing happens on one day: prices fall, calls per unit rise (a rebound), quality falls, or nothing beyond a trend.
Every unit's outcome is known with and without it, on the same chance, so that the true effect is. The worlds pass
through the code of `hindcast verify` from its table of units on. Designs: a holdback (drawn by user in half of the
worlds), an untouched segment, and neither.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from replay.evaluation.rollout_effects import ANSWER, CALLS, COST, DEMAND, QUALITY, Effects, estimate
from replay.evaluation.unit_table import CONTROL, NO_ARM, TREATED, UnitTable

DESIGNS = ("holdback", "untouched segment", "neither")
EVENTS = ("level", "rebound", "quality loss", "level and rebound", "trend", "none")
NOTHING = ("trend", "none")
NAMED_FROM = 0.20


@dataclass(frozen=True)
class World:
    """The units of a log, the day of the rollout, the true effects by measure, and which units are the control's."""

    table: UnitTable
    rollout: int
    whole: tuple[int, int]
    control: np.ndarray | None
    truth: dict[str, float]
    event: str
    rebound: float  # relative rise of calls per unit


def world(seed: int, design: str, event: str) -> World:
    """A log of 3 to 8 weeks and 40 to 150 units a day."""
    rng = np.random.default_rng([seed, DESIGNS.index(design), EVENTS.index(event)])
    before, after = int(rng.integers(14, 43)), int(rng.integers(7, 22))
    number = before + after
    day = 20_500 + int(rng.integers(0, 7)) + np.arange(number)
    rollout = int(day[before])
    weekend = (day + 3) % 7 >= 5
    rho, calls_sd, size_sd = rng.uniform(0, 0.6), rng.uniform(0.002, 0.02), rng.uniform(0.01, 0.04)
    drift = rng.normal(0, 0.003) if event != "none" else 0.0  # a day, of the size of calls
    weekend_calls, weekend_size = rng.normal(0, 0.1), rng.normal(0, 0.1)
    price = rng.uniform(0.4, 0.9) if "level" in event or event == "rebound" else 1.0
    more = rng.uniform(NAMED_FROM, 1.0) if "rebound" in event else 0.0
    loss = rng.uniform(0.05, 0.2) if event == "quality loss" else 0.0

    per_day = rng.poisson(np.where(weekend, rng.uniform(0.3, 1.0), 1.0) * rng.uniform(40, 150), number)
    of_day = np.repeat(np.arange(number), per_day)
    count = len(of_day)
    users = int(rng.integers(40, 400))
    user = rng.integers(0, users, count)
    habit = rng.gamma(8, 1 / 8, users)[user]
    shock_calls, shock_size = (_autocorrelated(rng, number, rho, sd) for sd in (calls_sd, size_sd))
    mean_calls = rng.uniform(2, 8) * np.exp(weekend_calls * weekend + shock_calls)[of_day]
    size = np.exp((weekend_size * weekend + shock_size + drift * np.arange(number))[of_day])
    size = size * rng.lognormal(-0.125, 0.5, count) * habit
    quality = rng.uniform(0.6, 0.95)

    chance_calls, chance_score = rng.random(count), rng.random(count)
    outcomes = [
        _outcome(mean_calls * (1 + more * on), 300 * size, 0.004 * (price if on else 1.0), quality * (1 - loss * on),
                 chance_calls, chance_score)
        for on in (0, 1)
    ]  # fmt: skip

    late = of_day >= before
    control = None
    arm = np.full(count, NO_ARM, np.int8)
    cluster = np.arange(count)
    if design == "holdback":
        share = rng.uniform(0.5, 0.9)
        by_user = bool(rng.random() < 0.5)
        drawn = rng.random(users)[user] if by_user else rng.random(count)
        arm[late] = np.where(drawn < share, TREATED, CONTROL)[late]
        cluster = user if by_user else cluster
        treated = arm == TREATED
    elif design == "untouched segment":
        control = rng.random(count) < 0.4
        own = np.exp(_autocorrelated(rng, number, rho, 0.01))[of_day]  # what moves one segment alone
        for outcome in outcomes:
            outcome["cost"] = np.where(control, outcome["cost"] * own * 2, outcome["cost"])
        treated = late & ~control
    else:
        treated = late
    seen = {name: np.where(treated, outcomes[1][name], outcomes[0][name]) for name in outcomes[0]}
    judged = late if design == "holdback" else treated
    truth = {
        name: _mean(outcomes[1], name, judged) - _mean(outcomes[0], name, judged)
        for name in (COST, CALLS, ANSWER, QUALITY)
    }
    if seed % 2:  # a share of the units is scored, by chance; drawn apart, so that the rest of a world stays
        apart = np.random.default_rng([seed, DESIGNS.index(design), 99])
        scored = apart.random(count) < apart.uniform(0.3, 0.9)
        seen["score"] = np.where(scored, seen["score"], np.nan)
    table = UnitTable(
        day=day[of_day], last_day=day[of_day], segment=np.zeros(count, np.int64), arm=arm, cluster=cluster,
        cost=seen["cost"], calls=seen["calls"], answered=seen["calls"], output_tokens=seen["tokens"],
        score=seen["score"],
        first_day_cost=seen["cost"], first_day_score=seen["score"], first_day_failed=np.zeros(count),
        first_day_latency_ms=np.full(count, np.nan), spans=np.zeros(count, np.bool_),
        both_arms=np.zeros(count, np.bool_),
    )  # fmt: skip
    return World(table, rollout, (int(day[0]), int(day[-1])), control, truth | {DEMAND: 0.0}, event, more)


def _outcome(
    mean_calls: np.ndarray, tokens: np.ndarray, price: float, quality: float, chance_calls: np.ndarray,
    chance_score: np.ndarray,
) -> dict[str, np.ndarray]:  # fmt: skip
    from scipy.stats import poisson

    calls = 1 + poisson.ppf(chance_calls, np.maximum(mean_calls - 1, 0.05))
    return {
        "calls": calls,
        "tokens": calls * tokens,
        "cost": calls * tokens / 300 * price,
        "score": (chance_score < quality).astype(float),
    }


def _mean(outcome: dict[str, np.ndarray], name: str, units: np.ndarray) -> float:
    value = {COST: "cost", CALLS: "calls", ANSWER: "tokens", QUALITY: "score"}[name]
    size = outcome["calls"][units].sum() if name == ANSWER else units.sum()
    return float(outcome[value][units].sum() / size)


def _autocorrelated(rng: np.random.Generator, number: int, rho: float, sd: float) -> np.ndarray:
    error = rng.standard_normal(number)
    for place in range(1, number):
        error[place] = rho * error[place - 1] + np.sqrt(1 - rho**2) * error[place]
    return sd * error


def judged(one: World) -> Effects:
    """What `verify` says of the world."""
    return estimate(one.table, one.rollout, one.whole, control=one.control)


def run(worlds: int, null_worlds: int) -> dict[str, dict[str, object]]:
    """By design: coverage, false claims, rebounds named, the median width and what could be seen."""
    result: dict[str, dict[str, object]] = {}
    for design in DESIGNS:
        cover: dict[str, list[bool]] = defaultdict(list)
        width: list[float] = []
        named = suspected = rebounds = false = false_suspicions = losses = seen_losses = untold = 0
        for seed in range(worlds):
            one = world(seed, design, EVENTS[seed % len(EVENTS)])
            found = judged(one)
            for name, effect in found.effects.items():
                bound = effect.estimate
                if name == DEMAND and design == "holdback":
                    continue
                slack = 1e-9 * max(abs(bound.without), 1e-9)
                cover[name].append(bound.low - slack <= one.truth[name] <= bound.high + slack)
            cost = found.effects[COST].estimate
            width.append((cost.high - cost.low) / 2 / cost.without)
            if one.rebound >= NAMED_FROM:
                rebounds += 1
                named += found.rebound is not None and found.rebound.measure == CALLS
                suspected += found.suspicion is not None
            if one.event == "quality loss":
                losses += 1
                seen_losses += QUALITY in found.effects and found.effects[QUALITY].claimed
            untold += found.unfair is not None
        for seed in range(null_worlds):
            one = world(10_000 + seed, design, NOTHING[seed % len(NOTHING)])
            found = judged(one)
            false += any(effect.claimed for effect in found.effects.values())
            false_suspicions += found.suspicion is not None
            untold += found.unfair is not None
        every = [inside for name in cover for inside in cover[name]]
        result[design] = {
            "coverage": round(float(np.mean(every)), 3),
            "coverage by measure": {name: round(float(np.mean(cover[name])), 3) for name in sorted(cover)},
            "worlds without effect with any claim": round(false / max(null_worlds, 1), 3),
            "worlds without effect with a suspicion": round(false_suspicions / max(null_worlds, 1), 3),
            "rebounds named": f"{named} claimed and {suspected} suspected of {rebounds}",
            "quality losses of 5-20 % claimed": f"{seen_losses} of {losses}",
            "worlds scored by chance whose quality is not told": f"{untold} of {(worlds + null_worlds) // 2}",
            "half width of the cost effect, median": round(float(np.median(width)), 3),
        }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=200)
    parser.add_argument("--null-worlds", type=int, default=200)
    given = parser.parse_args()
    print(json.dumps(run(given.worlds, given.null_worlds), indent=1))


if __name__ == "__main__":
    main()
