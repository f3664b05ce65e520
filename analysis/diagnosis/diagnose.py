"""Diagnosis: one day against its baseline, as drivers in dollars that add up to the change."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Final

import duckdb

from analysis import log_days
from analysis.anomalies import baseline as baselines
from analysis.anomalies.alerts import alerts
from analysis.anomalies.annotations import read_annotations, suspects
from analysis.anomalies.day_marks import marks
from analysis.anomalies.detector import Judgement, error_scale, judge
from analysis.anomalies.flagged_runs import flagged_runs
from analysis.anomalies.hourly_activity import Activity, activity
from analysis.array_types import Float64Array
from analysis.attribution.baseline_comparison import Comparison, compare
from analysis.attribution.factors import FACTORS, NEW_SEGMENT, VANISHED_SEGMENT
from analysis.attribution.segment_sums import METRICS, SCALE, day_sums, segment_names
from analysis.attribution.shapley_drivers import Driver, Game, explain, order_range, undoing
from analysis.attribution.significance import surprise
from analysis.causes import drilldown
from analysis.causes.call_evidence import CallQueries
from analysis.causes.cause_signatures import Cause
from analysis.causes.driver_effects import effects_of, repriced, saved
from analysis.causes.root_causes import find
from analysis.diagnosis import driver_values
from analysis.diagnosis.result import BegunDay, CauseEstimate, Diagnosis, DriverLine
from analysis.dimensions import dimensions
from analysis.ledger.costs_view import costs_relation, on_wall_clock, ranges_relation
from analysis.reports.call_labels import labelled_view
from ingest.errors import InputError, did_you_mean
from ingest.store.database import Store, has_tables

SO_FAR: Final = "activity_so_far"
COMPARED: Final = 14  # days that say how much of a day these hours usually hold
TELLING: Final = 0.1  # of a day's amount, below which its first hours say nothing
LEAST_MEMORY: Final = 700_000_000  # bytes that DuckDB may hold while it answers
BYTES_A_CALL: Final = 70  # beyond that
DETAILED: Final = 40  # drivers that get an order range; it costs 2^11 evaluations per segment


def diagnose(
    store: Store,
    *,
    day: date | None = None,
    baseline: tuple[date, date] | None = None,
    by: Sequence[str] = ("agent", "task"),
    metric: str = "cost",
) -> Diagnosis:
    """Explain `day` against `baseline` (a range of days) or its matched baseline.

    Without `day`: the newest day that can be judged, flagged or not. A day that the log covers in part is compared
    with the same hours of earlier days. Raises InputError where there is nothing to explain.
    """
    by = segment_names(by)
    if metric not in METRICS:
        raise InputError(f"'{metric}' is not a metric", remedy=did_you_mean(metric, METRICS))
    log = log_days.of(store)
    with store.read() as con:
        require_costs(con, store)
        _bound_memory(con)
        relation = costs_relation(con)
        past = activity(con, metric, on_wall_clock(con, relation))
        if not any(past.totals.values()):
            raise InputError(
                "no call has both a time and a price" if metric == "cost" else "no call has a time",
                where=store.address,
                remedy="See what is missing with: hindcast cost --by cost_status",
            )
        said = marks(con)
        noted = read_annotations(con)
        judged = _judged(past, said)
        newest_asked = day is None
        begun = log.begun if log.begun in judged and day in (None, log.begun) else None
        so_far = _so_far(con, metric, relation, past, said, log) if begun else None
        if begun and so_far and day is None and not _tells(so_far, past, judged, begun):
            so_far = None
        day = day or (begun if begun and so_far else newest(judged, log.whole))
        if day not in past.totals:
            near = min(past.totals, key=lambda d: (abs((d - day).days), d))
            raise InputError(f"no calls on {day}", remedy=f"The nearest day with calls is {near}.")
        until = log.until if so_far else None
        later = [d for d in past.totals if d > day] if newest_asked else []
        begun_only = next((d for d in later if d == log.begun and d not in past.unknown), None)
        exceeds = so_far is not None and _exceeds(judged[day])
        costs, table = (so_far.hours.totals, SO_FAR) if so_far else (past.totals, "activity")
        if so_far:
            verdict = so_far.judged[day]
            judged = {**judged, day: replace(verdict, flagged=verdict.flagged or (exceeds and day not in said))}
        elif log.begun in judged and day != log.begun:
            judged = {d: j for d, j in judged.items() if d != log.begun}  # nothing can be said of it yet
        flags = {d for d, j in judged.items() if j.flagged}
        base = (
            baselines.range_baseline(day, *baseline, costs)
            if baseline
            else baselines.matched_baseline(day, costs, flags, past.unknown)
        )
        # from here on the questions are about these days alone
        relation = on_wall_clock(con, ranges_relation(con, relation, past.ranges([day, *base.weights])), until)
        split = dimensions(by, "segment")
        relation = labelled_view(con, store, relation, split)
        history = labelled_view(con, store, on_wall_clock(con, "calls"), split)
        sums = day_sums(con, [day, *base.weights], by, metric=metric, relation=relation)
        compared = compare(sums, day, base.weights, price_lists(con))
        drivers, game, phi = explain(compared.cells, compared.before, compared.after)
        drivers, residual = without_price(drivers, compared)
        common = error_scale([judged[d].error for d in judged if d < day and judged[d].forecast is not None])
        strayed = surprise(sums, compared, game.state, base.weights, phi, common)
        effects, universe = effects_of(drivers, compared, by, strayed)
        noticed = alerts(con, day, judged, table) if metric == "cost" else []
        queries = CallQueries(con, day, base.weights, relation, metric, history)
        total = sum(compared.after)
        causes = find(effects, universe, queries, total - sum(compared.before), total, by, repriced(compared))
        telling = [cause for cause in causes if cause.surprising][: drilldown.LOOKED_INTO]
        inside = dict(zip(map(id, telling), drilldown.inside(telling, queries), strict=True))
    actual, expected, unit = sum(compared.after), sum(compared.before), Decimal(SCALE[metric])
    verdict = judged.get(day) or Judgement(day, 0.0, None, None, None, None, False, 0)
    enough = verdict.forecast is not None and not base.low_history
    low, high = _range(verdict, expected / int(unit), metric) if enough else (None, None)
    began = onset(judged, day)
    return Diagnosis(
        day=day,
        metric=metric,
        by=by,
        actual=Decimal(actual) / unit,
        expected=Decimal(expected) / unit,
        drivers=driver_lines(drivers, compared, game, by, unit),
        residual=Decimal(residual) / unit,
        flagged=verdict.flagged,
        verdict="not_enough_history" if not enough else "flagged" if verdict.flagged else "ordinary",
        low=low,
        high=high,
        p_value=verdict.p_value,
        onset=began,
        until=until,
        exceeds_whole_day=exceeds,
        newest=day == max(judged, default=day),
        left_out=_begun_day(past, begun_only, unit) if begun_only else None,
        unjudged={d: past.unknown[d] for d in later if d in past.unknown},
        last_day=log.covered[-1],
        runs=flagged_runs(judged),
        baseline=base,
        alerts=noticed,
        feedback=said.get(day),
        annotations=suspects(noted, day, began),
        causes=[
            replace(_estimate(cause, compared, game, actual - expected, unit), inside=inside.get(id(cause), []))
            for cause in causes
        ],
        unpriced=(sums.unpriced.get(day, 0), sum(sums.unpriced.get(d, 0) * w for d, w in base.weights.items())),
        failed=(sums.failed.get(day, 0), sum(sums.failed.get(d, 0) * w for d, w in base.weights.items())),
        priced=(float(compared.cells.of(1, "calls").sum()), float(compared.cells.of(0, "calls").sum())),
    )


def _begun_day(past: Activity, day: date, unit: Decimal) -> BegunDay:
    """The newest day, which cannot be judged, and the most that any day before it came to."""
    so_far, most = (
        round(Decimal(at), 12 if unit > 1 else 0)
        for at in (past.totals[day], max((at for d, at in past.totals.items() if d < day), default=0.0))
    )
    return BegunDay(day, so_far, most)


@dataclass(frozen=True)
class SoFar:
    """The same hours of every day as the newest one has so far."""

    hours: Activity
    judged: Mapping[date, Judgement]


def newest(judged: Mapping[date, Judgement], whole: Sequence[date]) -> date:
    """The newest whole day with calls, else the newest day."""
    return max((day for day in whole if day in judged), default=max(judged))


def _judged(past: Activity, said: Collection[date]) -> dict[date, Judgement]:
    return judge({d: cost for d, cost in past.totals.items() if d not in past.unknown}, accepted=said)


def _so_far(
    con: duckdb.DuckDBPyConnection,
    metric: str,
    relation: str,
    past: Activity,
    said: Collection[date],
    log: log_days.LogDays,
) -> SoFar:
    """Every day up to the wall clock of the log's last call; a day without a call by then had 0."""
    found = activity(con, metric, on_wall_clock(con, relation, log.until), SO_FAR)
    hours = replace(found, totals={day: found.totals.get(day, 0.0) for day in past.totals})
    return SoFar(hours, _judged(replace(hours, unknown=past.unknown | found.unknown), said))


def _tells(so_far: SoFar, past: Activity, judged: Mapping[date, Judgement], day: date) -> bool:
    """Whether the newest day can be judged by its hours so far: it already exceeds a whole day's range, or these hours
    usually hold enough of a day, and there is a range for them."""
    if _exceeds(judged[day]):
        return True
    earlier = [d for d in past.totals if d < day][-COMPARED:]
    usual = sum(so_far.hours.totals[d] for d in earlier)
    return so_far.judged[day].forecast is not None and usual >= TELLING * sum(past.totals[d] for d in earlier)


def _exceeds(whole_day: Judgement) -> bool:
    """Whether a day is beyond its range for a whole day already."""
    return whole_day.flagged and whole_day.direction > 0


def onset(judged: Mapping[date, Judgement], day: date) -> date | None:
    """The first day of the unbroken run of days flagged in the same direction that `day` belongs to."""
    if day not in judged or not judged[day].flagged:
        return None
    start = day
    for earlier in sorted((d for d in judged if d < day), reverse=True):
        if not judged[earlier].flagged or judged[earlier].direction != judged[day].direction:
            break
        start = earlier
    return start


def require_costs(con: duckdb.DuckDBPyConnection, store: Store) -> None:
    """Raise InputError where the calls have no cost yet."""
    if not has_tables(con, "costs"):
        raise InputError("the calls have no cost yet", where=store.address, remedy="Run: hindcast reprice")


def _bound_memory(con: duckdb.DuckDBPyConnection) -> None:
    """Keep DuckDB from holding every block it has read: what a diagnosis works on at a time is far less. A setting of
    the user's own that is lower stays."""
    calls = con.execute("SELECT estimated_size FROM duckdb_tables() WHERE table_name = 'calls'").fetchone()
    size = max(LEAST_MEMORY, BYTES_A_CALL * (calls[0] if calls else 0))
    held = con.execute(
        "SELECT parse_formatted_bytes(current_setting('memory_limit')) <= $size", {"size": size}
    ).fetchone()
    if held and not held[0]:
        con.execute(f"SET memory_limit = '{size:d}B'")


def price_lists(con: duckdb.DuckDBPyConnection) -> dict[int, int]:
    """price row -> the first row of its price list: rows for long prompts of one list are not a change of price."""
    if not has_tables(con, "prices"):
        return {}
    return dict(
        con.execute(
            """SELECT price_id, min(price_id) OVER (PARTITION BY provider, model, tier, effective_from, tod_from)
               FROM prices"""
        ).fetchall()
    )


def without_price(drivers: Sequence[Driver], compared: Comparison) -> tuple[list[Driver], int]:
    """The drivers that can be told, and the amount of the others: a segment whose other side has calls but no price
    cannot be new, gone or explained, because what it cost there is not known."""
    known, residual = [], 0
    for driver in drivers:
        k = driver.segment
        if (driver.factor == NEW_SEGMENT and compared.unpriced_before[k]) or (
            driver.factor == VANISHED_SEGMENT and compared.unpriced_after[k]
        ):
            residual += driver.delta
        else:
            known.append(driver)
    return known, residual


def driver_lines(
    drivers: Sequence[Driver], compared: Comparison, game: Game, by: tuple[str, ...], unit: Decimal
) -> list[DriverLine]:
    """The drivers as they are shown; the first DETAILED of them with their range over all orders. `unit`: the integers
    of the drivers in one dollar, call or token."""
    change = sum(compared.after) - sum(compared.before)
    lines: list[DriverLine] = []
    values: dict[int, Float64Array] = {}
    for driver in drivers:
        k = driver.segment
        spread = saves = None
        if driver.factor in FACTORS and len(lines) < DETAILED:
            if k not in values:
                values[k] = game.segment(k)
            low, high = order_range(values[k], driver.factor)
            spread = (Decimal(round(low)) / unit, Decimal(round(high)) / unit)
            saves = Decimal(round(undoing(values[k], driver.factor))) / unit
        elif driver.factor == NEW_SEGMENT:
            saves = Decimal(driver.delta) / unit
        before, after, name, detail = driver_values.values(compared, game.state, driver)
        lines.append(
            DriverLine(
                segment=dict(zip(by, compared.segments[k], strict=True)),
                factor=driver.factor,
                delta=Decimal(driver.delta) / unit,
                share=driver.delta / change if change else None,
                before=before,
                after=after,
                unit=name,
                detail=detail,
                order_range=spread,
                undo_saves=saves,
            )
        )
    return lines


def _estimate(cause: Cause, compared: Comparison, game: Game, change: int, unit: Decimal) -> CauseEstimate:
    saves = saved(cause, compared, game) if cause.saves is None else float(cause.saves)
    return CauseEstimate(
        cause, Decimal(cause.delta) / unit, cause.delta / change if change else None, Decimal(round(saves)) / unit
    )


def _range(verdict: Judgement, expected: float, metric: str) -> tuple[Decimal | None, Decimal | None]:
    """The range of the detector's forecast, moved to lie around what the matched baseline expects; in dollars and
    cents, calls or tokens."""
    factor = expected / verdict.forecast if verdict.forecast else 1.0
    digits = 2 if metric == "cost" else 0
    low, high = (None if at is None else round(Decimal(at * factor), digits) for at in (verdict.low, verdict.high))
    return low, high
