"""What a bill and its forecast, or two arms, can be compared over: units priced in full, with one arm, scored alike.

The price of a call that has none may be anything. Where more than a few units have such a call, those without one are
a selection (the short ones, where one call in so many is lost), so that their segment is left out on every side. Scores
that one side has more often than the other are a selection too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from analysis.formatting import share
from analysis.price_book import vocabulary
from replay.evaluation.rollout_log import Log
from replay.evaluation.unit_table import CONTROL, NO_ARM, TREATED, UnitTable
from replay.quality.balance import one_sided, unevenly_scored

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Int64 = NDArray[np.int64]

UNPRICED_LIMIT: Final = 0.02  # of the units of a segment may have a call without a price, on each side
OFF_PLAN: Final = 3.3  # standard errors of the share of treated: by chance once in a thousand
UNEVEN: Final = "which ones may depend on how they went"
MIXED_LIMIT: Final = 0.05  # of the units may have calls in both arms: an effect is diluted by about as much


@dataclass(frozen=True)
class Compared:
    """The calls of both sides that are compared, and what stands in the way of a comparison."""

    known: Bools  # calls before the rollout
    real: Bools  # calls of the treated since the rollout
    obstacle: str | None  # why no comparison can be made; then `known` and `real` are all that there is
    left_out_units: int  # since the rollout, for want of a price
    unpriced_calls: int  # of the treated since the rollout
    calls: int  # of the treated since the rollout
    billed_pico: int  # of these, what has a price


def compared(log: Log, promised_pico: NDArray[Any]) -> Compared:
    """Choose the calls to compare. promised_pico (calls): the cost under the strategy, read before the rollout only."""
    traffic, units = log.traffic, log.units
    number, place = len(units), units.of_call
    before = traffic.window & ~log.after & ~log.untouched
    since = traffic.window & log.after & ~log.untouched & (_unit_arm(log)[place] != CONTROL)
    unknown = since & (traffic.cost == vocabulary.UNPRICED)
    unforeseen = before & (promised_pico == vocabulary.UNPRICED)

    def having(calls: Bools) -> Bools:
        return np.bincount(place[calls], minlength=number) > 0

    sides = [(having(before), having(unforeseen)), (having(since), having(unknown))]
    lost = sides[0][1] | sides[1][1]
    segment = log.segment[units.first]
    usable = ~lost & ~unpriced_segments(segment, sides, len(log.segments))[segment]
    known, real = before & usable[place], since & usable[place]
    figures = (
        int((having(since) & ~usable).sum()),
        int(unknown.sum()),
        int(since.sum()),
        int(traffic.cost[since & ~unknown].sum()),
    )
    if mixed_arms(log.table, log.day):
        obstacle = f"{share(mixed_share(log.table, log.day))} of the {units.noun}s had calls in both arms"
    elif known.any() and real.any():
        return Compared(known, real, None, *figures)
    else:
        parts = [
            f"{share(float(part.sum() / max(whole.sum(), 1)))} of the calls {words}"
            for part, whole, words in (
                (unknown, since, "since"),
                (unforeseen, before, "before, as the strategy sends them,"),
            )
            if part.any()
        ]
        obstacle = f"{' and '.join(parts)} have no price"
    return Compared(before & ~unforeseen, since, obstacle, *figures)


def priced_in_full(table: UnitTable, rollout: int, control: Bools) -> UnitTable:
    """The table with costs known only where a comparison of costs may read them. `control`: units left untouched."""
    after = table.day >= rollout
    lost = ~np.isfinite(table.cost)
    if not lost.any():
        return table
    sides = [
        after & (table.arm == CONTROL), after & (table.arm != CONTROL) & ~control, after & control,
        ~after & ~control, ~after & control,
    ]  # fmt: skip
    segments = int(table.segment.max()) + 1
    gone = unpriced_segments(table.segment, [(side, side & lost) for side in sides], segments)[table.segment]
    return replace(
        table,
        cost=np.where(gone, np.nan, table.cost),
        first_day_cost=np.where(gone, np.nan, table.first_day_cost),
    )


def unpriced_segments(segment: NDArray[Any], sides: Sequence[tuple[Bools, Bools]], segments: int) -> Bools:
    """Which segments have more than UNPRICED_LIMIT of their units without a full price, on any of the sides.

    A side is two arrays (units): whether the unit is on it, and whether one of its calls there has no price.
    """
    found = np.zeros(segments, np.bool_)
    for present, lost in sides:
        whole = np.bincount(segment[present], minlength=segments)
        found |= np.bincount(segment[present & lost], minlength=segments) > UNPRICED_LIMIT * whole
    return found


def mixed_share(table: UnitTable, rollout: int) -> float:
    """The share of the units with an arm, begun since the rollout, that have calls in both."""
    drawn = (table.day >= rollout) & ((table.arm != NO_ARM) | table.both_arms)
    return float(table.both_arms[drawn].mean()) if drawn.any() else 0.0


def mixed_arms(table: UnitTable, rollout: int) -> bool:
    """Whether too many units have calls in both arms for the arms to be compared."""
    return mixed_share(table, rollout) > MIXED_LIMIT


def off_plan(drawn: UnitTable, planned: float) -> str | None:
    """Why these units with an arm are not those that were drawn: another share is treated than `planned`; else None."""
    if not 0 < planned < 1:
        return None
    _, place = np.unique(drawn.cluster, return_index=True)
    treated = float((drawn.arm[place] == TREATED).mean())
    error = (planned * (1 - planned) / len(place)) ** 0.5
    if abs(treated - planned) <= OFF_PLAN * error:
        return None
    return (
        f"{share(treated)} are treated where {share(planned)} were to be, so that the arms were not drawn as planned or"
        " one of them is not all logged"
    )


def unfair_scores(score: Floats, treated: Bools, cluster: Int64, weight: Floats | None = None) -> str | None:
    """Why scores of treated units and of others (n; NaN where there is none) say nothing; None where they may."""
    scored = np.isfinite(score)
    if scored.all() or not scored.any():
        return None
    marks = scored.astype(np.float64)
    if one_sided(score[scored], marks):
        given = f"{float(score[scored][0]):g}"
        return f"only the score {given} was ever given, to {share(float(marks.mean()))} of the units: {UNEVEN}"
    shares = unevenly_scored(marks, ~treated, np.ones(len(score)) if weight is None else weight, cluster)
    if shares is None:
        return None
    return f"{share(shares[1])} of the treated units are scored and {share(shares[0])} of the others: {UNEVEN}"


def _unit_arm(log: Log) -> NDArray[Any]:
    """The arm of each unit: that of its first call which has one."""
    found = np.full(len(log.units), NO_ARM, np.int8)
    drawn = np.flatnonzero(log.arms.of_call != NO_ARM)[::-1]
    found[log.units.of_call[drawn]] = log.arms.of_call[drawn]  # the first call is written last
    return found
