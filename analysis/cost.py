"""Cost reports: the ledger summed over any dimensions, with what is unpriced beside every sum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

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
MEASURES: Final = (
    "calls", "input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens",
    "reasoning_output_tokens", "uncached_input_usd", "cache_read_usd", "cache_write_usd", "output_usd", "reasoning_usd",
    "other_usd", "cost_usd", "logged_cost_usd", "unpriced_calls", "unpriced_tokens", "fallback_calls",
)  # fmt: skip
_SUMS = """
    count(*) AS calls,
    sum(input_tokens)::HUGEINT AS input_tokens,
    sum(cache_read_input_tokens)::HUGEINT AS cache_read_input_tokens,
    sum(cache_creation_input_tokens)::HUGEINT AS cache_creation_input_tokens,
    sum(output_tokens)::HUGEINT AS output_tokens,
    sum(reasoning_output_tokens)::HUGEINT AS reasoning_output_tokens,
    sum(uncached_input_usd) AS uncached_input_usd, sum(cache_read_usd) AS cache_read_usd,
    sum(cache_write_usd) AS cache_write_usd, sum(output_usd) AS output_usd, sum(reasoning_usd) AS reasoning_usd,
    sum(other_usd) AS other_usd, sum(cost_usd) AS cost_usd, sum(logged_cost_usd) AS logged_cost_usd,
    count(*) FILTER (cost_usd IS NULL) AS unpriced_calls,
    coalesce(sum(coalesce(input_tokens, 0) + coalesce(output_tokens, 0)) FILTER (cost_usd IS NULL), 0)::HUGEINT
        AS unpriced_tokens,
    count(*) FILTER (cost_status = 'priced_fallback') AS fallback_calls
"""


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
    where: dict[str, str] | None = None,
) -> CostReport:
    """Sum the ledger. `since` and `until` are inclusive UTC days; `where` keeps rows whose dimension equals a value.

    Days sort by time, everything else by cost. Raises InputError for a dimension that does not exist.
    """
    from analysis.book import stored_version

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
    columns = ", ".join(f'{DIMENSIONS[name]} AS "{name}"' for name in names)
    order = [f'"{name}" NULLS LAST' for name in names if name in ("day", "week", "month", "hour")]
    order += ["cost_usd DESC NULLS LAST"] + [f'"{name}" NULLS LAST' for name in names]
    with store.read() as con:
        _require_ledger(con, store)
        found = con.execute(
            f"SELECT {columns}{',' if columns else ''} {_SUMS} FROM costs WHERE {keep} "
            f"{'GROUP BY ' + ', '.join(str(i + 1) for i in range(len(names))) if names else ''} "
            f"ORDER BY {', '.join(order)}",
            values,
        ).fetchall()
        total = con.execute(f"SELECT {_SUMS} FROM costs WHERE {keep}", values).fetchall()[0]
        unpriced = con.execute(
            f"""SELECT coalesce(cost_status, 'not in the ledger'), provider_name, model, count(*),
                       sum(coalesce(input_tokens, 0) + coalesce(output_tokens, 0))::HUGEINT
                FROM costs WHERE cost_usd IS NULL AND {keep} GROUP BY ALL ORDER BY 4 DESC, 1, 2, 3""",
            values,
        ).fetchall()
        version = stored_version(con) or ""
    return CostReport(
        by=names,
        rows=[dict(zip((*names, *MEASURES), row, strict=True)) for row in found],
        total=dict(zip(MEASURES, total, strict=True)),
        unpriced=[
            dict(zip(("cost_status", "provider", "model", "calls", "tokens"), row, strict=True)) for row in unpriced
        ],
        price_book_version=version,
    )


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
