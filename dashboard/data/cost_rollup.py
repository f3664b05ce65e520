"""Cost reports by any of day, agent, task and model, summed up from one report by all four.

One pass over the calls then serves every such question about the log, for any days: sums of exact sums are exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Final

from analysis.formatting import usd
from analysis.reports.cost import COUNTS, CostReport, cost
from ingest.store.database import Store

DIMENSIONS: Final = ("day", "agent", "task", "model")
MOST_ROWS: Final = 40_000  # of a report that is worth keeping in memory, about 50 MB
_SIZE: Final = """
    SELECT approx_count_distinct(hash(start_time::DATE, agent, task, model)),
           coalesce(bool_or(weight <> floor(weight)), false)
    FROM calls
"""


def whole(store: Store) -> CostReport | None:
    """The report by all four dimensions; None where it would be long, or where counts are rounded fractions."""
    with store.read() as con:
        size, fractions = con.execute(_SIZE).fetchall()[0]
    return None if fractions or size > MOST_ROWS else cost(store, by=DIMENSIONS)


def rolled_up(whole: CostReport, by: Sequence[str], since: date | None, until: date | None) -> dict[str, Any]:
    """`rows`, `total` and `price_book_version` as in `hindcast cost --by ... --json`. `by` are names of DIMENSIONS."""
    measures = [name for name in whole.total if name not in DIMENSIONS]
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in whole.rows:
        day = row["day"]
        if (since or until) and (day is None or (since and day < since) or (until and day > until)):
            continue
        groups.setdefault(tuple(row[name] for name in by), []).append(row)
    rows = [
        {**dict(zip(by, key, strict=True)), **{name: _sum(row[name] for row in group) for name in measures}}
        for key, group in groups.items()
    ]
    rows.sort(key=lambda row: _order(row, by))
    total = {name: _sum(row[name] for row in rows) for name in measures}
    for name in COUNTS:
        total[name] = total[name] or 0
    return {
        "by": list(by),
        "rows": [_plain(row) for row in rows],
        "total": _plain(total),
        "hidden_cache": [found.to_json() for found in whole.hidden_cache],
        "price_book_version": whole.price_book_version,
    }


def _order(row: dict[str, Any], by: Sequence[str]) -> tuple[Any, ...]:
    """Days upwards, then by cost downwards, then by name; what is missing comes last."""
    dollars = row["cost_usd"]
    days = [(row[name] is None, row[name] or date.min) for name in by if name == "day"]
    return (*days, dollars is None, -(dollars or Decimal(0)), *((row[n] is None, str(row[n] or "")) for n in by))


def _sum(values: Iterable[Any]) -> Any:
    known = [value for value in values if value is not None]
    return sum(known[1:], known[0]) if known else None


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: usd(value) if isinstance(value, Decimal) else value.isoformat() if isinstance(value, date) else value
        for name, value in row.items()
    }
