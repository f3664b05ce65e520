"""Seat plans against API prices: what the windows of a seat hold of each user's logged calls.

A window begins with the first call after the last one ended, and holds so many dollars of usage at API prices; so does
a week. A call is within the plan while its windows have something left, as rate limits count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from analysis.array_types import BoolArray, Float64Array, Int64Array

WEEK_MS: Final = 7 * 86_400_000
MONTH_DAYS: Final = 30.4375


@dataclass(frozen=True)
class Plan:
    """Dollars a month, and what its windows hold in dollars of API prices; None where there is no limit."""

    usd_per_month: float
    window_ms: int
    usd_per_window: float | None = None
    usd_per_week: float | None = None

    @property
    def usd_per_day(self) -> float:
        """Dollars a day of one seat."""
        return self.usd_per_month / MONTH_DAYS


def covered(start_ms: Int64Array, user: Int64Array, usd: Float64Array, plan: Plan) -> BoolArray:
    """Which calls the windows of a seat hold. Calls N in time order; `user` N codes from 0."""
    within = np.ones(len(usd), bool)
    limits = [(plan.window_ms, plan.usd_per_window), (WEEK_MS, plan.usd_per_week)]
    state: dict[tuple[int, int], tuple[int, float]] = {}
    known = [(length, limit) for length, limit in limits if limit is not None]
    for at, (moment, who, amount) in enumerate(zip(start_ms.tolist(), user.tolist(), usd.tolist(), strict=True)):
        windows = []
        for kind, (length, limit) in enumerate(known):
            begun, used = state.get((who, kind), (moment, 0.0))
            if moment >= begun + length:
                begun, used = moment, 0.0
            windows.append((kind, begun, used, limit))
        within[at] = all(used < limit for _, _, used, limit in windows)
        if within[at]:
            for kind, begun, used, _ in windows:
                state[who, kind] = begun, used + amount
    return within


def by_user(user: Int64Array, usd: Float64Array, within: BoolArray, users: int) -> Float64Array:
    """Dollars of the covered calls of each user."""
    return np.bincount(user[within], usd[within], users).astype(np.float64)


def choose(held: Float64Array, days: float, plan: Plan) -> BoolArray:
    """Who gains by a seat: whose covered calls cost more than the seat, over so many days."""
    return np.asarray(held > plan.usd_per_day * days)


def cost(held: Float64Array, seats: BoolArray, whole: float, days: float, plan: Plan) -> float:
    """Dollars with these seats: the seats, and at API prices what they do not hold."""
    return float(seats.sum()) * plan.usd_per_day * days + whole - float(held[seats].sum())
