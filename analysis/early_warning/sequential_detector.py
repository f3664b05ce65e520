"""A sequential detector over sums of ten minutes: which series left their ordinary course, since when, and how.

Two questions of every ten minutes. Are the last 20, 30 or 60 minutes beyond the twelve hours before them, with the time
of day taken out? And are they beyond everything that the same hours held in the last seven days? A series raises an
alarm where both hold, by as much as its own days show that it takes. Bursty series are asked by longer sums (3, 6 and
12 hours) against the same sums of the last seven days. A series that has alarmed needs 1.3 times as much for three
days, and with many series each needs more, so that one budget of false alarms holds for all together. The rates that
this reaches are in docs/early-warning.md, measured by `python -m benchmarks.early_warning`.
"""

from __future__ import annotations

from datetime import datetime, time, timedelta
from math import exp, log
from typing import Final

import numpy as np

from analysis.array_types import BoolArray, Float64Array, Int64Array
from analysis.early_warning.alert import Alert
from analysis.early_warning.call_rates import rate_alerts, silences
from analysis.early_warning.expected_course import (
    HISTORY_DAYS,
    beyond_hours_before,
    beyond_same_hours,
    smoothed,
    usual_course,
)
from analysis.early_warning.ten_minute_sums import BIN, BINS_A_DAY, BINS_AN_HOUR, TenMinuteSums

QUICK: Final = (2, 3, 6)  # bins of ten minutes
SLOW: Final = (18, 36, 72)
QUICK_LEAST: Final = 0.5  # log ratio to the hours before, 1.65 times, that is never news below
SLOW_LEAST: Final = 0.6
RECORD: Final = 0.45  # what a record of the same hours is worth beside that
SLACK_BINS: Final = 6  # the same hours: one hour on either side; half an hour for the slow sums
SLOW_SLACK_BINS: Final = 3
AGAIN: Final = 0.25  # log ratio more, 1.3 times, for an alarm within AGAIN_DAYS of another of the series
AGAIN_DAYS: Final = 3
HOLD: Final = BINS_A_DAY  # bins after an alarm in which the same series raises no other
SPREADS: Final = 4.0  # mean distances of daily peaks from their median, that a threshold lies above it
MOST_SPREAD: Final = 0.08  # log ratio; days that differ by more changed, and say nothing of noise
FAMILY: Final = 20  # series of the measured rate; beyond, each threshold rises
FAMILY_STEP: Final = 0.1  # log ratio for each factor e of series: by so much false alarms fall to a third (measured)
QUIET: Final = 0.05  # of a mean ten minutes, on both sides of a ratio
FEW_CALLS: Final = 30.0  # likewise: what so many calls cost, so that a few dear ones are no change
ACTIVE: Final = 0.1  # of a mean ten minutes, below which a series is idle
BEYOND: Final = 0.25  # log ratio to the expected, from which on a change has begun
CALM: Final = 0.15  # log ratio of an hour to the expected, below which it is over
SPIKE: Final = timedelta(hours=2)
RISE: Final = 0.25  # log ratio
RAMP_BINS: Final = 9  # that a slow rise takes at least
SETTLED: Final = 12  # bins after its detection that still tell a ramp from a step
NEW_LEVEL: Final = 7 * BINS_A_DAY  # bins after which a change is the ordinary course
MOST_OF_AN_HOUR: Final = 4  # of its ten minutes


def alerts(sums: TenMinuteSums, now: datetime, *, learn_until: datetime | None = None) -> tuple[Alert, ...]:
    """What stands out from the eighth day of the sums on, in order of detection. Nothing after `now` is looked at.

    An alert depends on nothing after its `detected`, except for its `ended`, for its kind (settled two hours later) and
    for the dollars since it started. Thresholds come from the days before each ten minutes; from those
    before `learn_until` alone, where that is given.
    """
    bins = min(sums.usd.shape[1], max(0, (now - sums.first) // BIN))
    if bins <= HISTORY_DAYS * BINS_A_DAY:
        return ()
    learnt = bins if learn_until is None else max(0, (learn_until - sums.first) // BIN)
    usd = sums.usd[:, :bins]
    begun = (sums.first - datetime.combine(sums.first, time.min)) // BIN  # bins of the first day that are missing
    scores, usual = _scores(usd, sums.calls[:, : HISTORY_DAYS * BINS_A_DAY], learnt, begun)
    found: list[Alert] = []
    for row, series in enumerate(sums.series):
        found += [_told(sums, row, usd[row], usual[row], at) for at in _alarms(scores[row])]
        calls = sums.calls[row, :bins]
        found += silences(sums.first, series, calls, usd[row])
        for kind, part in (("unusable", sums.unusable), ("unpriced", sums.unpriced)):
            found += rate_alerts(sums.first, series, kind, part[row, :bins], calls, usd[row])
    return tuple(sorted(found, key=lambda one: (one.detected, one.dimension, one.value or "", one.kind)))


def _scores(usd: Float64Array, first_calls: Float64Array, learnt: int, begun: int) -> tuple[Float64Array, Float64Array]:
    """By how much each ten minutes of each series is beyond its threshold, as a log ratio: 0 and more is an alarm; and
    what each was to be by its time of day, of the same shape. `first_calls` are the calls of the first days."""
    mean = usd[:, : HISTORY_DAYS * BINS_A_DAY].mean(axis=1, keepdims=True)
    mean = np.where(mean > 0, mean, 1e-12)
    calls = FEW_CALLS * mean / np.maximum(first_calls.mean(axis=1, keepdims=True), 1e-12)  # what so many cost
    more = FAMILY_STEP * log(max(len(usd) / FAMILY, 1.0))
    usual = usual_course(usd)
    best = np.full(usd.shape, -np.inf)
    for bins in QUICK:
        small = np.maximum(QUIET * mean, calls / bins)
        level = np.log(smoothed(usd, bins) + small)
        change = beyond_hours_before(level, np.log(smoothed(usual, bins) + small), bins)
        score = np.fmin(change, beyond_same_hours(level, SLACK_BINS) + RECORD)
        best = np.fmax(best, score - np.maximum(QUICK_LEAST, _usual_peak(score, learnt, begun)) - more)
    for bins in SLOW:
        score = beyond_same_hours(np.log(smoothed(usd, bins) + np.maximum(QUIET * mean, calls / bins)), SLOW_SLACK_BINS)
        best = np.fmax(best, score - np.maximum(SLOW_LEAST, _usual_peak(score, learnt, begun)) - more)
    idle = smoothed(usd, QUICK[0]) < ACTIVE * mean
    best[idle | np.isnan(best)] = -np.inf
    best[:, : HISTORY_DAYS * BINS_A_DAY] = -np.inf
    return best, usual


def _usual_peak(score: Float64Array, learnt: int, begun: int) -> Float64Array:
    """What the greatest score of a day ordinarily reaches, by the days before, for every ten minutes; shape as `score`.
    The first of them is the bin `begun` of a UTC day."""
    series, bins = score.shape
    days = -(-(begun + bins) // BINS_A_DAY)
    padded = np.full((series, days * BINS_A_DAY), -np.inf)
    padded[:, begun : begun + bins] = np.where(np.isnan(score), -np.inf, score)
    peaks = padded.reshape(series, days, BINS_A_DAY).max(axis=2)
    found = np.zeros((series, days))
    for day in range(days):
        known = peaks[:, 1 : min(day, (begun + learnt) // BINS_A_DAY)]  # the first day has nothing to be compared with
        if known.shape[1]:
            known = np.maximum(known, 0.0)
            middle = np.median(known, axis=1)
            spread = np.abs(known - middle[:, None]).mean(axis=1)
            found[:, day] = middle + SPREADS * np.minimum(spread, MOST_SPREAD)
    return np.repeat(found, BINS_A_DAY, axis=1)[:, begun : begun + bins]


def _alarms(score: Float64Array) -> list[int]:
    """The ten minutes in which a series raises an alarm."""
    found: list[int] = []
    for at in np.flatnonzero(score >= 0).tolist():
        lately = [one for one in found if at - one <= AGAIN_DAYS * BINS_A_DAY]
        if found and at - found[-1] <= HOLD:
            continue
        if score[at] >= AGAIN * len(lately):
            found.append(at)
    return found


def _told(sums: TenMinuteSums, row: int, usd: Float64Array, usual: Float64Array, at: int) -> Alert:
    """The alarm of bin `at` with its begin, its end where it is over, and its kind."""
    series = sums.series[row]
    begin, expected = _begin(usd, usual, at)
    hours, usual_hours = (smoothed(part[None, :], BINS_AN_HOUR)[0] for part in (usd, expected))
    over = np.flatnonzero(hours[at + 1 :] <= usual_hours[at + 1 :] * exp(CALM))
    ended = None
    if len(over):  # from the first calm ten minutes of that hour
        hour = max(at + 1, at + 2 + int(over[0]) - BINS_AN_HOUR)
        ended = hour + int(np.argmin(_beyond(usd, expected)[hour : at + 2 + int(over[0])]))
    if ended is None and len(usd) - begin > NEW_LEVEL:
        ended = begin + NEW_LEVEL
    until = len(usd) if ended is None else ended
    lasted = (until - begin) * BIN
    inside = slice(begin, max(until, begin + 1))
    kind = "step"
    if ended is not None and lasted <= SPIKE:
        kind = "spike"
    elif (seen := min(at + SETTLED, until - 1)) - begin >= RAMP_BINS and _rises(usd, expected, begin, seen):
        kind = "ramp"
    return Alert(
        dimension=series.dimension,
        value=series.value,
        kind=kind,
        started=sums.first + begin * BIN,
        detected=sums.first + (at + 1) * BIN,
        usd_per_hour=float(usd[inside].mean()) * BINS_AN_HOUR,
        expected_usd_per_hour=float(expected[inside].mean()) * BINS_AN_HOUR,
        ended=None if ended is None else sums.first + ended * BIN,
    )


def _begin(usd: Float64Array, usual: Float64Array, at: int) -> tuple[int, Float64Array]:
    """The bin in which the change that was noticed in bin `at` began, and what each ten minutes should have been: the
    ordinary course, at the level of the twelve hours before."""
    begin, expected = at, usual
    for _ in range(3):  # the level before depends on the begin, and the other way round
        before = slice(max(0, begin - SLOW[-1]), begin)
        ratio = usd[before].sum() / max(float(np.nansum(usual[before])), 1e-12)
        expected = np.nan_to_num(usual) * min(max(ratio, exp(-1.5)), exp(1.5))
        beyond = _beyond(usd[: at + 1], expected[: at + 1])
        earliest = max(0, at - SLOW[-1])
        calm = np.flatnonzero(_of_last_hour(beyond)[earliest:] <= BINS_AN_HOUR - MOST_OF_AN_HOUR)
        from_here = max(earliest, earliest + int(calm[-1]) - 2) if len(calm) else earliest
        moved = from_here + int(np.argmax(beyond[from_here:])) if beyond[from_here:].any() else at
        if moved >= begin:
            break
        begin = moved
    # from the begin on, the course of its first day: later ones would take the change for usual
    ahead = begin + np.arange(len(usd) - begin) % BINS_A_DAY
    expected = np.concatenate([expected[:begin], expected[ahead]])
    return begin, expected


def _beyond(usd: Float64Array, expected: Float64Array) -> BoolArray:
    """Whether each ten minutes is above what it should have been."""
    return np.asarray(usd > np.nan_to_num(expected) * exp(BEYOND))


def _of_last_hour(those: BoolArray) -> Int64Array:
    """How many of each ten minutes and the five before it are among `those`."""
    total = np.cumsum(np.pad(those, (BINS_AN_HOUR, 0)))
    return np.asarray(total[BINS_AN_HOUR:] - total[:-BINS_AN_HOUR], np.int64)


def _rises(usd: Float64Array, expected: Float64Array, begin: int, at: int) -> bool:
    """Whether the excess grew from its begin on, by RISE and by more than it wobbled."""
    ratio = np.log(np.maximum(usd[begin : at + 1], 1e-12) / np.maximum(expected[begin : at + 1], 1e-12))
    place = np.arange(len(ratio)) - (len(ratio) - 1) / 2
    slope = float(place @ ratio / (place @ place))
    wobble = float(np.sqrt(np.square(ratio - ratio.mean() - slope * place).sum() / (len(ratio) - 2) / (place @ place)))
    return slope * len(ratio) >= RISE and slope >= 1.5 * wobble
