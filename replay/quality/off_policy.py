"""The sample of one (task, serving model) that off-policy evaluation looks at, from the demand and its scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from replay.quality.selection import OffPolicy, Sample, evaluate

if TYPE_CHECKING:
    from replay.quality.evidence import Evidence

Floats = NDArray[np.float64]
Int64 = NDArray[np.int64]

SELECTION: Final = ("randomised", "propensity", "learned")
MOST_ROWS: Final = 20_000  # scored calls that are looked at; more would say the same
MOST_MIXED: Final = 0.05  # share of scored units that may have been served by both models and so tell of neither
NOT_ASKED: Final = OffPolicy("none")


def off_policy(evidence: Evidence, own: Floats, task: int, served: int) -> OffPolicy:
    """What the log's own choices say of the calls of a task that move to `served`; `own`: scores of logged answers."""
    assignment = evidence.assignment
    demand = evidence.demand
    mine = (demand.task == task) & ~demand.risky
    scored = mine & ~np.isnan(own)
    if assignment is None or not (scored & (demand.logged == served)).any():
        return NOT_ASKED
    moved = mine & (demand.served == served) & (demand.logged != served)
    control = mine & (demand.logged == served) & (demand.served == served)
    if not (scored & moved).any() or not (scored & control).any():
        return NOT_ASKED
    control &= assignment.reachable()
    if not (scored & control).any():
        return OffPolicy("none", why="the rules move no call that would be like those that the model was given")
    calls = np.flatnonzero(scored & (moved | control))
    every = np.flatnonzero((moved | control) & demand.counted)  # of a retried call only the last is to be scored
    key = (task, served, calls.tobytes(), control[calls].tobytes(), every.tobytes())
    if key not in assignment.memo:
        rest = scored & ~moved & (demand.logged != served)
        others = np.setdiff1d(demand.logged[rest], demand.logged[scored & moved])
        sample = _sample(evidence, own, calls, control, complete=not len(others))
        asked = None
        if np.isnan(own[every]).any():
            asked = _sample(evidence, (~np.isnan(own)).astype(float), every, control, complete=not len(others))
        assignment.memo[key] = (
            OffPolicy("none", why=sample)
            if isinstance(sample, str)
            else evaluate(sample, assignment.learner, asked if isinstance(asked, Sample) else None)
        )
    found: OffPolicy = assignment.memo[key]
    return found


def _sample(
    evidence: Evidence, own: Floats, calls: Int64, control: NDArray[np.bool_], *, complete: bool
) -> Sample | str:
    """The rows of these calls, `own` as their score; or why they tell nothing."""
    assignment, units, demand = evidence.assignment, evidence.units, evidence.demand
    assert assignment is not None
    if len(calls) > MOST_ROWS:
        calls = np.sort(np.random.default_rng(0).choice(calls, MOST_ROWS, replace=False))
    weight = evidence.weights[calls]
    unit = calls if units is None else units.unit[calls]
    score = own[calls]
    if units is not None and units.whole[calls].any():
        # one row per unit: its first call tells how it was chosen; a unit of both models tells of neither
        group = np.where(units.whole[calls], unit, int(unit.max()) + 1 + np.arange(len(calls)))
        _, first, place = np.unique(group, return_index=True, return_inverse=True)
        part = np.bincount(place, control[calls]) / np.bincount(place)
        pure = (part == 0) | (part == 1)
        if (~pure).mean() > MOST_MIXED:
            return f"a score belongs to a {units.scope}, whose calls were served by both models"
        weight = np.bincount(place, weight)[pure]
        calls, unit, score = calls[first][pure], unit[first][pure], score[first][pure]
    return Sample(
        control=control[calls],
        score=score,
        weight=weight,
        unit=unit.astype(np.int64),
        call=calls,
        propensity=assignment.propensity[calls],
        random=assignment.random[calls],
        complete=complete,
        models=len(np.unique(demand.logged[calls][~control[calls]])),
        before=assignment.before(calls),
    )
