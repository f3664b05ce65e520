"""Dollars per conversation, trace, request, user, task, or per good outcome: means over units with their intervals.

An outcome is a unit's score, which lies in 0..1: dollars per outcome are the cost of all scored units over the sum of
their scores, failures included. What a score belongs to is what the log says (`score_scope`), else a conversation or
trace all of whose calls carry one value or whose last call alone is scored, else the call. Where that is a guess, what
the calls without a score of the same conversations cost stands beside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

import duckdb
import numpy as np

from analysis.dimensions import Where, as_filter, dimensions
from analysis.formatting import count, money, usd
from analysis.ledger.costs_view import costs_relation
from analysis.ratio_interval import ratio_interval
from analysis.reports.call_labels import labelled
from analysis.reports.cost import condition, require_ledger
from analysis.score_scope import COLUMN, INFERRED, inferred
from ingest.store.database import Store

UNITS: Final = {
    "conversation": "conversation_id", "trace": "trace_id", "request": "request_id", "user": "user_id", "task": "task",
}  # fmt: skip
PER: Final = (*UNITS, "outcome")
SPANNING: Final = ("conversation", "trace", "request")  # what a window of days may cut


@dataclass(frozen=True)
class UnitCosts:
    """Rows by the dimensions, dearest first, and the total. `per`: what is counted; `scope`: what scores belong to.

    A row has `units`, `calls`, `cost_usd`, `outcomes` (the sum of scores; None but for `per` outcome), `usd_per_unit`
    and the ends `low_usd` and `high_usd` of its 90 % interval, None where the units do not bound it. Units with a call
    without a price are left out and counted, as are calls that name no unit (or whose unit has no score).
    `with_unscored_usd` is the figure with the calls without a score of the same conversations, where scores are taken
    as the calls' and no log says so; None where there are none.
    """

    by: tuple[str, ...]
    per: str
    rows: list[dict[str, Any]]
    total: dict[str, Any]
    scope: str | None = None
    inferred: bool = False
    cut: int = 0  # units of the window that have calls before or after it

    @property
    def summary(self) -> str:
        """The total in a sentence."""
        total = self.total
        if total["usd_per_unit"] is None and total["units"]:
            spent = money(total["cost_usd"])
            return f"No good outcome: {count(total['units'], f'scored {self.scope}')} of no score above 0 cost {spent}."
        if total["usd_per_unit"] is None:
            return f"No {self.per} with a price{' and a score' if self.per == 'outcome' else ''} in this window."
        what = (
            f"{count(total['units'], f'scored {self.scope}')}"
            if self.per == "outcome"
            else count(total["units"], self.per)
        )
        known = f"{_range(total)} per {'good ' * (self.per == 'outcome')}{self.per}, over {what}"
        more = total.get("with_unscored_usd")
        if more is None:
            return f"{known}."
        return (
            f"{known}; {money(more)} with the calls of the same conversations that have no score (the log does not say"
            " what a score belongs to: score_scope)."
        )

    def to_json(self) -> dict[str, Any]:
        """The document of `hindcast cost --per --json`: dollars as decimal strings."""
        return {
            "by": list(self.by),
            "per": self.per,
            "score_scope": self.scope,
            "score_scope_inferred": self.inferred,
            "units_cut": self.cut,
            "rows": [_plain(row) for row in self.rows],
            "total": _plain(self.total),
        }


def unit_costs(
    store: Store,
    per: str,
    by: Sequence[str] = (),
    since: date | None = None,
    until: date | None = None,
    where: Where = None,
) -> UnitCosts:
    """Dollars per unit, by dimensions: a unit in several groups counts in each with its part of the cost.

    `since`, `until` and `where` as for `analysis.reports.cost.cost`. Raises InputError for an unknown dimension.
    """
    groups = dimensions(by)
    names = tuple(one.name for one in groups)
    chosen = as_filter(where)
    keep, values = condition(chosen, since, until)
    with store.read() as con:
        require_ledger(con, store)
        scope, stated = _scope(con) if per == "outcome" else (None, True)
        unit = _unit(scope) if scope is not None else UNITS[per]
        source = labelled(con, store, f"{costs_relation(con, 'ledger')} AS costs", (*groups, *chosen.dimensions))
        keys = "".join(f'{one.sql} AS "{one.name}", ' for one in groups)
        # calls of a conversation resemble each other: the interval is over conversations where scores are of calls
        cluster = f"coalesce('conversation ' || conversation_id, {unit})" if scope == "call" else unit
        each = f"""SELECT {keys}{unit} AS unit, any_value({cluster}) AS cluster, sum(cost_usd) AS cost_usd,
                          count(*) AS calls, count(*) FILTER (cost_usd IS NULL) AS unpriced
                     FROM {source} WHERE {keep} GROUP BY ALL"""
        scored = f"SELECT {unit} AS unit, avg(score) AS outcome FROM calls GROUP BY ALL"
        found = con.sql(
            f"SELECT * FROM ({each}) LEFT JOIN ({scored}) USING (unit)" if per == "outcome" else each,
            params=values or None,
        ).pl()
        cut = 0
        if per in SPANNING and (since or until):
            every, filtered = condition(chosen, None, None)
            inside, days = condition(as_filter(None), since, until)
            ((cut,),) = con.execute(
                f"""SELECT count(*) FROM (
                        SELECT bool_or({inside}) AS inside, bool_and({inside}) AS whole FROM {source}
                        WHERE {every} AND {unit} IS NOT NULL GROUP BY {unit})
                    WHERE inside AND NOT whole""",
                {**filtered, **days},
            ).fetchall()
    guessed = scope == "call" and not stated
    rows = [
        {**dict(zip(names, key, strict=True)), **_row(part, guessed)}
        for key, part in found.group_by(list(names), maintain_order=True)
    ] if names else []  # fmt: skip
    rows.sort(key=lambda row: (-(row["cost_usd"] or 0), *(str(row[name]) for name in names)))
    if names:  # a unit in several groups is one in the total
        sums = ("cost_usd", "calls", "unpriced")
        import polars as pl

        found = found.group_by("unit", maintain_order=True).agg(
            pl.col("cluster").first(),
            *(pl.col(name).sum() for name in sums),
            *([pl.col("outcome").first()] if per == "outcome" else []),
        )
    return UnitCosts(names, per, rows, _row(found, guessed), scope, scope != "call" and not stated, cut)


def _row(part: Any, guessed: bool) -> dict[str, Any]:
    """The figures of one group of units; `guessed`: nobody says that the scores are the calls'."""
    known = part["unit"].is_not_null() & (part["unpriced"] == 0)
    if "outcome" in part.columns:
        known &= part["outcome"].is_not_null()
    units = part.filter(known)
    cost = sum(units["cost_usd"].to_list(), Decimal(0))
    outcomes = units["outcome"].to_numpy().astype(float) if "outcome" in part.columns else np.ones(units.height)
    place = np.unique(units["cluster"].to_numpy().astype(str), return_inverse=True)[1]
    spent = units["cost_usd"].cast(float).to_numpy()
    low, high = ratio_interval(
        np.bincount(place, spent).astype(np.float64), np.bincount(place, outcomes).astype(np.float64)
    )
    total = float(outcomes.sum())
    each = (cost / Decimal(repr(total))).quantize(Decimal(1).scaleb(-12)) if total > 0 else None
    beside = None
    if guessed and each is not None:
        rest = part.filter(part["outcome"].is_null() & part["cluster"].is_in(units["cluster"].unique().implode()))
        more = sum((value for value in rest["cost_usd"].to_list() if value is not None), Decimal(0))
        if more:
            beside = ((cost + more) / Decimal(repr(total))).quantize(Decimal(1).scaleb(-12))
    return {
        "units": units.height,
        "calls": int(units["calls"].sum()),
        "cost_usd": cost if units.height else None,
        "outcomes": round(total, 6) if "outcome" in part.columns else None,
        "usd_per_unit": each,
        "low_usd": None if low is None or each is None else Decimal(repr(round(low, 12))),
        "high_usd": None if high is None or each is None else Decimal(repr(round(high, 12))),
        **({"with_unscored_usd": beside} if "outcome" in part.columns else {}),
        "left_out_calls": int(part["calls"].sum()) - int(units["calls"].sum()),
    }


def _scope(con: duckdb.DuckDBPyConnection) -> tuple[str, bool]:
    """What most scores belong to, and whether the log says so."""
    told = con.execute(
        "SELECT score_scope, count(*) AS n FROM calls WHERE score IS NOT NULL GROUP BY 1 ORDER BY n DESC, 1"
    ).fetchall()
    if told and told[0][0] is not None:
        return str(told[0][0]), True
    columns = {name: COLUMN[name] for name in INFERRED}
    codes = ", ".join(
        f"CASE WHEN {column} IS NULL THEN -1 ELSE dense_rank() OVER (ORDER BY {column}) END AS {name}"
        for name, column in columns.items()
    )
    having = " OR ".join(
        f"{column} IN (SELECT {column} FROM calls WHERE score IS NOT NULL)" for column in columns.values()
    )
    rows = con.execute(
        f"""SELECT coalesce(score, 'nan'::DOUBLE) AS score, {codes} FROM calls
             WHERE score_scope IS NULL AND ({having}) ORDER BY start_time, call_no"""
    ).fetchnumpy()
    units = {name: np.asarray(rows[name], np.int64) for name in columns}
    return inferred(np.asarray(rows["score"], np.float64), units), False


def _unit(scope: str) -> str:
    """SQL of what a call's score belongs to, as text."""
    cases = " ".join(f"WHEN '{name}' THEN '{name} ' || {column}" for name, column in COLUMN.items())
    return f"CASE coalesce(score_scope, '{scope}') {cases} ELSE 'call ' || call_no END"


def _range(row: dict[str, Any]) -> str:
    """`$0.42 ($0.31 to $0.58)`."""
    if row["low_usd"] is None:
        return money(row["usd_per_unit"])
    high = "no upper end" if row["high_usd"] is None else money(row["high_usd"])
    return f"{money(row['usd_per_unit'])} ({money(row['low_usd'])} to {high})"


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: usd(value) if isinstance(value, Decimal) else value.isoformat() if hasattr(value, "isoformat") else value
        for name, value in row.items()
    }
