"""Labels of calls: what the dimensions of `analysis.dimensions` need beside the columns of the store."""

from __future__ import annotations

from collections.abc import Iterable

import duckdb

from analysis.dimensions import Dimension
from analysis.reports.prompt_templates import template_ids
from ingest.store.database import Store

_SOURCES = """LEFT JOIN (SELECT source_id AS labelled_source, path AS source_path, format AS source_format FROM sources)
    ON labelled_source = costs.source_id"""
_TAG = """
    SELECT call_no, trim(substr(tag, length($key) + 2)) AS label
    FROM (SELECT call_no, unnest(tags) AS tag, generate_subscripts(tags, 1) AS nth FROM calls)
    WHERE starts_with(tag, $key || ':') OR starts_with(tag, $key || '=')
    QUALIFY row_number() OVER (PARTITION BY call_no ORDER BY nth) = 1"""


def labelled(con: duckdb.DuckDBPyConnection, store: Store, source: str, dimensions: Iterable[Dimension]) -> str:
    """What to select FROM, called `costs`: `source`, also called so, with the labels that the dimensions need.

    Template ids and values of tags are written to temporary tables of the connection; template ids are those of the
    whole log, whatever `store` leaves out of it.
    """
    joins: dict[str, str] = {}
    columns: list[str] = []
    for one in dimensions:
        if one.label is None or one.label in columns:
            continue
        columns.append(one.label)
        if one.label in ("source_path", "source_format"):
            joins["sources"] = _SOURCES
            continue
        table = f"calls_of_{one.label}"  # of the registry, or of hexadecimal digits
        if not _exists(con, table):
            if one.tag_key is None:
                _write_templates(con, store, table)
            else:
                con.execute(f"CREATE TEMP TABLE {table} AS {_TAG}", {"key": one.tag_key})
        joins[table] = f"""LEFT JOIN (SELECT call_no AS no_{one.label}, label AS {one.label} FROM {table})
            ON no_{one.label} = costs.call_no"""
    if not columns:
        return source
    return f"(SELECT costs.*, {', '.join(columns)} FROM {source} {' '.join(joins.values())}) costs"


def _exists(con: duckdb.DuckDBPyConnection, table: str) -> bool:
    question = "SELECT 1 FROM duckdb_tables() WHERE temporary AND table_name = $name"
    return bool(con.execute(question, {"name": table}).fetchall())


def _write_templates(con: duckdb.DuckDBPyConnection, store: Store, table: str) -> None:
    import numpy as np
    import pyarrow as pa

    found = template_ids(store.whole)
    numbers = np.array([number for _, calls in found for number in calls], np.int64)
    labels = pa.DictionaryArray.from_arrays(
        pa.array(np.repeat(np.arange(len(found), dtype=np.int32), [len(calls) for _, calls in found])),
        pa.array([name for name, _ in found], pa.string()),
    )
    con.register("found_templates", pa.table({"call_no": numbers, "label": labels}))
    con.execute(f"CREATE TEMP TABLE {table} AS SELECT call_no, label::VARCHAR AS label FROM found_templates")
    con.unregister("found_templates")


def labelled_view(con: duckdb.DuckDBPyConnection, store: Store, relation: str, dimensions: Iterable[Dimension]) -> str:
    """As `labelled`, as the name of a temporary view; `relation` itself where no dimension needs a label."""
    source = labelled(con, store, f"{relation} AS costs", dimensions)
    if source == f"{relation} AS costs":
        return relation
    con.execute(f"CREATE OR REPLACE TEMP VIEW labelled_{relation} AS SELECT * FROM {source}")
    return f"labelled_{relation}"
