"""How often the interval of a forecast (backtest, verify) holds what the days to come cost: nominal 90 %.

    python -m benchmarks.trust.forecast_intervals [--runs 2000]

Worlds are generated: sessions of three segments, some days dearer than others, some with a cache that serves part of
the sessions for nothing. Reported: coverage, and the interval's mean half width as a share of the forecast.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np

from replay.evaluation import cost_forecast


@dataclass(frozen=True)
class World:
    """Days before and after the split, mean sessions a day, log-scale spreads, and the share that a cache serves."""

    name: str
    known: int
    coming: int
    sessions: int
    day_spread: float
    session_spread: float
    hits: float = 0.0


WORLDS = (
    World("three days", 3, 3, 80, 0.05, 0.3),
    World("a week, alike", 7, 7, 80, 0.0, 0.3),
    World("a week, uneven", 7, 7, 80, 0.15, 0.3),
    World("a week, cached", 7, 7, 40, 0.0, 0.1, 0.4),
    World("ten days, cached", 10, 4, 200, 0.03, 0.1, 0.4),
    World("two weeks, alike", 14, 14, 80, 0.0, 0.3),
    World("two weeks, uneven", 14, 14, 80, 0.05, 0.3),
    World("a month", 30, 7, 80, 0.05, 0.3),
)
BASE = np.array([0.4, 0.8, 0.2])
SIZE = np.array([1.0, 3.0, 0.3])


def coverage(world: World, *, runs: int, seed: int) -> tuple[float, float]:
    """(share of runs whose realised cost lies inside, mean half width over the forecast)."""
    rng = np.random.default_rng(seed)
    inside, width = 0, 0.0
    for _ in range(runs):
        days = world.known + world.coming
        day = np.repeat(np.arange(days), np.maximum(rng.poisson(world.sessions, days), 1))
        segment = rng.integers(0, len(BASE), len(day))
        volume = rng.gamma(1.0, 1.0, len(day)) * SIZE[segment]
        kept = rng.random(len(day)) >= world.hits
        price = np.where(kept, BASE[segment] if world.hits == 0 else 1.0, 0.0)
        cost = volume * price * np.exp(rng.normal(0, world.day_spread, days))[day]
        cost *= np.exp(rng.normal(0, world.session_spread, len(day)))
        known = day < world.known
        past = cost_forecast.history(
            day[known], np.flatnonzero(known), segment[known], cost[known], volume[known], len(BASE)
        )
        coming = np.bincount(segment[~known], weights=volume[~known], minlength=len(BASE))
        told = cost_forecast.forecast(past, coming)
        low, high = cost_forecast.spread(past, world.coming, volume=coming)
        inside += told * low <= cost[~known].sum() <= told * high
        width += (high - low) / 2
    return inside / runs, width / runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000)
    args = parser.parse_args()
    print(f"{'world':<20} {'coverage':>9} {'half width':>11}   ({args.runs} runs, nominal 0.900)")
    found = [coverage(world, runs=args.runs, seed=1) for world in WORLDS]
    for world, (covered, width) in zip(WORLDS, found, strict=True):
        print(f"{world.name:<20} {covered:>9.3f} {width:>11.1%}")
    print(f"{'all':<20} {np.mean([covered for covered, _ in found]):>9.3f}")


if __name__ == "__main__":
    main()
