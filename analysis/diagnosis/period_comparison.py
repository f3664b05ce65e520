"""Two periods of days, as drivers in dollars that add up to the difference: the game of a day's diagnosis, played with
all calls of a period in a day's place.

Where the periods have different numbers of days, the earlier sums are scaled to those of the later one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from analysis import log_days
from analysis.attribution.baseline_comparison import compare
from analysis.attribution.segment_sums import METRICS, SCALE, day_sums, segment_names
from analysis.attribution.shapley_drivers import explain
from analysis.diagnosis.diagnose import driver_lines, price_lists, require_costs, without_price
from analysis.diagnosis.result import DriverLine
from analysis.dimensions import dimensions
from analysis.formatting import usd
from analysis.ledger.costs_view import costs_relation, on_wall_clock
from analysis.reports.call_labels import labelled_view
from ingest.errors import InputError, did_you_mean
from ingest.store.database import Store

DAY: Final = timedelta(days=1)
Period = tuple[date, date]


@dataclass(frozen=True)
class PeriodComparison:
    """Period `now` against `before` (first and last day, inclusive), of `days` and `days_before` days of the log.

    Amounts are of the whole period, those of `before` scaled to `days`; the drivers and `residual` sum to the
    difference. `unpriced`: calls without a price in each, in no amount.
    """

    now: Period
    before: Period
    days: int
    days_before: int
    metric: str
    by: tuple[str, ...]
    actual: Decimal
    expected: Decimal
    drivers: list[DriverLine]
    residual: Decimal
    unpriced: tuple[int, int]

    def to_json(self) -> dict[str, Any]:
        """Plain values, with the keys of a diagnosis where they mean the same."""
        return {
            "day": self.now[1].isoformat(),
            "now": [day.isoformat() for day in self.now],
            "before": [day.isoformat() for day in self.before],
            "days": self.days,
            "days_before": self.days_before,
            "metric": self.metric,
            "by": list(self.by),
            "actual": usd(self.actual),
            "expected": usd(self.expected),
            "delta": usd(self.actual - self.expected),
            "drivers": [line.to_json(usd) for line in self.drivers],
            "residual": usd(self.residual),
            "unpriced_calls": list(self.unpriced),
        }


def compare_periods(
    store: Store, now: Period, before: Period, by: Sequence[str] = ("agent", "task"), metric: str = "cost"
) -> PeriodComparison:
    """The drivers between two periods of days. Raises InputError where they overlap, where the log
    does not reach one, or where neither has a call."""
    by = segment_names(by)
    if metric not in METRICS:
        raise InputError(f"'{metric}' is not a metric", remedy=did_you_mean(metric, METRICS))
    for first, last in (now, before):
        if last < first:
            raise InputError(f"the days {first} to {last} end before they begin", remedy="Write the earlier day first.")
    if now[0] <= before[1] and before[0] <= now[1]:
        raise InputError("the two periods overlap", remedy="Choose days of which none is in both.")
    log = log_days.of(store)
    spans = [log.span(*period) for period in (now, before)]
    for (first, last), days in zip((now, before), spans, strict=True):
        if not days:
            raise InputError(f"the log has no day from {first} to {last}", remedy="See: hindcast cost --by day")
    if not any(first <= day <= last for day in log.active for first, last in (now, before)):
        raise InputError("nothing is logged in either period", remedy="See: hindcast cost --by day")
    with store.read() as con:
        require_costs(con, store)
        clock = on_wall_clock(con, costs_relation(con))
        inside = [
            f"start_time >= TIMESTAMP '{first}' AND start_time < TIMESTAMP '{last + DAY}'"
            for first, last in (now, before)
        ]
        con.execute(
            f"""CREATE OR REPLACE TEMP VIEW compared_periods AS
                SELECT * REPLACE (CASE WHEN {inside[0]} THEN TIMESTAMP '{now[0]}' ELSE TIMESTAMP '{before[0]}' END
                                  AS start_time)
                FROM {clock} WHERE ({inside[0]}) OR ({inside[1]})"""
        )
        relation = labelled_view(con, store, "compared_periods", dimensions(by, "segment"))
        sums = day_sums(con, [now[0], before[0]], by, metric=metric, relation=relation)
        compared = compare(sums, now[0], {before[0]: spans[0] / spans[1]}, price_lists(con))
        drivers, game, _ = explain(compared.cells, compared.before, compared.after)
        drivers, residual = without_price(drivers, compared)
        unit = Decimal(SCALE[metric])
        lines = driver_lines(drivers, compared, game, by, unit)
    return PeriodComparison(
        now=now,
        before=before,
        days=spans[0],
        days_before=spans[1],
        metric=metric,
        by=by,
        actual=Decimal(sum(compared.after)) / unit,
        expected=Decimal(sum(compared.before)) / unit,
        drivers=lines,
        residual=Decimal(residual) / unit,
        unpriced=(sums.unpriced.get(now[0], 0), sums.unpriced.get(before[0], 0)),
    )
