"""The unit of demand that the user controls: a conversation, a trace, a request, a user's day, a tag, or the call.

How many units there are is demand; how many calls a unit makes belongs to the policy that serves it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ingest.errors import InputError, did_you_mean
from replay.rollout.assignment import COLUMNS, TAG, UNITS, is_unit
from replay.traffic.rule_columns import in_order
from replay.traffic.traffic import Traffic

Int64 = NDArray[np.int64]

ENOUGH: Final = 0.9  # of the calls carry the column, for it to be chosen without being asked for


@dataclass(frozen=True)
class DemandUnits:
    """The unit of each call: `of_call` (calls) is a dense number in order of the units' first calls."""

    name: str  # as in --unit
    of_call: Int64
    first: Int64  # place of each unit's first call
    label: pl.Series  # the value of the column per call, null where the log has none

    def __len__(self) -> int:
        return len(self.first)

    @property
    def noun(self) -> str:
        """What one unit is called."""
        return "user-day" if self.name == "user" else self.name.removeprefix(TAG)

    @cached_property
    def known(self) -> float:
        """The share of the calls whose unit the log names."""
        return 1.0 if self.name == "call" or not len(self.label) else 1 - self.label.null_count() / len(self.label)


def column(traffic: Traffic, sql: str) -> pl.Series:
    """One value per call of a column of `calls`, in the order of the traffic. `sql` is this program's own text."""
    with traffic.store.read() as con:
        rows = con.sql(f"SELECT call_no, {sql} AS value FROM calls WHERE {traffic.where}").to_arrow_table()
    place = in_order(rows.column("call_no").to_numpy(), traffic.call_no)
    found = pl.Series("value", rows.column("value"))
    return found if place is None else found.gather(place)


def demand_units(traffic: Traffic, name: str | None = None) -> DemandUnits:
    """The units of the traffic by `name` (one of UNITS); by default the first of conversation, trace and request that
    nine calls in ten carry, else the call.

    A user is counted once a day, everything else once, on the day of its first call. A call without the column is a
    unit of its own. Raises InputError for another name, or one that no call carries.
    """
    if name is None:
        for candidate in ("conversation", "trace", "request"):
            label = column(traffic, COLUMNS[candidate])
            if len(label) and label.null_count() <= (1 - ENOUGH) * len(label):
                return _units(traffic, candidate, label)
        return demand_units(traffic, "call")
    if not is_unit(name):
        raise InputError(f"'{name}' is not a unit of demand", remedy=did_you_mean(name, UNITS))
    if name == "call":
        every = np.arange(len(traffic))
        return DemandUnits(name, every, every, pl.Series("value", [], pl.String))
    if name in COLUMNS:
        label = column(traffic, COLUMNS[name])
    else:
        tag, key = pl.element(), name.removeprefix(TAG)
        fits = tag.str.starts_with(f"{key}:") | tag.str.starts_with(f"{key}=")
        label = column(traffic, "tags").list.eval(tag.filter(fits)).list.first()
    if label.null_count() == len(label):
        raise InputError(f"no call of the log names its {name}", remedy=f"Other units: {', '.join(UNITS)}.")
    return _units(traffic, name, label)


def _units(traffic: Traffic, name: str, label: pl.Series) -> DemandUnits:
    code = label.rank("dense").fill_null(0).to_numpy().astype(np.int64)
    if name == "user":
        code = code * (int(traffic.day.max(initial=0)) + 1) + traffic.day
    missing = label.is_null().to_numpy()
    code = np.where(missing, int(code.max(initial=0)) + 1 + np.arange(len(code)), code)
    _, first, dense = np.unique(code, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return DemandUnits(name, rank[dense], first[order].astype(np.int64), label)
