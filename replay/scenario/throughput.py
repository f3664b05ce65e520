"""Provisioned throughput, sized by the logged minutes: units that are paid by the hour, and what spills over.

In a slot of time the units serve as much as they hold, in the order of asking, and what is beyond them is paid at the
API's price. So cost(U) = U x price x hours + sum over slots of api x max(0, 1 - U / demand): convex in U.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.array_types import Float64Array


@dataclass(frozen=True)
class Plan:
    """What units cost and how many may be bought: none, or `least` and then by `step`."""

    usd_per_unit_hour: float
    least: int = 1
    step: int = 1


def costs(demand: Float64Array, api: Float64Array, minutes: float, units: Float64Array, price: float) -> Float64Array:
    """Dollars of the whole time with so many units, one per entry of `units`.

    `demand` S in units and `api` S in dollars of each slot of so many minutes; `price` dollars per unit and hour.
    """
    order = np.argsort(demand, kind="stable")
    held, paid = demand[order], api[order]
    slope = np.divide(paid, held, out=np.zeros(len(held)), where=held > 0)
    left = np.concatenate([np.cumsum(paid[::-1])[::-1], [0.0]])
    served = np.concatenate([np.cumsum(slope[::-1])[::-1], [0.0]])
    at = np.searchsorted(held, units, side="right")
    hours = len(demand) * minutes / 60
    return np.asarray(units * price * hours + left[at] - units * served[at], np.float64)


def choices(demand: Float64Array, plan: Plan) -> Float64Array:
    """How many units may be bought, up to those that serve every slot."""
    most = int(np.ceil(demand.max(initial=0.0)))
    bought = np.arange(plan.least, max(most, plan.least) + plan.step, plan.step, dtype=np.float64)
    return np.concatenate([[0.0], bought])


def choose(demand: Float64Array, api: Float64Array, minutes: float, plan: Plan) -> int:
    """The number of units that costs least; the fewest of equals."""
    units = choices(demand, plan)
    return int(units[np.argmin(costs(demand, api, minutes, units, plan.usd_per_unit_hour))])


@dataclass(frozen=True)
class Regret:
    """`units` chosen on the past, and what they cost on held-out slots beyond the best choice there, as a share of what
    the API alone would have cost: `lost`, and `unavoidable`, what is lost even by who knows the volume of the held-out
    slots beforehand, and the pattern of the past."""

    units: int
    lost: float
    unavoidable: float


def regret(
    past: tuple[Float64Array, Float64Array],
    held_out: tuple[Float64Array, Float64Array],
    minutes: float,
    plan: Plan,
    volume: float = 1.0,
) -> Regret:
    """Units chosen on the slots of the past at `volume` times their demand, scored on held-out slots. Each of them:
    demand in units, and dollars at the API."""
    demand, api = held_out
    true_volume = float(demand.mean() / past[0].mean()) if len(demand) and past[0].any() else 1.0
    chosen = [choose(past[0] * times, past[1] * times, minutes, plan) for times in (volume, true_volume)]
    units = np.unique(np.append(choices(demand, plan), chosen))
    found = costs(demand, api, minutes, units, plan.usd_per_unit_hour)
    whole = float(api.sum())
    lost, known = (float(found[np.searchsorted(units, one)] - found.min()) / whole if whole else 0.0 for one in chosen)
    return Regret(chosen[0], lost, known)
