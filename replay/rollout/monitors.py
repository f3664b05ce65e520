"""Monitors of a rollout while it runs: quality, cost per unit, errors and latency, treated against control.

Each asks two questions of the same stream: is the limit broken (harm), and is it shown to be kept. Both are
e-processes, so that looking daily costs nothing; the chance of any false harm among all monitors is at most alpha.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from replay.rollout import betting

Floats = NDArray[np.float64]
Int64 = NDArray[np.int64]
State = Literal["broken", "kept", "open"]

ALPHA: Final = 0.05
MILLION: Final = 1_000_000  # odds above it are said as this much


@dataclass(frozen=True)
class Limit:
    """What must hold: treated >= ratio x control - slack if `floor`, else treated <= ratio x control + slack.

    Values go from 0 to `cap`; greater ones count as `cap`.
    """

    measure: str
    ratio: float
    cap: float = 1.0
    slack: float = 0.0
    floor: bool = False
    against: str = "control"

    @property
    def words(self) -> str:
        """The limit as a person says it."""
        side = "at least" if self.floor else "at most"
        extra = f" {'-' if self.floor else '+'} {self.slack:g}" if self.slack else ""
        return f"{side} {self.ratio:g} x {self.against}{extra}"


@dataclass(frozen=True)
class Stream:
    """One measure of the units that have it, in order of arrival: UTC day, arm and value of each (n)."""

    day: Int64
    treated: NDArray[np.bool_]
    value: Floats


@dataclass(frozen=True)
class Evidence:
    """What a monitor knows on one day. `harm` and `keeping` are e-values: 20 is as rare as 5 % by chance alone."""

    limit: Limit
    day: int
    treated_units: int
    control_units: int
    pairs: int
    treated_mean: float
    control_mean: float
    harm: float
    keeping: float
    state: State

    @property
    def met(self) -> bool:
        """Whether the means of all units so far are within the limit, sure or not."""
        limit = self.limit
        bound = limit.ratio * self.control_mean
        return self.treated_mean >= bound - limit.slack if limit.floor else self.treated_mean <= bound + limit.slack

    def to_json(self) -> dict[str, Any]:
        return {
            "measure": self.limit.measure,
            "limit": self.limit.words,
            "treated_units": self.treated_units,
            "control_units": self.control_units,
            "treated_mean": _finite(self.treated_mean),
            "control_mean": _finite(self.control_mean),
            "evidence_broken": self.harm,
            "evidence_kept": self.keeping,
            "state": self.state,
        }


def watch(
    limit: Limit, stream: Stream, *, monitors: int = 1, alpha: float = ALPHA, reference: float | None = None
) -> list[Evidence]:
    """The evidence at the end of each day with units, oldest first; a day's evidence depends on nothing later.

    `monitors` is how many are watched together: they share `alpha`. With a `reference` (the value to hold against)
    every unit counts as treated and control is that constant.
    """
    if reference is None:
        first = stream.day == stream.day[:1]
        rarer = bool(stream.treated[first].sum() * 2 <= first.sum())
        end, treated, control = betting.blocks(stream.treated, np.clip(stream.value, 0, limit.cap), treated_rarer=rarer)
        seen = stream.treated
    else:
        end = np.arange(len(stream.value))
        treated = np.clip(stream.value, 0, limit.cap)
        control = np.full(len(end), min(reference, limit.cap))
        seen = np.ones(len(end), np.bool_)
    sign = -1.0 if limit.floor else 1.0
    excess = sign * (treated - limit.ratio * control) - limit.slack  # above 0 on average where the limit is broken
    most, least = limit.cap - limit.slack, -limit.ratio * limit.cap - limit.slack
    if limit.floor:
        most, least = limit.ratio * limit.cap - limit.slack, -limit.cap - limit.slack
    harm = np.maximum.accumulate(betting.log_capital(excess, -least)) if len(end) else np.zeros(0)
    keeping = np.maximum.accumulate(betting.log_capital(-excess, most)) if len(end) else np.zeros(0)
    enough = math.log(monitors / alpha)
    days = np.unique(stream.day)
    upto = np.searchsorted(stream.day, days, side="right")
    pairs = np.searchsorted(end, upto)
    sides = [(_running(side.astype(np.float64), upto), _running(stream.value * side, upto)) for side in (seen, ~seen)]
    result = []
    for place, day in enumerate(days.tolist()):
        known = int(pairs[place])
        e_harm, e_keep = (float(path[known - 1]) if known else 0.0 for path in (harm, keeping))
        state: State = "broken" if e_harm >= enough else "kept" if e_keep >= enough else "open"
        counts, means = [], []
        for count, total in sides:
            counts.append(int(count[place]))
            means.append(float(total[place] / count[place]) if count[place] else math.nan)
        result.append(
            Evidence(
                limit, day, counts[0], counts[1], known, means[0], means[1] if reference is None else reference,
                math.exp(min(max(e_harm, 0.0), 700)), math.exp(min(max(e_keep, 0.0), 700)), state,
            )
        )  # fmt: skip
    return result


@dataclass(frozen=True)
class Decision:
    """What to do with the rollout as it stands, and why: roll back, stop (all is answered) or continue."""

    action: Literal["roll back", "stop", "continue"]
    why: str


def decide(evidence: Sequence[Evidence]) -> Decision:
    """From the monitors of one day."""
    broken = [one for one in evidence if one.state == "broken"]
    if broken:
        return Decision("roll back", "; ".join(reason(one) for one in broken))
    waiting = [one.limit.measure for one in evidence if one.state == "open"]
    if not evidence:
        return Decision("continue", "nothing is measured yet")
    if waiting:
        return Decision("continue", f"no limit is broken; not yet shown to be kept: {', '.join(waiting)}")
    return Decision("stop", "every limit is shown to be kept: the holdback has done its work")


def reason(one: Evidence) -> str:
    """Why a broken limit is believed to be broken."""
    return (
        f"{one.limit.measure} is {one.treated_mean:.4g} treated, {one.control_mean:.4g} in {one.limit.against}"
        f" ({one.limit.words}; by chance less than once in {min(one.harm, MILLION):,.0f})"
    )


def _running(values: Floats, upto: Int64) -> Floats:
    """Sums of the first `upto` values."""
    return np.asarray(np.append(0.0, np.cumsum(values))[upto], np.float64)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
