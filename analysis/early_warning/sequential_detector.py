"""A sequential detector over sums of ten minutes: what each should have been, and when the errors add up to news.

An expectation is the median of the same time of day on earlier days, times how the last hours compared with theirs. The
logs of the errors go into a one-sided cumulative sum (Page 1954) whose limit comes from the series' own earlier errors.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import numpy as np

from analysis.array_types import Float64Array
from analysis.early_warning.alert import Alert
from analysis.early_warning.ten_minute_sums import BIN, BINS_A_DAY, Series, TenMinuteSums

DAYS_BEFORE: Final = 7
SLACK: Final = 1.0  # of an error's usual size, that the sum forgives each ten minutes
LIMIT: Final = 12.0
SMALLEST: Final = 0.05  # of a mean ten minutes, on both sides of a ratio: keeps quiet hours quiet
PER_HOUR: Final = 6


def alerts(sums: TenMinuteSums, now: datetime) -> tuple[Alert, ...]:
    """What stands out from the eighth day of the sums on, in order of detection. Nothing after `now` is looked at.

    An alert depends on nothing after its `detected`, except for `ended` and the dollars since it started.
    """
    bins = min(sums.usd.shape[1], max(0, (now - sums.first) // BIN))
    found = [
        alert for row, series in enumerate(sums.series) for alert in _of_series(sums, series, sums.usd[row, :bins])
    ]
    return tuple(sorted(found, key=lambda one: (one.detected, one.dimension, one.value or "")))


def _of_series(sums: TenMinuteSums, series: Series, usd: Float64Array) -> list[Alert]:
    start = DAYS_BEFORE * BINS_A_DAY
    if len(usd) <= start or not usd[:start].any():
        return []
    expected = _expected(usd)
    small = SMALLEST * usd[:start].mean()
    errors = np.log((usd[start:] + small) / (expected[start:] + small))
    found: list[Alert] = []
    total, began, ended = 0.0, 0, -1
    known = np.abs(np.log((usd[BINS_A_DAY:start] + small) / (expected[BINS_A_DAY:start] + small)))
    scale = 1.4826 * float(np.median(known)) + 0.05
    for number, error in enumerate(errors.tolist()):
        if total == 0:
            began = number
        total = max(0.0, total + min(error / scale, 6.0) - SLACK)
        if total > LIMIT and number > ended:
            since = slice(start + began, start + number + 1)
            found.append(
                Alert(
                    series.dimension, series.value, "step", sums.first + (start + began) * BIN,
                    sums.first + (start + number + 1) * BIN, float(usd[since].mean()) * PER_HOUR,
                    float(expected[since].mean()) * PER_HOUR,
                )
            )  # fmt: skip
            total, ended = 0.0, number + BINS_A_DAY
    return found


def _expected(usd: Float64Array) -> Float64Array:
    """What each ten minutes should have been, from those before it; 0 where there are none."""
    padded = np.concatenate([np.full(DAYS_BEFORE * BINS_A_DAY + 2, np.nan), usd, np.full(2, np.nan)])
    at = np.arange(len(usd)) + DAYS_BEFORE * BINS_A_DAY + 2
    earlier = [day * BINS_A_DAY + off for day in range(1, DAYS_BEFORE + 1) for off in (-2, -1, 0, 1, 2)]
    table = np.stack([padded[at - before] for before in earlier])
    table[:, 0] = np.nan_to_num(table[:, 0])
    usual = np.nan_to_num(np.nanmedian(np.where(np.isnan(table).all(axis=0), 0.0, table), axis=0))
    small = SMALLEST * (usd.mean() or 1.0)
    ratio = np.log((usd + small) / (usual + small))
    level = np.zeros(len(usd))
    for number in range(60, len(usd)):
        level[number] = np.clip(np.median(ratio[number - 60 : number - 12]), -0.7, 0.7) * 0.7
    return usual * np.exp(level)
