"""Bounds on the quality of sessions: does a one-sided 90 % bound cover the truth nine times in ten?

Worlds are shaped as tau2-bench is: sessions of some calls, failing ones half as long again. Either every call carries
its session's score, or each call has its own, and those of a session resemble each other. The naive bound takes every
call for a draw of its own. Where pairs are counted the other model did the same sessions; where chance chose, each
session was given to one model.

    python -m benchmarks.trust.sessions [WORLDS]
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from replay.quality.intervals import Moments, clustered, lower_bound, paired
from replay.quality.selection import Sample, evaluate

Floats = NDArray[np.float64]
FLOOR = 0.7
STRONG, WEAK = 0.76, 0.56  # share of sessions solved
BOTH = 0.5  # share of sessions on which the two models fare alike, whatever their rates
SIZES = (1.0, 4.0, 9.0, 15.0)
SESSIONS = (20, 50, 200)


def drawn(rng: np.random.Generator, sessions: int, size: float) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """(solved by the strong model, by the weak one, calls) of each session."""
    alike = rng.random(sessions)
    apart = rng.random(sessions)
    strong = (alike < STRONG).astype(float)
    weak = np.where(rng.random(sessions) < BOTH, alike < WEAK, apart < WEAK).astype(float)
    calls = rng.poisson((size - 1) * np.where(strong > 0, 0.9, 1.35), sessions) + 1
    return strong, weak, calls


def pairs(rng: np.random.Generator, sessions: int, size: float) -> tuple[Moments, Moments, float]:
    """(by session, naive, truth): every call carries its session's score under both models."""
    strong, weak, calls = drawn(rng, sessions, size)
    unit = np.repeat(np.arange(sessions), calls)
    return (
        clustered(weak[unit], strong[unit], unit, 1 / calls[unit]),
        paired(weak[unit], strong[unit]),
        WEAK - FLOOR * STRONG,
    )


def own_scores(rng: np.random.Generator, sessions: int, size: float) -> tuple[Moments, Moments, float]:
    """(clustered, naive, truth): each call has scores of its own, that lean to its session's."""
    strong, weak, _ = drawn(rng, sessions, size)
    calls = rng.poisson(size - 1, sessions) + 1
    unit = np.repeat(np.arange(sessions), calls)
    mixed = [np.where(rng.random(len(unit)) < 0.7, one[unit], rng.random(len(unit)) < 0.5) for one in (strong, weak)]
    truth = 0.7 * (WEAK - FLOOR * STRONG) + 0.3 * 0.5 * (1 - FLOOR)
    return clustered(mixed[1], mixed[0], unit, np.ones(len(unit))), paired(mixed[1], mixed[0]), truth


def by_chance(rng: np.random.Generator, sessions: int, size: float) -> tuple[Moments, Moments, float]:
    """(by session, naive, truth): chance gave a half of the sessions to the weak model."""
    strong, weak, calls = drawn(rng, sessions, size)
    control = rng.random(sessions) < 0.5

    def judged(unit: NDArray[np.int64]) -> Moments:
        n = len(unit)
        sample = Sample(
            control=control[unit],
            score=np.where(control, weak, strong)[unit],
            weight=np.ones(n),
            unit=np.arange(n),
            call=np.arange(n),
            propensity=np.full(n, np.nan),
            random=np.ones(n, bool),
            complete=True,
            models=1,
        )
        found = evaluate(sample, lambda _: "no texts").moments
        assert found is not None
        return found

    one_each = np.arange(sessions)
    return judged(one_each), judged(np.repeat(one_each, calls)), WEAK - FLOOR * STRONG


KINDS: dict[str, Callable[[np.random.Generator, int, float], tuple[Moments, Moments, float]]] = {
    "a session's score, pairs": pairs,
    "each call's score, pairs": own_scores,
    "a session's score, by chance": by_chance,
}


def coverage(kind: str, sessions: int, size: float, worlds: int, seed: int = 0) -> tuple[float, float, float]:
    """(coverage of the clustered bound, of the naive one, design effect) over some worlds."""
    rng = np.random.default_rng(seed)
    covered = np.zeros(2)
    effect = []
    for _ in range(worlds):
        honest, naive, truth = KINDS[kind](rng, sessions, size)
        covered += [lower_bound([(1.0, moments)], FLOOR, 0.9) <= truth for moments in (honest, naive)]
        effect.append((honest.variance(FLOOR) / honest.n) / max(naive.variance(FLOOR) / naive.n, 1e-12))
    return float(covered[0] / worlds), float(covered[1] / worlds), float(np.median(effect))


def main(worlds: int = 2000) -> None:
    print(f"{'scores':30} {'sessions':>8} {'calls each':>10} {'design effect':>13} {'covers':>7} {'naive':>7}")
    for kind in KINDS:
        for sessions in SESSIONS:
            if kind.endswith("chance") and sessions < 100:
                continue  # fewer than thirty of either model: nothing is said
            for size in SIZES:
                honest, naive, effect = coverage(kind, sessions, size, worlds)
                print(f"{kind:30} {sessions:8} {size:10g} {effect:13.1f} {honest:7.3f} {naive:7.3f}", flush=True)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:2]))
