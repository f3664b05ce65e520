"""After the rollout: what the strategy was forecast to cost, beside what the bill then said, and where they part.

The forecast replays the days before the rollout and takes each segment's cost per demand call; the demand of the days
after it is what was really asked. Volume is therefore no drift. What is left is split, segment by segment, into hit
rate, models and tokens (with prices), one after the other, so that the parts add up to the pico-dollar.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.formatting import count, money, usd
from analysis.money import dollars
from analysis.price_book import vocabulary
from ingest.errors import InputError
from ingest.store.database import Store
from replay.engine.engine import Engine, Outcome
from replay.evaluation import bootstrap
from replay.evaluation.backtest import Bools, Int64, segments, sessions
from replay.strategy.schema import Strategy
from replay.traffic.load_traffic import load
from replay.traffic.traffic import EPOCH, Traffic


@dataclass(frozen=True)
class Drift:
    """Realised minus forecast in one segment by one cause, in pico-dollars, with the figure before and after."""

    segment: str
    cause: str  # hit rate, models, tokens and prices, new segment
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
class Verification:
    """Forecast beside realised over the days from the rollout on. The drifts sum to realised minus forecast."""

    name: str
    rollout: date
    known_days: int
    days: int
    forecast_pico: int
    low_pico: int
    high_pico: int
    realised_pico: int
    drifts: tuple[Drift, ...]
    notes: tuple[str, ...]

    @property
    def inside(self) -> bool:
        return self.low_pico <= self.realised_pico <= self.high_pico

    @property
    def summary(self) -> str:
        """Whether the bill is as forecast, in a sentence."""
        forecast, low, high, realised = (
            money(dollars(amount)) for amount in (self.forecast_pico, self.low_pico, self.high_pico, self.realised_pico)
        )
        words = "as forecast" if self.inside else "not as forecast"
        return (
            f"{self.name} since {self.rollout}: {realised} in {count(self.days, 'day')}, {words} "
            f"({forecast}, 90 % interval {low} to {high})."
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "rollout": self.rollout.isoformat(),
            "known_days": self.known_days,
            "days": self.days,
            "forecast_usd": usd(dollars(self.forecast_pico)),
            "forecast_low_usd": usd(dollars(self.low_pico)),
            "forecast_high_usd": usd(dollars(self.high_pico)),
            "realised_usd": usd(dollars(self.realised_pico)),
            "inside": self.inside,
            "drifts": [drift.to_json() for drift in self.drifts],
            "notes": list(self.notes),
        }


def verify(
    store: Store, strategy: Strategy, *, rollout: date, since: date | None = None, until: date | None = None
) -> Verification:
    """Compare the log from `rollout` on with the strategy's forecast from the days before it.

    Raises InputError where one of the two sides has no priced calls.
    """
    traffic = load(store, since=since, until=until, key_policy=strategy.cache.key if strategy.cache else "canonical")
    engine = Engine(traffic, strategy)
    outcome = engine.evaluate(engine.everything)
    after = traffic.day >= (rollout - EPOCH).days
    known = traffic.window & ~after & (traffic.cost != vocabulary.UNPRICED) & (outcome.cost_pico != vocabulary.UNPRICED)
    real = traffic.window & after & (traffic.cost != vocabulary.UNPRICED)
    for side, words in ((known, "before"), (real, "from")):
        if not side.any():
            raise InputError(f"no priced calls {words} {rollout}", remedy="Check --from: hindcast cost --by day")
    segment, names = segments(traffic)
    demand = traffic.demand.astype(np.float64)
    past = bootstrap.history(
        traffic.day[known].astype(np.int64),
        sessions(traffic)[known],
        segment[known],
        outcome.cost_pico[known].astype(np.float64),
        demand[known],
        len(names),
    )
    volume = np.bincount(segment[real], weights=demand[real], minlength=len(names))
    days = len(np.unique(traffic.day[real]))
    expected = bootstrap.forecast(past, volume)
    low, high = bootstrap.spread(past, days)
    realised = int(traffic.cost[real].sum())
    drifts = _drifts(traffic, engine, outcome, known, real, segment, names, past, realised - round(expected))
    return Verification(
        name=strategy.name,
        rollout=rollout,
        known_days=past.days,
        days=days,
        forecast_pico=round(expected),
        low_pico=round(expected * low),
        high_pico=round(expected * high),
        realised_pico=realised,
        drifts=tuple(drifts),
        notes=tuple(_notes(traffic, engine, real)),
    )


@dataclass(frozen=True)
class _Side:
    """One segment on one side: demand, share served for nothing, and paid cost and calls by model name."""

    demand: float
    hit_rate: float
    models: dict[str, tuple[float, int]]  # name -> (cost, paid calls)

    @property
    def paid(self) -> int:
        return sum(calls for _, calls in self.models.values())

    def mean(self) -> float:
        return sum(cost for cost, _ in self.models.values()) / self.paid if self.paid else 0.0


def _side(mask: Bools, cost: Int64, hit: Bools, model: NDArray[np.int32], names: Sequence[str], demand: Bools) -> _Side:
    asked = mask & demand
    paid = mask & ~hit
    models: dict[str, tuple[float, int]] = {}
    for number in np.unique(model[paid]).tolist():
        mine = paid & (model == number)
        spent, calls = models.get(names[number], (0.0, 0))
        models[names[number]] = (spent + float(cost[mine].sum()), calls + int(mine.sum()))
    hits = int((asked & hit).sum())
    total = int(asked.sum())
    return _Side(float(total), hits / total if total else 0.0, models)


def _drifts(
    traffic: Traffic,
    engine: Engine,
    outcome: Outcome,
    known: Bools,
    real: Bools,
    segment: Int64,
    names: Sequence[str],
    past: bootstrap.History,
    whole: int,
) -> list[Drift]:
    models = [str(model) for _, model in engine.models]
    found: list[tuple[str, str, float, float | None, float | None]] = []
    for number, name in enumerate(names):
        there = real & (segment == number)
        if not there.any():
            continue
        before = _side(
            known & (segment == number), outcome.cost_pico, outcome.served_by_us, outcome.model, models, traffic.demand
        )
        after = _side(there, traffic.cost, traffic.gateway_hit, traffic.model, models, traffic.demand)
        told = bootstrap.forecast(past, np.bincount([number], weights=[after.demand], minlength=len(names)))
        spent = float(traffic.cost[there].sum())
        if not before.paid or not before.demand:
            found.append((name, "new segment", spent - told, None, None))
            continue
        # cost = demand x paid calls per demand call x mean cost of a paid call; each is replaced in this order
        per_demand = after.paid / after.demand if after.demand else 0.0
        by_hits = after.demand * per_demand * before.mean() - told
        mixed = _mixed(before, after)
        by_models = after.paid * (mixed - before.mean())
        rest = spent - told - by_hits - by_models
        found.append((name, "hit rate", by_hits, before.hit_rate, after.hit_rate))
        found.append((name, "models", by_models, _share(before, after), 1.0))
        found.append((name, "tokens and prices", rest, mixed / 1e12, after.mean() / 1e12))
    amounts = [round(part[2]) for part in found]
    if amounts:  # the dust of floating point goes to the largest part, so that the parts are the whole
        largest = max(range(len(amounts)), key=lambda i: abs(amounts[i]))
        amounts[largest] += whole - sum(amounts)
    drifts = [Drift(n, c, amount, b, a) for (n, c, _, b, a), amount in zip(found, amounts, strict=True) if amount]
    return sorted(drifts, key=lambda drift: (-abs(drift.amount_pico), drift.segment, drift.cause))


def _mixed(before: _Side, after: _Side) -> float:
    """Mean paid cost with the realised shares of models at their forecast costs; an unforeseen model at its own."""
    if not after.paid:
        return before.mean()
    total = 0.0
    for name, (cost, calls) in after.models.items():
        known = before.models.get(name)
        total += calls * (known[0] / known[1] if known else cost / calls)
    return total / after.paid


def _share(before: _Side, after: _Side) -> float:
    """How much of the two mixes of models is the same, 0..1."""
    if not before.paid or not after.paid:
        return 0.0
    return sum(
        min(before.models.get(name, (0.0, 0))[1] / before.paid, calls / after.paid)
        for name, (_, calls) in after.models.items()
    )


def _notes(traffic: Traffic, engine: Engine, real: Bools) -> list[str]:
    notes = []
    if engine.strategy.cache and not (real & traffic.gateway_hit).any():
        notes.append("the log shows no cache hits after the rollout: calls answered by a cache of yours are not in it")
    return notes
