"""How much to hold back, and for how long, so that an effect of the wanted size would be seen; and what it costs."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from analysis.formatting import count, money, share, usd
from analysis.money import dollars
from analysis.price_book import vocabulary
from ingest.errors import InputError
from ingest.store.database import Store
from replay.engine.engine import Engine
from replay.evaluation.backtest import segments
from replay.evaluation.rollout_effects import COST, QUALITY, measures
from replay.evaluation.rollout_log import whole_days
from replay.evaluation.unit_table import NO_ARM, Arms, Floats, Int64, UnitTable, drawn_units, unit_table
from replay.rollout import power as sizes
from replay.strategy.rollout_schema import Rollout
from replay.strategy.schema import Strategy
from replay.traffic.demand_units import demand_units
from replay.traffic.load_traffic import load

MEASURES = (COST, QUALITY)
DURATIONS = (1, 2, 3, 5, 7, 10, 14, 21, 28, 42, 56, 84)
MOST_HELD_BACK = 0.5


@dataclass(frozen=True)
class Size:
    """The least share to hold back for so many days; None where half is not enough. By measure: what would be seen."""

    days: int
    holdback: float | None
    detectable: dict[str, float]  # as a share of the mean, at that holdback or at half

    def to_json(self) -> dict[str, Any]:
        seen = {name: value if math.isfinite(value) else None for name, value in self.detectable.items()}
        return {"days": self.days, "holdback": self.holdback, "detectable": seen}


@dataclass(frozen=True)
class Plan:
    """A holdback for a wanted effect and power, with the alternatives by days."""

    name: str
    unit: str  # what demand is counted in
    drawn: str  # what gets an arm
    effect: float
    power: float
    per_day: float  # drawn units a day, each counted once a day
    lasting: bool  # what is drawn comes again, as users do: more days bring fewer new ones
    means: dict[str, float]
    chosen: Size | None
    sizes: tuple[Size, ...]
    rollout: Rollout | None
    saved_per_day_pico: int | None

    @property
    def forgone_pico(self) -> int | None:
        """What the strategy would have saved on the held back, over the planned days, in pico-dollars."""
        if self.chosen is None or self.chosen.holdback is None or self.saved_per_day_pico is None:
            return None
        return round(self.saved_per_day_pico * self.chosen.days * self.chosen.holdback)

    @property
    def summary(self) -> str:
        """What to hold back, and what it shows and costs, in a sentence."""
        looked = " and ".join(self.means)
        if self.chosen is None or self.chosen.holdback is None:
            longest = self.sizes[-1]
            best = max(longest.detectable.values(), default=math.inf)
            seen = f"{share(best)} is the least that shows" if math.isfinite(best) else "there are too few of them"
            if math.isfinite(best) and not self.lasting:  # the error falls with the root of the days
                seen += f", and about {math.ceil(longest.days * (best / self.effect) ** 2):,} days would be needed"
            return (
                f"{self.name}: {share(self.effect)} in {looked} per {self.unit} cannot be shown in"
                f" {count(longest.days, 'day')}, even with half of the {self.drawn}s held back: {seen}."
            )
        forgone = self.forgone_pico
        costs = f" It forgoes {money(dollars(forgone))} of savings." if forgone is not None and forgone > 0 else ""
        return (
            f"{self.name}: hold back {share(self.chosen.holdback)} of the {self.drawn}s for "
            f"{count(self.chosen.days, 'day')}; a change of {share(self.effect)} in {looked} per {self.unit} then"
            f" shows with a chance of {share(self.power)}.{costs}"
        )

    def to_json(self) -> dict[str, Any]:
        forgone = self.forgone_pico
        return {
            "name": self.name,
            "unit": self.unit,
            "drawn": self.drawn,
            "effect": self.effect,
            "power": self.power,
            "drawn_per_day": self.per_day,
            "means": self.means,
            "chosen": self.chosen.to_json() if self.chosen else None,
            "sizes": [one.to_json() for one in self.sizes],
            "rollout": self.rollout.model_dump() if self.rollout else None,
            "forgone_usd": usd(dollars(forgone)) if forgone is not None else None,
        }


def plan(
    store: Store,
    strategy: Strategy,
    *,
    effect: float = 0.05,
    power: float = 0.8,
    days: int = 14,
    drawn: str | None = None,
    unit: str | None = None,
    only: Sequence[str] = MEASURES,
    seed: int | None = None,
    since: date | None = None,
    until: date | None = None,
) -> Plan:
    """Size a holdback by the spread of the logged units, adjusted by segment as `verify` will adjust them.

    `effect` is a share of the mean, `days` the longest that is waited, `drawn` what gets an arm (by default the unit of
    demand), `only` which of MEASURES must show it. The treated are taken to spread as the logged do. Raises InputError
    where the log has no whole day, or for an unknown unit.
    """
    traffic = load(store, since=since, until=until, key_policy=strategy.cache.key if strategy.cache else "canonical")
    units = demand_units(traffic, unit)
    first, last = whole_days(traffic)
    if last < first or not traffic.window.any():
        raise InputError("no whole day to plan by", remedy="Check: hindcast cost --by day")
    drawn = drawn or units.name
    cluster = drawn_units(traffic, units, drawn)
    if cluster is None:
        raise InputError(f"no call of the log names its {drawn}", remedy="Draw another unit: --draw conversation")
    arms = Arms(np.full(len(traffic), NO_ARM, np.int8), "", cluster, drawn)
    table = unit_table(traffic, units, arms, segments(traffic)[0], last + 1, traffic.window)
    table = table.rows((table.day >= first) & (table.day <= last))
    found = {name: pair for name, pair in measures(table).items() if name in only}
    means = {name: float(value.sum() / size.sum()) for name, (value, size) in found.items()}
    means = {name: mean for name, mean in means.items() if mean > 0}
    if not means:
        raise InputError(
            f"no unit of the log has a {' or a '.join(only)}",
            remedy="Price the models: hindcast prices list --unpriced",
        )
    sizes_by_days = [
        _size(table, {name: found[name] for name in means}, means, length, last, effect, power)
        for length in (*[one for one in DURATIONS if one < days], days)
    ]
    chosen = sizes_by_days[-1] if sizes_by_days[-1].holdback is not None else None
    number = zlib.crc32(strategy.name.encode()) % 10_000 if seed is None else seed
    rollout = None
    if chosen and chosen.holdback is not None:
        rollout = Rollout(share=round(1 - chosen.holdback, 4), unit=drawn, seed=number)
    pairs = np.unique(np.stack([table.cluster, table.day]), axis=1).shape[1]
    return Plan(
        name=strategy.name, unit=units.noun, drawn=drawn, effect=effect, power=power,
        per_day=pairs / (last - first + 1), lasting=len(np.unique(table.cluster)) < len(table),
        means=means, chosen=chosen, sizes=tuple(sizes_by_days), rollout=rollout,
        saved_per_day_pico=_saved_per_day(Engine(traffic, strategy), first, last),
    )  # fmt: skip


def _size(
    table: UnitTable,
    found: dict[str, tuple[Floats, Floats]],
    means: dict[str, float],
    length: int,
    last: int,
    effect: float,
    power: float,
) -> Size:
    """From all days; where units come again, as users do, from the last `length`."""
    all_days = last - int(table.day.min()) + 1
    lasting = len(np.unique(table.cluster)) < len(table)
    have = min(length, all_days) if lasting else all_days
    keep = table.day > last - have
    spreads = {
        name: sizes.spread(_within(value, size, table.segment)[keep], size[keep], table.cluster[keep])
        for name, (value, size) in found.items()
    }
    clusters = {name: one.clusters * (1.0 if lasting else length / have) for name, one in spreads.items()}
    holdbacks = [
        sizes.smallest_holdback(one, clusters[name], effect * means[name], power=power) for name, one in spreads.items()
    ]
    least = None if None in holdbacks else max(one for one in holdbacks if one is not None)
    at = MOST_HELD_BACK if least is None else least
    seen = {name: sizes.detectable(one, clusters[name], at, power=power) / means[name] for name, one in spreads.items()}
    return Size(length, least, seen)


def _within(value: Floats, size: Floats, segment: Int64) -> Floats:
    """Values less what their segment's mean differs from the overall one."""
    top, bottom = np.bincount(segment, value), np.bincount(segment, size)
    means = top / np.where(bottom > 0, bottom, 1)
    return np.asarray(value - (means[segment] - value.sum() / size.sum()) * size, np.float64)


def _saved_per_day(engine: Engine, first: int, last: int) -> int | None:
    traffic = engine.traffic
    outcome = engine.evaluate(engine.everything)
    inside = traffic.window & (traffic.day >= first) & (traffic.day <= last)
    inside &= (traffic.cost != vocabulary.UNPRICED) & (outcome.cost_pico != vocabulary.UNPRICED)
    if not inside.any():
        return None
    return int((traffic.cost[inside] - outcome.cost_pico[inside]).sum()) // (last - first + 1)
