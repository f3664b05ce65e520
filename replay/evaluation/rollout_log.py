"""A rollout as the log shows it: the units of demand, their arms, the control segment, and the days that are whole."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from analysis.calendar_days import DAY_MS
from ingest.errors import InputError
from ingest.store.database import Store
from replay.evaluation.backtest import Bools, Int64, segments
from replay.evaluation.unit_table import NO_ARM, Arms, UnitTable, arms, unit_table
from replay.strategy.schema import Strategy
from replay.traffic.demand_units import DemandUnits, demand_units
from replay.traffic.load_traffic import load
from replay.traffic.traffic import EPOCH, Traffic

EARLY_MS = 3_600_000  # a day that ends so much before the others do, or begins so much after them, is cut


@dataclass(frozen=True)
class Log:
    """A rollout as the log shows it: units, arms, segments, and which calls came after it."""

    traffic: Traffic
    units: DemandUnits
    day: int  # of the rollout, since 1970-01-01
    after: Bools
    arms: Arms
    segment: Int64
    segments: list[str]
    untouched: Bools  # calls of the units of the control segment
    table: UnitTable
    control: Bools | None  # units of the table
    early: Bools  # calls of the rollout's day before it began: on neither side, and not in the window

    @property
    def control_units(self) -> Bools:
        """Per unit: whether it was held back."""
        return np.zeros(len(self.table), np.bool_) if self.control is None else self.control


def observed(
    store: Store,
    strategy: Strategy,
    *,
    rollout: date,
    since: date | None = None,
    until: date | None = None,
    unit: str | None = None,
    control: Store | None = None,
) -> Log:
    """Read the calls and tell units, arms and the control segment apart. Raises InputError as `verify`."""
    traffic = load(store, since=since, until=until, key_policy=strategy.cache.key if strategy.cache else "canonical")
    units = demand_units(traffic, unit)
    day = (rollout - EPOCH).days
    after = np.asarray(traffic.day >= day)
    segment, names = segments(traffic)
    arm = arms(traffic, units, strategy.rollout, after, strategy.name)
    early = _before_the_first_arm(traffic, arm, day)
    if early.any():
        traffic = replace(traffic, window=traffic.window & ~early)
    untouched = np.zeros(len(traffic), np.bool_)
    if control is not None:
        numbers = load(control, since=since, until=until).call_no
        belongs = np.isin(traffic.call_no, numbers)
        untouched = belongs[units.first][units.of_call]
        if not untouched.any() or untouched.all():
            raise InputError(
                f"the control is {'every' if untouched.all() else 'no'} {units.noun} of the log",
                remedy="A control is a part that the rollout did not touch, as in: --control agent=search",
            )
    table = unit_table(traffic, units, arm, segment, day, traffic.window)
    chosen = untouched[units.first][np.unique(units.of_call[traffic.window])] if control is not None else None
    return Log(traffic, units, day, after, arm, segment, names, untouched, table, chosen, early)


def _before_the_first_arm(traffic: Traffic, arm: Arms, day: int) -> Bools:
    """The calls of the rollout's day before the first one that the log gives an arm: a rollout begins at an hour."""
    on_it = traffic.window & (traffic.day == day)
    drawn = on_it & (arm.of_call != NO_ARM)
    if arm.source != "log" or not drawn.any():
        return np.zeros(len(traffic), np.bool_)
    return np.asarray(on_it & (traffic.start_ms < traffic.start_ms[drawn].min()))


def whole_days(traffic: Traffic) -> tuple[int, int]:
    """The first and last day of the window whose calls begin and end about when those of the other days do."""
    inside = np.flatnonzero(traffic.window)
    if not len(inside):
        return 0, -1
    day, clock = traffic.day[inside].astype(np.int64), traffic.start_ms[inside] % DAY_MS
    days, first = np.unique(day, return_index=True)
    begins, ends = clock[first], clock[np.append(first[1:], len(day)) - 1]
    low, high = int(days[0]), int(days[-1])
    if len(days) > 2:
        low += int(begins[0] > np.median(begins[1:]) + EARLY_MS)
        high -= int(ends[-1] < np.median(ends[:-1]) - EARLY_MS)
    return low, high
