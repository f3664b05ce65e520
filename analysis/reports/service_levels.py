"""Errors and latency of calls over any dimensions: what stands beside the dollars of a cost report."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, Final

from analysis.dimensions import Where, as_filter, dimensions
from analysis.ledger.costs_view import costs_relation
from analysis.reports.call_labels import labelled
from analysis.reports.cost import condition, require_ledger
from ingest.store.database import Store

FAILED: Final = "error"
_DONE: Final = "status = 'ok' AND duration_ms IS NOT NULL"
MEASURES: Final = {
    "calls": "sum(weight)",
    "known_calls": "coalesce(sum(weight) FILTER (status IS NOT NULL), 0)",
    "errors": f"coalesce(sum(weight) FILTER (status = '{FAILED}'), 0)",
    "timed_calls": f"count(*) FILTER ({_DONE})",
    "p50_ms": f"quantile_disc(duration_ms, 0.5) FILTER ({_DONE})",
    "p95_ms": f"quantile_disc(duration_ms, 0.95) FILTER ({_DONE})",
}


def service_levels(
    store: Store,
    by: Sequence[str] = (),
    since: date | None = None,
    until: date | None = None,
    where: Where = None,
) -> list[dict[str, Any]]:
    """A row per combination of the dimensions (one for none), as of `analysis.reports.cost.cost`; times sort upwards,
    all else by calls downwards.

    `error_share` is of the calls whose status the log tells, None where it tells none; `p50_ms` and `p95_ms` are
    durations of calls that succeeded, in milliseconds, None where no such call has one.
    """
    groups = dimensions(by)
    chosen = as_filter(where)
    keep, values = condition(chosen, since, until)
    names = [one.name for one in groups]
    order = [f'"{one.name}" NULLS LAST' for one in groups if one.kind == "time"] + ["calls DESC"]
    order += [f'"{name}" NULLS LAST' for name in names]
    group = f"GROUP BY {', '.join(str(i + 1) for i in range(len(names)))}" if names else ""
    selected = [f'{one.sql} AS "{one.name}"' for one in groups] + [f"{sql} AS {name}" for name, sql in MEASURES.items()]
    with store.read() as con:
        require_ledger(con, store)
        # the calls alone are read faster than with their ledger
        needed = (*groups, *chosen.dimensions)
        source = costs_relation(con) if any(one.ledger for one in needed) else "calls"
        source = labelled(con, store, f"{source} AS costs", needed)
        rows = con.execute(
            f"SELECT {', '.join(selected)} FROM {source} WHERE {keep} {group} ORDER BY {', '.join(order)}", values
        ).fetchall()
    return [_row(dict(zip((*names, *MEASURES), row, strict=True))) for row in rows]


def _row(row: dict[str, Any]) -> dict[str, Any]:
    for name in ("calls", "known_calls", "errors"):
        row[name] = round(row[name] or 0)
    row["error_share"] = row["errors"] / row["known_calls"] if row["known_calls"] else None
    return {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in row.items()}
