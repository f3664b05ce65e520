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
    scored = (demand.task == task) & ~demand.risky & ~np.isnan(own)
    if assignment is None or not (scored & (demand.logged == served)).any():
        return NOT_ASKED
    moved = scored & (demand.served == served) & (demand.logged != served)
    control = scored & (demand.logged == served) & (demand.served == served)
    if not moved.any() or not control.any():
        return NOT_ASKED
    if not control[assignment.reachable()].any():
        return OffPolicy("none", why="the rules move no call that would be like those that the model was given")
    control &= assignment.reachable()
    calls = np.flatnonzero(moved | control)
    key = (task, served, calls.tobytes(), control[calls].tobytes())
    if key not in assignment.memo:
        rest = scored & ~moved & (demand.logged != served)
        others = np.setdiff1d(demand.logged[rest], demand.logged[moved])
        assignment.memo[key] = _evaluated(evidence, own, calls, control, complete=not len(others))
    found: OffPolicy = assignment.memo[key]
    return found


def _evaluated(evidence: Evidence, own: Floats, calls: Int64, control: NDArray[np.bool_], complete: bool) -> OffPolicy:
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
            return OffPolicy("none", why=f"a score belongs to a {units.scope}, whose calls were served by both models")
        weight = np.bincount(place, weight)[pure]
        calls, unit, score = calls[first][pure], unit[first][pure], score[first][pure]
    sample = Sample(
        control=control[calls],
        score=score,
        weight=weight,
        unit=unit.astype(np.int64),
        call=calls,
        propensity=assignment.propensity[calls],
        random=assignment.random[calls],
        complete=complete,
        models=len(np.unique(demand.logged[calls][~control[calls]])),
    )
    return evaluate(sample, assignment.learner)
