"""The calls of some days as sums per day, segment, model, tier and gateway hit: one grouped pass in DuckDB."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

import duckdb
import numpy as np

from analysis.activity import unweighted
from analysis.factors import MEASURES, Cells, Float
from ingest.errors import InputError, did_you_mean

# dimension -> column of `costs`. Only these reach SQL.
DIMENSIONS: Final = {
    "agent": "agent",
    "task": "task",
    "model": "model",
    "provider": "provider_name",
    "user": "user_id",
    "team": "team",
    "environment": "environment",
    "service": "service_name",
    "workflow": "workflow_name",
    "template": "prompt_name",
    "tier": "service_tier",
    "region": "region",
}
METRICS: Final = ("cost", "calls", "tokens")
SCALE: Final = {"cost": 10**12, "calls": 10**6, "tokens": 10**6}
_UNKNOWN_IDS: Final = 0.95  # share of calls that must carry an id before requests are told apart


def dimensions(names: Sequence[str]) -> tuple[str, ...]:
    """Checked dimension names. Raises InputError on an unknown one."""
    for name in names:
        if name not in DIMENSIONS:
            raise InputError(f"'{name}' is not a dimension of calls", remedy=did_you_mean(name, DIMENSIONS))
    return tuple(dict.fromkeys(names))


@dataclass(frozen=True)
class DaySums:
    """Sums per day and cell, and what they leave out.

    `rows` maps day -> {(segment values, model, tier, hit): measures}; `exact` the integer metric of the same key;
    `requests` maps day -> {segment: (calls, requests, calls with request id, sessions, calls with either id)}.
    """

    by: tuple[str, ...]
    rows: Mapping[date, Mapping[tuple[Any, ...], Float]]
    exact: Mapping[date, Mapping[tuple[Any, ...], int]]
    price_ids: Mapping[date, Mapping[tuple[Any, ...], frozenset[int]]]
    requests: Mapping[date, Mapping[tuple[str | None, ...], tuple[float, ...]]]
    unpriced: Mapping[date, int]  # calls
    unpriced_segments: Mapping[date, frozenset[tuple[str | None, ...]]]


def day_sums(
    con: duckdb.DuckDBPyConnection,
    days: Sequence[date],
    by: Sequence[str],
    *,
    metric: str = "cost",
    relation: str = "costs",
) -> DaySums:
    """Sums of the calls of `days` (UTC). For `cost`, calls without a price are left out and counted.

    `relation` is `costs` or its equal (`aligned.costs_relation`).
    """
    by = dimensions(by)
    if metric not in METRICS:
        raise InputError(f"'{metric}' is not a metric", remedy=did_you_mean(metric, METRICS))
    found = _cells(con, days, by, metric, relation)
    requests = _requests(con, days, by, metric, relation, found[5])
    return DaySums(by, found[0], found[1], found[2], requests, found[3], found[4])


def window(days: Sequence[date]) -> tuple[str, dict[str, Any]]:
    """A condition on start_time that holds for exactly these days, as few ranges as possible."""
    ranges: list[list[date]] = []
    for day in sorted(set(days)):
        if ranges and ranges[-1][1] == day:
            ranges[-1][1] = day + timedelta(days=1)
        else:
            ranges.append([day, day + timedelta(days=1)])
    parts = [f"(start_time >= $from{i} AND start_time < $to{i})" for i in range(len(ranges))]
    values: dict[str, Any] = {}
    for i, (first, last) in enumerate(ranges):
        values |= {f"from{i}": first, f"to{i}": last}
    return "(" + " OR ".join(parts) + ")", values


# token counts as they can be billed: never negative, and parts never larger than the whole
_CLEAN: Final = """
    greatest(coalesce(input_tokens, 0), 0) AS t_in,
    least(greatest(coalesce(cache_read_input_tokens, 0), 0), coalesce(input_tokens, 0)) AS t_read,
    least(greatest(coalesce(cache_creation_input_tokens, 0), 0),
          coalesce(input_tokens, 0) - least(coalesce(cache_read_input_tokens, 0), coalesce(input_tokens, 0)))
        AS t_write,
    greatest(coalesce(output_tokens, 0), 0) AS t_out,
    least(greatest(coalesce(reasoning_output_tokens, 0), 0), coalesce(output_tokens, 0)) AS t_reason"""
_MONEY: Final = (
    "uncached_input_usd", "cache_read_usd", "cache_write_usd", "output_usd", "reasoning_usd", "other_usd", "cost_usd",
)  # fmt: skip
Counts = dict[date, dict[tuple[str | None, ...], list[Any]]]


def segment_hash(by: Sequence[str]) -> str:
    """A whole number in place of a segment's names; it serves within one run."""
    return f"hash({', '.join(DIMENSIONS[name] for name in by)})" if by else "0::UBIGINT"


def _cells(
    con: duckdb.DuckDBPyConnection, days: Sequence[date], by: tuple[str, ...], metric: str, relation: str
) -> tuple[Any, ...]:
    """Sums, exact totals, price rows, unpriced calls, unpriced segments, and per day and segment of the calls that
    count: [rows, with a request id, with a conversation id, all of weight 1, hash]."""
    where, values = window(days)
    dims = "".join(f"{DIMENSIONS[name]}, " for name in by)
    priced = "cost_usd IS NOT NULL" if metric == "cost" else "true"
    money = "".join(f", (sum({column}) * 1000000000000)::HUGEINT::VARCHAR" for column in _MONEY)
    times = "" if unweighted(con) else " * weight"
    n = "sum(weight)" if times else "count(*)"
    sql = f"""
        SELECT day, {dims}model, tier, hit, priced, {n}::DOUBLE, sum((t_in - t_read - t_write){times})::DOUBLE,
               sum(t_read{times})::DOUBLE, sum(t_write{times})::DOUBLE, sum((t_out - t_reason){times})::DOUBLE,
               sum(t_reason{times})::DOUBLE, ({n} * 1000000)::HUGEINT::VARCHAR,
               (sum((t_in + t_out){times}) * 1000000)::HUGEINT::VARCHAR,
               min(price_id), max(price_id) {money},
               count(*), count(request_id), count(conversation_id), min(weight) = 1 AND max(weight) = 1,
               {segment_hash(by)}
        FROM (
            SELECT *, start_time::DATE AS day, {_CLEAN},
                   CASE WHEN is_batch THEN 'batch' ELSE coalesce(service_tier, 'standard') END AS tier,
                   coalesce(cost_status = 'gateway_hit', false) AS hit, {priced} AS priced
            FROM {relation} WHERE {where}
        )
        GROUP BY day, {dims}model, tier, hit, priced
        ORDER BY day, {dims}model, tier, hit, priced"""
    rows: dict[date, dict[tuple[Any, ...], Float]] = {}
    exact: dict[date, dict[tuple[Any, ...], int]] = {}
    ids: dict[date, dict[tuple[Any, ...], frozenset[int]]] = {}
    unpriced: dict[date, int] = {}
    without: dict[date, set[tuple[str | None, ...]]] = {}
    counts: Counts = {}
    width = len(by)
    for row in con.execute(sql, values).fetchall():
        day, segment, (model, tier, hit, is_priced) = row[0], row[1 : 1 + width], row[1 + width : 5 + width]
        numbers = row[5 + width :]
        if not is_priced:
            unpriced[day] = unpriced.get(day, 0) + round(numbers[0])
            without.setdefault(day, set()).add(segment)
            continue
        key = (segment, model, tier, hit)
        amounts, total = _amounts(metric, numbers)
        rows.setdefault(day, {})[key] = amounts
        exact.setdefault(day, {})[key] = total
        ids.setdefault(day, {})[key] = frozenset(i for i in numbers[8:10] if i is not None)
        calls, asked, talked, plain, number = numbers[17:]
        count = counts.setdefault(day, {}).setdefault(segment, [0, 0, 0, True, number])
        count[0] += calls
        count[1] += asked
        count[2] += talked
        count[3] = count[3] and plain
    return rows, exact, ids, unpriced, {day: frozenset(found) for day, found in without.items()}, counts


def _amounts(metric: str, numbers: Sequence[Any]) -> tuple[Float, int]:
    """MEASURES of one group, and its exact integer total in the metric's unit.

    For the metrics `calls` and `tokens` a call or a token takes the place of a dollar, so that one formula serves.
    """
    calls, uncached, read, write, output, reasoning = (float(value or 0) for value in numbers[:6])
    tokens = (uncached, read, write, output, reasoning)
    if metric == "cost":
        money = [int(value or 0) for value in numbers[10:17]]
        return np.array([calls, *tokens, *money[:6]], np.float64), money[6]
    if metric == "calls":
        micro = int(numbers[6] or 0)
        return np.array([calls, *tokens, 0, 0, 0, 0, 0, micro], np.float64), micro
    scaled = [value * 1e6 for value in tokens]
    return np.array([calls, *tokens, *scaled, 0.0], np.float64), int(numbers[7] or 0)


def _requests(
    con: duckdb.DuckDBPyConnection,
    days: Sequence[date],
    by: tuple[str, ...],
    metric: str,
    relation: str,
    counts: Counts,
) -> dict[date, dict[tuple[str | None, ...], tuple[float, ...]]]:
    """(calls, requests, calls with a request id, sessions, calls with a session id, unweighted?) per day and segment.

    Distinct ids are counted only where they can matter: sessions where requests do not tell calls apart.
    """
    where, values = window(days)
    priced = "cost_usd IS NOT NULL" if metric == "cost" else "true"

    def distinct(column: str) -> dict[tuple[date, int], float]:
        sql = f"""
            SELECT start_time::DATE AS day, {segment_hash(by)} AS segment, count(DISTINCT hash({column}))
            FROM {relation} WHERE {where} AND {priced} AND {column} IS NOT NULL GROUP BY day, segment"""
        return {(row[0], row[1]): row[2] for row in con.execute(sql, values).fetchall()}

    every = [count for found in counts.values() for count in found.values()]
    calls, with_request, with_session = (sum(count[i] for count in every) for i in (0, 1, 2))
    requests = distinct("request_id") if with_request >= 0.05 * max(calls, 1) else {}
    apart = with_request >= _UNKNOWN_IDS * calls and sum(requests.values()) < 0.999 * with_request
    sessions = distinct("conversation_id") if with_session and not apart else {}
    return {
        day: {
            segment: (n, requests.get((day, named), 0), asked, sessions.get((day, named), 0),
                      talked if sessions else 0, plain)
            for segment, (n, asked, talked, plain, named) in found.items()
        }
        for day, found in counts.items()
    }  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """A day against a weighted set of baseline days: the cells of the game and the exact totals per segment."""

    segments: list[tuple[str | None, ...]]
    models: list[str | None]
    tiers: list[str]
    cells: Cells
    before: list[int]
    after: list[int]
    unpriced_before: list[bool]  # the segment has calls without a price on this side, and none with one
    unpriced_after: list[bool]
    unit: list[str]  # what `volume` counts in this segment: requests, sessions or calls


def _order(value: Any) -> tuple[Any, ...]:
    return tuple((part is not None, part if part is not None else "") for part in value)


def compare(
    sums: DaySums, day: date, weights: Mapping[date, float], epochs: Mapping[int, Any] | None = None
) -> Comparison:
    """Cells of `day` against the weighted sum of the baseline days. `epochs` maps a price row to its price list."""
    totals: list[dict[tuple[Any, ...], Float]] = [{}, dict(sums.rows.get(day, {}))]
    exact: list[dict[tuple[Any, ...], float]] = [{}, {}]
    ids: list[dict[tuple[Any, ...], set[int]]] = [{}, {}]
    for key, total in sums.exact.get(day, {}).items():
        exact[1][key[0]] = exact[1].get(key[0], 0) + total
    for key, found in sums.price_ids.get(day, {}).items():
        ids[1].setdefault(key, set()).update(found)
    for past in sorted(weights):
        for key, amounts in sums.rows.get(past, {}).items():
            totals[0][key] = totals[0].get(key, 0) + weights[past] * amounts
            exact[0][key[0]] = exact[0].get(key[0], 0.0) + weights[past] * sums.exact[past][key]
            ids[0].setdefault(key, set()).update(sums.price_ids[past][key])
    keys = sorted({*totals[0], *totals[1]}, key=lambda k: (_order(k[0]), _order(k[1:3]), k[3]))
    segments = sorted({key[0] for key in keys}, key=_order)
    models = sorted({key[1] for key in keys}, key=lambda m: _order((m,)))
    tiers = sorted({key[2] for key in keys})
    number = {segment: i for i, segment in enumerate(segments)}
    model_number = {model: i for i, model in enumerate(models)}
    zero = np.zeros(len(MEASURES))
    epochs = epochs or {}

    def lists(side: int, key: tuple[Any, ...]) -> set[Any]:
        return {epochs.get(i, i) for i in ids[side].get(key, ())}

    cells = Cells(
        segment=np.array([number[key[0]] for key in keys], np.int64),
        model=np.array([model_number[key[1]] for key in keys], np.int64),
        tier=np.array([tiers.index(key[2]) for key in keys], np.int64),
        hit=np.array([key[3] for key in keys], np.bool_),
        sums=(
            np.array([totals[0].get(key, zero) for key in keys]).reshape(len(keys), len(MEASURES)).T,
            np.array([totals[1].get(key, zero) for key in keys]).reshape(len(keys), len(MEASURES)).T,
        ),
        repriced=np.array(
            [bool(lists(0, key)) and bool(lists(1, key)) and lists(0, key) != lists(1, key) for key in keys], np.bool_
        ),
        segments=len(segments),
        requests=np.full((2, len(segments)), np.nan),
    )
    unit = _count_requests(cells.requests, sums, day, weights, segments)
    return Comparison(
        segments=segments,
        models=models,
        tiers=tiers,
        cells=cells,
        before=[round(exact[0].get(segment, 0)) for segment in segments],
        after=[int(exact[1].get(segment, 0)) for segment in segments],
        unpriced_before=_only_unpriced(sums, weights, segments),
        unpriced_after=_only_unpriced(sums, [day], segments),
        unit=unit,
    )


def _only_unpriced(sums: DaySums, days: Iterable[date], segments: Sequence[tuple[str | None, ...]]) -> list[bool]:
    """Which segments have calls on these days, but none with a price."""
    days = list(days)
    priced = {key[0] for day in days for key in sums.rows.get(day, {})}
    without = {segment for day in days for segment in sums.unpriced_segments.get(day, ())}
    return [segment in without and segment not in priced for segment in segments]


def _count_requests(
    requests: Float,
    sums: DaySums,
    day: date,
    weights: Mapping[date, float],
    segments: Sequence[tuple[str | None, ...]],
) -> list[str]:
    """Fill `requests` (2, segments) where both sides can tell requests, else sessions, apart; name what was counted."""
    units = []
    for k, segment in enumerate(segments):
        sides = []
        for days in (weights, {day: 1.0}):
            counts = np.zeros(5)
            for past, share in days.items():
                row = sums.requests.get(past, {}).get(segment)
                if row is not None:
                    counts += share * np.array(row[:5], np.float64) if row[5] else np.nan
            sides.append(counts)
        unit = "calls"
        for name, at in (("requests", 1), ("sessions", 3)):
            told = all(s[0] > 0 and s[at + 1] >= _UNKNOWN_IDS * s[0] for s in sides)
            # an id per call tells nothing about calls per request
            if told and any(s[at] < 0.999 * s[at + 1] for s in sides):
                for side, s in enumerate(sides):
                    requests[side, k] = s[at] + (s[0] - s[at + 1])
                unit = name
                break
        units.append(unit)
    return units
