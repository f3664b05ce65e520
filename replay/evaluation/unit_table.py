"""The units of demand as rows: when each began, in which arm, and what it took; what effects and monitors read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.calendar_days import DAY_MS
from analysis.price_book import vocabulary
from replay.rollout.assignment import COLUMNS, TAG, draws
from replay.strategy.rollout_schema import Rollout
from replay.traffic.demand_units import DemandUnits, column
from replay.traffic.traffic import MICRO, Traffic

Bools = NDArray[np.bool_]
Int8 = NDArray[np.int8]
Int64 = NDArray[np.int64]
Floats = NDArray[np.float64]

TREATED: Final = 1
CONTROL: Final = 0
NO_ARM: Final = -1


@dataclass(frozen=True)
class UnitTable:
    """One row a unit, in order of the first calls. NaN where a figure is not known."""

    day: Int64  # UTC day of the first call, since 1970-01-01
    last_day: Int64  # of the last call
    segment: Int64  # of the first call
    arm: Int8  # TREATED, CONTROL, NO_ARM
    cluster: Int64  # units of one cluster got their arm together
    cost: Floats  # dollars; NaN where a call has no price
    calls: Floats  # asked for, retries aside
    answered: Floats  # of these calls, those that did not fail
    output_tokens: Floats
    score: Floats  # mean of the scored calls
    first_day_cost: Floats  # as above, of the calls of the first day alone, which later days never change
    first_day_score: Floats
    first_day_failed: Floats  # share of the calls that failed
    first_day_latency_ms: Floats  # mean duration of a call; NaN where none is logged
    spans: Bools  # has calls on both sides of the rollout
    both_arms: Bools  # has calls of the treated and of the control

    def __len__(self) -> int:
        return len(self.day)

    def rows(self, keep: Bools | Int64) -> UnitTable:
        """The units at `keep`."""
        return replace(self, **{name: values[keep] for name, values in vars(self).items()})


@dataclass(frozen=True)
class Arms:
    """The arm of each call, from the log or from the hash of the strategy's rollout block; and what is odd about it."""

    of_call: Int8
    source: str  # "log", "hash" or "" where there are no arms
    cluster: Int64 | None  # of each call: what was drawn, where it is known
    unit: str | None  # what was drawn


def arms(traffic: Traffic, units: DemandUnits, rollout: Rollout | None, after: Bools, name: str) -> Arms:
    """Arms of the calls in `after`; the log's own where any call has one.

    Where calls are logged under the policy `name`, an arm under another name is another rollout's.
    """
    none = np.full(len(traffic), NO_ARM, np.int8)
    logged = column(traffic, "arm")
    policy = column(traffic, "rollout")
    if (policy == name).any():
        logged = pl.Series("value", pl.select(pl.when((policy == name) | policy.is_null()).then(logged)).to_series())
    drawn = rollout.unit if rollout else None
    label = _label(traffic, units, drawn) if drawn else None
    cluster = drawn_units(traffic, units, drawn) if drawn else None
    if logged.null_count() < len(logged):
        found = none.copy()
        found[(logged == "treated").fill_null(value=False).to_numpy()] = TREATED
        found[(logged == "control").fill_null(value=False).to_numpy()] = CONTROL
        return Arms(np.where(after, found, NO_ARM).astype(np.int8), "log", cluster, drawn)
    if rollout is None or label is None or rollout.share >= 1:
        return Arms(none, "", None, None)
    distinct = label.drop_nulls().unique()
    share = pl.DataFrame({"label": distinct, "draw": draws(distinct.to_list(), rollout.seed)})
    draw = pl.DataFrame({"label": label}).join(share, on="label", how="left", maintain_order="left")["draw"]
    known = draw.is_not_null().to_numpy()
    treated = np.where(draw.fill_null(1.0).to_numpy() < rollout.share, TREATED, CONTROL)
    return Arms(np.where(after & known, treated, NO_ARM).astype(np.int8), "hash", cluster, drawn)


def drawn_units(traffic: Traffic, units: DemandUnits, drawn: str) -> Int64 | None:
    """A number per call of what got its arm together; a call without it counts with its unit. None: no call has it."""
    if drawn == units.name and drawn != "user":
        return units.of_call
    label = _label(traffic, units, drawn)
    if label is None:
        return np.arange(len(traffic)) if drawn == "call" else None
    code = label.rank("dense").fill_null(0).to_numpy().astype(np.int64)
    return np.where(label.is_null().to_numpy(), int(code.max(initial=0)) + 1 + units.of_call, code)


def _label(traffic: Traffic, units: DemandUnits, drawn: str) -> pl.Series | None:
    """What was hashed, as text per call; None where the log does not name it."""
    if drawn == "call" or drawn.startswith(TAG):
        return units.label if drawn == units.name and len(units.label) else None
    label = units.label if drawn == units.name else column(traffic, COLUMNS[drawn])
    return label if label.null_count() < len(label) else None


def unit_table(
    traffic: Traffic, units: DemandUnits, arm: Arms, segment: Int64, rollout_day: int, counted: Bools
) -> UnitTable:
    """Sum the calls that are `counted` by unit; a unit without such a call is left out."""
    place = np.flatnonzero(counted)
    code, first, dense = np.unique(units.of_call[place], return_index=True, return_inverse=True)
    number = len(code)

    def total(values: NDArray[Any]) -> Floats:
        return np.bincount(dense, values, number).astype(np.float64)

    weight = traffic.weight_micro[place] / MICRO
    priced = traffic.cost[place] != vocabulary.UNPRICED
    cost = np.where(priced, traffic.cost[place] / 1e12, np.nan)
    score = column(traffic, "score").cast(pl.Float64).to_numpy()[place].astype(np.float64)
    scored = np.isfinite(score)
    duration = (traffic.end_ms - traffic.start_ms)[place].astype(np.float64)
    day = traffic.day[place].astype(np.int64)
    last_day = day[first]
    np.maximum.at(last_day, dense, day)
    first_day = day == day[first][dense]
    timed = first_day & (duration > 0)
    late = traffic.start_ms[place] >= rollout_day * DAY_MS
    return UnitTable(
        day=day[first],
        last_day=last_day,
        segment=segment[place][first],
        arm=arm.of_call[place][first],
        cluster=code if arm.cluster is None else arm.cluster[place][first],
        cost=total(cost),
        calls=total(weight * traffic.demand[place]),
        answered=total(weight * (traffic.demand & ~traffic.failed)[place]),
        output_tokens=total(np.maximum(traffic.usage.output[place], 0) * weight),
        score=_mean(total(np.where(scored, score, 0)), total(scored)),
        first_day_cost=total(np.where(first_day, cost, 0)),
        first_day_score=_mean(total(np.where(scored & first_day, score, 0)), total(scored & first_day)),
        first_day_failed=total(first_day & traffic.failed[place]) / total(first_day),
        first_day_latency_ms=_mean(total(np.where(timed, duration, 0)), total(timed)),
        spans=(total(late) > 0) & (total(~late) > 0),
        both_arms=(total(arm.of_call[place] == TREATED) > 0) & (total(arm.of_call[place] == CONTROL) > 0),
    )


def _mean(top: Floats, bottom: Floats) -> Floats:
    return np.asarray(np.where(bottom > 0, top / np.where(bottom > 0, bottom, 1), np.nan), np.float64)
