"""Which option for each group: the whole frontier of cost against quality in one greedy pass over convex hulls.

A multiple-choice knapsack: every group (a task, a template) takes one option (a model); costs add up and so do
qualities. Taking the hulls' steps in order of quality per dollar gives the optimum of the relaxed problem at every
vertex; between two vertices the last step is closed by the cheapest single change.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from replay.optimize.milp import assign

Floats = NDArray[np.float64]
Choice = NDArray[np.int16]

EPSILON = 1e-12


@dataclass(frozen=True)
class Frontier:
    """Vertices from the cheapest on: total cost and quality of each, and the option each group takes there."""

    cost: Floats
    quality: Floats
    start: Choice  # option per group at the first vertex
    steps: tuple[tuple[int, int, int], ...]  # (group, from option, to option) from one vertex to the next
    table_cost: Floats
    table_quality: Floats

    def choice(self, vertex: int) -> Choice:
        """The option of every group at a vertex."""
        chosen = self.start.copy()
        for group, _, option in self.steps[:vertex]:
            chosen[group] = option
        return chosen

    def relaxed(self, quality: float) -> float:
        """What the relaxed problem costs at this quality: no whole assignment can cost less. inf if out of reach."""
        good = np.flatnonzero(self.quality >= quality - EPSILON)
        if not len(good):
            return float("inf")
        first = int(good[0])
        if first == 0:
            return float(self.cost[0])
        rise = self.quality[first] - self.quality[first - 1]
        part = (quality - self.quality[first - 1]) / rise
        return float(self.cost[first - 1] + part * (self.cost[first] - self.cost[first - 1]))

    def cheapest(self, quality: float, *, tolerance: float | None = 0.004) -> Choice | None:
        """The options of least cost whose quality is at least `quality`; None if there are none.

        Certified within `tolerance` of the optimum by the relaxed problem; where the greedy answer is not, the
        mixed-integer programme decides. `tolerance` None: the greedy answer, whatever its gap.
        """
        good = np.flatnonzero(self.quality >= quality - EPSILON)
        if not len(good):
            return None
        best, best_cost = None, np.inf
        for chosen in self._candidates(int(good[0]), quality):
            cost = float(self.table_cost[np.arange(len(chosen)), chosen].sum())
            if cost < best_cost:
                best, best_cost = chosen, cost
        if tolerance is not None and best_cost > self.relaxed(quality) * (1 + tolerance):
            exact = assign(self.table_cost, self.table_quality, quality, gap=tolerance / 3)
            if exact is not None and float(self.table_cost[np.arange(len(exact)), exact].sum()) < best_cost:
                return exact
        return best

    def _candidates(self, first: int, quality: float) -> Iterator[Choice]:
        """The first good vertex, and the vertices before it with the gap closed by the cheapest single change."""
        yield self.choice(first)
        groups = np.arange(len(self.start))
        for vertex in range(first - 1, max(first - 9, -1), -1):
            chosen = self.choice(vertex)
            gap = quality - float(self.quality[vertex])
            gain = self.table_quality - self.table_quality[groups, chosen][:, None]
            price = np.where(gain >= gap - EPSILON, self.table_cost - self.table_cost[groups, chosen][:, None], np.inf)
            group, option = np.unravel_index(int(np.argmin(price)), price.shape)
            if np.isfinite(price[group, option]):
                chosen[group] = option
                yield chosen


def frontier(cost: Floats, quality: Floats) -> Frontier:
    """The frontier of `cost` and `quality` (groups x options). An option of infinite cost or NaN quality is none."""
    groups = len(cost)
    possible = np.isfinite(cost) & np.isfinite(quality)
    order = np.argsort(np.where(possible, cost, np.inf), axis=1, kind="stable")
    start = np.zeros(groups, np.int16)
    slopes: list[float] = []
    steps: list[tuple[int, int, int]] = []
    cost_rows, quality_rows, orders = cost.tolist(), quality.tolist(), order.tolist()
    counts = possible.sum(axis=1).tolist()
    for group in range(groups):
        hull = _hull(cost_rows[group], quality_rows[group], orders[group][: counts[group]])
        start[group] = hull[0]
        for left, right in itertools.pairwise(hull):
            rise = quality_rows[group][right] - quality_rows[group][left]
            slopes.append(rise / max(cost_rows[group][right] - cost_rows[group][left], 1e-300))
            steps.append((group, left, right))
    ranked = sorted(range(len(steps)), key=lambda i: (-slopes[i], i))
    ordered = tuple(steps[i] for i in ranked)
    everyone = np.arange(groups)
    costs = np.empty(len(steps) + 1)
    qualities = np.empty(len(steps) + 1)
    costs[0], qualities[0] = cost[everyone, start].sum(), quality[everyone, start].sum()
    costs[1:] = [cost_rows[g][b] - cost_rows[g][a] for g, a, b in ordered]
    qualities[1:] = [quality_rows[g][b] - quality_rows[g][a] for g, a, b in ordered]
    return Frontier(
        np.cumsum(costs),
        np.cumsum(qualities),
        start,
        ordered,
        np.where(possible, cost, np.inf),
        np.where(possible, quality, -np.inf),
    )


def _hull(cost: Sequence[float], quality: Sequence[float], order: Sequence[int]) -> list[int]:
    """Options on the upper left hull, from the cheapest on: each step buys less quality per dollar than the last."""
    hull: list[int] = []
    for option in order:
        x, y = cost[option], quality[option]
        if hull and y <= quality[hull[-1]]:
            continue
        if hull and x <= cost[hull[-1]]:  # as cheap and better
            hull.pop()
        while len(hull) > 1:
            a, b = hull[-2], hull[-1]
            if (quality[b] - quality[a]) * (x - cost[a]) <= (y - quality[a]) * (cost[b] - cost[a]):
                hull.pop()
            else:
                break
        hull.append(option)
    return hull


def pareto(cost: Floats, quality: Floats) -> NDArray[np.int64]:
    """Points that nothing beats in both cost and quality, from the cheapest on."""
    order = np.lexsort((-quality, cost))
    best = np.maximum.accumulate(np.concatenate([[-np.inf], quality[order]]))[:-1]
    return order[quality[order] > best]
