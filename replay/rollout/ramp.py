"""A rollout in steps (1, 5, 25, 100 %): when it may go on, when it waits, and why it goes back.

Up to `caution` of the traffic a step is taken while no limit is broken; beyond it only when every measured limit has
been shown to be kept. A loss is thereby found while few are exposed to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from analysis import formatting
from replay.rollout.monitors import Evidence, reason


@dataclass(frozen=True)
class Ramp:
    """The shares in rising order, how long and on how many treated units each is held at least."""

    shares: tuple[float, ...] = (0.01, 0.05, 0.25, 1.0)
    least_days: int = 1
    least_units: int = 30
    caution: float = 0.10
    required: tuple[str, ...] = ("quality", "cost per unit", "errors", "latency")


@dataclass(frozen=True)
class RampDecision:
    """The next share to run at, and why."""

    action: Literal["advance", "hold", "roll back", "done"]
    share: float
    why: str


def decide(ramp: Ramp, share: float, *, days: int, units: int, evidence: Sequence[Evidence]) -> RampDecision:
    """What follows `days` whole days and `units` treated units at `share`, by the monitors' evidence so far.

    A measure that the log does not have is no reason to wait; that it is missing is said.
    """
    broken = [one for one in evidence if one.state == "broken"]
    if broken:
        return RampDecision("roll back", 0.0, "; ".join(reason(one) for one in broken))
    following = next((one for one in ramp.shares if one > share), None)
    if following is None:
        return RampDecision("done", share, "the whole traffic is treated and no limit is broken")
    if days < ramp.least_days or units < ramp.least_units:
        return RampDecision(
            "hold",
            share,
            f"{days} of {ramp.least_days} days and {units} of {ramp.least_units} treated units "
            f"at {formatting.share(share)}",
        )
    seen = {one.limit.measure for one in evidence}
    missing = [name for name in ramp.required if name not in seen]
    also = f"; not measured: {', '.join(missing)}" if missing else ""
    waiting = [one.limit.measure for one in evidence if one.state != "kept" or not one.met]
    if following > ramp.caution and waiting:
        return RampDecision(
            "hold",
            share,
            f"beyond {formatting.share(ramp.caution)} only on evidence, and it is open for {', '.join(waiting)}{also}",
        )
    if following > ramp.caution and not evidence:
        return RampDecision("hold", share, f"beyond {formatting.share(ramp.caution)} only on evidence{also}")
    grounds = "no limit is broken" if waiting or not evidence else "every limit is shown to be kept"
    return RampDecision("advance", following, f"{grounds}{also}")
