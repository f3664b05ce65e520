"""The calls of a set of segments are found by their names alone, however many segments and whatever the names hold."""

from __future__ import annotations

import duckdb
from hypothesis import given
from hypothesis import strategies as st

from analysis.causes.call_evidence import scope_condition

NAMES = st.one_of(st.none(), st.sampled_from(["", "a", "b", "$s0_0", "it's", "(none)", "\x01"]))
ROWS = st.lists(st.tuples(NAMES, NAMES), max_size=12)
SEGMENTS = st.lists(
    st.one_of(
        st.builds(lambda agent, task: {"agent": agent, "task": task}, NAMES, NAMES),
        st.builds(lambda task: {"task": task}, NAMES),
        st.just({}),
    ),
    max_size=6,
)


@given(ROWS, SEGMENTS)
def test_the_condition_holds_for_the_calls_of_any_of_the_segments(
    rows: list[tuple[str | None, str | None]], segments: list[dict[str, str | None]]
) -> None:
    condition, values = scope_condition(segments)
    with duckdb.connect() as con:
        con.execute("CREATE TABLE costs (number INTEGER, agent VARCHAR, task VARCHAR)")
        if rows:
            con.executemany("INSERT INTO costs VALUES (?, ?, ?)", [(n, *row) for n, row in enumerate(rows)])
        found = con.execute(f"SELECT number FROM costs WHERE {condition} ORDER BY number", values).fetchall()
    named = [dict(zip(("agent", "task"), row, strict=True)) for row in rows]
    right = [
        number
        for number, row in enumerate(named)
        if not segments or any(all(row[name] == value for name, value in one.items()) for one in segments)
    ]
    assert [number for (number,) in found] == right
