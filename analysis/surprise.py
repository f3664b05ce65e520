"""How far each factor of each segment strayed from its own day-to-day noise.

Dollars say how much a driver matters; only its history says whether it is news. The noise of a factor is its robust
spread over the baseline days, leaning on the spread that segments of this log have in common. Logarithms for sizes,
differences for shares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from math import log, sqrt
from typing import Final

import numpy as np

from analysis.factors import FACTORS, MEASURES, Float, States
from analysis.leaves import Comparison, DaySums

PRIOR_DAYS: Final = 4
PRIOR: Final = {  # an ordinary day's spread where the log itself says nothing: log for sizes, plain for shares
    "volume": 0.15, "calls_per_request": 0.05, "model_mix": 0.03, "input_tokens": 0.08, "cache_read_share": 0.04,
    "cache_write_share": 0.04, "output_tokens": 0.08, "reasoning_tokens": 0.10, "batch_share": 0.03, "price": 0.005,
    "other": 0.10,
}  # fmt: skip
_SHARES: Final = ("model_mix", "cache_read_share", "cache_write_share", "batch_share")
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
    k_of = {segment: k for k, segment in enumerate(compared.segments)}
    days = sorted(weights)
    history = np.full((len(FACTORS), len(k_of), len(days)), np.nan)
    for d, day in enumerate(days):
        for k, values in _day_values(sums, day, k_of).items():
            history[:, k, d] = values
    change = np.zeros((len(FACTORS), len(k_of)))
    spread = np.zeros_like(change)
    for f, factor in enumerate(FACTORS):
        own = history[f]
        if factor == "volume" and len(days) > 1:  # what all segments share is `common`, measured on many more days
            totals = np.nansum(np.exp(own), axis=0, keepdims=True)
            own = own - np.log(np.where(totals > 0, totals, 1.0))
        typical = _pooled(own, PRIOR[factor])
        for k in range(len(k_of)):
            known = own[k][~np.isnan(own[k])]
            spread[f, k] = _lean(known, typical)
            if factor == "volume":
                calls = max(compared.cells.of(1, "calls")[compared.cells.segment == k].sum(), 1.0)
                spread[f, k] = sqrt(spread[f, k] ** 2 + common**2 + 1 / calls)
            change[f, k] = _change(factor, state, compared, k)
    stake = _stake(compared)
    noise = np.where(np.abs(change) > spread, np.abs(phi) * spread / np.maximum(np.abs(change), 1e-12), spread * stake)
    return Surprise(change, spread, noise, common)


def _day_values(sums: DaySums, day: date, k_of: Mapping[tuple[str | None, ...], int]) -> dict[int, list[float]]:
    totals: dict[int, Float] = {}
    batch: dict[int, float] = {}
    models: dict[int, dict[str | None, float]] = {}
    for (segment, model, tier, _), amounts in sums.rows.get(day, {}).items():
        k = k_of[segment]
        totals[k] = totals.get(k, 0) + amounts
        batch[k] = batch.get(k, 0.0) + (amounts[0] if tier != "standard" else 0.0)
        models.setdefault(k, {})[model] = models.get(k, {}).get(model, 0.0) + amounts[0]
    found = {}
    for segment, k in k_of.items():
        if k not in totals or totals[k][0] <= 0:
            continue
        row = totals[k]
        calls = row[0]
        tokens = row[_AT["uncached"]] + row[_AT["read"]] + row[_AT["write"]]
        counts = sums.requests.get(day, {}).get(segment)
        requests = counts[1] or counts[3] if counts else 0
        found[k] = [
            log(requests or calls),
            log(calls / requests) if requests else 0.0,
            max(models[k].values()) / calls,
            log(tokens / calls) if tokens else np.nan,
            row[_AT["read"]] / tokens if tokens else np.nan,
            row[_AT["write"]] / tokens if tokens else np.nan,
            log(row[_AT["output"]] / calls) if row[_AT["output"]] else np.nan,
            log(row[_AT["reasoning"]] / calls) if row[_AT["reasoning"]] else np.nan,
            batch[k] / calls,
            0.0,
            0.0,
        ]
    return found


def _pooled(own: Float, prior: float) -> float:
    """The spread that segments have in common: the median over those seen on several days."""
    spreads = [_mad(row[~np.isnan(row)]) for row in own if (~np.isnan(row)).sum() >= 3]
    found = float(np.median(spreads)) if spreads else prior
    n = len(spreads)
    return sqrt((n * found**2 + 2 * prior**2) / (n + 2))


def _mad(values: Float) -> float:
    return 1.4826 * float(np.median(np.abs(values - np.median(values)))) if len(values) else 0.0


def _lean(values: Float, typical: float) -> float:
    n = max(len(values) - 1, 0)
    return sqrt((n * _mad(values) ** 2 + PRIOR_DAYS * typical**2) / (n + PRIOR_DAYS))


def _change(factor: str, state: States, compared: Comparison, k: int) -> float:
    mine = state.segment == k
    calls = [compared.cells.of(side, "calls")[mine] for side in (0, 1)]
    if not calls[0].sum() or not calls[1].sum():
        return 0.0
    shares = [side / side.sum() for side in calls]

    def tokens(side: int, *names: str) -> float:
        return float(sum(compared.cells.of(side, name)[mine].sum() for name in names))

    def logs(before: float, after: float) -> float:
        return log(after / before) if before > 0 and after > 0 else 3.0 * (int(after > 0) - int(before > 0))

    inputs = [tokens(side, "uncached", "read", "write") for side in (0, 1)]
    if factor == "volume":
        return logs(float(state.requests[0, k]), float(state.requests[1, k]))
    if factor == "calls_per_request":
        return logs(float(state.calls_per_request[0, k]), float(state.calls_per_request[1, k]))
    if factor in ("model_mix", "batch_share"):
        key = compared.cells.model[mine] if factor == "model_mix" else compared.cells.tier[mine]
        return float(max(abs(shares[1][key == i].sum() - shares[0][key == i].sum()) for i in np.unique(key)))
    if factor in ("cache_read_share", "cache_write_share"):
        name = "read" if factor == "cache_read_share" else "write"
        return tokens(1, name) / inputs[1] - tokens(0, name) / inputs[0] if inputs[0] and inputs[1] else 0.0
    if factor == "price":
        return 1.0 if state.repriced[mine].any() else 0.0
    names = {"input_tokens": ("uncached", "read", "write"), "other": ("other_usd",)}.get(
        factor, (factor.removesuffix("_tokens"),)
    )
    return logs(tokens(0, *names) / calls[0].sum(), tokens(1, *names) / calls[1].sum())


def _stake(compared: Comparison) -> Float:
    """Amounts that each factor multiplies, per segment: what a change of 1 in its logarithm is worth."""
    cells = compared.cells

    def mean(*names: str) -> Float:
        both = [sum(np.bincount(cells.segment, cells.of(s, n), cells.segments) for n in names) for s in (0, 1)]
        return np.asarray((both[0] + both[1]) / 2, np.float64)

    inputs = mean("uncached_usd", "read_usd", "write_usd")
    every = inputs + mean("output_usd", "reasoning_usd", "other_usd")
    return np.array(
        [every, every, every, inputs, inputs, inputs, mean("output_usd"), mean("reasoning_usd"), every, every,
         mean("other_usd")]
    )  # fmt: skip
