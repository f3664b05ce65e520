"""How far a forecast of cost can be off: days and sessions drawn again, as a future of the same length would draw them.

A forecast multiplies what each segment was worth in the past (cost per unit of its volume) by the volume of the days to
come. Its error has two parts: the past was a sample, and so is the future. Both are drawn: whole days, and within
them whole sessions, because the calls of one session are alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Int64 = NDArray[np.int64]

DRAWS = 500


@dataclass(frozen=True)
class History:
    """Past cost and volume by session and segment. Arrays have one row per (session, segment) with calls."""

    session: Int64
    segment: Int64
    cost: Floats
    volume: Floats
    day_of_session: Int64  # dense day number of each session
    days: int
    segments: int


def history(day: Int64, session: Int64, segment: Int64, cost: Floats, volume: Floats, segments: int) -> History:
    """Sum calls by session and segment. `session` and `day` may be any integers; a session belongs to its first day."""
    _, day_code = np.unique(day, return_inverse=True)
    _, first, session_code = np.unique(session, return_index=True, return_inverse=True)
    pair, place = np.unique(session_code.astype(np.int64) * segments + segment, return_inverse=True)
    return History(
        session=pair // segments,
        segment=pair % segments,
        cost=np.bincount(place, weights=cost).astype(np.float64),
        volume=np.bincount(place, weights=volume).astype(np.float64),
        day_of_session=day_code[first].astype(np.int64),
        days=int(day_code.max()) + 1 if len(day_code) else 0,
        segments=segments,
    )


def rates(past: History, weight: Floats | None = None) -> Floats:
    """Cost per unit of volume of each segment; NaN where the past has none of it."""
    each = weight[past.session] if weight is not None else 1.0
    cost = np.bincount(past.segment, weights=past.cost * each, minlength=past.segments)
    volume = np.bincount(past.segment, weights=past.volume * each, minlength=past.segments)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(volume > 0, cost / volume, np.nan), np.float64)


def forecast(past: History, volume: NDArray[Any]) -> float:
    """Cost of `volume` (per segment) at the past's rates; a segment without a past takes the overall rate."""
    return float((_filled(past, rates(past)) * volume).sum())


def spread(
    past: History, future_days: int, *, confidence: float = 0.90, draws: int = DRAWS, seed: int = 0
) -> tuple[float, float]:
    """Factors by which the realised cost may differ from the forecast: the interval's low and high end.

    With few days in the past the interval widens as Student's t does; with one day only sessions are drawn.
    """
    rng = np.random.default_rng(seed)
    ratios = []
    for _ in range(draws):
        known, coming = _draw(past, past.days, rng), _draw(past, max(future_days, 1), rng)
        rate = _filled(past, rates(past, known))
        each = coming[past.session]
        volume = np.bincount(past.segment, weights=past.volume * each, minlength=past.segments)
        told = float((rate * volume).sum())
        if told > 0:
            ratios.append(float((past.cost * each).sum()) / told)
    if not ratios:
        return 1.0, 1.0
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.array(ratios), [tail, 1 - tail])
    widen = _widening(past.days, tail)
    return max(1 + (low - 1) * widen, 0.0), 1 + (high - 1) * widen


def _widening(days: int, tail: float) -> float:
    from scipy.special import ndtri, stdtrit

    if days < 2:
        return 1.0
    return float(stdtrit(days - 1, 1 - tail) / ndtri(1 - tail)) * math.sqrt(days / (days - 1))


def _draw(past: History, days: int, rng: np.random.Generator) -> Floats:
    """A weight per session: its day's number of draws times a Poisson draw of its own."""
    times = np.bincount(rng.integers(0, past.days, days), minlength=past.days)
    own = rng.poisson(1.0, len(past.day_of_session))
    return (times[past.day_of_session] * own).astype(np.float64)


def _filled(past: History, rate: Floats) -> Floats:
    overall = past.cost.sum() / past.volume.sum() if past.volume.sum() else 0.0
    return np.asarray(np.where(np.isnan(rate), overall, rate), np.float64)
