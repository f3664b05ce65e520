"""The whole cost-quality frontier of 200 tasks x 20 models, beside the mixed-integer programme for single targets."""

from __future__ import annotations

import time

import numpy as np

from replay.optimize.frontier import frontier
from replay.optimize.milp import assign


def knapsack(seed: int, groups: int = 200, options: int = 20) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    size = rng.lognormal(0, 1, groups)
    size /= size.sum()
    price = 10 ** rng.uniform(-2, 1, options)
    worth = np.clip(0.8 + 0.15 * np.log10(price) + rng.normal(0, 0.08, (groups, options)), 0, 1)
    return size[:, None] * price * rng.uniform(0.5, 2, (groups, options)), size[:, None] * worth


def main() -> None:
    everyone = np.arange(200)
    fastest, whole, worst, greedy = float("inf"), 0.0, 0.0, 0.0
    for seed in range(5):
        cost, worth = knapsack(seed)
        for _ in range(10):
            start = time.perf_counter()
            front = frontier(cost, worth)
            fastest = min(fastest, time.perf_counter() - start)
        for target in (0.7, 0.8, 0.9):
            goal = target * worth.max(axis=1).sum()
            start = time.perf_counter()
            exact = assign(cost, worth, goal, gap=1e-4)
            whole += time.perf_counter() - start
            chosen, plain = front.cheapest(goal), front.cheapest(goal, tolerance=None)
            assert exact is not None
            assert chosen is not None
            assert plain is not None
            best = cost[everyone, exact].sum()
            worst = max(worst, cost[everyone, chosen].sum() / best - 1)
            greedy = max(greedy, cost[everyone, plain].sum() / best - 1)
    print(f"frontier of 200 tasks x 20 models ({len(front.steps)} steps): {1000 * fastest:.1f} ms")
    print(f"one target by the programme: {1000 * whole / 15:.0f} ms ({whole / 15 / fastest:.0f} x)")
    print(f"worst of 15 targets over the programme's cost: greedy {greedy:.2%}, with its certificate {worst:.2%}")


if __name__ == "__main__":
    main()
