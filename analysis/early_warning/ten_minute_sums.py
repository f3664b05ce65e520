"""Dollars and calls of every ten minutes: of everything, and of the dearest agents, models, users and templates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import numpy as np

from analysis import dimensions
from analysis.array_types import Float64Array
from analysis.ledger.costs_view import costs_relation
from analysis.reports.call_labels import labelled_view
from ingest.store.database import Store

BIN: Final = timedelta(minutes=10)
BINS_AN_HOUR: Final = timedelta(hours=1) // BIN
BINS_A_DAY: Final = timedelta(days=1) // BIN
_BIN_US: Final = BIN // timedelta(microseconds=1)
HISTORY: Final = timedelta(days=28)
WATCHED: Final = 12  # values of a dimension, the dearest first
DIMENSIONS: Final = ("agent", "model", "user", "template")


class Series(NamedTuple):
    """What a series is of: a dimension (`total` for everything) and its value, None where the log has none."""

    dimension: str
    value: str | None


@dataclass(frozen=True)
class TenMinuteSums:
    """Sums per series (rows) and ten minutes (columns) from `first` on, each of shape (series, bins).

    `usd` are dollars of the priced calls, `calls` all calls by weight; `unusable` of them failed or were cut off before
    an answer, `unpriced` have no price.
    """

    first: datetime  # UTC without a zone, on the grid of ten minutes
    series: tuple[Series, ...]
    usd: Float64Array
    calls: Float64Array
    unusable: Float64Array
    unpriced: Float64Array


def ten_minute_sums(
    store: Store, now: datetime, *, history: timedelta = HISTORY, by: Sequence[str] = DIMENSIONS
) -> TenMinuteSums:
    """The sums from `history` before `now` up to the last whole ten minutes before it (UTC without a zone)."""
    end = datetime.min + (now - datetime.min) // BIN * BIN
    asked = dimensions.dimensions(by)
    with store.read() as con:
        relation = labelled_view(con, store, costs_relation(con), asked)
        span = {"first": end - history, "end": end}
        first = con.execute(
            f"SELECT min(start_time) FROM {relation} WHERE start_time >= $first AND start_time < $end", span
        ).fetchall()[0][0]
        if first is None:
            empty = np.zeros((1, 0))
            return TenMinuteSums(end, (Series("total", None),), empty, empty, empty, empty)
        first = datetime.min + (first - datetime.min) // BIN * BIN
        rows: list[tuple[Series, int, float, float, float, float]] = []
        for name, value in [("total", "NULL::VARCHAR"), *((one.name, one.text) for one in asked)]:
            found = con.execute(
                f"""WITH chosen AS (
                        SELECT {value} AS value, coalesce(cost_usd, 0) AS usd, weight, start_time, cost_usd,
                               status IN ('error', 'cancelled') AS unusable
                        FROM {relation} WHERE start_time >= $first AND start_time < $end),
                    dearest AS (
                        SELECT value FROM chosen GROUP BY value ORDER BY sum(usd) DESC, value LIMIT {WATCHED:d})
                    SELECT value, ((epoch_us(start_time) - epoch_us($first)) // {_BIN_US:d})::INTEGER AS bin,
                           sum(usd)::DOUBLE, sum(weight)::DOUBLE,
                           coalesce(sum(weight) FILTER (unusable), 0)::DOUBLE,
                           coalesce(sum(weight) FILTER (cost_usd IS NULL), 0)::DOUBLE
                    FROM chosen SEMI JOIN dearest ON chosen.value IS NOT DISTINCT FROM dearest.value
                    GROUP BY chosen.value, bin ORDER BY chosen.value NULLS FIRST, bin""",
                {"first": first, "end": end},
            ).fetchall()
            rows += [(Series(name, row[0]), *row[1:]) for row in found]
    series = tuple(dict.fromkeys(row[0] for row in rows))
    at = {one: number for number, one in enumerate(series)}
    sums = np.zeros((4, len(series), (end - first) // BIN))
    for one, bin_number, *values in rows:
        sums[:, at[one], bin_number] = values
    return TenMinuteSums(first, series, *sums)
