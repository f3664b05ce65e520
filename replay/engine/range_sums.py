"""The ends of a strategy's range, from sums that parts of a traffic add up to.

At either end each call has its price under that end's assumptions. How another model behaves is uncertain for a whole
group of moved calls at once, so its factor is applied to the group's sums of a day, rounded to the pico-dollar.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from analysis.money import exact_sum, sums_by
from analysis.price_book import vocabulary
from replay.engine.engine import Engine
from replay.engine.moved_calls import MovedCalls
from replay.traffic.traffic import Bool, Int64

Cell = tuple[int, int]  # day since 1970-01-01, code of a group of moved calls


@dataclass(frozen=True)
class RangeSums:
    """Pico-dollars at one end, before the behaviour of other models stretches what is `paid` for moved calls."""

    days: Mapping[int, int] = field(default_factory=dict)  # of all calls that are compared
    paid: Mapping[Cell, int] = field(default_factory=dict)  # of the moved ones among them that reach a provider
    shares: Mapping[int, tuple[int, int]] = field(
        default_factory=dict
    )  # by group, of all its calls: cost, input's part

    def by_day(self, bound: str, moved: MovedCalls | None) -> dict[int, int]:
        """The sums of each day at that end."""
        found = dict(self.days)
        factors = moved.factors(bound, self.shares) if moved is not None and self.paid else {}
        for (day, code), amount in self.paid.items():
            found[day] = found.get(day, 0) + round(amount * (factors[code] - 1))
        return found

    def __add__(self, other: RangeSums) -> RangeSums:
        shares = dict(self.shares)
        for code, (whole, part) in other.shares.items():
            before = shares.get(code, (0, 0))
            shares[code] = before[0] + whole, before[1] + part
        return RangeSums(_plus(self.days, other.days), _plus(self.paid, other.paid), shares)


def range_sums(engine: Engine, bound: str, chosen: Bool | None = None) -> RangeSums:
    """The sums of the comparable calls of a strategy, or of the `chosen` ones, at one end of every assumption."""
    outcome = engine.evaluate(engine.everything, bound=bound)
    cost, day = outcome.cost_pico, engine.traffic.day.astype(np.int64)
    kept = (engine.comparable if chosen is None else chosen) & (cost != vocabulary.UNPRICED)
    days = _of_days(cost[kept], day[kept])
    if outcome.paid is None:
        return RangeSums(days)
    moved = outcome.paid
    inside = kept[moved.rows]
    whole, part = (_sums(amounts, moved.code) for amounts in (moved.cost_pico, moved.of_input_pico))
    paid = _sums(moved.cost_pico[inside], day[moved.rows[inside]], moved.code[inside])
    return RangeSums(
        days,
        {(number, code): amount for (number, code), amount in paid.items()},
        {code: (amount, part[code,]) for (code,), amount in whole.items()},
    )


def range_of(engine: Engine, bound: str, chosen: Bool) -> int:
    """Pico-dollars of the `chosen` calls at one end of every assumption."""
    return sum(range_sums(engine, bound, chosen).by_day(bound, engine.moved(engine.everything)).values())


def _of_days(amounts: Int64, day: Int64) -> dict[int, int]:
    """Exact sums per day; the calls come in order of time, so a day is a run of rows."""
    begins = np.flatnonzero(np.diff(day, prepend=-1 if len(day) else 0))
    ends = [*begins[1:].tolist(), len(day)]
    return {int(day[first]): exact_sum(amounts[first:last]) for first, last in zip(begins.tolist(), ends, strict=False)}


def _sums(amounts: Int64, *keys: Int64) -> dict[tuple[int, ...], int]:
    """Exact sums per combination of keys."""
    if not len(amounts):
        return {}
    if len(keys) == 1:
        names, place = np.unique(keys[0], return_inverse=True)
        found: list[tuple[int, ...]] = [(name,) for name in names.tolist()]
    else:
        first, second = (np.unique(key, return_inverse=True) for key in keys)
        pairs, place = np.unique(first[1] * np.int64(len(second[0])) + second[1], return_inverse=True)
        width = len(second[0])
        found = [(int(first[0][pair // width]), int(second[0][pair % width])) for pair in pairs.tolist()]
    if len(found) == 1:
        return {found[0]: exact_sum(amounts)}
    return dict(zip(found, sums_by(amounts, place.astype(np.int32), len(found)), strict=True))


def _plus(one: Mapping[Any, int], other: Mapping[Any, int]) -> dict[Any, int]:
    return {key: one.get(key, 0) + other.get(key, 0) for key in {**one, **other}}
