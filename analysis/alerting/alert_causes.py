"""What an alert is made of: the calls of its hours against the same hours before, as drivers that sum to the change.

Each segment (agent, task, model) is split into more or fewer calls and dearer or cheaper ones. With n calls an hour at
u dollars each, the change n1 u1 - n0 u0 is (n1 - n0)(u0 + u1)/2 + (u1 - u0)(n0 + n1)/2: both factors' Shapley values.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from analysis.dimensions import Filter, as_filter, dimensions, quoted
from analysis.early_warning.alert import Alert
from analysis.formatting import usd
from analysis.ledger.costs_view import costs_relation
from analysis.money import PICO, dollars
from analysis.reports.call_labels import labelled_view
from ingest.store.database import Store

SEGMENTS: Final = ("agent", "task", "model")
SAME_WEEKDAYS: Final[tuple[int, ...]] = (7, 14, 21, 28)  # days back that the hours are compared with
LAST_WEEK: Final = range(1, 8)  # days back, where the log has calls on fewer than two of those
SHOWN: Final = 3


@dataclass(frozen=True)
class Driver:
    """A part of the change, in pico-dollars an hour. `what`: calls, dollars_per_call, new or gone."""

    segment: dict[str, str | None]
    what: str
    pico_per_hour: int
    before: float  # calls an hour, or dollars of one
    after: float


@dataclass(frozen=True)
class Causes:
    """The drivers of an alert, largest first, and what all smaller ones add up to: `change` is their sum exactly."""

    change_pico_per_hour: int
    drivers: tuple[Driver, ...]
    rest_pico_per_hour: int
    compared: int  # stretches of the same hours before


def causes_of(store: Store, alert: Alert, until: datetime) -> Causes:
    """The drivers of an alert from its start up to `until` (UTC without a zone)."""
    value = None if alert.value is None else quoted(alert.value)
    of = Filter() if alert.dimension == "total" else as_filter({alert.dimension: value})
    until = max(until, alert.started + timedelta(minutes=1))
    hours = (until - alert.started) / timedelta(hours=1)
    names = dimensions(SEGMENTS)
    with store.read() as con:
        needed = [*names, *(condition.dimension for condition in of.conditions)]
        relation = labelled_view(con, store, costs_relation(con), needed)
        where, values = of.sql()
        found: dict[tuple[str | None, ...], dict[int, tuple[float, int]]] = {}
        columns = ", ".join(one.text for one in names)
        for days in (0, *LAST_WEEK, *SAME_WEEKDAYS[1:]):
            back = timedelta(days=days)
            for *segment, calls, pico in con.execute(
                f"""SELECT {columns}, sum(weight)::DOUBLE, coalesce(sum(cost_usd), 0) * 1000000000000
                      FROM {relation} WHERE start_time >= $first AND start_time < $last AND {where}
                     GROUP BY ALL""",
                {"first": alert.started - back, "last": until - back, **values},
            ).fetchall():
                found.setdefault(tuple(segment), {})[days] = (calls, int(pico))
    logged = {days for sums in found.values() for days in sums}
    weeks = [days for days in SAME_WEEKDAYS if days in logged]
    base = weeks if len(weeks) > 1 else [days for days in LAST_WEEK if days in logged]
    drivers = [
        driver
        for segment, sums in found.items()
        for driver in _split(dict(zip(SEGMENTS, segment, strict=True)), sums, base, hours)
        if driver.pico_per_hour
    ]
    drivers.sort(key=lambda one: (-abs(one.pico_per_hour), str(one.segment), one.what))
    change = sum(one.pico_per_hour for one in drivers)
    shown = tuple(drivers[:SHOWN])
    return Causes(change, shown, change - sum(one.pico_per_hour for one in shown), len(base))


def _split(
    segment: dict[str, str | None], sums: dict[int, tuple[float, int]], base: list[int], hours: float
) -> list[Driver]:
    stretches = len(base) or 1
    n1, c1 = sums.get(0, (0.0, 0))
    n0 = sum(sums.get(number, (0.0, 0))[0] for number in base) / stretches
    c0 = sum(sums.get(number, (0.0, 0))[1] for number in base) / stretches
    total = round((c1 - c0) / hours)
    if not n0 or not n1:
        return [Driver(segment, "gone" if n0 else "new", total, n0 / hours, n1 / hours)]
    u0, u1 = c0 / n0, c1 / n1
    more = round((n1 - n0) * (u0 + u1) / 2 / hours)
    return [
        Driver(segment, "calls", more, n0 / hours, n1 / hours),
        Driver(segment, "dollars_per_call", total - more, u0 / PICO, u1 / PICO),
    ]


def to_json(causes: Causes) -> dict[str, Any]:
    """Plain values; dollars an hour as decimal strings that sum."""
    return {
        "change_usd_per_hour": usd(dollars(causes.change_pico_per_hour)),
        "drivers": [
            {"segment": one.segment, "what": one.what, "usd_per_hour": usd(dollars(one.pico_per_hour)),
             "before": one.before, "after": one.after}
            for one in causes.drivers
        ],
        "rest_usd_per_hour": usd(dollars(causes.rest_pico_per_hour)),
    }  # fmt: skip
