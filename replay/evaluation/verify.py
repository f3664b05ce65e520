"""After the rollout: what the strategy was forecast to cost, beside what the bill then said, and where they part.

The forecast replays the days before the rollout and takes what a unit of demand (a conversation, a request) costs in
each segment; the units of the days after it are what was really asked for. How many come is demand, no drift. How many
calls each makes belongs to the policy: where that rises, the first line says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np

from analysis.formatting import count, money, share, usd
from analysis.money import dollars
from analysis.price_book import vocabulary
from ingest.errors import InputError
from ingest.store.database import Store
from replay.evaluation import cost_forecast
from replay.evaluation.backtest import Bools
from replay.evaluation.drift import CALLS_PER, Drift, Side, drifts
from replay.evaluation.promise import promised
from replay.evaluation.rollout_effects import CALLS, COST, Effects, estimate
from replay.evaluation.rollout_log import observed, whole_days
from replay.evaluation.rollout_monitor import Monitoring, monitor
from replay.evaluation.rollout_notes import notes
from replay.evaluation.unit_table import CONTROL
from replay.rollout.effects import Estimate
from replay.strategy.schema import Strategy
from replay.traffic.demand_units import DemandUnits


@dataclass(frozen=True)
class Verification:
    """Forecast beside realised over the days from the rollout on, for the treated; and what the rollout changed.

    The drifts sum to realised minus forecast. `unit` is what demand is counted in.
    """

    name: str
    rollout: date
    known_days: int
    days: int
    unit: str
    units_before: int
    units_after: int
    control_units: int  # after the rollout, in the holdback or in the untouched segment
    forecast_pico: int
    low_pico: int
    high_pico: int
    realised_pico: int
    drifts: tuple[Drift, ...]
    effects: Effects
    notes: tuple[str, ...]
    monitoring: Monitoring | None = None

    @property
    def inside(self) -> bool:
        return self.low_pico <= self.realised_pico <= self.high_pico

    @property
    def summary(self) -> str:
        """Whether the bill is as forecast, and the rebound if there is one, in a sentence."""
        forecast, low, high, realised = (
            money(dollars(amount)) for amount in (self.forecast_pico, self.low_pico, self.high_pico, self.realised_pico)
        )
        words = "as forecast" if self.inside else "not as forecast"
        return (
            f"{self.name} since {self.rollout}: {realised} in {count(self.days, 'day')}, {words} "
            f"({forecast}, 90 % interval {low} to {high}){self._rebound()}."
        )

    def _rebound(self) -> str:
        found = self.effects.rebound or self.effects.suspicion
        if found is None:
            return ""
        one = found.estimate
        calls = found.measure == CALLS
        what = f"{one.within:.4g} calls per {self.unit}" if calls else f"{one.within:,.0f} answer tokens"
        instead = f"{one.without:.4g}" if calls else f"{one.without:,.0f} per call"
        more = self.rebound_pico
        paid = f", {money(dollars(more), sign=True)}" if calls and more else ""
        change = f"{what} instead of {instead} ({share(one.relative, sign=True)})"
        if found.claimed:
            return f": a rebound, {change}{paid}"
        return f": perhaps a rebound, {change}, not yet told from chance"

    @property
    def rebound_pico(self) -> int:
        """What more calls per unit than before cost, of the difference to the forecast, in pico-dollars."""
        return sum(one.amount_pico for one in self.drifts if one.cause.startswith(CALLS_PER))

    @property
    def effect_summary(self) -> str:
        """What a unit costs now and without the rollout, in a sentence; or what is missing to say it."""
        found = self.effects.get(COST)
        if found is None:
            return (
                f"What the rollout changed per {self.unit} cannot be said: it takes a holdback of two units or more in "
                "each arm, or seven whole days before and three after with few gaps. Plan one: hindcast rollout plan"
            )
        one = found.estimate
        saved = -one.effect * self.units_after
        bounds = one.relative_interval()
        interval = f", 95 % interval {share(bounds[0], sign=True)} to {share(bounds[1], sign=True)}" if bounds else ""
        verdict = (
            f"{_dollars(abs(saved))} {'saved' if saved > 0 else 'lost'} over {count(self.units_after, self.unit)}"
            if found.claimed
            else f"no effect can be claimed, one of {share(_over(one.detectable, one.without))} would have been seen"
        )
        return (
            f"Per {self.unit} {_dollars(one.within)} instead of {_dollars(one.without)} without the rollout "
            f"({share(one.relative, sign=True)}{interval}): {verdict}."
        )

    def to_json(self) -> dict[str, Any]:
        cost = self.effects.get(COST)
        return {
            "name": self.name,
            "rollout": self.rollout.isoformat(),
            "known_days": self.known_days,
            "days": self.days,
            "unit": self.unit,
            "units_before": self.units_before,
            "units_after": self.units_after,
            "control_units": self.control_units,
            "forecast_usd": usd(dollars(self.forecast_pico)),
            "forecast_low_usd": usd(dollars(self.low_pico)),
            "forecast_high_usd": usd(dollars(self.high_pico)),
            "realised_usd": usd(dollars(self.realised_pico)),
            "inside": self.inside,
            "rebound": self.effects.rebound.measure if self.effects.rebound else None,
            "rebound_usd": usd(dollars(self.rebound_pico)) if self.effects.rebound else None,
            "drifts": [drift.to_json() for drift in self.drifts],
            "design": self.effects.design,
            "assumes": self.effects.assumes,
            "effects": [one.to_json() for one in self.effects.effects.values()],
            "saved_usd": _saved(cost.estimate, self.units_after) if cost else None,
            "notes": list(self.notes),
            **({"monitoring": self.monitoring.to_json()} if self.monitoring else {}),
        }


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
    known = priced & ~log.after & ~log.untouched
    real = priced & log.after & ~log.untouched & (log.arms.of_call != CONTROL)
    _required(known, "before", rollout)
    _required(real, "from", rollout)
    promise = promised(store, strategy, log, rollout=rollout, since=since)
    known &= promise.cost != vocabulary.UNPRICED
    _required(known, "before", rollout)
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
            cost[mask].astype(np.float64),
            np.bincount(kind[flag], minlength=width).astype(np.float64),
        )
        for mask, calls, hit, model, cost, flag in (
            (known, promise.calls, promise.hit, promise.model, promise.cost, volume[0]),
            (
                new,
                np.ones(len(traffic)),
                traffic.gateway_hit,
                traffic.model + len(promise.models),
                traffic.cost,
                volume[1],
            ),
        )
    )
    days = len(np.unique(traffic.day[real]))
    as_is = int(traffic.cost[carried].sum())
    expected = cost_forecast.forecast(past, after.units)
    low, high = cost_forecast.spread(past, days, volume=after.units)
    realised = int(traffic.cost[real].sum())
    table = log.table
    inside = table.day >= log.day
    effects = estimate(table, log.day, whole_days(traffic), control=log.control)
    looks = monitor(log, floor=strategy.quality.floor) if monitored else None
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
        drifts=drifts(
            log.segments, before, after, cost_forecast.rates(past), units.noun, realised - as_is - round(expected)
        ),
        effects=effects,
        notes=tuple(notes(log, strategy, effects, real, carried)),
        monitoring=looks,
    )


def _required(side: Bools, words: str, rollout: date) -> None:
    if not side.any():
        raise InputError(f"no priced calls {words} {rollout}", remedy="Check --from: hindcast cost --by day")


def _first(units: DemandUnits, mask: Bools) -> Bools:
    """The first call of each unit among those of `mask`: one mark a unit."""
    place = np.flatnonzero(mask)
    _, first = np.unique(units.of_call[place], return_index=True)
    flag = np.zeros(len(mask), np.bool_)
    flag[place[first]] = True
    return flag


def _saved(one: Estimate, units: int) -> dict[str, str | None]:
    low, high = sorted((-one.low * units, -one.high * units))
    return {
        "low": usd(Decimal(low).quantize(Decimal("1e-12"))),
        "mid": usd(Decimal(-one.effect * units).quantize(Decimal("1e-12"))),
        "high": usd(Decimal(high).quantize(Decimal("1e-12"))),
    }


def _dollars(amount: float) -> str:
    return money(Decimal(amount).quantize(Decimal("1e-12")))


def _over(top: float, bottom: float) -> float | None:
    return top / bottom if bottom else None
