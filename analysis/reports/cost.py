"""Cost reports: the ledger summed over any dimensions, with what is unpriced beside every sum."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

import duckdb

from analysis import time_zone
from analysis.dimensions import Dimension, Filter, Where, as_filter, dimension, dimensions
from analysis.formatting import count, money, tokens, usd
from analysis.ledger.costs_view import COMPONENTS, costs_relation
from analysis.ledger.inferred_cache_reads import HiddenReads, study
from analysis.reports.call_labels import labelled
from ingest.errors import InputError
from ingest.store.database import Store

# measure -> SQL; a sum is NULL where no call has a value. {w} is the weight where any row stands for several calls
_TOKENS: Final = (
    "input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens", "reasoning_output_tokens"
)  # fmt: skip
MEASURES: Final = {
    "calls": "{count}",
    **{name: f"sum({name}{{w}})" for name in _TOKENS},
    "cost_usd": "sum(cost_usd)",
    "logged_cost_usd": "sum(logged_cost_usd{w})",
    "unpriced_calls": "{count} FILTER (cost_usd IS NULL)",
    "unpriced_tokens": "sum((coalesce(input_tokens, 0) + coalesce(output_tokens, 0)){w}) FILTER (cost_usd IS NULL)",
    "fallback_calls": "{count} FILTER (cost_status = 'priced_fallback')",
    "estimated_calls": "{count} FILTER (cost_status = 'priced_estimated')",
}
EFFECTIVE: Final = {"effective_usd": "sum(coalesce(effective_usd, cost_usd))"}
_INFERRED: Final = "(SELECT call_no, effective_usd FROM inferred_cache_reads)"
COUNTS: Final = ("calls", "unpriced_calls", "unpriced_tokens", "fallback_calls", "estimated_calls")
UNPRICED: Final = {
    "cost_status": "coalesce(cost_status, 'not in the ledger')",
    "provider": "provider_name",
    "model": "model",
    "tier": f"CASE WHEN cost_status = 'unknown_tier' THEN {dimension('tier').sql} END",
    "calls": "count(*)",
    "tokens": "sum(coalesce(input_tokens, 0) + coalesce(output_tokens, 0))",
}
COMPONENT_MEASURES: Final = {f"{name}_usd": f"sum({name}_usd)" for name in COMPONENTS}


@dataclass(frozen=True)
class CostReport:
    """Rows per combination of the dimensions, most recent or dearest first as the dimensions suggest, and the total."""

    by: tuple[str, ...]
    rows: list[dict[str, Any]]
    total: dict[str, Any]
    unpriced: list[dict[str, Any]]  # status, provider, model, tier where it is the tier that is unknown, calls, tokens
    hidden_cache: list[HiddenReads]  # models whose logged cost reveals cache reads that the log does not show
    prices_of: date | None  # every call at the prices of this day, else at those of its own
    extended: list[dict[str, Any]]  # models without a known price on `prices_of`: their first one is used
    price_book_version: str

    @property
    def summary(self) -> str:
        """The total in a sentence."""
        total = self.total
        return (
            f"{money(total['cost_usd'])} for {count(total['calls'], 'call')}, "
            f"{tokens(total['input_tokens'])} tokens in and {tokens(total['output_tokens'])} out."
        )

    def to_json(self) -> dict[str, Any]:
        """The document of `hindcast cost --json`: dollars as decimal strings."""
        return {
            "by": list(self.by),
            "rows": [_plain(row) for row in self.rows],
            "total": _plain(self.total),
            "unpriced": self.unpriced,
            "hidden_cache": [found.to_json() for found in self.hidden_cache],
            "prices_of": self.prices_of.isoformat() if self.prices_of else None,
            "extended": [_plain(row) for row in self.extended],
            "price_book_version": self.price_book_version,
        }


def cost(
    store: Store,
    by: Sequence[str] = ("day", "model"),
    since: date | None = None,
    until: date | None = None,
    where: Where = None,
    *,
    components: bool = False,
    prices_of: date | None = None,
) -> CostReport:
    """Sum the ledger by dimensions (`analysis.dimensions`). `since` and `until` are inclusive UTC days; `where` is what
    `as_filter` takes.

    Times sort upwards, everything else by cost downwards. With `components` each row also splits its cost into
    uncached input, cache reads and writes, output, reasoning and other. With `prices_of` every call is priced as if it
    were made on that day. A row that stands for several calls counts as many. Raises InputError for an unknown
    dimension.
    """
    groups = dimensions(by)
    names = tuple(one.name for one in groups)
    chosen = as_filter(where)
    keep, values = condition(chosen, since, until)
    with store.read() as con:
        require_ledger(con, store)
        source = f"{costs_relation(con, _ledger_at(con, prices_of) if prices_of else 'ledger')} AS costs"
        hidden = study(con) if prices_of is None else []
        source, measures = measured(con, source, hidden, COMPONENT_MEASURES if components else {})
        source = labelled(con, store, source, (*groups, *chosen.dimensions))
        rows, total = summed(con, source, groups, measures, keep, values)
        unpriced = _unpriced(con, source, keep, values) if total["unpriced_calls"] else []
        extended = _extended(con, source, keep, values, prices_of) if prices_of else []
        version = con.execute("SELECT value FROM meta WHERE key = 'price_book_version'").fetchall()
    return CostReport(
        by=names,
        rows=rows,
        total=total,
        unpriced=unpriced,
        hidden_cache=hidden,
        prices_of=prices_of,
        extended=extended,
        price_book_version=version[0][0] if version else "",
    )


def measured(
    con: duckdb.DuckDBPyConnection, source: str, hidden: Sequence[HiddenReads], further: Mapping[str, str]
) -> tuple[str, dict[str, str]]:
    """What to select FROM, and the SQL of each measure: with effective dollars where cache reads were inferred, by
    weight where a row stands for several calls."""
    measures = MEASURES | dict(further)
    if any(found.accepted for found in hidden):
        measures |= EFFECTIVE
        source = f"(SELECT * FROM {source} LEFT JOIN {_INFERRED} USING (call_no)) costs"
    weighted = con.execute("SELECT coalesce(bool_or(weight <> 1), false) FROM calls").fetchall()[0][0]
    form = {"w": " * weight", "count": "sum(weight)"} if weighted else {"w": "", "count": "count(*)"}
    return source, {name: sql.format(**form) for name, sql in measures.items()}


def summed(
    con: duckdb.DuckDBPyConnection,
    source: str,
    groups: Sequence[Dimension],
    measures: Mapping[str, str],
    keep: str,
    values: Mapping[str, Any],
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The rows of a cost report in their order, and their total."""
    names = tuple(one.name for one in groups)
    order = [f'"{one.name}" NULLS LAST' for one in groups if one.kind == "time"]
    order += ["cost_usd DESC NULLS LAST"] + [f'"{name}" NULLS LAST' for name in names]
    group = f"GROUP BY {', '.join(str(i + 1) for i in range(len(names)))}" if names else ""
    selected = [f'{one.sql} AS "{one.name}"' for one in groups]
    selected += [f"{sql} AS {name}" for name, sql in measures.items()]
    found = con.execute(
        f"SELECT {', '.join(selected)} FROM {source} WHERE {keep} {group} ORDER BY {', '.join(order)}", dict(values)
    ).fetchall()
    rows = [dict(zip((*names, *measures), row, strict=True)) for row in found]
    total = {name: _add(row[name] for row in rows) for name in measures}
    for row in (*rows, total):
        _whole(row)
    return rows, total


def condition(where: Filter, since: date | None, until: date | None) -> tuple[str, dict[str, Any]]:
    """SQL over `costs` (labelled for the filter), and its named parameters: the filter within inclusive days."""
    text, named = where.sql()
    values: dict[str, Any] = dict(named)
    conditions = [text]
    if since:
        conditions.append("start_time >= $since")
        values["since"] = time_zone.day_start(since)
    if until:
        conditions.append("start_time < $until")
        values["until"] = time_zone.day_start(until + timedelta(days=1))
    return " AND ".join(conditions), values


def _unpriced(
    con: duckdb.DuckDBPyConnection, source: str, keep: str, values: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Calls without a price by the reason, most first."""
    selected = ", ".join(UNPRICED.values())
    found = con.execute(
        f"SELECT {selected} FROM {source} WHERE cost_usd IS NULL AND {keep} GROUP BY ALL ORDER BY 5 DESC, 1, 2, 3, 4",
        dict(values),
    ).fetchall()
    return [dict(zip(UNPRICED, row, strict=True)) for row in found]


def _whole(row: dict[str, Any]) -> None:
    """Counts and tokens as whole numbers, also where weights are fractions; a count of nothing is 0."""
    for name in (*COUNTS, *_TOKENS):
        value = row[name]
        row[name] = (0 if name in COUNTS else None) if value is None else round(value)


def _add(values: Iterable[Any]) -> Any:
    """The sum of what is known; None where nothing is."""
    known = [value for value in values if value is not None]
    return sum(known[1:], known[0]) if known else None


def _ledger_at(con: duckdb.DuckDBPyConnection, day: date) -> str:
    from analysis.ledger.ledger import revalue  # the pricing kernel: a second that the plain report does not need

    return revalue(con, day)


def _extended(
    con: duckdb.DuckDBPyConnection, source: str, keep: str, values: dict[str, str], day: date
) -> list[dict[str, Any]]:
    """The models whose first known price is younger than the day and was used all the same, most calls first."""
    found = con.execute(
        f"""SELECT model, first.effective_from AS first_price, count(*) AS calls
            FROM (SELECT model AS model, price_id AS used FROM {source} WHERE cost_usd IS NOT NULL AND {keep})
            JOIN (SELECT price_id, effective_from FROM prices WHERE effective_from > $priced_at::DATE) first
              ON price_id = used
            GROUP BY ALL ORDER BY calls DESC, model, first_price""",
        {**values, "priced_at": day.isoformat()},
    ).fetchall()
    return [dict(zip(("model", "first_price", "calls"), row, strict=True)) for row in found]


def require_ledger(con: duckdb.DuckDBPyConnection, store: Store) -> None:
    """Raise InputError with the remedy where the calls were not priced yet."""
    try:  # listing the tables would take longer than the whole question
        con.execute("SELECT 1 FROM ledger LIMIT 0")
    except duckdb.CatalogException as error:
        raise InputError("the calls have no cost yet", where=store.address, remedy="Run: hindcast reprice") from error


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """JSON values: dollars as decimal strings, dates as ISO."""
    return {
        name: usd(value) if isinstance(value, Decimal) else value.isoformat() if hasattr(value, "isoformat") else value
        for name, value in row.items()
    }
