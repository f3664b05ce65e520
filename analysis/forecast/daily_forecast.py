"""What days to come will cost, from the days of the log: one figure and an 80 % range for any set of them.

The level, its growth and the weekdays come from `level_model`. Odd days teach it nothing, a new level is one
(`anomalies.flagged_runs`), and a weekday without calls on some of its dates is expected to have some on that share of
its dates. What odd days cost beyond the ordinary comes as often as it came, where the log has many days. Where the
model is in doubt, the mean of the last week counts beside it: of two forecasts with different faults the mean errs less
(Bates and Granger, Operational Research Quarterly 20(4), 1969).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from itertools import product
from math import exp, lgamma, prod, sqrt
from typing import Final

import numpy as np

from analysis.anomalies.baseline import WINDOW
from analysis.anomalies.detector import judge
from analysis.anomalies.flagged_runs import LEVEL, FlaggedRun, flagged_runs
from analysis.array_types import Float64Array
from analysis.forecast.level_model import Course, fit, mixture

RESTING: Final = 20.0  # odds, before the log says anything, that days without calls go by the weekday
MIXED: Final = 0.05  # a weekday mostly has calls on all of its dates or on none: both ends of a beta prior
RUN_DAYS: Final = 14  # ahead, of which the doubt decides how much the mean of the last week counts
OPEN_RUNS: Final = 3  # the newest runs of odd days: whether they are a new level is weighed, not taken as told
OPEN_DAYS: Final = 28
LASTING: Final = 0.12  # of runs of odd days that have only begun, the share that turn out a new level
BEGINS: Final = 3  # days of a run on which a new level may have begun
LEAST_USD: Final = 1e-12  # what the ledger can hold
MOST_LOG: Final = 40.0  # of a day's dollars, and of the width of a range: beyond it nothing is known
RUN_RATE: Final = (
    0.5,
    0.3,
)  # share of the last week's mean where the model knows nothing; variance of logs at half of it
REACH: Final = 1.2816  # standard deviations of a normal that leave 10 % on either side
CALIBRATION: Final = 0.65, 6.0  # of the model's deviation, and over the days learned from: benchmarks/forecast.py


@dataclass(frozen=True)
class Expected:
    """Dollars of a set of days: the mean, and the ends of the 80 % range."""

    usd: float
    low: float
    high: float

    def plus(self, spent: float) -> Expected:
        """With what is spent already."""
        return Expected(self.usd + spent, self.low + spent, self.high + spent)


@dataclass(frozen=True)
class DailyForecast:
    """The days after the newest complete one. `per_day` H: expected dollars by day, idle days by their chance."""

    course: Course
    active: Float64Array  # H: chance that the day has calls
    active_doubt: float  # standard deviation of that chance, relative, of all days alike
    odd_usd: float  # a day, of what odd days cost beyond the ordinary
    odd_sd: float  # of one day's
    run_rate: Float64Array  # H: the mean of the days since the seventh last with calls, without odd days
    run_rate_share: float  # how much of each day is taken from it: where the model hardly knows, half
    learned: int  # days with calls that the level rests on
    odd_days: tuple[date, ...]
    shifts: tuple[date, ...]

    @property
    def days(self) -> tuple[date, ...]:
        """The days that are forecast."""
        return self.course.days

    @property
    def per_day(self) -> Float64Array:
        """Expected dollars of each day, H."""
        each = np.exp(np.minimum(self.course.log_mean + self.course.noise[:, None] ** 2 / 2, MOST_LOG))
        model = (self.course.weight @ each) * self.active
        return model + self.run_rate_share * (self.run_rate - model) + self.odd_usd

    @property
    def growth(self) -> float:
        """Log units a day at the end of the log, fitted or stated."""
        return float(self.course.weight @ self.course.slope)

    def scaled(self, factors: Float64Array) -> DailyForecast:
        """With every day's dollars times its factor, H."""
        log_mean = self.course.log_mean + np.log(np.maximum(factors, 1e-12))
        return replace(self, course=replace(self.course, log_mean=log_mean), run_rate=self.run_rate * factors)

    def _model(self, at: Sequence[int]) -> tuple[Float64Array, float, float]:
        """Of the days at these places: their dollars by grid point, G x N; centre and deviation of the log of their
        sum."""
        each = np.exp(np.minimum(self.course.log_mean[:, at], MOST_LOG)) * self.active[at]
        middle = each.sum(axis=1)
        part = each / np.maximum(middle, 1e-300)[:, None]
        spread = np.einsum("gh,ghk,gk->g", part, self.course.covariance[:, at][:, :, at], part)
        weight, noise = self.course.weight, self.course.noise
        logs = np.log(np.maximum(middle, 1e-300)) + noise**2 / 2 * (1 - (part**2).sum(axis=1))
        centre = float(weight @ logs)
        return each, centre, sqrt(float(weight @ (spread + (logs - centre) ** 2)))

    def over(self, days: Collection[date]) -> Expected:
        """The sum over some of the days. Zero of none."""
        wanted = set(days)
        at = [i for i, day in enumerate(self.days) if day in wanted]
        if not at or not self.active[at].any():
            return Expected(0.0, 0.0, 0.0)
        each, centre, sd = self._model(at)
        usd = exp(min(centre, MOST_LOG))
        usd += self.run_rate_share * (float(self.run_rate[at].sum()) - usd)
        # which days have calls, and which are odd, is independent of the level: their variances add
        idle = (1 - self.active[at]) / np.maximum(self.active[at], 1e-9)
        chance = float(self.course.weight @ (each**2 * idle).sum(axis=1))
        odd = self.odd_usd * len(at)
        rest = chance + self.odd_sd**2 * len(at) + (self.active_doubt * usd) ** 2
        reach = REACH * (CALIBRATION[0] + CALIBRATION[1] / max(self.learned, 1))
        width = min(reach * sd, MOST_LOG)
        down, up = usd * (1 - exp(-width)), usd * (exp(width) - 1)
        return Expected(
            usd + odd,
            max(usd + odd - sqrt(down**2 + REACH**2 * rest), 0.0),
            usd + odd + sqrt(up**2 + REACH**2 * rest),
        )


def forecast(
    costs: Mapping[date, Decimal] | Mapping[date, float],
    complete: Sequence[date],
    until: date,
    *,
    growth: float | None = None,
) -> DailyForecast | None:
    """Every day after the newest complete one to `until`. None where no complete day has a cost.

    `costs` are dollars by day, a missing day cost nothing; `growth`, in log units a day, replaces the fitted one.
    """
    days = sorted(complete)
    known = {day: float(costs.get(day, 0)) for day in days}
    if not any(usd >= LEAST_USD for usd in known.values()):
        return None
    known = {day: usd if usd >= LEAST_USD else 0.0 for day, usd in known.items()}
    newest = days[-1]
    ahead = [newest + timedelta(days=n) for n in range(1, (until - newest).days + 1)]
    spent = {day: usd for day, usd in known.items() if usd >= LEAST_USD}
    judged = judge(spent, floor=0.0)
    runs = flagged_runs(judged)
    open_runs = [run for run in runs[:OPEN_RUNS] if (newest - run.first).days <= OPEN_DAYS]
    shifts = {run.first for run in runs if run.kind == LEVEL and run not in open_runs}
    odd = {day for run in runs if run.kind != LEVEL and run not in open_runs for day in _days(run, spent)}
    readings = []
    for chosen in product(*(_readings(sorted(_days(run, spent))) for run in open_runs)):
        levels = {one.level for one in chosen if one.level is not None}
        passing = {day for one in chosen for day in one.odd}
        prior = prod(one.prior for one in chosen)
        readings.append((prior, fit(known, ahead, odd=odd | passing, shifts=shifts | levels, growth=growth)))
    course = mixture(readings)
    odd |= {day for run in open_runs if run.kind != LEVEL and run.days_ago for day in _days(run, spent)}
    shifts |= {run.first for run in open_runs if run.kind == LEVEL}
    surplus = [spent[day] - (judged[day].forecast or spent[day]) for day in sorted(odd)]
    # one or two odd days say nothing of how often they come
    trust = max(len(surplus) - 2, 0) / len(surplus) if surplus else 0.0
    total, squares = sum(surplus), sum(x * x for x in surplus)
    active, doubt = _active(days, spent, ahead)
    since = sorted(spent)[-7:][0]
    week = [known[day] for day in days if day >= since and day not in odd]
    reach = np.arange(1, len(ahead) + 1)
    made = DailyForecast(
        course=course,
        active=active,
        active_doubt=doubt,
        odd_usd=trust * total / len(days),
        odd_sd=sqrt(len(surplus) / (len(surplus) + 1) * squares / len(days)),
        learned=len(spent) - len(odd),
        odd_days=tuple(sorted(odd)),
        shifts=tuple(sorted(shifts)),
        run_rate=(sum(week) / len(week) if week else 0.0) * np.exp((growth or 0.0) * reach),
        run_rate_share=0.0,
    )
    doubt = made._model(range(min(len(ahead), RUN_DAYS)))[2] ** 2
    return replace(made, run_rate_share=RUN_RATE[0] * doubt / (doubt + RUN_RATE[1]))


@dataclass(frozen=True)
class _Reading:
    """One way to read a run of odd days: all of them odd, or a new level from one of them on."""

    prior: float
    odd: tuple[date, ...]
    level: date | None


def _readings(run: Sequence[date]) -> list[_Reading]:
    """The ways to read a run: it passes, or a new level began on one of its first days."""
    begins = run[:BEGINS]
    lasting = [_Reading(LASTING / len(begins), tuple(run[:n]), day) for n, day in enumerate(begins)]
    return [*lasting, _Reading(1 - LASTING, tuple(run), None)]


def _days(run: FlaggedRun, spent: Mapping[date, float]) -> set[date]:
    return {day for day in spent if run.first <= day <= run.last}


def _active(days: Sequence[date], spent: Mapping[date, float], ahead: Sequence[date]) -> tuple[Float64Array, float]:
    """The chance that a day has calls, and the relative doubt of it that all days share.

    Either every day has the same chance, or each weekday its own share of dates with calls in the last weeks: both
    count by how likely they make these dates (beta-binomial), so a weekend that rests stays one, and a log with gaps
    has no weekday.
    """
    recent = [day for day in days if (days[-1] - day).days < WINDOW]
    dates = np.bincount([day.weekday() for day in recent], minlength=7)
    used = np.bincount([day.weekday() for day in recent if day in spent], minlength=7)
    overall = used.sum() / dates.sum()
    if not overall:
        return np.zeros(len(ahead)), 0.0
    alike = _log_beta(used.sum() + 1, dates.sum() - used.sum() + 1)
    own = sum(_log_beta(k + MIXED, n - k + MIXED) - _log_beta(MIXED, MIXED) for k, n in zip(used, dates, strict=True))
    trust = 1 / (1 + exp(min(alike - own, 700)) / RESTING)
    share = trust * np.where(dates > 0, used / np.maximum(dates, 1), overall) + (1 - trust) * overall
    doubt = sqrt(float((share * (1 - share)).mean()) / len(recent)) / overall
    return share[[day.weekday() for day in ahead]], doubt


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)
