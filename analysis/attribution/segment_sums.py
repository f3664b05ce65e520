"""The calls of some days as sums per day, segment, model, tier and gateway hit: one grouped pass in DuckDB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

import duckdb
import numpy as np

from analysis.anomalies.hourly_activity import unweighted
from analysis.array_types import BoolArray, Float64Array, Int64Array
from analysis.attribution.factors import MEASURES
from analysis.dimensions import dimension, dimensions
from analysis.ledger.costs_view import FAILED
from ingest.errors import InputError, did_you_mean

METRICS: Final = ("cost", "calls", "tokens")
SCALE: Final = {"cost": 10**12, "calls": 10**6, "tokens": 10**6}
UNKNOWN_IDS: Final = 0.95  # share of calls that must carry an id before requests are told apart


def segment_names(names: Sequence[str]) -> tuple[str, ...]:
    """The canonical names of dimensions, each once. Raises InputError where a day cannot be explained by one."""
    return tuple(one.name for one in dimensions(names, "segment"))


def segment_sql(name: str) -> str:
    """SQL over `costs` (labelled where need be) of a segment's value in a dimension, as text."""
    return dimension(name, "segment").text


Names = tuple[str | None, ...]


@dataclass(frozen=True)
class DayCells:
    """The sums of one day, a row for each cell with calls, in order of their names."""

    cell: Int64Array
    measures: Float64Array  # (MEASURES, rows)
    exact: list[int]  # the integer metric of each row
    price_ids: tuple[Int64Array, Int64Array]  # the least and the largest price row, -1 for none


@dataclass(frozen=True)
class DaySums:
    """Sums per day and cell, and what they leave out. A cell is a segment's calls of one model, tier and gateway hit.

    `requests` maps day -> (6, segments): calls, requests, calls with a request id, sessions, calls with a session id,
    and 1 where every call has weight 1; columns of segments without calls are 0.
    """

    by: tuple[str, ...]
    segments: list[Names]
    models: list[str | None]
    tiers: list[str]
    segment: Int64Array  # of each cell; cells stand in order of segment, model, tier, hit
    model: Int64Array
    tier: Int64Array
    hit: BoolArray
    days: Mapping[date, DayCells]
    requests: Mapping[date, Float64Array]
    unpriced: Mapping[date, int]  # calls, without those that failed and name no usage
    unpriced_segments: Mapping[date, frozenset[Names]]
    failed: Mapping[date, int]  # calls that failed and name no usage


def day_sums(
    con: duckdb.DuckDBPyConnection,
    days: Sequence[date],
    by: Sequence[str],
    *,
    metric: str = "cost",
    relation: str = "costs",
) -> DaySums:
    """Sums of the calls of `days` (UTC). For `cost`, calls without a price are left out and counted.

    `relation` is `costs` or its equal (`costs_view.costs_relation`).
    """
    by = segment_names(by)
    if metric not in METRICS:
        raise InputError(f"'{metric}' is not a metric", remedy=did_you_mean(metric, METRICS))
    found = _groups(con, days, by, metric, relation)
    unpriced, failed, without = _without_price(found, len(by))
    found = {name: column[found["priced"]] for name, column in found.items()}
    # names are compared once for each distinct one, numbers from there on
    number, first, segment = np.unique(found["number"], return_index=True, return_inverse=True)
    names: list[Names] = list(zip(*(found[f"d{i}"][first].tolist() for i in range(len(by))), strict=True))
    names = names if by else [()] * len(number)
    order = sorted(range(len(names)), key=lambda i: _order(names[i]))
    segment = _ranks(order)[segment]
    models = sorted(set(found["model"].tolist()), key=lambda m: _order((m,)))
    tiers = sorted(set(found["tier"].tolist()))
    model, tier = _codes(found["model"], models), _codes(found["tier"], tiers)
    hit = found["hit"].astype(np.int64)
    code = ((segment * max(len(models), 1) + model) * max(len(tiers), 1) + tier) * 2 + hit
    _, first, cell = np.unique(code, return_index=True, return_inverse=True)
    rows = {d: np.flatnonzero(found["day"] == np.datetime64(d, "D")) for d in sorted(set(days))}
    measures = _measures(metric, found)
    exact = [
        int(high) * EXACT + int(low) for high, low in zip(found["high"].tolist(), found["low"].tolist(), strict=True)
    ]
    place = {int(number[i]): k for k, i in enumerate(order)}
    return DaySums(
        by=by,
        segments=[names[i] for i in order],
        models=models,
        tiers=tiers,
        segment=segment[first],
        model=model[first],
        tier=tier[first],
        hit=hit[first].astype(np.bool_),
        days={
            d: DayCells(
                cell[at],
                measures[:, at],
                [exact[i] for i in at.tolist()],
                (found["least_price"][at], found["most_price"][at]),
            )
            for d, at in rows.items()
            if len(at)
        },
        requests=_requests(con, days, by, metric, relation, found, segment, place),
        unpriced=unpriced,
        unpriced_segments=without,
        failed=failed,
    )


def _order(value: Any) -> tuple[Any, ...]:
    return tuple((part is not None, part if part is not None else "") for part in value)


def _ranks(order: Sequence[int]) -> Int64Array:
    """The place of each item in an order."""
    ranks = np.empty(len(order), np.int64)
    ranks[list(order)] = np.arange(len(order))
    return ranks


def _codes(column: Any, values: Sequence[Any]) -> Int64Array:
    number = {value: i for i, value in enumerate(values)}
    return np.array([number[value] for value in column.tolist()], np.int64)


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
EXACT: Final = 10**15  # an exact total comes as two 64-bit integers, of which this is the unit of the first


def segment_hash(by: Sequence[str]) -> str:
    """SQL of a 64-bit hash of the dimension values; valid in one process."""
    return f"hash({', '.join(segment_sql(name) for name in by)})" if by else "0::UBIGINT"


def _groups(
    con: duckdb.DuckDBPyConnection, days: Sequence[date], by: tuple[str, ...], metric: str, relation: str
) -> dict[str, Any]:
    """Columns of one row per day and cell, priced or not, in order of day and names: `d0`.. the segment's names and
    `number` its hash, counts of rows, `plain` where all have weight 1."""
    where, values = window(days)
    dims = "".join(f"{segment_sql(name)} AS d{i}, " for i, name in enumerate(by))
    keys = "".join(f"d{i}, " for i in range(len(by)))
    priced = "cost_usd IS NOT NULL" if metric == "cost" else "true"
    money = ", ".join(f"(sum({column}) * 1000000000000)::HUGEINT::DOUBLE AS {column}" for column in _MONEY[:-1])
    times = "" if unweighted(con) else " * weight"
    n = "sum(weight)" if times else "count(*)"
    exact = {
        "cost": "(sum(cost_usd) * 1000000000000)::HUGEINT",
        "calls": f"({n} * 1000000)::HUGEINT",
        "tokens": f"(sum((t_in + t_out){times}) * 1000000)::HUGEINT",
    }[metric]
    sql = f"""
        SELECT *, (exact // {EXACT:d})::BIGINT AS high, (exact % {EXACT:d})::BIGINT AS low FROM (
            SELECT day, {keys}model, tier, hit, priced, {n}::DOUBLE AS calls,
                   coalesce({n} FILTER (failed), 0)::DOUBLE AS failed,
                   sum((t_in - t_read - t_write){times})::DOUBLE AS uncached, sum(t_read{times})::DOUBLE AS read,
                   sum(t_write{times})::DOUBLE AS write, sum((t_out - t_reason){times})::DOUBLE AS output,
                   sum(t_reason{times})::DOUBLE AS reasoning, coalesce({exact}, 0) AS exact,
                   coalesce(min(price_id), -1) AS least_price, coalesce(max(price_id), -1) AS most_price, {money},
                   count(*) AS rows, count(request_id) AS asked, count(conversation_id) AS talked,
                   coalesce(min(weight) = 1 AND max(weight) = 1, false) AS plain, any_value(number) AS number
            FROM (
                SELECT *, start_time::DATE AS day, {dims}{_CLEAN}, {segment_hash(by)} AS number,
                       CASE WHEN is_batch THEN 'batch' ELSE coalesce(service_tier, 'standard') END AS tier,
                       coalesce(cost_status = 'gateway_hit', false) AS hit, {priced} AS priced,
                       coalesce({FAILED}, false) AS failed
                FROM {relation} WHERE {where}
            )
            GROUP BY day, {keys}model, tier, hit, priced
        )
        ORDER BY day, {keys}model, tier, hit, priced"""
    found = con.execute(sql, values).fetchnumpy()
    names = {*(f"d{i}" for i in range(len(by))), "model", "tier"}
    return {
        name: _texts(column)
        if name in names
        else column.astype("datetime64[D]")
        if name == "day"
        else np.ma.filled(column, 0)
        for name, column in found.items()
    }


def _texts(column: Any) -> Any:
    """A column of texts, None where there is none."""
    texts = np.array(np.ma.getdata(column), object)
    texts[np.ma.getmaskarray(column)] = None
    return texts


def _without_price(
    found: Mapping[str, Any], width: int
) -> tuple[dict[date, int], dict[date, int], dict[date, frozenset[Names]]]:
    """Calls without a price by day, those that failed and name no usage by day, and the segments of the former."""
    unpriced: dict[date, int] = {}
    failed: dict[date, int] = {}
    without: dict[date, set[Names]] = {}
    for i in np.flatnonzero(~found["priced"]).tolist():
        day = found["day"][i].item()
        lost = round(float(found["failed"][i]))
        left = round(float(found["calls"][i])) - lost
        unpriced[day], failed[day] = unpriced.get(day, 0) + left, failed.get(day, 0) + lost
        if left:
            without.setdefault(day, set()).add(tuple(found[f"d{j}"][i] for j in range(width)))
    return unpriced, failed, {day: frozenset(names) for day, names in without.items()}


def _measures(metric: str, found: Mapping[str, Any]) -> Float64Array:
    """MEASURES of each group, shape (MEASURES, groups).

    For the metrics `calls` and `tokens` a call or a token takes the place of a dollar, so that one formula serves.
    """
    tokens = [found[name] for name in ("uncached", "read", "write", "output", "reasoning")]
    nothing = np.zeros(len(tokens[0]))
    if metric == "cost":
        worth = [found[name] for name in _MONEY[:-1]]
    elif metric == "calls":
        worth = [nothing] * 5 + [found["high"] * float(EXACT) + found["low"]]
    else:
        worth = [*(column * 1e6 for column in tokens), nothing]
    return np.array([found["calls"], *tokens, *worth], np.float64).reshape(len(MEASURES), len(nothing))


def _requests(
    con: duckdb.DuckDBPyConnection,
    days: Sequence[date],
    by: tuple[str, ...],
    metric: str,
    relation: str,
    found: Mapping[str, Any],
    segment: Int64Array,
    place: Mapping[int, int],
) -> dict[date, Float64Array]:
    """(calls, requests, calls with a request id, sessions, calls with a session id, unweighted?) per day and segment.

    `found` are the groups with a price, `segment` their segments, `place` the segment of a hash. Distinct ids are
    counted only where they can matter: sessions where requests do not tell calls apart.
    """
    where, values = window(days)
    priced = "cost_usd IS NOT NULL" if metric == "cost" else "true"

    def distinct(column: str) -> dict[date, list[tuple[int, int]]]:
        sql = f"""
            SELECT start_time::DATE AS day, {segment_hash(by)} AS segment, count(DISTINCT hash({column}))
            FROM {relation} WHERE {where} AND {priced} AND {column} IS NOT NULL GROUP BY day, segment"""
        counts: dict[date, list[tuple[int, int]]] = {}
        for day, number, n in con.execute(sql, values).fetchall():
            counts.setdefault(day, []).append((place[number], n))
        return counts

    calls, with_request, with_session = (int(found[name].sum()) for name in ("rows", "asked", "talked"))
    requests = distinct("request_id") if with_request >= 0.05 * max(calls, 1) else {}
    counted = sum(n for rows in requests.values() for _, n in rows)
    apart = with_request >= UNKNOWN_IDS * calls and counted < 0.999 * with_request
    sessions = distinct("conversation_id") if with_session and not apart else {}
    tables = {}
    for day in sorted(set(days)):
        at = np.flatnonzero(found["day"] == np.datetime64(day, "D"))
        if not len(at):
            continue
        table = tables[day] = np.zeros((6, len(place)))
        np.add.at(table[0], segment[at], found["rows"][at])
        np.add.at(table[2], segment[at], found["asked"][at])
        if sessions:
            np.add.at(table[4], segment[at], found["talked"][at])
        for row, counts in ((1, requests), (3, sessions)):
            for k, n in counts.get(day, ()):
                table[row, k] = n
        table[5] = table[0] > 0
        table[5, segment[at[~found["plain"][at].astype(np.bool_)]]] = 0
    return tables
