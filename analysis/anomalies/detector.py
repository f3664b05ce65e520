"""Which days cost what nobody would have expected: one-step-ahead forecasts, judged by their own past errors.

A forecast is a robust level plus a shrunk weekday effect of the log cost (`baseline.fit_level`), made for each day
from the days before it only. The error is compared with the errors made so far: a Student tail on their robust
scale, never below their conformal rank, so a log that often jumps is allowed to jump.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from math import atan, exp, log, pi, sqrt
from statistics import median
from typing import Final

import numpy as np

from analysis.anomalies.baseline import MIN_HISTORY, WINDOW, fit_level

ALPHA: Final = 0.03  # nominal chance per day and series; measured: 0.9 false alarms in 60 days (benchmarks/diagnosis)
PRIOR_SCALE: Final = 0.12  # log error of an ordinary day, worth PRIOR_DAYS days of evidence
PRIOR_DAYS: Final = 10
NEW_NORMAL: Final = 14  # days in a row beyond the range before they count as the level
HOUR_ALPHA: Final = 0.008  # measured: under one false alarm in 60 days in made worlds, 13 on real rates
HOUR_DAYS: Final = 14
PRIOR_HOUR: Final = 0.25  # log error of an ordinary pair of hours, worth two days of hours
FLOOR_USD: Final = 1.0
FLOOR_SHARE: Final = 0.03


@dataclass(frozen=True)
class Judgement:
    """One day of one series against its forecast. Amounts are in the series' unit."""

    day: date
    actual: float
    forecast: float | None  # None: not enough history
    low: float | None
    high: float | None
    p_value: float | None
    flagged: bool
    days: int  # of history

    @property
    def error(self) -> float:
        """The log of actual over forecast; 0 without a forecast."""
        return log(self.actual / self.forecast) if self.forecast and self.actual > 0 else 0.0

    @property
    def direction(self) -> int:
        """1 above the forecast, -1 below it, 0 at it or without one."""
        return 0 if self.forecast is None else (self.actual > self.forecast) - (self.actual < self.forecast)


def judge(
    costs: Mapping[date, float],
    *,
    alpha: float = ALPHA,
    floor: float = FLOOR_USD,
    accepted: Collection[date] = (),
) -> dict[date, Judgement]:
    """Every active day judged from the days before it, in order.

    Flagged days leave the history of later ones, until NEW_NORMAL of them in a row show a new level. Days that a person
    accepted (`accepted`) are never flagged and stay in it.
    """
    found: dict[date, Judgement] = {}
    history: dict[date, float] = {}
    errors: list[float] = []
    run: list[date] = []  # the flagged days since the last ordinary one
    for day in sorted(costs):
        actual = costs[day]
        past = {d: c for d, c in history.items() if (day - d).days <= WINDOW}
        if actual <= 0 or sum(c > 0 for c in past.values()) < MIN_HISTORY:
            found[day] = Judgement(day, actual, None, None, None, None, False, len(history))
            history[day] = actual
            continue
        forecast = fit_level(past).forecast(day)
        # a forecast from few days, or from few days of this weekday, errs more by itself
        alike = sum(d.weekday() == day.weekday() for d in past)
        doubt = sqrt(1 + 1 / min(len(past), 12) + 1 / (alike + 1))
        scale = error_scale(errors)
        error = (log(actual) - log(forecast)) / doubt
        reach = quantile(alpha) * scale * doubt
        p_value = tail(error, errors, scale)
        jump = abs(actual - forecast)
        flagged = p_value < alpha and jump >= max(floor, FLOOR_SHARE * forecast) and day not in accepted
        found[day] = Judgement(
            day, actual, forecast, forecast * exp(-reach), forecast * exp(reach), p_value, flagged, len(history)
        )
        if flagged:
            run.append(day)
            if len(run) >= NEW_NORMAL:
                history = {d: costs[d] for d in run}
                run = []
        else:
            run = []
            errors.append(error)
            history[day] = actual
    return found


def two_sided(t: float) -> float:
    """The chance that a Student variable of 5 degrees of freedom is at least `t` away from 0.

    Daily errors have heavier tails than a normal; five degrees have a closed form (Abramowitz and Stegun 26.7.3).
    """
    x = t / sqrt(5)
    inside = x / (1 + x * x) * (1 + 2 / (3 * (1 + x * x)))
    return max(0.0, 1 - 2 / pi * (atan(x) + inside))


@cache
def quantile(alpha: float) -> float:
    """The distance from 0 that `two_sided` gives the chance `alpha`."""
    low, high = 0.0, 1e4
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if two_sided(middle) > alpha else (low, middle)
    return high


def error_scale(errors: list[float]) -> float:
    """The robust size of past forecast errors, leaning on PRIOR_SCALE while there are few."""
    recent = errors[-WINDOW:]
    own = 1.4826 * median(map(abs, recent)) if recent else 0.0
    n = len(recent)
    return sqrt((n * own**2 + PRIOR_DAYS * PRIOR_SCALE**2) / (n + PRIOR_DAYS))


def tail(error: float, errors: list[float], scale: float) -> float:
    """How often an ordinary day errs this much: a Student tail, but no rarer than it has been."""
    worse = sum(abs(past) >= abs(error) for past in errors)
    return _tail(error, worse, len(errors), scale)


def _tail(error: float, worse: int, known: int, scale: float) -> float:
    return max(two_sided(abs(error) / scale), worse / (known + 1))


@dataclass(frozen=True)
class HourJudgement:
    """One hour, judged together with the hour before it."""

    hour: datetime
    actual: float
    forecast: float
    p_value: float
    flagged: bool


def judge_hours(costs: Mapping[datetime, float], *, floor: float = FLOOR_USD) -> list[HourJudgement]:
    """Hours judged by the same hour of earlier days, times how busy the day has been so far.

    An hour without calls costs 0. Two hours together are judged, so that one burst is not the news; the threshold is
    for one false alarm in 60 days of hours. Hours before MIN_HISTORY days of history are not judged.
    """
    if not costs:
        return []
    first = min(costs).replace(hour=0)
    length = int((max(costs) - first).total_seconds() // 3600) + 1
    days = length // 24 + (length % 24 > 0)
    grid = np.zeros(days * 24)
    for hour, cost in costs.items():
        grid[int((hour - first).total_seconds() // 3600)] = cost
    table = grid.reshape(days, 24)
    sizes = np.empty(days * 24)  # of the errors of ordinary hours, the first `known` of them
    known = 0
    found = []
    for d in range(MIN_HISTORY, days):
        usual = np.median(table[max(0, d - HOUR_DAYS) : d], axis=0)
        size = usual.mean() or 1.0
        alike = [e for e in (d - 7, d - 14) if e >= 0]
        busy = float(np.median([table[e].sum() for e in alike])) / max(float(usual.sum()), 1e-12)
        busy = min(max(busy, 0.25), 4.0) ** (len(alike) / (len(alike) + 1)) if usual.sum() > 0 else 1.0
        for h in range(24):
            if d * 24 + h >= length:
                break
            now = grid[d * 24 + h] + grid[d * 24 + h - 1]
            then = (usual[h] + usual[h - 1]) * busy
            # a tenth of a usual hour on both sides keeps quiet hours quiet
            error = log((now + 0.1 * size) / (then + 0.1 * size))
            past = sizes[max(0, known - HOUR_DAYS * 24) : known]
            own = 1.4826 * float(np.median(past)) if len(past) else 0.0
            scale = sqrt((len(past) * own**2 + 48 * PRIOR_HOUR**2) / (len(past) + 48))
            p_value = _tail(error, int((past >= abs(error)).sum()), len(past), scale)
            flagged = p_value < HOUR_ALPHA and abs(now - then) >= floor
            found.append(HourJudgement(first + timedelta(hours=d * 24 + h), float(now), float(then), p_value, flagged))
            if not flagged:
                sizes[known] = abs(error)
                known += 1
    return found
