"""The conditions that a filter offers: the values that calls have in the dimensions which most logs are cut by."""

from __future__ import annotations

from typing import Final

import duckdb

from analysis.dimensions import TAG, dimension, pattern
from ingest.store.database import Store

DIMENSIONS: Final = ("agent", "task", "model", "user", "environment", "team", "provider", "status")
MOST: Final = 60  # values of one dimension; any other can be typed
NEWEST: Final = 500_000  # calls that are looked at
LONGEST: Final = 120  # characters of a value that is offered


def filter_choices(store: Store) -> list[str]:
    """`DIM=VALUE` for each value of the newest calls, most frequent first within a dimension; tags last.

    A dimension with one value, or none, is left out: a filter by it would change nothing.
    """
    found: list[str] = []
    with store.read() as con:
        first = con.execute("SELECT coalesce(max(call_no), 0) FROM calls").fetchall()[0][0] - NEWEST
        for name in DIMENSIONS:
            rows = con.execute(
                f"""SELECT {dimension(name, "filter").text}, count(*) AS n FROM calls AS costs WHERE call_no > $first
                    GROUP BY 1 ORDER BY n DESC, 1 NULLS LAST LIMIT {MOST:d}""",
                {"first": first},
            ).fetchall()
            if len(rows) > 1:
                found += [f"{name}={pattern(value)}" for value, _ in rows if _offered(value)]
        found += [f"{TAG}{key}={pattern(value)}" for key, value in _tags(con, first) if _offered(value)]
    return found


def tag_keys(store: Store) -> list[str]:
    """The keys of tags among the newest calls as dimensions: `tag.KEY`."""
    with store.read() as con:
        first = con.execute("SELECT coalesce(max(call_no), 0) FROM calls").fetchall()[0][0] - NEWEST
        return list(dict.fromkeys(f"{TAG}{key}" for key, _ in _tags(con, first)))


def _tags(con: duckdb.DuckDBPyConnection, first: int) -> list[tuple[str, str]]:
    """Key and value of the commonest tags of the form KEY:VALUE or KEY=VALUE (`analysis.reports.call_labels`)."""
    rows = con.execute(
        f"""SELECT regexp_extract(tag, '^([^:=]+)[:=]', 1) AS key, trim(regexp_replace(tag, '^[^:=]+[:=]', '')),
                   count(*)
            FROM (SELECT unnest(tags) AS tag FROM calls WHERE call_no > $first AND tags IS NOT NULL)
            WHERE key <> '' GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT {MOST:d}""",
        {"first": first},
    ).fetchall()
    return [(key, value) for key, value, _ in rows]


def _offered(value: str | None) -> bool:
    return value is None or (len(value) <= LONGEST and value.isprintable())
