"""How far each factor of each segment strayed from its own day-to-day noise.

Dollars say how much a driver matters; only its history says whether it is news. The noise of a factor is its robust
spread over the baseline days, leaning on the spread that segments of this log have in common. Logarithms for sizes,
differences for shares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import numpy as np

from analysis.factors import FACTORS, MEASURES, Cells, Float, States
from analysis.leaves import Comparison, DaySums

PRIOR_DAYS: Final = 4
PRIOR: Final = {  # an ordinary day's spread where the log itself says nothing: log for sizes, plain for shares
    "volume": 0.15, "calls_per_request": 0.05, "model_mix": 0.03, "input_tokens": 0.08, "cache_read_share": 0.04,
    "cache_write_share": 0.04, "output_tokens": 0.08, "reasoning_tokens": 0.10, "batch_share": 0.03, "price": 0.005,
    "other": 0.10,
}  # fmt: skip
FEW: Final = 4  # segments, below which the day's own wobble cannot be told from theirs
EVERYWHERE: Final = 3.5  # of its ordinary spreads, for a shift of all segments to be news
ORDINARY_RETRIES: Final = 0.04  # of all calls: their count wobbles even where it never did so far
FROM_NOTHING: Final = 3.0  # the log change of a size that was 0, or is
_AT: Final = {name: i for i, name in enumerate(MEASURES)}


@dataclass(frozen=True)
class Surprise:
    """Per factor and segment, shape (FACTORS, segments): the change, and its ordinary size."""

    change: Float
    spread: Float
    noise: Float  # what an ordinary day's wobble of this factor is worth in the metric's units
    common: float  # the part of the volume's spread that all segments share

    @property
    def z(self) -> Float:
        return self.change / self.spread


def surprise(
    sums: DaySums, compared: Comparison, state: States, weights: Mapping[date, float], phi: Float, common: float
) -> Surprise:
    """`phi` are the Shapley amounts, `common` the log error of the whole day's forecast (`detect.error_scale`)."""
    history = _history(sums, compared, sorted(weights))
    if history.shape[2] > 1:  # what all segments share is `common`, measured on many more days
        totals = np.nansum(np.exp(history[0]), axis=0)
        history[0] -= np.log(np.where(totals > 0, totals, 1.0))
    known = (~np.isnan(history)).sum(axis=2)
    spread = np.zeros(history.shape[:2])
    for f, factor in enumerate(FACTORS):
        own = _mad(history[f])
        several = own[known[f] >= 3]
        n = len(several)
        typical = ((n * (float(np.median(several)) if n else 0.0) ** 2 + 2 * PRIOR[factor] ** 2) / (n + 2)) ** 0.5
        spare = np.maximum(known[f] - 1, 0)
        spread[f] = np.sqrt((spare * own**2 + PRIOR_DAYS * typical**2) / (spare + PRIOR_DAYS))
    calls = np.bincount(compared.cells.segment, compared.cells.of(1, "calls"), compared.cells.segments)
    change = _changes(compared.cells, state)
    stake = _stake(compared.cells)
    shift = _common_shift(change[0], stake[0])
    if len(calls) >= FEW and abs(shift) < EVERYWHERE * common:
        # the whole day's wobble shows in all segments: what a segment does beyond it is its own
        change[0] = np.where(change[0] != 0, change[0] - shift, 0.0)
        common = common / len(calls) ** 0.5
    spread[0] = np.sqrt(spread[0] ** 2 + common**2 + 1 / np.maximum(calls, 1.0))
    spread[1] = np.sqrt(spread[1] ** 2 + ORDINARY_RETRIES / np.maximum(calls, 1.0))
    size = np.abs(change)
    noise = np.where(size > spread, np.abs(phi) * spread / np.maximum(size, 1e-12), spread * stake)
    return Surprise(change, spread, noise, common)


def _history(sums: DaySums, compared: Comparison, days: list[date]) -> Float:
    """Factor values, shape (FACTORS, segments, days); NaN where a segment has no calls."""
    k_of = {segment: k for k, segment in enumerate(compared.segments)}
    shape = (len(k_of), len(days))
    totals = np.zeros((len(MEASURES), *shape))
    batch = np.zeros(shape)
    models = np.zeros((len(compared.models), *shape))
    requests = np.zeros(shape)
    number = {model: i for i, model in enumerate(compared.models)}
    for d, day in enumerate(days):
        for (segment, model, tier, _), amounts in sums.rows.get(day, {}).items():
            k = k_of[segment]
            totals[:, k, d] += amounts
            models[number[model], k, d] += amounts[0]
            batch[k, d] += amounts[0] if tier != "standard" else 0.0
        for segment, counts in sums.requests.get(day, {}).items():
            if segment in k_of:
                requests[k_of[segment], d] = counts[1] or counts[3]
    with np.errstate(divide="ignore", invalid="ignore"):
        calls = np.where(totals[0] > 0, totals[0], np.nan)
        tokens = totals[_AT["uncached"]] + totals[_AT["read"]] + totals[_AT["write"]]
        per_request = np.where(requests > 0, calls / requests, 1.0)
        values = [
            np.log(np.where(requests > 0, requests, calls)),
            np.log(per_request),
            models.max(axis=0, initial=0.0) / calls,
            np.log(tokens / calls),
            totals[_AT["read"]] / tokens,
            totals[_AT["write"]] / tokens,
            np.log(totals[_AT["output"]] / calls),
            np.log(totals[_AT["reasoning"]] / calls),
            batch / calls,
            np.zeros(shape),
            np.zeros(shape),
        ]
    history = np.array(values)
    history[:, totals[0] <= 0] = np.nan
    history[~np.isfinite(history)] = np.nan
    return history


def _mad(values: Float) -> Float:
    """The robust spread of each row, without its NaN; 0 for a row without values."""
    out = np.zeros(len(values))
    some = ~np.isnan(values).all(axis=1)
    if some.any():
        rows = values[some]
        out[some] = 1.4826 * np.nanmedian(np.abs(rows - np.nanmedian(rows, axis=1, keepdims=True)), axis=1)
    return out


def _changes(cells: Cells, state: States) -> Float:
    def total(*names: str) -> list[Any]:
        return [
            np.asarray(sum(np.bincount(cells.segment, cells.of(s, n), cells.segments) for n in names)) for s in (0, 1)
        ]

    calls, inputs = total("calls"), total("uncached", "read", "write")

    def logs(before: Any, after: Any) -> Any:
        safe = (before > 0) & (after > 0)
        both = np.log(np.where(safe, after, 1.0) / np.where(safe, before, 1.0))
        return np.where(safe, both, FROM_NOTHING * ((after > 0).astype(float) - (before > 0)))

    def per(top: list[Any], bottom: list[Any]) -> list[Any]:
        return [t / np.where(b > 0, b, 1.0) for t, b in zip(top, bottom, strict=True)]

    def moved_share(kind: Any) -> Any:
        found = np.zeros(cells.segments)
        for value in np.unique(kind):
            mine = kind == value
            part = [np.bincount(cells.segment, cells.of(s, "calls") * mine, cells.segments) for s in (0, 1)]
            shares = per(part, calls)
            found = np.maximum(found, np.abs(shares[1] - shares[0]))
        return found

    reads, writes = per(total("read"), inputs), per(total("write"), inputs)
    rows = [
        logs(*state.requests),
        logs(*state.calls_per_request),
        moved_share(cells.model),
        logs(*per(inputs, calls)),
        reads[1] - reads[0],
        writes[1] - writes[0],
        logs(*per(total("output"), calls)),
        logs(*per(total("reasoning"), calls)),
        moved_share(cells.tier),
        (np.bincount(cells.segment, cells.repriced, cells.segments) > 0).astype(float),
        logs(*per(total("other_usd"), calls)),
    ]
    change = np.array(rows)
    change[:, (calls[0] <= 0) | (calls[1] <= 0)] = 0.0
    return change


def _common_shift(change: Float, stake: Float) -> float:
    """The median change of volume, each segment counting by its size."""
    moved = np.flatnonzero(change != 0)
    if not len(moved):
        return 0.0
    order = moved[np.argsort(change[moved], kind="stable")]
    reached = np.cumsum(stake[order])
    return float(change[order[np.searchsorted(reached, reached[-1] / 2)]])


def _stake(cells: Cells) -> Float:
    """Amounts that each factor multiplies, per segment: what a change of 1 in its logarithm is worth."""

    def mean(*names: str) -> Float:
        both = [sum(np.bincount(cells.segment, cells.of(s, n), cells.segments) for n in names) for s in (0, 1)]
        return np.asarray((both[0] + both[1]) / 2, np.float64)

    inputs = mean("uncached_usd", "read_usd", "write_usd")
    every = inputs + mean("output_usd", "reasoning_usd", "other_usd")
    return np.array(
        [every, every, every, inputs, inputs, inputs, mean("output_usd"), mean("reasoning_usd"), every, every,
         mean("other_usd")]
    )  # fmt: skip
