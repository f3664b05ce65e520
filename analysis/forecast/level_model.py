"""A local level with a slope and weekday effects on the log of daily cost, and what it says of days to come.

y(t) = level(t) + weekday(t) + noise, level(t+1) = level(t) + slope(t) + drift, slope(t+1) = DAMPING slope(t). The sizes
of noise, drift and weekday effects are not known: the model is run for a grid of them, and each point counts by its
likelihood times its prior. Source: Harvey, Forecasting, Structural Time Series Models and the Kalman Filter, 1989, 3.1
to 3.4; the damped slope after Gardner and McKenzie, Management Science 31(10), 1985.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import product
from typing import Final

import numpy as np

from analysis.array_types import Float64Array

NOISE: Final = (0.003, 0.02, 0.05, 0.1, 0.17, 0.28, 0.45, 0.75, 1.4)
DRIFT: Final = (0.0, 0.015, 0.04, 0.1, 0.2, 0.45, 0.9)
WEEKDAY: Final = (0.03, 0.25, 1.2)
WEEKDAY_PRIOR: Final = (0.6, 0.3, 0.1)  # one week cannot tell a weekday from a burst: bursts are commoner
DRIFT_PRIOR: Final = (0.3, 0.06, 0.08, 0.12, 0.16, 0.16, 0.12)
ORDINARY: Final = 0.12  # noise of an ordinary log, and how many days that prior is worth
ORDINARY_DAYS: Final = 1.5
SLOPE: Final = (0.0002, 0.004)  # log units a day: next to none, or 12 % a month
SLOPE_PRIOR: Final = (0.65, 0.35)
DAMPING: Final = 0.985
JUMP: Final = 2.0  # log units: what a new level may differ from the old one
ODD_SHARE: Final = 0.005  # of days, odd without being told to be
HISTORY: Final = 140  # days
WIDE: Final = 3.0  # log units around the first observation


@dataclass(frozen=True)
class Course:
    """What the model says of days to come, by grid point. `log_mean` G x H and `covariance` G x H x H of the logs with
    the noise of the single days; `noise` G; `slope` G, log units a day at the end of the history; `weight` G sums to 1.
    `evidence`: log of how likely the model made the
    history, up to a constant of the history."""

    days: tuple[date, ...]
    log_mean: Float64Array
    covariance: Float64Array
    noise: Float64Array
    slope: Float64Array
    weight: Float64Array
    evidence: float


def fit(
    costs: Mapping[date, float],
    ahead: Sequence[date],
    *,
    odd: Collection[date] = (),
    shifts: Collection[date] = (),
    growth: float | None = None,
) -> Course:
    """The course of the days `ahead` (in order, after the history) from positive daily amounts.

    A day in `odd` may have any cost; at a day in `shifts` the level may jump. `growth` in log units a day replaces the
    fitted slope after the history. Raises ValueError without a positive day.
    """
    days = sorted(day for day, amount in costs.items() if amount > 0)
    if not days:
        raise ValueError("no day to learn from")
    days = [day for day in days if (days[-1] - day).days <= HISTORY]
    noise, drift, slope, weekday, prior = _grid()
    size, count = 9, len(noise)
    centre = float(np.log(np.median([costs[day] for day in days[:7]])))
    mean = np.zeros((count, size))
    mean[:, 0] = centre
    cov = np.zeros((count, size, size))
    cov[:, 0, 0] = WIDE**2
    cov[:, 1, 1] = slope**2
    for k in range(7):
        cov[:, 2 + k, 2 + k] = weekday**2
    step = np.eye(size)
    step[0, 1] = 1.0
    score = np.log(prior)
    known = set(days)
    at, last = days[0], max(costs)
    while at <= last:
        if at > days[0]:
            mean = mean @ step.T
            cov = step @ cov @ step.T
            cov[:, 0, 0] += drift**2
            if at in shifts:
                cov[:, 0, 0] += JUMP**2
        if at in known:
            place = 2 + at.weekday()
            gain = cov[:, :, 0] + cov[:, :, place]
            spread = gain[:, 0] + gain[:, place] + noise**2 + (JUMP**2 if at in odd else 0.0)
            error = np.log(costs[at]) - mean[:, 0] - mean[:, place]
            wide = spread + JUMP**2
            plain = np.log((1 - ODD_SHARE) / np.sqrt(spread)) - 0.5 * error**2 / spread
            either = np.logaddexp(plain, np.log(ODD_SHARE / np.sqrt(wide)) - 0.5 * error**2 / wide)
            score += either
            kept = np.exp(plain - either) / spread
            mean = mean + gain * (error * kept)[:, None]
            cov = cov - gain[:, :, None] * gain[:, None, :] * kept[:, None, None]
        at += timedelta(days=1)
    weight = np.exp(score - score.max())
    evidence = float(score.max() + np.log(weight.sum()))
    keep = weight > 1e-4 * weight.max()
    reach = np.array([(day - last).days for day in ahead], np.float64)
    reading = np.zeros((len(ahead), size))
    reading[:, 0] = 1.0
    reading[np.arange(len(ahead)), [2 + day.weekday() for day in ahead]] = 1.0
    run = np.cumsum(DAMPING ** np.arange(int(reach.max(initial=0))))
    offset = np.zeros(len(ahead))
    if growth is None:
        reading[:, 1] = [run[int(h) - 1] for h in reach]
    else:
        offset = growth * reach
    mean, cov, noise, drift, weight = mean[keep], cov[keep], noise[keep], drift[keep], weight[keep]
    together = np.minimum(reach[:, None], reach[None, :])
    covariance = reading @ cov @ reading.T + drift[:, None, None] ** 2 * together
    covariance[:, np.arange(len(ahead)), np.arange(len(ahead))] += noise[:, None] ** 2
    return Course(
        tuple(ahead),
        mean @ reading.T + offset,
        covariance,
        noise,
        mean[:, 1] if growth is None else np.full(len(noise), growth),
        weight / weight.sum(),
        evidence,
    )


def mixture(courses: Sequence[tuple[float, Course]]) -> Course:
    """One course of several of the same history and days, each by its prior times its evidence; what hardly counts is
    left out."""
    scores = [float(np.log(prior)) + one.evidence for prior, one in courses]
    best = max(scores)
    kept = [one for score, (_, one) in zip(scores, courses, strict=True) if score > best - 5]
    shares = np.exp([score - best for score in scores if score > best - 5])
    weight = np.concatenate([share * one.weight for share, one in zip(shares / shares.sum(), kept, strict=True)])
    return Course(
        kept[0].days,
        np.concatenate([one.log_mean for one in kept]),
        np.concatenate([one.covariance for one in kept]),
        np.concatenate([one.noise for one in kept]),
        np.concatenate([one.slope for one in kept]),
        weight,
        best + float(np.log(shares.sum())),
    )


def _grid() -> tuple[Float64Array, ...]:
    """Noise, drift, slope, weekday spread and prior of every grid point."""
    sizes = ((DRIFT, DRIFT_PRIOR), (SLOPE, SLOPE_PRIOR), (WEEKDAY, WEEKDAY_PRIOR))
    points = product(NOISE, *(zip(*one, strict=True) for one in sizes))
    rows = np.array([(noise, *drift, *slope, *weekday) for noise, drift, slope, weekday in points])
    noise, drift, drift_prior, slope, slope_prior, weekday, weekday_prior = rows.T
    ordinary = noise**-ORDINARY_DAYS * np.exp(-0.5 * ORDINARY_DAYS * (ORDINARY / np.maximum(noise, 0.02)) ** 2)
    return noise, drift, slope, weekday, drift_prior * slope_prior * weekday_prior * ordinary
