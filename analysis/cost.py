"""Cost reports: the ledger summed over any dimensions, with what is unpriced beside every sum."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

from analysis.book import stored_version
from analysis.ledger import COMPONENTS, costs_source
from analysis.present import usd
from ingest.errors import InputError, did_you_mean
from ingest.store import Store

# dimension -> SQL over the view `costs`
DIMENSIONS: Final = {
    "day": "start_time::DATE",
    "week": "date_trunc('week', start_time)::DATE",
    "month": "strftime(start_time, '%Y-%m')",
    "hour": "date_trunc('hour', start_time)",
    "agent": "agent",
    "task": "task",
    "model": "model",
    "request_model": "request_model",
    "provider": "provider_name",
    "tier": "CASE WHEN is_batch THEN 'batch' ELSE coalesce(lower(service_tier), 'standard') END",
    "status": "status",
    "cost_status": "cost_status",
    "session": "conversation_id",
    "user": "user_id",
    "team": "team",
    "workflow": "workflow_name",
    "prompt": "prompt_name",
    "environment": "environment",
    "service": "service_name",
    "source": "(SELECT path FROM sources WHERE sources.source_id = costs.source_id)",
}
TIMES: Final = ("hour", "day", "week", "month")
# measure -> SQL; a sum is NULL where no call has a value
_TOKENS: Final = (
    "input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens", "reasoning_output_tokens"
)  # fmt: skip
MEASURES: Final = {
    "calls": "count(*)",
    **{name: f"sum({name})" for name in _TOKENS},
    "cost_usd": "sum(cost_usd)",
    "logged_cost_usd": "sum(logged_cost_usd)",
    "unpriced_calls": "count(*) FILTER (cost_usd IS NULL)",
    "unpriced_tokens": "coalesce(sum(coalesce(input_tokens, 0) + coalesce(output_tokens, 0)) "
    "FILTER (cost_usd IS NULL), 0)",
    "fallback_calls": "count(*) FILTER (cost_status = 'priced_fallback')",
}
COMPONENT_MEASURES: Final = {f"{name}_usd": f"sum({name}_usd)" for name in COMPONENTS}


@dataclass(frozen=True)
class CostReport:
    """Rows per combination of the dimensions, most recent or dearest first as the dimensions suggest, and the total."""

    by: tuple[str, ...]
    rows: list[dict[str, Any]]
    total: dict[str, Any]
    unpriced: list[dict[str, Any]]  # status, provider, model, calls, tokens
    price_book_version: str

    def to_json(self) -> dict[str, Any]:
        return {
            "by": list(self.by),
            "rows": [_plain(row) for row in self.rows],
            "total": _plain(self.total),
            "unpriced": self.unpriced,
            "price_book_version": self.price_book_version,
        }


def cost(
    store: Store,
    by: Sequence[str] = ("day", "model"),
    since: date | None = None,
    until: date | None = None,
    where: Mapping[str, str] | None = None,
    *,
    components: bool = False,
) -> CostReport:
    """Sum the ledger. `since` and `until` are inclusive UTC days; `where` keeps rows whose dimension equals a value.

    Times sort upwards, everything else by cost downwards. With `components` each row also splits its cost into
    uncached input, cache reads and writes, output, reasoning and other. Raises InputError for an unknown dimension.
    """
    names = tuple(dict.fromkeys(by))
    for name in (*names, *(where or {})):
        if name not in DIMENSIONS:
            raise InputError(f"no dimension '{name}'", remedy=did_you_mean(name, DIMENSIONS))
    conditions, values = ["true"], []
    if since:
        conditions.append("start_time >= ?::DATE")
        values.append(since.isoformat())
    if until:
        conditions.append("start_time < ?::DATE + 1")
        values.append(until.isoformat())
    for name, value in (where or {}).items():
        conditions.append(f"({DIMENSIONS[name]})::VARCHAR = ?")
        values.append(value)
    keep = " AND ".join(conditions)
    measures = MEASURES | (COMPONENT_MEASURES if components else {})
    selected = [f'{DIMENSIONS[name]} AS "{name}"' for name in names]
    selected += [f"{sql} AS {name}" for name, sql in measures.items()]
    order = [f'"{name}" NULLS LAST' for name in names if name in TIMES]
    order += ["cost_usd DESC NULLS LAST"] + [f'"{name}" NULLS LAST' for name in names]
    group = f"GROUP BY {', '.join(str(i + 1) for i in range(len(names)))}" if names else ""
    with store.read() as con:
        _require_ledger(con, store)
        source = costs_source(con)
        found = con.execute(
            f"SELECT {', '.join(selected)} FROM {source} WHERE {keep} {group} ORDER BY {', '.join(order)}", values
        ).fetchall()
        rows = [dict(zip((*names, *measures), row, strict=True)) for row in found]
        total = {name: _add(row[name] for row in rows) for name in measures}
        for name in ("calls", "unpriced_calls", "unpriced_tokens", "fallback_calls"):
            total[name] = total[name] or 0
        unpriced = []
        if total["unpriced_calls"]:
            unpriced = con.execute(
                f"""SELECT coalesce(cost_status, 'not in the ledger'), provider_name, model, count(*),
                           sum(coalesce(input_tokens, 0) + coalesce(output_tokens, 0))
                    FROM {source} WHERE cost_usd IS NULL AND {keep} GROUP BY ALL ORDER BY 4 DESC, 1, 2, 3""",
                values,
            ).fetchall()
        version = stored_version(con) or ""
    return CostReport(
        by=names,
        rows=rows,
        total=total,
        unpriced=[
            dict(zip(("cost_status", "provider", "model", "calls", "tokens"), row, strict=True)) for row in unpriced
        ],
        price_book_version=version,
    )


def _add(values: Iterable[Any]) -> Any:
    """The sum of what is known; None where nothing is."""
    known = [value for value in values if value is not None]
    return sum(known[1:], known[0]) if known else None


def _require_ledger(con: Any, store: Store) -> None:
    views = {name for (name,) in con.execute("SELECT view_name FROM duckdb_views()").fetchall()}
    if "costs" not in views:
        raise InputError("the calls have no cost yet", where=str(store.path), remedy="Run: hindcast reprice")


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """JSON values: dollars as decimal strings, dates as ISO."""
    return {
        name: usd(value) if isinstance(value, Decimal) else value.isoformat() if hasattr(value, "isoformat") else value
        for name, value in row.items()
    }
