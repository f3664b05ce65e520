"""What ten minutes of a series should have been: its time of day over the last week, and the hours just before."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import maximum_filter1d

from analysis.array_types import Float64Array
from analysis.early_warning.ten_minute_sums import BINS_A_DAY

HISTORY_DAYS: Final = 7
AROUND: Final = (-2, -1, 0, 1, 2)  # bins around the same time of an earlier day
BEFORE: Final = 72  # bins, half a day, whose middle is the level just before
WEEKS: Final = (14, 21, 28)  # days back that are also asked for a record: the same hour of the week


def smoothed(values: Float64Array, bins: int) -> Float64Array:
    """The mean of each ten minutes and those before it, `bins` in all (rows are series); NaN where one is not known."""
    missing = np.isnan(values)
    total = np.cumsum(np.pad(np.where(missing, 0.0, values), ((0, 0), (1, 0))), axis=1)
    found = np.full(values.shape, np.nan)
    if values.shape[1] >= bins:
        found[:, bins - 1 :] = (total[:, bins:] - total[:, :-bins]) / bins
    if missing.any():
        gaps = np.cumsum(np.pad(missing, ((0, 0), (1, 0))), axis=1)
        found[:, bins - 1 :][gaps[:, bins:] > gaps[:, :-bins]] = np.nan
    return found


def usual_course(values: Float64Array) -> Float64Array:
    """The median of the same time of day over the days before, for every ten minutes; NaN on the first day."""
    series, bins = values.shape
    edge = HISTORY_DAYS * BINS_A_DAY + len(AROUND)
    padded = np.full((series, edge + bins), np.nan)
    padded[:, edge:] = values
    at = np.arange(bins) + edge
    back = [day * BINS_A_DAY + off for day in range(1, HISTORY_DAYS + 1) for off in AROUND]
    found = np.full(values.shape, np.nan)
    known = slice(min(BINS_A_DAY, bins), None)
    for row in range(series):  # a row at a time: the table of a row is 35 times as large
        table = np.stack([padded[row, at[known] - before] for before in back])
        found[row, known] = np.nanmedian(table, axis=0) if table.size else np.nan
    return found


def beyond_hours_before(level: Float64Array, usual: Float64Array, bins: int) -> Float64Array:
    """`level`, the log of a mean over `bins` ten minutes, beside its `usual` one and the middle of the half day before
    those ten minutes; NaN where that is not known."""
    ratio = level - usual
    found = np.full(level.shape, np.nan)
    if level.shape[1] < BEFORE + bins:
        return found
    for row, values in enumerate(ratio):  # a row at a time: its windows are 72 times as large
        middle = np.median(sliding_window_view(values, BEFORE), axis=1)[:-bins]
        found[row, BEFORE - 1 + bins :] = values[BEFORE - 1 + bins :] - middle
    return found


def beyond_same_hours(level: Float64Array, slack: int) -> Float64Array:
    """`level`, a log, minus its greatest value within `slack` bins of the same time on each of the last seven days, and
    of the same hour of the week up to four weeks back; NaN where there is no earlier day."""
    filled = np.where(np.isnan(level), -np.inf, level)
    greatest = maximum_filter1d(filled, 2 * slack + 1, axis=1, mode="constant", cval=-np.inf)  # centred
    record = np.full(level.shape, -np.inf)
    for days in (*range(1, HISTORY_DAYS + 1), *WEEKS):
        back = days * BINS_A_DAY
        if back < level.shape[1]:
            record[:, back:] = np.maximum(record[:, back:], greatest[:, :-back])
    return np.where(np.isfinite(record), level - np.where(np.isfinite(record), record, 0.0), np.nan)
