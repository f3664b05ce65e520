"""Looking at a rollout every day: quality, cost per unit, errors and latency, with the decision of each day.

With arms, treated units are held against those held back at the same time; without, against the mean of those before.
A unit counts on its first day, with that day's calls, so that what was said on a day
stays; of units that got their arm together (a user's conversations) only the first counts, because they are alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import numpy as np

from analysis.formatting import share
from ingest.errors import InputError
from replay.evaluation.comparison import mixed_arms, mixed_share, unfair_scores
from replay.evaluation.rollout_effects import QUALITY
from replay.evaluation.rollout_log import Log
from replay.evaluation.unit_table import CONTROL, TREATED, Floats, UnitTable
from replay.rollout import betting
from replay.rollout.monitors import ALPHA, Decision, Evidence, Limit, Stream, decide, watch
from replay.traffic.traffic import EPOCH

COST_MARGIN = 1.10  # cost per unit may be a tenth above control's before it counts as harm
LATENCY_MARGIN = 1.25
ERROR_SLACK = 0.02
CAP_QUANTILE = 0.995  # of the units before the rollout and in control: what is above counts as that much
LEAST_REFERENCE = 20


@dataclass(frozen=True)
class Look:
    """One day's evidence and what it says to do."""

    day: date
    evidence: tuple[Evidence, ...]
    decision: Decision

    def to_json(self) -> dict[str, Any]:
        return {
            "day": self.day.isoformat(),
            "decision": self.decision.action,
            "why": self.decision.why,
            "monitors": [one.to_json() for one in self.evidence],
        }


@dataclass(frozen=True)
class Monitoring:
    """Every day since the rollout, oldest first. `against` is the control arm, or the days before.

    `doubt` says why the scores so far answer nothing about quality.
    """

    unit: str
    against: str
    looks: tuple[Look, ...]
    intervals: dict[str, tuple[float, float]]  # treated over control, by measure: 95 % at every look at once
    doubt: str | None = None

    @property
    def decision(self) -> Decision:
        """That of the last day."""
        return self.looks[-1].decision

    @property
    def summary(self) -> str:
        """What to do now, and why, in a sentence."""
        last = self.looks[-1]
        treated = max((one.treated_units for one in last.evidence), default=0)
        others = max((one.control_units for one in last.evidence), default=0)
        beside = f" and {others:,} in control" if others else f", held against {self.against}"
        return (
            f"{last.decision.action.capitalize()}: {last.decision.why} ({last.day}, {treated:,} treated "
            f"{self.unit}s{beside}).{f' Quality stays open: {self.doubt}.' if self.doubt else ''}"
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "decision": self.decision.action,
            "why": self.decision.why,
            "against": self.against,
            "doubt": self.doubt,
            "intervals": {name: list(bounds) for name, bounds in self.intervals.items()},
            "days": [look.to_json() for look in self.looks],
        }


def monitor(log: Log, *, floor: float, alpha: float = ALPHA) -> Monitoring:
    """The evidence of each day since the rollout. `floor` is the least quality as a share of control's.

    Raises InputError where no unit begins after the rollout, or there is nothing to hold them against.
    """
    table = log.table
    if mixed_arms(table, log.day):
        raise InputError(
            f"{share(mixed_share(table, log.day))} of the {log.units.noun}s had calls in both arms",
            remedy=f"Give each one arm: hindcast rollout plan --draw {log.units.noun}",
        )
    after = table.day >= log.day
    earlier = table.rows(~after)
    drawn = after & (table.arm >= CONTROL)
    paired = bool(drawn.any()) and min(int((table.arm[drawn] == side).sum()) for side in (CONTROL, TREATED)) > 0
    units = table.rows(drawn if paired else after & ~log.control_units)
    units = units.rows(np.sort(np.unique(units.cluster, return_index=True)[1]))
    if not len(units):
        raise InputError("no unit begins after the rollout", remedy="Check --from: hindcast cost --by day")
    streams = []
    for limit, values, before in _limits(units, earlier, floor):
        known = np.isfinite(values)
        reference = None if paired else _reference(limit, before)
        if known.any() and (paired or reference is not None):
            stream = Stream(units.day[known], units.arm[known] == TREATED, values[known])
            if not paired:
                limit = replace(limit, against="the days before")
            streams.append((limit, stream, reference))
    if not streams:
        raise InputError(
            "nothing to hold the rollout against", remedy="Log arm (treated, control), or keep the days before it."
        )
    found = {
        limit.measure: watch(limit, stream, monitors=len(streams), alpha=alpha, reference=reference)
        for limit, stream, reference in streams
    }
    days = np.unique(units.day).tolist()
    looks = []
    doubt = None
    for day in days:
        evidence = tuple(one for one in (_upto(path, day) for path in found.values()) if one is not None)
        doubt = _doubt(units, None if paired else earlier, day)
        if doubt:
            evidence = tuple(replace(one, state="open") if one.limit.measure == QUALITY else one for one in evidence)
        looks.append(Look(EPOCH + timedelta(days=day), evidence, decide(evidence)))
    intervals = {}
    for limit, stream, reference in streams:
        if reference is None and not limit.slack and not (doubt and limit.measure == QUALITY):
            clipped = np.clip(stream.value, 0, limit.cap)
            rarer = bool(stream.treated.sum() * 2 <= len(stream.treated))
            _, treated, control = betting.blocks(stream.treated, clipped, treated_rarer=rarer)
            intervals[limit.measure] = betting.ratio_interval(treated, control, limit.cap, alpha=alpha)
    against = "the control arm" if paired else "the days before"
    return Monitoring(log.units.noun, against, tuple(looks), intervals, doubt)


def _doubt(units: UnitTable, earlier: UnitTable | None, day: int) -> str | None:
    """Why scores up to a day are no measure of both sides. `earlier`: units held against where there are no arms."""
    upto = units.rows(units.day <= day)
    if earlier is None:
        return unfair_scores(upto.first_day_score, upto.arm == TREATED, upto.cluster)
    scores = np.concatenate([earlier.first_day_score, upto.first_day_score])
    days = np.concatenate([earlier.day, upto.day])
    mine = np.isin(days, days[np.isfinite(scores)])
    return unfair_scores(scores[mine], (np.arange(len(days)) >= len(earlier))[mine], days[mine])


def _limits(units: UnitTable, earlier: UnitTable, floor: float) -> list[tuple[Limit, Floats, Floats]]:
    """Each monitor's limit with the values of the units, after and before the rollout."""
    cost = _cap(units.first_day_cost, earlier.first_day_cost)
    slow = _cap(units.first_day_latency_ms, earlier.first_day_latency_ms)
    found = [
        (Limit(QUALITY, floor, floor=True), units.first_day_score, earlier.first_day_score),
        (Limit("cost per unit", COST_MARGIN, cap=cost), units.first_day_cost, earlier.first_day_cost),
        (Limit("errors", 1.0, slack=ERROR_SLACK), units.first_day_failed, earlier.first_day_failed),
        (Limit("latency", LATENCY_MARGIN, cap=slow), units.first_day_latency_ms, earlier.first_day_latency_ms),
    ]
    return [one for one in found if one[0].cap > 0]


def _cap(now: Floats, earlier: Floats) -> float:
    """A size that units rarely reach, from before the rollout where that is known."""
    known = earlier[np.isfinite(earlier)]
    if len(known) < LEAST_REFERENCE:
        known = now[np.isfinite(now)]
    return float(np.quantile(known, CAP_QUANTILE)) * 2 if len(known) else 0.0


def _reference(limit: Limit, before: Floats) -> float | None:
    known = before[np.isfinite(before)]
    return float(np.clip(known, 0, limit.cap).mean()) if len(known) >= LEAST_REFERENCE else None


def _upto(path: Sequence[Evidence], day: int) -> Evidence | None:
    """The newest evidence of a day or before it."""
    found = None
    for one in path:
        if one.day > day:
            break
        found = one
    return found
