"""What a day should have cost: earlier days like it, weighted so that their sums are a day's worth of baseline.

The log of daily cost is a robust level plus a weekday effect shrunk toward none; each earlier day counts in
proportion to how alike it is (same weekday, recent), scaled by what the level and weekday say of the day asked for.
A baseline of weighted days, rather than a fitted number, keeps every factor of every segment explainable.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date
from math import exp, sqrt
from typing import Final

import numpy as np

from analysis.array_types import BoolArray, Float64Array, Int64Array
from ingest.errors import InputError

MIN_HISTORY: Final = 7  # days of history before a weekday can mean anything
WINDOW: Final = 42  # calendar days looked back
ORDINARY_NOISE: Final = 0.12  # log error of an ordinary day
WEEKDAY_SPREAD: Final = 0.2  # of the log cost over weekdays, before the log says how much
HALF_LIFE: Final = 12.0  # days
ROUNDS: Final = 4
SHRINK: Final = 2.0  # n days of the same weekday have n / (n + SHRINK) of the weight, the latest days the rest
SAME_WEEKDAYS: Final = 4
RECENT_DAYS: Final = 7
ODD: Final = 2.0  # times its own fit, before a day's weight is cut back


@dataclass(frozen=True)
class Baseline:
    """Weights of the baseline days (they need not sum to 1: weekday and level scale them)."""

    weights: Mapping[date, float]
    kind: str  # matched, low_history, range, none
    history_days: int
    excluded: tuple[date, ...] = field(default=())  # flagged days left out

    @property
    def low_history(self) -> bool:
        """Whether it rests on too few days for a range."""
        return self.kind in ("low_history", "none")

    @property
    def days(self) -> list[date]:
        """Its days, in order."""
        return sorted(self.weights)


@dataclass(frozen=True)
class Level:
    """The log of daily cost without its weekday: what `forecast` adds a weekday to."""

    level: float
    weekday: Mapping[int, float]
    around: Mapping[date, float] = field(default_factory=dict)  # each history day's own level, weekday taken out

    def forecast(self, day: date) -> float:
        """The amount expected on `day`, in the unit of the series."""
        return exp(self.level + self.weekday[day.weekday()])

    def fitted(self, day: date) -> float:
        """What the fit says of a day of the history itself."""
        return exp(self.around[day] + self.weekday[day.weekday()])


def fit_level(history: Mapping[date, float]) -> Level:
    """A robust level and shrunk weekday effects of the positive values of `history`.

    Iteratively reweighted least squares on the logs: later days count more (half as much every HALF_LIFE days), days
    far off less (Huber), and weekday effects are pulled toward 0 by how little weekdays differ beside the noise
    (empirical Bayes). The noise of one day leans on ORDINARY_NOISE, worth a week of days.
    """
    days = sorted(day for day, value in history.items() if value > 0)
    if not days:
        return Level(float("-inf"), dict.fromkeys(range(7), 0.0))
    logs = np.log([history[day] for day in days])
    weekday = np.array([day.weekday() for day in days])
    age = np.array([(days[-1] - day).days for day in days])
    recency = 0.5 ** (age / HALF_LIFE)
    near = np.abs(age[:, None] - age[None, :]) <= 3
    together, week = near.astype(np.float64), near.sum(axis=1)
    level, effects, noise = _median(logs), np.zeros(7), ORDINARY_NOISE
    counts = np.bincount(weekday, minlength=7)
    prior = WEEKDAY_SPREAD**2
    for _ in range(ROUNDS):
        off = logs - level - effects[weekday]
        steady = np.minimum(1.0, 1.5 * noise / np.maximum(np.abs(off), 1e-12))
        weights = recency * steady
        level = float(((logs - effects[weekday]) * weights).sum() / weights.sum())
        weight = np.bincount(weekday, steady, 7)
        # the level along the history, the mean of the week around, so that a slow trend is not taken for a weekday
        drift = (together @ (logs - effects[weekday])) / week
        mean = np.bincount(weekday, steady * (logs - drift), 7) / np.maximum(weight, 1e-9)
        effects = np.where(counts > 0, mean * prior / (prior + noise**2 / np.maximum(weight, 1e-9)), 0.0)
        off = logs - level - effects[weekday]
        own = 1.4826 * _median(np.abs(off - _median(off)))
        noise = sqrt((len(days) * own**2 + 7 * ORDINARY_NOISE**2) / (len(days) + 7))
        seen = counts > 0
        shared = 1 / np.maximum(weight[seen], 1e-9)
        spread = float((mean[seen] ** 2).sum() / seen.sum()) - noise**2 * float(shared.sum() / seen.sum())
        prior = max(spread, 0.02**2)
    flat = logs - effects[weekday]
    return Level(level, dict(enumerate(effects.tolist())), dict(zip(days, _week_around(flat, near, week), strict=True)))


def _median(values: Float64Array) -> float:
    """As numpy's, without its overhead on a few dozen values."""
    ordered, n = np.sort(values), len(values)
    return float((ordered[(n - 1) // 2] + ordered[n // 2]) / 2)


def _week_around(flat: Float64Array, near: BoolArray, count: Int64Array) -> list[float]:
    """The median of the days at most three days away (`near`), for each day: rows sorted, the others at infinity."""
    rows = np.sort(np.where(near, flat[None, :], np.inf), axis=1)
    at = np.arange(len(flat))
    return ((rows[at, (count - 1) // 2] + rows[at, count // 2]) / 2).tolist()


def matched_baseline(
    day: date, costs: Mapping[date, float], flagged: Collection[date] = (), unknown: Collection[date] = ()
) -> Baseline:
    """The baseline of `day` from the active days before it. `costs` is the daily total; a missing day was not active.

    Days in `flagged`, and days in `unknown` (mostly calls without a price), are left out while enough others remain.
    Under MIN_HISTORY active days: the plain mean of them all.
    """
    past = [d for d in sorted(costs) if d < day]
    if not past:
        return Baseline({}, "none", 0)
    window = [d for d in past if (day - d).days <= WINDOW]
    clean = [d for d in window if d not in flagged and d not in unknown]
    if len(past) < MIN_HISTORY or len(clean) < MIN_HISTORY:
        # a log with long pauses has no weekday: the latest active days are the best it offers
        use = clean if len(clean) >= MIN_HISTORY else [d for d in past if d not in flagged][-MIN_HISTORY:] or past
        kind = "low_history" if len(past) < MIN_HISTORY else "matched"
        return Baseline(dict.fromkeys(use, 1 / len(use)), kind, len(past))
    fit = fit_level({d: costs[d] for d in clean})
    same = [d for d in clean if d.weekday() == day.weekday()][-SAME_WEEKDAYS:]
    recent = clean[-RECENT_DAYS:]
    trust = len(same) / (len(same) + SHRINK)
    target = fit.forecast(day)
    weights: dict[date, float] = {}
    for group, share in ((same, trust), (recent, 1 - trust)):
        for d in group:
            fitted = fit.fitted(d) if costs[d] > 0 else target
            scale = target / fitted
            if costs[d] > ODD * fitted:  # one odd day must not rule: it counts as if at the edge of the ordinary
                scale *= ODD * fitted / costs[d]
            weights[d] = weights.get(d, 0.0) + share / len(group) * scale
    return Baseline(weights, "matched", len(past), tuple(d for d in window if d in flagged))


def range_baseline(day: date, first: date, last: date, costs: Mapping[date, float]) -> Baseline:
    """The mean of the active days of a range that the user names; the day itself never belongs to it."""
    use = [d for d in sorted(costs) if first <= d <= last and d != day]
    if not use:
        raise InputError(
            f"no calls between {first} and {last}", remedy="Name a range with calls: --baseline 2024-02-01..2024-02-28"
        )
    return Baseline(dict.fromkeys(use, 1 / len(use)), "range", len([d for d in costs if d < day]))
