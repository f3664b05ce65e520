"""A level that changes on a known day: interrupted time series, and the difference to an untouched segment.

Errors of neighbouring days are alike, and days are few, so that textbook critical values claim too much. The t of the
Newey-West error is therefore held against its own distribution on this very design: days with AR(1) errors are drawn,
three in ten of them without autocorrelation and the others with one from 0 to .9, and those count whose residuals look
as autocorrelated as the real ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from replay.rollout.effects import ALPHA, POWER, Estimate
from replay.rollout.regression import Floats, least_squares, newey_west, usual_lags

Int64 = NDArray[np.int64]

LEAST_BEFORE: Final = 7  # days before the rollout, without which nothing is estimated
LEAST_AFTER: Final = 3
TREND_BEFORE: Final = 10  # days before from which a straight line is fitted too
WEEKDAYS_FROM: Final = 35  # days from which each weekday has a level of its own
DRAWS: Final = 6000
INDEPENDENT: Final = 0.3  # share of the draws
MOST_AUTOCORRELATION: Final = 0.9
_NEAREST: Final = 0.1
_MONDAY: Final = 3  # 1970-01-01 was a Thursday


@dataclass(frozen=True)
class Series:
    """One value per UTC day in order: `day` since 1970-01-01, the `value`, and its `weight` (units of that day)."""

    day: Int64
    value: Floats
    weight: Floats

    def upto(self, day: int) -> Series:
        """The days before `day`."""
        keep = self.day < day
        return Series(self.day[keep], self.value[keep], self.weight[keep])


def ratio(day: Int64, value: Floats, size: Floats) -> Series:
    """Per day the sum of `value` over the sum of `size`; days without size are left out."""
    days, code = np.unique(day, return_inverse=True)
    top, bottom = np.bincount(code, value, len(days)), np.bincount(code, size, len(days))
    keep = bottom > 0
    return Series(days[keep].astype(np.int64), top[keep] / bottom[keep], bottom[keep].astype(np.float64))


def against(treated: Series, control: Series, rollout: int) -> Series | None:
    """The treated series minus the control's, each as a multiple of its own mean before `rollout`.

    Days that both have, weighted by the harmonic mean of the weights, which makes the step the coefficient of
    treated x after in a regression with a level for each day (two-way fixed effects). None without days before.
    """
    days, mine, other = np.intersect1d(treated.day, control.day, return_indices=True)
    before = days < rollout
    if not before.any():
        return None
    a, b = treated.weight[mine], control.weight[other]
    y, z = treated.value[mine], control.value[other]
    mean_y, mean_z = np.average(y[before], weights=a[before]), np.average(z[before], weights=b[before])
    if mean_y == 0 or mean_z == 0:
        return None
    return Series(days, y / mean_y - z / mean_z, a * b / (a + b))


def design(day: Int64, rollout: int, *, trend: bool) -> tuple[Floats, tuple[str, ...]]:
    """Columns (n, k), the step of the rollout last, and what they allow for."""
    columns = [np.ones(len(day))]
    names = []
    before = day < rollout
    weekday = (day + _MONDAY) % 7
    if len(day) >= WEEKDAYS_FROM:
        columns += [(weekday == number).astype(np.float64) for number in range(1, 7)]
        names.append("weekdays")
    elif (weekday[before] >= 5).sum() >= 2 and (weekday[before] < 5).sum() >= 3:
        columns.append((weekday >= 5).astype(np.float64))
        names.append("weekends")
    if trend and before.sum() >= TREND_BEFORE:
        columns.append((day - day.mean()) / max(np.ptp(day), 1))
        names.append("a trend")
    columns.append((~before).astype(np.float64))
    return np.column_stack(columns), tuple(names)


def step(
    series: Series,
    rollout: int,
    *,
    trend: bool = True,
    seed: int = 0,
    draws: int = DRAWS,
    alpha: float = ALPHA,
    power: float = POWER,
) -> Estimate | None:
    """By how much the level changed on day `rollout` (since 1970-01-01); None where the days are too few."""
    before = series.day < rollout
    if before.sum() < LEAST_BEFORE or (~before).sum() < LEAST_AFTER:
        return None
    x, _ = design(series.day, rollout, trend=trend)
    w = series.weight / series.weight.mean()
    fit = least_squares(series.value, x, w)
    lags = usual_lags(len(x))
    effect = float(fit.beta[-1])
    error = math.sqrt(max(float(newey_west(fit, lags)[-1, -1]), 0.0))
    within = float(np.average(series.value[~before], weights=w[~before]))
    scale = max(float(np.abs(series.value).max()), 1e-300)
    if error <= 1e-9 * scale:  # every day is alike: what is left is rounding
        sure = 0.0 if abs(effect) > 1e-6 * scale else 1.0
        return Estimate(effect, 0.0, effect, effect, sure, 0.0, within - effect, within, len(x))
    t = _null(x, w, lags, _autocorrelation(fit.residual[:, None])[0], seed, draws)
    size = np.sort(np.abs(t))
    critical = float(np.quantile(size, 1 - alpha))
    p = (1 + float((size >= abs(effect) / error).sum())) / (1 + len(size))
    detectable = (critical + float(np.quantile(t, power))) * error
    reach = critical * error
    return Estimate(
        effect, error, effect - reach, effect + reach, p, detectable, within - effect, within, len(x)
    )  # fmt: skip


def placebos(series: Series, rollout: int, *, trend: bool = True, most: int = 12) -> Iterator[tuple[int, Estimate]]:
    """The effect on days before the rollout, when nothing was rolled out: (day, estimate), at most `most` of them.

    Each looks as many days ahead as there are after the rollout, as far as the days before it reach.
    """
    earlier = series.upto(rollout)
    after = max(min(int((series.day >= rollout).sum()), len(earlier.day) // 3), LEAST_AFTER)
    last = len(earlier.day) - after
    places = np.arange(LEAST_BEFORE, last + 1)
    if len(places) > most:
        places = np.unique(np.linspace(LEAST_BEFORE, last, most).round().astype(np.int64))
    for place in places.tolist():
        until = place + after
        part = Series(earlier.day[:until], earlier.value[:until], earlier.weight[:until])
        found = step(part, int(earlier.day[place]), trend=trend, draws=2000)
        if found is not None:
            yield int(earlier.day[place]), found


def _autocorrelation(residual: Floats) -> Floats:
    """Lag-1 autocorrelation of each column of (n, m)."""
    centred = residual - residual.mean(axis=0)
    bottom = (centred**2).sum(axis=0)
    return np.asarray((centred[1:] * centred[:-1]).sum(axis=0) / np.where(bottom > 0, bottom, 1.0), np.float64)


def _null(x: Floats, w: Floats, lags: int, seen: float, seed: int, draws: int) -> Floats:
    """t of the last coefficient, without an effect, on drawn days whose residuals are as autocorrelated as `seen`."""
    rng = np.random.default_rng(seed)
    rows, columns = x.shape
    rho = np.where(rng.random(draws) < INDEPENDENT, 0.0, rng.uniform(0, MOST_AUTOCORRELATION, draws))
    error = rng.standard_normal((rows, draws))
    scale = np.sqrt(1 - rho**2)
    for row in range(1, rows):
        error[row] = rho * error[row - 1] + scale * error[row]
    bread = np.linalg.pinv((x * w[:, None]).T @ x)
    beta = bread @ (x * w[:, None]).T @ error
    residual = error - x @ beta
    score = (x @ bread[-1] * w)[:, None] * residual  # what each day adds to the last coefficient
    variance = (score**2).sum(axis=0)
    for lag in range(1, min(lags, rows - 1) + 1):
        variance += 2 * (1 - lag / (lags + 1)) * (score[lag:] * score[:-lag]).sum(axis=0)
    variance *= rows / max(rows - columns, 1)
    t = beta[-1] / np.sqrt(np.maximum(variance, 1e-300))
    near = np.argsort(np.abs(_autocorrelation(residual) - seen), kind="stable")[: max(int(draws * _NEAREST), 50)]
    return np.asarray(t[near], np.float64)
