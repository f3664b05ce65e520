"""Why the bill differs from its forecast: realised minus forecast, split by segment and cause, to the pico-dollar.

Cost is units x calls a unit x share that is paid x attempts a paid call x mean cost of an attempt. The units are the
demand that came, on both sides; each of the other factors is replaced by the realised one, in this order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.formatting import usd
from analysis.money import dollars

Bools = NDArray[np.bool_]
Int64 = NDArray[np.int64]
Floats = NDArray[np.float64]

CALLS_PER = "calls per "
CAUSES = ("hit rate", "retries", "models", "tokens and prices")


@dataclass(frozen=True)
class Drift:
    """Realised minus forecast in one segment by one cause, in pico-dollars, with the figure before and after."""

    segment: str
    cause: str  # calls per UNIT, one of CAUSES, or new segment
    amount_pico: int
    before: float | None
    after: float | None

    def to_json(self) -> dict[str, Any]:
        return {
            "segment": self.segment,
            "cause": self.cause,
            "amount_usd": usd(dollars(self.amount_pico)),
            "before": self.before,
            "after": self.after,
        }


@dataclass(frozen=True)
class Side:
    """The calls of one side: what the forecast knows, or what was billed. All arrays have one element a call."""

    segment: Int64
    unit_segment: Int64  # where the call's unit begins
    calls: Floats  # how many calls the row stands for: more or fewer than one where another model was expected to ask
    demand: Bools
    hit: Bools
    model: NDArray[Any]  # dense number of the model's name
    cost: Floats  # pico-dollars
    units: Floats  # (segments): how many units begin in each


@dataclass(frozen=True)
class _Sums:
    """Sums of one side by group of calls."""

    demand: Floats
    paid_demand: Floats
    paid: Floats
    cost: Floats  # of paid calls
    models: list[dict[int, tuple[float, float]]]  # by group: model -> (cost, paid calls)


def drifts(
    names: Sequence[str], before: Side, after: Side, told: Floats, noun: str, whole_pico: int
) -> tuple[Drift, ...]:
    """The parts of `whole_pico`, largest first. `told` (segments) is the forecast per unit of each segment of units."""
    width = len(names)
    cells, place = np.unique(
        np.concatenate([side.unit_segment * width + side.segment for side in (before, after)]), return_inverse=True
    )
    split = len(before.segment)
    old, new = _sums(before, place[:split], len(cells)), _sums(after, place[split:], len(cells))
    amounts: dict[tuple[str, str], float] = {}

    def add(segment: str, cause: str, amount: float) -> None:
        amounts[segment, cause] = amounts.get((segment, cause), 0.0) + amount

    for unit_segment in np.flatnonzero((before.units == 0) & (after.units > 0)).tolist():
        add(names[unit_segment], "new segment", -told[unit_segment] * after.units[unit_segment])
    for cell, number in enumerate(cells.tolist()):
        begins, segment = divmod(number, width)
        name, demand = names[segment], after.units[begins]
        if not before.units[begins] or not old.demand[cell] or not old.paid_demand[cell]:
            # nothing was paid for here before: no factor has a value to be replaced
            forecast = demand * old.cost[cell] / before.units[begins] if before.units[begins] else 0.0
            add(name, "new segment", new.cost[cell] - forecast)
            continue
        per_unit = old.demand[cell] / before.units[begins]
        paid = old.paid_demand[cell] / old.demand[cell]
        attempts = old.paid[cell] / old.paid_demand[cell]
        mean = old.cost[cell] / old.paid[cell]
        value = demand * per_unit * paid * attempts * mean
        mixed = _mixed(old.models[cell], new.models[cell], mean)
        factors = {
            f"{CALLS_PER}{noun}": new.demand[cell] * paid * attempts * mean,
            "hit rate": new.paid_demand[cell] * attempts * mean,
            "retries": new.paid[cell] * mean,
            "models": new.paid[cell] * mixed,
            "tokens and prices": new.cost[cell],
        }
        for cause, reached in factors.items():
            add(name, cause, reached - value)
            value = reached
    rounded = {key: round(amount) for key, amount in amounts.items()}
    if rounded:  # the dust of floating point goes to the largest part, so that the parts are the whole
        largest = max(rounded, key=lambda key: abs(rounded[key]))
        rounded[largest] += whole_pico - sum(rounded.values())
    figures = _figures(names, before, after, noun)
    parts = [
        Drift(segment, cause, amount, *figures.get((segment, cause), (None, None)))
        for (segment, cause), amount in rounded.items()
        if amount
    ]
    return tuple(sorted(parts, key=lambda part: (-abs(part.amount_pico), part.segment, part.cause)))


def _sums(side: Side, group: Int64, groups: int) -> _Sums:
    paid = ~side.hit
    models: list[dict[int, tuple[float, float]]] = [{} for _ in range(groups)]
    width = int(side.model.max(initial=0)) + 1
    pairs, place = np.unique(group[paid] * width + side.model[paid], return_inverse=True)
    cost = np.bincount(place, side.cost[paid], len(pairs))
    calls = np.bincount(place, side.calls[paid], len(pairs))
    for pair, spent, number in zip(pairs.tolist(), cost.tolist(), calls.tolist(), strict=True):
        models[pair // width][pair % width] = spent, float(number)
    demand, paid_demand, attempts = (
        np.bincount(group[mask], side.calls[mask], groups).astype(np.float64)
        for mask in (side.demand, side.demand & paid, paid)
    )
    return _Sums(demand, paid_demand, attempts, np.bincount(group, side.cost, groups).astype(np.float64), models)


def _mixed(old: dict[int, tuple[float, float]], new: dict[int, tuple[float, float]], mean: float) -> float:
    """Mean paid cost with the realised shares of models at their forecast costs; an unforeseen model at its own."""
    calls = sum(number for _, number in new.values())
    if not calls:
        return mean
    total = 0.0
    for model, (cost, number) in new.items():
        known = old.get(model)
        total += number * (known[0] / known[1] if known else cost / number)
    return total / calls


def _figures(
    names: Sequence[str], before: Side, after: Side, noun: str
) -> dict[tuple[str, str], tuple[float | None, float | None]]:
    """By segment and cause: the figure that drifted, on both sides."""
    sums = [_sums(side, side.segment, len(names)) for side in (before, after)]
    units = [max(float(side.units.sum()), 1.0) for side in (before, after)]
    found: dict[tuple[str, str], tuple[float | None, float | None]] = {}
    for number, name in enumerate(names):
        old, new = sums
        mixed = _mixed(old.models[number], new.models[number], _over(old.cost[number], old.paid[number]) or 0.0)
        calls = [_over(one.demand[number], all_units) for one, all_units in zip(sums, units, strict=True)]
        hits = [_over(one.demand[number] - one.paid_demand[number], one.demand[number]) for one in sums]
        attempts = [_over(one.paid[number], one.paid_demand[number]) for one in sums]
        found[name, f"{CALLS_PER}{noun}"] = calls[0], calls[1]
        found[name, "hit rate"] = hits[0], hits[1]
        found[name, "retries"] = attempts[0], attempts[1]
        found[name, "models"] = _same(old.models[number], new.models[number]), 1.0
        after_mean = _over(new.cost[number], new.paid[number])
        found[name, "tokens and prices"] = mixed / 1e12, after_mean / 1e12 if after_mean is not None else None
    return found


def _over(top: float, bottom: float) -> float | None:
    return float(top / bottom) if bottom else None


def _same(old: dict[int, tuple[float, float]], new: dict[int, tuple[float, float]]) -> float:
    """How much of the two mixes of models is the same, 0..1."""
    calls = [sum(number for _, number in side.values()) for side in (old, new)]
    if not all(calls):
        return 0.0
    return sum(min(old.get(model, (0.0, 0.0))[1] / calls[0], number / calls[1]) for model, (_, number) in new.items())
