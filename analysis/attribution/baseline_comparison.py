"""A day against the weighted sum of its baseline days, cell by cell: what the game of factors is played with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from analysis.array_types import BoolArray, Float64Array
from analysis.attribution.factors import MEASURES, Cells
from analysis.attribution.segment_sums import UNKNOWN_IDS, DaySums


@dataclass(frozen=True)
class Comparison:
    """A day against a weighted set of baseline days: the cells of the game and the exact totals per segment."""

    segments: list[tuple[str | None, ...]]
    models: list[str | None]
    tiers: list[str]
    cells: Cells
    before: list[int]
    after: list[int]
    unpriced_before: list[bool]  # the segment has calls without a price on this side, and none with one
    unpriced_after: list[bool]
    unit: list[str]  # what `volume` counts in this segment: requests, sessions or calls


def compare(
    sums: DaySums, day: date, weights: Mapping[date, float], epochs: Mapping[int, Any] | None = None
) -> Comparison:
    """Cells of `day` against the weighted sum of the baseline days. `epochs` maps a price row to its price list."""
    n, width = len(sums.segment), len(sums.segments)
    totals = np.zeros((2, len(MEASURES), n))
    before, after = np.zeros(width), [0] * width
    if day in sums.days:
        one = sums.days[day]
        totals[1][:, one.cell] = one.measures
        for k, amount in zip(sums.segment[one.cell].tolist(), one.exact, strict=True):
            after[k] += amount
    for past in sorted(weights):
        if past in sums.days:
            one = sums.days[past]
            totals[0][:, one.cell] += weights[past] * one.measures
            np.add.at(before, sums.segment[one.cell], weights[past] * np.array(one.exact, np.float64))
    cells = Cells(
        segment=sums.segment,
        model=sums.model,
        tier=sums.tier,
        hit=sums.hit,
        sums=(totals[0], totals[1]),
        repriced=_repriced(sums, day, weights, epochs or {}),
        segments=width,
        requests=np.full((2, width), np.nan),
    )
    unit = _count_requests(cells.requests, sums, day, weights)
    return Comparison(
        segments=sums.segments,
        models=sums.models,
        tiers=sums.tiers,
        cells=cells,
        before=[round(amount) for amount in before.tolist()],
        after=after,
        unpriced_before=_only_unpriced(sums, weights),
        unpriced_after=_only_unpriced(sums, [day]),
        unit=unit,
    )


def _repriced(sums: DaySums, day: date, weights: Iterable[date], epochs: Mapping[int, Any]) -> BoolArray:
    """The cells whose calls are priced by other price lists on the day than on the baseline days."""
    codes: dict[Any, int] = {}
    pairs = []
    for days in (weights, [day]):
        cells, lists = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for one in (sums.days[d] for d in days if d in sums.days):
            for ids in one.price_ids:
                known, place = np.unique(ids, return_inverse=True)
                named = [codes.setdefault(epochs.get(i, i), len(codes)) if i >= 0 else -1 for i in known.tolist()]
                cells.append(one.cell)
                lists.append(np.array(named, np.int64)[place])
        cell, code = np.concatenate(cells), np.concatenate(lists)
        pairs.append((cell[code >= 0], code[code >= 0]))
    many = max(len(codes), 1)
    sides = [np.unique(cell * many + code) for cell, code in pairs]
    found = np.zeros(len(sums.segment), np.bool_)
    found[np.setxor1d(sides[0], sides[1], assume_unique=True) // many] = True
    for side in sides:
        priced = np.zeros(len(found), np.bool_)
        priced[side // many] = True
        found &= priced
    return found


def _only_unpriced(sums: DaySums, days: Iterable[date]) -> list[bool]:
    """Which segments have calls on these days, but none with a price."""
    days = list(days)
    priced = np.zeros(len(sums.segments), np.bool_)
    for day in days:
        if day in sums.days:
            priced[sums.segment[sums.days[day].cell]] = True
    without = {segment for day in days for segment in sums.unpriced_segments.get(day, ())}
    return [segment in without and not has for segment, has in zip(sums.segments, priced.tolist(), strict=True)]


def _count_requests(requests: Float64Array, sums: DaySums, day: date, weights: Mapping[date, float]) -> list[str]:
    """Fill `requests` (2, segments) where both sides can tell requests, else sessions, apart; name what was counted."""
    sides = np.zeros((2, 5, requests.shape[1]))
    for side, days in zip(sides, (weights, {day: 1.0}), strict=True):
        for past, share in days.items():
            if past in sums.requests:
                table = sums.requests[past]
                # weighted rows tell no requests apart
                side += share * np.where((table[5] > 0) | (table[0] == 0), table[:5], np.nan)
    units = np.full(requests.shape[1], "calls", object)
    for name, at in (("sessions", 3), ("requests", 1)):
        told = ((sides[:, 0] > 0) & (sides[:, at + 1] >= UNKNOWN_IDS * sides[:, 0])).all(axis=0)
        # an id per call tells nothing about calls per request
        told &= (sides[:, at] < 0.999 * sides[:, at + 1]).any(axis=0)
        counts = sides[:, at] + (sides[:, 0] - sides[:, at + 1])
        requests[:, told] = counts[:, told]
        units[told] = name
    return [str(unit) for unit in units]
