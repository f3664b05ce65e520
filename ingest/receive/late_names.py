"""Agents of stored calls that became known after the calls: the span of the agent was sent later."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import pyarrow as pa

from ingest.receive.open_traces import Name

_WEAKER = ("tag", "workflow", "span", "service", "api_key", "system_prompt")  # than an ancestor, as names of an agent


def name_calls(con: duckdb.DuckDBPyConnection, names: Sequence[Name]) -> list[Name]:
    """Give calls the agents of their ancestors, where nothing nearer named one; the names whose calls are not stored.

    Runs inside the caller's transaction.
    """
    if not names:
        return []
    columns = zip(*names, strict=True)
    con.register("late_names", pa.table({key: pa.array(column, pa.string()) for key, column in
                                         zip(Name._fields, columns, strict=True)}))  # fmt: skip
    known = con.execute("SELECT DISTINCT trace_id, span_id FROM calls JOIN late_names USING (trace_id, span_id)")
    stored = set(known.fetchall())
    con.execute(
        """UPDATE calls SET agent = n.agent, agent_source = 'ancestor',
                  workflow_name = coalesce(calls.workflow_name, n.workflow)
             FROM late_names n
            WHERE calls.trace_id = n.trace_id AND calls.span_id = n.span_id
              AND (calls.agent IS NULL OR calls.agent_source IN (SELECT unnest($weaker)))""",
        {"weaker": list(_WEAKER)},
    )
    con.unregister("late_names")
    return [name for name in names if (name.trace_id, name.span_id) not in stored]
