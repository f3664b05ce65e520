"""What a day should have cost: earlier days like it, weighted so that their sums are a day's worth of baseline.

The log of daily cost is a robust level plus a weekday effect shrunk toward none; each earlier day counts in
proportion to how alike it is (same weekday, recent), scaled by what the level and weekday say of the day asked for.
A baseline of weighted days, rather than a fitted number, keeps every factor of every segment explainable.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date
from math import exp, log, sqrt
from statistics import median
from typing import Final

from ingest.errors import InputError

MIN_HISTORY: Final = 7  # days of history before a weekday can mean anything
WINDOW: Final = 42  # calendar days looked back
LEVEL_DAYS: Final = 14
ORDINARY_NOISE: Final = 0.12  # log error of an ordinary day
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
        return self.kind in ("low_history", "none")

    @property
    def days(self) -> list[date]:
        return sorted(self.weights)


@dataclass(frozen=True)
class Level:
    """The log of daily cost without its weekday: what `forecast` adds a weekday to."""

    level: float
    weekday: Mapping[int, float]
    around: Mapping[date, float] = field(default_factory=dict)  # each history day's own level, weekday taken out

    def forecast(self, day: date) -> float:
        return exp(self.level + self.weekday[day.weekday()])

    def fitted(self, day: date) -> float:
        """What the fit says of a day of the history itself."""
        return exp(self.around[day] + self.weekday[day.weekday()])


def fit_level(history: Mapping[date, float]) -> Level:
    """A robust level and shrunk weekday effects of the positive values of `history`.

    The weekday effect is the median distance from the median of the surrounding week, so a slow trend is not
    mistaken for it.
    """
    days = sorted(day for day, value in history.items() if value > 0)
    logs = {day: log(history[day]) for day in days}
    if not days:
        return Level(float("-inf"), dict.fromkeys(range(7), 0.0))
    around = {
        day: median([logs[d] for d in days if abs((d - day).days) <= 3 or len(days) < MIN_HISTORY]) for day in days
    }
    gaps = [[logs[day] - around[day] for day in days if day.weekday() == weekday] for weekday in range(7)]
    effects = dict(enumerate(_shrunk(gaps)))
    flat = {day: logs[day] - effects[day.weekday()] for day in days}
    recent = [flat[day] for day in days[-LEVEL_DAYS:]]
    last = [flat[day] for day in days[-LEVEL_DAYS // 2 :]]
    levels = {day: median([flat[d] for d in days if abs((d - day).days) <= 3]) for day in days}
    return Level((median(recent) + median(last)) / 2, effects, levels)


def _shrunk(gaps: list[list[float]]) -> list[float]:
    """Weekday effects pulled toward 0 by how little the weekdays differ beside the noise (empirical Bayes).

    The noise of one day leans on ORDINARY_NOISE, worth a week of days: two Mondays alike prove little.
    """
    middles = [median(group) if group else 0.0 for group in gaps]
    apart = [abs(gap - middle) for group, middle in zip(gaps, middles, strict=True) if len(group) > 1 for gap in group]
    spare = sum(max(len(group) - 1, 0) for group in gaps)
    own = 1.4826 * median(apart) * sqrt(len(apart) / spare) if spare else 0.0
    noise = (spare * own**2 + 7 * ORDINARY_NOISE**2) / (spare + 7)
    counts = [len(group) for group in gaps if group]
    spread = sum(m * m for m, group in zip(middles, gaps, strict=True) if group) / max(len(counts), 1)
    prior = max(spread - noise * len(counts) / max(sum(counts), 1), 0.02**2)
    return [
        middle * prior / (prior + noise / len(group)) if group else 0.0
        for middle, group in zip(middles, gaps, strict=True)
    ]


def matched(
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


def given(day: date, first: date, last: date, costs: Mapping[date, float]) -> Baseline:
    """The mean of the active days of a range that the user names; the day itself never belongs to it."""
    use = [d for d in sorted(costs) if first <= d <= last and d != day]
    if not use:
        raise InputError(
            f"no calls between {first} and {last}", remedy="Name a range with calls: --baseline 2024-02-01..2024-02-28"
        )
    return Baseline(dict.fromkeys(use, 1 / len(use)), "range", len([d for d in costs if d < day]))


def parse_range(text: str) -> tuple[date, date]:
    """`A..B`, both days included. Raises InputError."""
    first, dots, last = text.partition("..")
    try:
        if not dots:
            raise ValueError
        found = date.fromisoformat(first.strip()), date.fromisoformat(last.strip())
    except ValueError as error:
        raise InputError(f"'{text}' is not a range of days", remedy="Write it as 2024-02-01..2024-02-28") from error
    if found[1] < found[0]:
        raise InputError(f"'{text}' ends before it begins", remedy="Write the earlier day first.")
    return found
