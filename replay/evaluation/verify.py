"""After the rollout: what the strategy was forecast to cost, beside what the bill then said, and where they part.

The forecast replays the days before the rollout and takes what a unit of demand (a conversation, a request) costs in
each segment; the units of the days after it are what was really asked for. How many come is demand, no drift. How many
calls each makes belongs to the policy: where that rises, the first line says so.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np

from analysis.price_book import vocabulary
from ingest.errors import InputError
from ingest.store.database import Store
from replay.evaluation import cost_forecast
from replay.evaluation.backtest import Bools
from replay.evaluation.comparison import compared, mixed_arms, priced_in_full
from replay.evaluation.drift import Side, drifts
from replay.evaluation.promise import Promise, promised
from replay.evaluation.rollout_effects import Effects, estimate
from replay.evaluation.rollout_log import Log, observed, whole_days
from replay.evaluation.rollout_monitor import monitor
from replay.evaluation.rollout_notes import notes
from replay.evaluation.unit_table import CONTROL, UnitTable
from replay.evaluation.verification import Verification
from replay.strategy.schema import Strategy
from replay.traffic.demand_units import DemandUnits


def verify(
    store: Store,
    strategy: Strategy,
    *,
    rollout: date,
    since: date | None = None,
    until: date | None = None,
    unit: str | None = None,
    control: Store | None = None,
    monitored: bool = False,
) -> Verification:
    """Compare the log from `rollout` on with the strategy's forecast from the days before it.

    With `monitored` the evidence of each day since then comes along. `unit` is one of `assignment.UNITS`; `control` is
    the store of an untouched segment's calls. Raises InputError where one of the two sides has no priced calls, for an
    unknown unit and for a control that is nothing or everything.
    """
    log = observed(store, strategy, rollout=rollout, since=since, until=until, unit=unit, control=control)
    traffic, units = log.traffic, log.units
    priced = traffic.window & (traffic.cost != vocabulary.UNPRICED)
    _required(priced & ~log.after & ~log.untouched, "before", rollout)
    _required(priced & log.after & ~log.untouched & (log.arms.of_call != CONTROL), "from", rollout)
    promise = promised(store, strategy, log, rollout=rollout, since=since)
    sides = compared(log, promise.cost)
    known, real = sides.known & promise.drawn, sides.real
    if not known.any():
        raise _unforeseeable(log, promise, strategy, rollout)
    cost = np.where(priced, traffic.cost, 0)
    begun = log.after[units.first][units.of_call]  # a unit belongs to the day of its first call
    carried = real & ~begun
    new = real & begun
    models = promise.models + [str(model) for _, model in traffic.models]
    same_name = np.unique(models, return_inverse=True)[1]
    volume = [_first(units, mask & traffic.demand) for mask in (known, new)]
    width = len(log.segments)
    kind = log.segment[units.first][units.of_call]
    past = cost_forecast.history(
        traffic.day[known].astype(np.int64),
        units.of_call[known],
        kind[known],
        promise.cost[known].astype(np.float64),
        volume[0][known].astype(np.float64),
        width,
    )
    before, after = (
        Side(
            log.segment[mask],
            kind[mask],
            calls[mask],
            traffic.demand[mask],
            hit[mask],
            same_name[model[mask]],
            spent[mask].astype(np.float64),
            np.bincount(kind[flag], minlength=width).astype(np.float64),
        )
        for mask, calls, hit, model, spent, flag in (
            (known, promise.calls, promise.hit, promise.model, promise.cost, volume[0]),
            (
                new,
                np.ones(len(traffic)),
                traffic.gateway_hit,
                traffic.model + len(promise.models),
                cost,
                volume[1],
            ),
        )
    )
    days = len(np.unique(traffic.day[real]))
    as_is = int(cost[carried].sum())
    expected = cost_forecast.forecast(past, after.units)
    low, high = cost_forecast.spread(past, days, volume=after.units)
    realised = int(cost[real].sum())
    table = priced_in_full(log.table, log.day, log.control_units)
    inside = table.day >= log.day
    drawn = strategy.rollout  # of a ramp, the share has changed and was never one
    planned = drawn.share if drawn and not drawn.ramp else None
    effects = estimate(table, log.day, whole_days(traffic), control=log.control, planned=planned)
    looks = monitor(replace(log, table=table), floor=strategy.quality.floor) if monitored else None
    return Verification(
        name=strategy.name,
        rollout=rollout,
        known_days=past.days,
        days=days,
        unit=units.noun,
        units_before=int(volume[0].sum()),
        units_after=int(volume[1].sum()),
        control_units=int((inside & ((table.arm == CONTROL) | log.control_units)).sum()),
        forecast_pico=round(expected) + as_is,
        low_pico=round(expected * low) + as_is,
        high_pico=round(expected * high) + as_is,
        realised_pico=realised,
        billed_pico=sides.billed_pico,
        obstacle=sides.obstacle,
        left_out_units=sides.left_out_units,
        unpriced_share=sides.unpriced_calls / sides.calls,
        mixed=mixed_arms(table, log.day),
        failed_calls=_failed_calls(table, log, effects),
        drifts=()
        if sides.obstacle
        else drifts(
            log.segments, before, after, cost_forecast.rates(past), units.noun, realised - as_is - round(expected)
        ),
        effects=effects,
        notes=tuple(notes(log, strategy, effects, real, carried)),
        monitoring=looks,
    )


def _failed_calls(table: UnitTable, log: Log, effects: Effects) -> tuple[float, float]:
    """Failed calls per unit, of those that the treated are held against and of the treated."""
    after = table.day >= log.day
    treated = after & (table.arm != CONTROL) & ~log.control_units
    others = after & (table.arm == CONTROL) if effects.design == "holdback" else ~after & ~log.control_units
    failed = table.calls - table.answered
    without, within = (float(failed[side].mean()) if side.any() else 0.0 for side in (others, treated))
    return without, within


def _required(side: Bools, words: str, rollout: date) -> None:
    if not side.any():
        raise InputError(f"no priced calls {words} {rollout}", remedy="Check --from: hindcast cost --by day")


def _unforeseeable(log: Log, promise: Promise, strategy: Strategy, rollout: date) -> InputError:
    before = log.traffic.window & ~log.after & ~log.untouched
    names = sorted({promise.models[number] for number in np.unique(promise.model[before]).tolist()})
    return InputError(
        f"no call before {rollout} has a price as {strategy.name} sends it ({', '.join(names[:3])})",
        remedy=f"Set one: hindcast prices set {names[0]} --input USD --output USD",
    )


def _first(units: DemandUnits, mask: Bools) -> Bools:
    """The first call of each unit among those of `mask`: one mark a unit."""
    place = np.flatnonzero(mask)
    _, first = np.unique(units.of_call[place], return_index=True)
    flag = np.zeros(len(mask), np.bool_)
    flag[place[first]] = True
    return flag
