"""How far a forecast of cost can be off, by how far the days of the past were off.

A forecast multiplies what each segment was worth in the past (cost per unit of its volume) by the volume of the days to
come. Its error has two parts: the past was a sample, and so is the future. Both are judged by whole days, because the
calls of one day, as those of one session, are alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Int64 = NDArray[np.int64]


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


def rates(past: History) -> Floats:
    """Cost per unit of volume of each segment; the overall rate where the past has none of it."""
    cost = np.bincount(past.segment, weights=past.cost, minlength=past.segments)
    volume = np.bincount(past.segment, weights=past.volume, minlength=past.segments)
    overall = past.cost.sum() / past.volume.sum() if past.volume.sum() else 0.0
    return np.divide(cost, volume, out=np.full(past.segments, overall, np.float64), where=volume > 0)


def forecast(past: History, volume: NDArray[Any]) -> float:
    """Cost of `volume` (per segment) at the past's rates."""
    return float((rates(past) * volume).sum())


def spread(
    past: History, future_days: int, *, volume: NDArray[Any] | None = None, confidence: float = 0.90
) -> tuple[float, float]:
    """Factors by which the realised cost may differ from the forecast: the interval's low and high end.

    `volume` is that of the days to come, by segment; default: of the past. What a day's cost was beside its volume at
    the past's rates is one draw of the error, so days are independent and what is in them need not be; their variance
    counts for the past (the rates are estimated) and for the days to come, with Student's t. With one day, sessions
    stand in for days. Source: the ratio estimator's linearisation, Cochran, Sampling Techniques, 1977, 6.4.
    """
    from scipy.special import stdtrit

    days = max(future_days, 1)
    whole = np.bincount(past.segment, weights=past.volume, minlength=past.segments)
    coming = whole * (days / max(past.days, 1)) if volume is None else np.asarray(volume, np.float64)
    told = forecast(past, coming)
    unit = past.day_of_session[past.session] if past.days > 1 else past.session
    units = past.days if past.days > 1 else len(past.day_of_session)
    if told <= 0 or units < 2:
        return 1.0, 1.0
    scale = np.where(whole > 0, coming / np.where(whole > 0, whole, 1.0), 0.0)
    error = (past.cost - rates(past)[past.segment] * past.volume) * scale[past.segment]
    squared = float((np.bincount(unit, weights=error, minlength=units) ** 2).sum())
    variance = squared * units / (units - 1) * (1 + past.days / days)
    half = float(stdtrit(units - 1, (1 + confidence) / 2)) * math.sqrt(variance) / told
    return max(1 - half, 0.0), 1 + half
