"""How far each factor of each segment strayed from its own day-to-day noise.

Dollars say how much a driver matters; only its history says whether it is news. The noise of a factor is its robust
spread over the baseline days, leaning on the spread that segments of this log have in common. Logarithms for sizes,
differences for shares. What the whole day did to all segments alike (a quiet Friday, a holiday) is told apart from what
one segment did on top of it: it is no segment's news.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np

from analysis.array_types import Float64Array, Int64Array
from analysis.attribution.baseline_comparison import Comparison
from analysis.attribution.factors import FACTORS, MEASURES, Cells, States
from analysis.attribution.segment_sums import DaySums

PRIOR_DAYS: Final = 4
PRIOR: Final = {  # an ordinary day's spread where the log itself says nothing: log for sizes, plain for shares
    "volume": 0.15, "calls_per_request": 0.05, "model_mix": 0.03, "input_tokens": 0.08, "cache_read_share": 0.04,
    "cache_write_share": 0.04, "output_tokens": 0.08, "reasoning_tokens": 0.10, "batch_share": 0.03, "price": 0.005,
    "other": 0.10,
}  # fmt: skip
TELLING: Final = 3  # days with calls, from which on a segment's own spread says what is usual
FEW: Final = 4  # segments, below which the day's own wobble cannot be told from theirs
STRAYED: Final = 0.1  # of the segments may have moved by anything
TAILS: Final = 5.0  # degrees of freedom of an ordinary day's shift: holidays happen
ORDINARY_RETRIES: Final = 0.04  # of all calls: their count wobbles even where it never did so far
CLUSTER: Final = 2.0  # calls come in sessions of some: their count wobbles more than that of lone calls
BASELINE_DAYS: Final = 8  # that a share of the baseline rests on, more or less, against one of the day
FEW_RETRIES: Final = 3  # calls more or less are no news, however few there are beside them
RAMP_DAYS: Final = 4  # days up to the day before, that a slow rise may already have changed
CALL_VARIANCE: Final = {  # of one call around its segment's mean: logs for sizes, plain for shares
    "volume": 1.0, "input_tokens": 0.15, "output_tokens": 0.25, "reasoning_tokens": 0.1, "cache_read_share": 0.06,
    "cache_write_share": 0.06,
}  # fmt: skip
SPARSE: Final = 8.0  # calls a day, below which a segment comes and goes by chance
THINNEST: Final = 9.0  # times fewer calls than usual, up to which a mean is taken to wobble the more
FROM_NOTHING: Final = 3.0  # the log change of a size that was 0, or is
_AT: Final = {name: i for i, name in enumerate(MEASURES)}
_MIX, _BATCH = FACTORS.index("model_mix"), FACTORS.index("batch_share")


@dataclass(frozen=True)
class Surprise:
    """Per factor and segment, shape (FACTORS, segments): the change, and its ordinary size."""

    change: Float64Array
    spread: Float64Array
    noise: Float64Array  # what an ordinary day's wobble of this factor is worth in the metric's units
    common: float  # the part of the volume's spread that all segments share
    shared: Float64Array  # per segment, the part of its volume's amount that the whole day explains
    shift: float  # the log change of volume of the whole day, and its ordinary size
    shift_scale: float
    days: int  # of the baseline


def surprise(
    sums: DaySums, compared: Comparison, state: States, weights: Mapping[date, float], phi: Float64Array, common: float
) -> Surprise:
    """`phi` are the Shapley amounts, `common` the log error of the whole day's forecast (`detect.error_scale`)."""
    change = _changes(compared.cells, state)
    moved_model, rose = _mover(compared.cells)
    days = sorted(weights)
    volumes = _volumes(sums, len(compared.segments), days)
    calls = np.bincount(compared.cells.segment, compared.cells.of(1, "calls"), compared.cells.segments)
    usual = np.bincount(compared.cells.segment, compared.cells.of(0, "calls"), compared.cells.segments)
    # a segment with calls on one side only has nothing that strayed; the others of some days say what is usual
    at = np.flatnonzero(((calls > 0) & (usual > 0)) | ((~np.isnan(volumes)).sum(axis=1) >= TELLING))
    history = _history(sums, compared, days, moved_model, at)
    history[0] = volumes[at]
    toward = np.sign(change)  # which way each factor went; a moved share is told by its size alone
    toward[_MIX], toward[_BATCH] = rose, np.sign(_tier_rise(compared))
    if history.shape[2] > 1:  # what all segments share is `common`, measured on many more days
        totals = np.nansum(np.exp(volumes), axis=0)
        history[0] -= np.log(np.where(totals > 0, totals, 1.0))
    known = (~np.isnan(history)).sum(axis=2)
    spread = np.zeros((len(FACTORS), len(compared.segments)))
    old = [d for d, past in enumerate(days) if (max(weights) - past).days >= RAMP_DAYS]
    new = [d for d in range(history.shape[2]) if d not in old]
    for f, factor in enumerate(FACTORS):
        own = _mad(history[f])
        off = _offset(history[f], weights)
        if len(old) >= FEW and new:
            # last days that lean toward the day are a change under way, and no wobble: what was before them tells
            # the spread, and how far the day is from what was
            before = _mad(history[f][:, old])
            calm = _middle(history[f][:, old])
            leaning = np.nan_to_num((_middle(history[f][:, new]) - calm) * toward[f, at], nan=-1.0) > before
            own = np.where((1.2 * before < own / 2) | leaning, np.minimum(own, 1.2 * before), own)
            begun = np.nan_to_num(_mean(history[f], weights) - calm, nan=0.0)
            begun = np.where(leaning & (begun * toward[f, at] > 0), np.abs(begun), 0.0)
            change[f, at] += np.sign(change[f, at]) * np.minimum(begun, np.abs(change[f, at]))
        # a baseline that lies off the middle of its own days is itself that much in doubt, unless it lies toward the
        # day: then the change only looks smaller than it is
        own = np.hypot(own, np.where(off * toward[f, at] > 0, 0.0, off))
        several = own[known[f] >= TELLING]
        n = len(several)
        typical = ((n * (float(np.median(several)) if n else 0.0) ** 2 + 2 * PRIOR[factor] ** 2) / (n + 2)) ** 0.5
        spare = np.maximum(known[f] - 1, 0)
        spread[f] = typical
        spread[f, at] = np.sqrt((spare * own**2 + PRIOR_DAYS * typical**2) / (spare + PRIOR_DAYS))
    stake = _stake(compared.cells)
    some = np.maximum(calls, 1.0)
    # the spread was measured on days of more calls: the mean of few wobbles more
    spread *= np.sqrt(np.clip(usual / some, 1.0, THINNEST))
    spread[1] = np.sqrt(spread[1] ** 2 + ORDINARY_RETRIES / some + (FEW_RETRIES / some) ** 2)
    for f, factor in enumerate(FACTORS):
        spread[f] = np.maximum(spread[f], np.sqrt(_sampled(factor, compared.cells) * CLUSTER / some))
    moved = change[0] != 0
    shift, scale, own_amount = 0.0, common, phi[0].copy()
    if moved.sum() >= FEW:
        if usual[usual < SPARSE].sum() > usual.sum() / 2:
            # logarithms of a call or two lean downward, and who stays away has none: their sum tells the day
            shift = float(np.clip(np.log(max(calls.sum(), 1e-9) / max(usual.sum(), 1e-9)), -2.5, 2.5))
        else:
            shift, common = _common_shift(change[0][moved], spread[0][moved], common)
        own_amount = np.where(moved, _own_part(phi[0], stake[0], change[0], change[0] - shift), phi[0])
        change[0] = np.where(moved, change[0] - shift, 0.0)
    spread[0] = np.sqrt(spread[0] ** 2 + common**2)
    shared = phi[0] - own_amount
    phi = np.vstack([own_amount[None], phi[1:]])
    size = np.abs(change)
    noise = np.where(size > spread, np.abs(phi) * spread / np.maximum(size, 1e-12), spread * stake)
    return Surprise(change, spread, noise, common, shared, shift, scale, len(weights))


def _sampled(factor: str, cells: Cells) -> Float64Array | float:
    """The variance that one call brings to its segment's mean: few calls may differ by chance alone."""
    if factor in ("model_mix", "batch_share"):
        return _moved_share(cells, cells.model if factor == "model_mix" else cells.tier)[1]
    return CALL_VARIANCE.get(factor, 0.0)


def _own_part(amount: Float64Array, stake: Float64Array, change: Float64Array, own: Float64Array) -> Float64Array:
    """What a segment's own change of volume is worth, of the amount that its whole change is worth: the day with it
    against the day without it, so that own part and shared part add up."""
    small = np.abs(change) < 0.05
    part = amount * (1 - np.exp(-own)) / np.where(small, 1.0, 1 - np.exp(-change))
    return np.where(small, stake * own, part)


def _mover(cells: Cells) -> tuple[Int64Array, Float64Array]:
    """Per segment the model whose share of calls moved most, and 1 or -1 for which way it went (0: none moved)."""
    calls = [np.bincount(cells.segment, cells.of(s, "calls"), cells.segments) for s in (0, 1)]
    found, size = np.zeros(cells.segments, np.int64), np.zeros(cells.segments)
    for model in np.unique(cells.model):
        mine = cells.model == model
        part = [np.bincount(cells.segment, cells.of(s, "calls") * mine, cells.segments) for s in (0, 1)]
        shares = [p / np.where(c > 0, c, 1.0) for p, c in zip(part, calls, strict=True)]
        moved = shares[1] - shares[0]
        found = np.where(np.abs(moved) > np.abs(size), model, found)
        size = np.where(np.abs(moved) > np.abs(size), moved, size)
    return found, np.sign(size)


def _tier_rise(compared: Comparison) -> Float64Array:
    """Per segment the change of the share of calls that are not at the standard tier."""
    cells = compared.cells
    other = np.array([tier != "standard" for tier in compared.tiers], np.bool_)[cells.tier]
    shares = []
    for side in (0, 1):
        calls = np.bincount(cells.segment, cells.of(side, "calls"), cells.segments)
        part = np.bincount(cells.segment, cells.of(side, "calls") * other, cells.segments)
        shares.append(np.asarray(part / np.where(calls > 0, calls, 1.0), np.float64))
    return shares[1] - shares[0]


def _volumes(sums: DaySums, segments: int, days: list[date]) -> Float64Array:
    """The log of the requests (else sessions, else calls), shape (segments, days); NaN where a segment has none."""
    found = np.full((segments, len(days)), np.nan)
    for d, day in enumerate(days):
        if day in sums.days:
            one = sums.days[day]
            calls, requests = np.bincount(sums.segment[one.cell], one.measures[0], segments), _asked(sums, day)
            size = np.where(calls > 0, np.where(requests > 0, requests, calls), np.nan)
            found[:, d] = np.log(size)
    return found


def _asked(sums: DaySums, day: date) -> Float64Array:
    """Requests of each segment, else its sessions; 0 where neither is known."""
    table = sums.requests[day]
    return np.asarray(np.where(table[1] > 0, table[1], table[3]), np.float64)


def _history(sums: DaySums, compared: Comparison, days: list[date], mover: Int64Array, at: Int64Array) -> Float64Array:
    """Factor values of the segments `at`, shape (FACTORS, segments, days); NaN where a segment has no calls. The mix is
    the share of the model `mover[k]`. The volume is left to `_volumes`."""
    shape = (len(at), len(days))
    totals = np.zeros((len(MEASURES), *shape))
    batch, mix, requests = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    other = np.array([tier != "standard" for tier in compared.tiers], np.bool_)
    place = np.full(len(compared.segments), -1)
    place[at] = np.arange(len(at))
    for d, day in enumerate(days):
        if day not in sums.days:
            continue
        one = sums.days[day]
        mine = place[sums.segment[one.cell]] >= 0
        cell, measures = one.cell[mine], one.measures[:, mine]
        segment = place[sums.segment[cell]]
        for row, amounts in zip(totals, measures, strict=True):
            row[:, d] = np.bincount(segment, amounts, len(at))
        mix[:, d] = np.bincount(segment, measures[0] * (sums.model[cell] == mover[at][segment]), len(at))
        batch[:, d] = np.bincount(segment, measures[0] * other[sums.tier[cell]], len(at))
        requests[:, d] = _asked(sums, day)[at]
    with np.errstate(divide="ignore", invalid="ignore"):
        calls = np.where(totals[0] > 0, totals[0], np.nan)
        tokens = totals[_AT["uncached"]] + totals[_AT["read"]] + totals[_AT["write"]]
        per_request = np.where(requests > 0, calls / requests, 1.0)
        values = [
            np.zeros(shape),
            np.log(per_request),
            mix / calls,
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


def _middle(rows: Float64Array) -> Float64Array:
    """The median of each row without its NaN; NaN for a row of nothing else."""
    ordered, known = np.sort(rows, axis=1), (~np.isnan(rows)).sum(axis=1)  # NaN last
    if not rows.shape[1]:
        return np.full(len(rows), np.nan)
    at = np.arange(len(rows))
    low, high = ordered[at, np.maximum(known - 1, 0) // 2], ordered[at, np.minimum(known // 2, rows.shape[1] - 1)]
    return np.where(known > 0, (low + high) / 2, np.nan)


def _mad(values: Float64Array) -> Float64Array:
    """The robust spread of each row, without its NaN; 0 for a row without values."""
    return np.nan_to_num(1.4826 * _middle(np.abs(values - _middle(values)[:, None])), nan=0.0)


def _mean(values: Float64Array, weights: Mapping[date, float]) -> Float64Array:
    """The weighted mean of each row, days without a value apart; 0 for a row without values."""
    share = np.array([weights[day] for day in sorted(weights)])
    known = ~np.isnan(values)
    total = (known * share).sum(axis=1)
    return np.asarray(np.where(known, values, 0.0) @ share / np.where(total > 0, total, 1.0), np.float64)


def _offset(values: Float64Array, weights: Mapping[date, float]) -> Float64Array:
    """How far the weighted mean of each row lies above its median, days without a value apart."""
    return np.asarray(np.nan_to_num(_mean(values, weights) - _middle(values), nan=0.0), np.float64)


def _changes(cells: Cells, state: States) -> Float64Array:
    def total(*names: str) -> list[Float64Array]:
        return [
            np.asarray(sum(np.bincount(cells.segment, cells.of(s, n), cells.segments) for n in names)) for s in (0, 1)
        ]

    calls, inputs = total("calls"), total("uncached", "read", "write")

    def logs(before: Float64Array, after: Float64Array) -> Float64Array:
        safe = (before > 0) & (after > 0)
        both = np.log(np.where(safe, after, 1.0) / np.where(safe, before, 1.0))
        return np.where(safe, both, FROM_NOTHING * ((after > 0).astype(float) - (before > 0)))

    def per(top: list[Float64Array], bottom: list[Float64Array]) -> list[Float64Array]:
        return [t / np.where(b > 0, b, 1.0) for t, b in zip(top, bottom, strict=True)]

    reads, writes = per(total("read"), inputs), per(total("write"), inputs)
    rows = [
        logs(*state.requests),
        logs(*state.calls_per_request),
        _moved_share(cells, cells.model)[0],
        logs(*per(inputs, calls)),
        reads[1] - reads[0],
        writes[1] - writes[0],
        logs(*per(total("output"), calls)),
        logs(*per(total("reasoning"), calls)),
        _moved_share(cells, cells.tier)[0],
        (np.bincount(cells.segment, cells.repriced, cells.segments) > 0).astype(float),
        logs(*per(total("other_usd"), calls)),
    ]
    change = np.array(rows)
    change[:, (calls[0] <= 0) | (calls[1] <= 0)] = 0.0
    return change


def _moved_share(cells: Cells, kind: Int64Array) -> tuple[Float64Array, Float64Array]:
    """Per segment the largest change of a kind's share of calls, and that share's binomial variance."""
    calls = [np.bincount(cells.segment, cells.of(s, "calls"), cells.segments) for s in (0, 1)]
    found = np.zeros(cells.segments)
    variance = np.zeros(cells.segments)
    for value in np.unique(kind):
        mine = kind == value
        part = [np.bincount(cells.segment, cells.of(s, "calls") * mine, cells.segments) for s in (0, 1)]
        shares = [p / np.where(c > 0, c, 1.0) for p, c in zip(part, calls, strict=True)]
        moved, middle = np.abs(shares[1] - shares[0]), (BASELINE_DAYS * shares[0] + shares[1]) / (BASELINE_DAYS + 1)
        variance = np.where(moved > found, middle * (1 - middle), variance)
        found = np.maximum(found, moved)
    return found, variance


def _common_shift(change: Float64Array, spread: Float64Array, common: float) -> tuple[float, float]:
    """The log change that all segments share, and how well it is known.

    The most likely one where each segment wobbles around it by its own spread, some moved by anything, and an ordinary
    day's own shift has the size `common`.
    """
    grid = np.linspace(-2.5, 2.5, 501)
    z = (change[None, :] - grid[:, None]) / spread[None, :]
    alike = (1 - STRAYED) * np.exp(-0.5 * z**2) / (spread[None, :] * np.sqrt(2 * np.pi)) + STRAYED / 6
    said = np.log(alike).sum(axis=1) - (TAILS + 1) / 2 * np.log1p((grid / common) ** 2 / TAILS)
    shift = float(grid[int(np.argmax(said))])
    within = np.abs(change - shift) < 3 * spread
    return shift, float(1 / np.sqrt((1 / spread[within] ** 2).sum() + 1 / common**2))


def dilution(cells: Cells) -> Float64Array:
    """The part of each segment's change of cache-read share that longer (or shorter) prompts made by themselves: where
    as many tokens per call are read as before, the share moves though no cache broke."""

    def per_segment(side: int, *names: str) -> Float64Array:
        return np.asarray(sum(np.bincount(cells.segment, cells.of(side, n), cells.segments) for n in names))

    size, share = [], []
    for side in (0, 1):
        calls, inputs = per_segment(side, "calls"), per_segment(side, "uncached", "read", "write")
        size.append(np.asarray(inputs / np.where(calls > 0, calls, 1.0)))
        share.append(np.asarray(per_segment(side, "read") / np.where(inputs > 0, inputs, 1.0)))
    expected = share[0] * (1 - size[0] / np.where(size[1] > 0, size[1], 1.0))
    moved = share[0] - share[1]
    part = np.divide(expected, moved, out=np.zeros_like(moved), where=moved * expected > 0)
    return np.minimum(part, 1.0)


def _stake(cells: Cells) -> Float64Array:
    """Amounts that each factor multiplies, per segment: what a change of 1 in its logarithm is worth."""

    def mean(*names: str) -> Float64Array:
        both = [sum(np.bincount(cells.segment, cells.of(s, n), cells.segments) for n in names) for s in (0, 1)]
        return np.asarray((both[0] + both[1]) / 2, np.float64)

    inputs = mean("uncached_usd", "read_usd", "write_usd")
    every = inputs + mean("output_usd", "reasoning_usd", "other_usd")
    return np.array(
        [every, every, every, inputs, inputs, inputs, mean("output_usd"), mean("reasoning_usd"), every, every,
         mean("other_usd")]
    )  # fmt: skip
