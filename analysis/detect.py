"""Which days cost what nobody would have expected: one-step-ahead forecasts, judged by their own past errors.

A forecast is a robust level plus a shrunk weekday effect of the log cost (`baseline.fit_level`), made for each day
from the days before it only. The error is compared with the errors made so far: a Student tail on their robust
scale, never below their conformal rank, so a log that often jumps is allowed to jump.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from math import atan, exp, log, pi, sqrt
from statistics import median
from typing import Final

from analysis.baseline import MIN_HISTORY, WINDOW, fit_level

ALPHA: Final = 0.005  # chance per day and series of a false alarm; measured in benchmarks/diagnosis
PRIOR_SCALE: Final = 0.12  # log error of an ordinary day, worth PRIOR_DAYS days of evidence
PRIOR_DAYS: Final = 4
NEW_NORMAL: Final = 14  # days in a row beyond the range before they count as the level
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
        return 0 if self.forecast is None else (self.actual > self.forecast) - (self.actual < self.forecast)


def judge(costs: Mapping[date, float], *, alpha: float = ALPHA, floor: float = FLOOR_USD) -> dict[date, Judgement]:
    """Every active day judged from the days before it, in order.

    Flagged days leave the history of later ones, until NEW_NORMAL of them in a row show a new level.
    """
    found: dict[date, Judgement] = {}
    history: dict[date, float] = {}
    errors: list[float] = []
    run: list[date] = []  # the flagged days since the last ordinary one
    for day in sorted(costs):
        actual = costs[day]
        past = {d: c for d, c in history.items() if (day - d).days <= WINDOW}
        if len(past) < MIN_HISTORY or actual <= 0:
            found[day] = Judgement(day, actual, None, None, None, None, False, len(history))
            history[day] = actual
            continue
        forecast = fit_level(past).forecast(day)
        scale = error_scale(errors)
        error = log(actual) - log(forecast)
        reach = quantile(alpha) * scale
        p_value = tail(error, errors, scale)
        jump = abs(actual - forecast)
        flagged = p_value < alpha and jump >= max(floor, FLOOR_SHARE * forecast)
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
    own = 1.4826 * median([abs(e) for e in recent]) if recent else 0.0
    n = len(recent)
    return sqrt((n * own**2 + PRIOR_DAYS * PRIOR_SCALE**2) / (n + PRIOR_DAYS))


def tail(error: float, errors: list[float], scale: float) -> float:
    """How often an ordinary day errs this much: a Student tail, but no rarer than it has been."""
    worse = sum(abs(past) >= abs(error) for past in errors)
    return max(two_sided(abs(error) / scale), worse / (len(errors) + 1))
