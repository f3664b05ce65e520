"""Alerts on calls rather than dollars: silence where there always were calls, and shares of calls that go wrong."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import numpy as np
from scipy.ndimage import minimum_filter1d

from analysis.array_types import Float64Array
from analysis.early_warning.alert import Alert
from analysis.early_warning.expected_course import HISTORY_DAYS, smoothed
from analysis.early_warning.ten_minute_sums import BIN, BINS_A_DAY, BINS_AN_HOUR, Series

SILENT: Final = 6  # bins without a call
ALWAYS: Final = 12.0  # calls that the same hour, and those within an hour of it, never fell below
STEADY: Final = 4  # bins with calls, of the six of such an hour
SLACK: Final = 6
WINDOWS: Final = (3, 6, 18)  # bins over which a share is taken
LEAST_CALLS: Final = 5.0  # that went wrong
LEAST_RISE: Final = 0.05  # of the share
LIMIT: Final = 6.0  # standard deviations of a count
PRIOR: Final = (1.0, 200.0)  # calls that went wrong, of how many, before a log says anything
HOLD: Final = BINS_A_DAY


def silences(first: datetime, series: Series, calls: Float64Array, usd: Float64Array) -> list[Alert]:
    """An hour without a call, where the same hour of each of the last seven days, and those within an hour of it, had
    calls most of the time."""
    start = HISTORY_DAYS * BINS_A_DAY
    hour = smoothed(calls[None, :], SILENT)[0] * SILENT
    busy = smoothed((calls[None, :] > 0).astype(np.float64), SILENT)[0] * SILENT
    least, steady = (minimum_filter1d(np.nan_to_num(one), 2 * SLACK + 1, mode="nearest") for one in (hour, busy))
    found: list[Alert] = []
    at = start
    while at < len(calls):
        same_hours = [at - day * BINS_A_DAY for day in range(1, HISTORY_DAYS + 1)]
        if hour[at] > 0 or least[same_hours].min() < ALWAYS or steady[same_hours].min() < STEADY:
            at += 1
            continue
        later = np.flatnonzero(calls[at:] > 0)
        ended = at + int(later[0]) if len(later) else None
        begin = at - SILENT + 1
        same = [usd[begin - day * BINS_A_DAY : at + 1 - day * BINS_A_DAY].mean() for day in range(1, HISTORY_DAYS + 1)]
        found.append(
            Alert(
                series.dimension, series.value, "silence", first + begin * BIN, first + (at + 1) * BIN, 0.0,
                float(np.median(same)) * BINS_AN_HOUR, None if ended is None else first + ended * BIN,
            )
        )  # fmt: skip
        at = len(calls) if ended is None else ended
    return found


def rate_alerts(
    first: datetime, series: Series, kind: str, wrong: Float64Array, calls: Float64Array, usd: Float64Array
) -> list[Alert]:
    """Where the share of calls that went wrong rose beyond what the days before explain: by the error of a count, and
    by what these days held themselves."""
    start = HISTORY_DAYS * BINS_A_DAY
    if not wrong[start:].any():
        return []
    known_wrong = np.concatenate([[0.0], np.cumsum(wrong)])[: len(wrong)] + PRIOR[0]
    known = np.concatenate([[0.0], np.cumsum(calls)])[: len(calls)] + PRIOR[1]
    share = known_wrong / known
    score = np.full(len(calls), -np.inf)
    for bins in WINDOWS:
        bad, of = (smoothed(part[None, :], bins)[0] * bins for part in (wrong, calls))
        with np.errstate(invalid="ignore"):
            far = (bad - of * share) / np.sqrt(of * share * (1 - share) + 1)
            told = (bad >= LEAST_CALLS) & (bad >= (share + LEAST_RISE) * of)
        score = np.fmax(score, np.where(told, far, -np.inf))
    found: list[Alert] = []
    last = -HOLD
    for at in (np.flatnonzero(score[start:] >= LIMIT) + start).tolist():
        earlier = score[BINS_A_DAY : at - HOLD]
        if at - last <= HOLD or score[at] < 1.5 * max(float(earlier.max(initial=0.0)), 0.0):
            continue
        last = at
        begin = max(0, at - WINDOWS[-1] + 1)
        odd = np.flatnonzero(wrong[begin : at + 1] > (share[at] + LEAST_RISE) * calls[begin : at + 1])
        begin += int(odd[0]) if len(odd) else 0
        hour = smoothed(wrong[None, :], SILENT)[0] <= (share[at] + LEAST_RISE) * smoothed(calls[None, :], SILENT)[0]
        calm = np.flatnonzero(hour[at + 1 :])
        ended = at + 1 + int(calm[0]) if len(calm) else None
        inside = slice(begin, max(at + 1, begin + 1))
        same = [usd[begin - d * BINS_A_DAY : at + 1 - d * BINS_A_DAY].mean() for d in range(1, HISTORY_DAYS + 1)]
        found.append(
            Alert(
                series.dimension, series.value, kind, first + begin * BIN, first + (at + 1) * BIN,
                float(usd[inside].mean()) * BINS_AN_HOUR, float(np.median(same)) * BINS_AN_HOUR,
                None if ended is None else first + ended * BIN,
            )
        )  # fmt: skip
    return found
