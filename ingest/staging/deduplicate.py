"""Calls that are in the store already: fuller rows of the same call, and rows of it that have another key.

The key of a row whose call is stored under another one (from another tool's log, the printed output of a run, or this
log read with or without texts) is kept as an alias of the stored call, so that reading the log again finds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from ingest.store.database import has_tables
from ingest.store.schema import CALL_COLUMNS, HASH

NEAR_SECONDS = 2
APART_SECONDS = 5  # between two calls of one id
# what a fuller row of a call brings: every count
COUNTS = tuple(
    name
    for name in CALL_COLUMNS
    if name.endswith(("_tokens", "_calls", "_results")) and name not in ("max_tokens", "pending_tool_calls")
)
BESIDE = ("finish_reason", "tokens_source")  # what comes with the counts
_TOTAL = ("input_tokens", "output_tokens")
_PARTS = (  # of equal totals, that which says more of what they are made of is fuller
    "cache_read_input_tokens", "cache_creation_input_tokens", "cache_creation_1h_input_tokens",
    "reasoning_output_tokens",
)  # fmt: skip
ALSO_LOGGED = "also_logged_in"
# transcripts that are written while an answer comes: a row may hold fewer output tokens than the call ends with
GROWING = ("claude_code", "cline")
ID_USED_AGAIN = "id_used_again"


def replace_fuller(con: duckdb.DuckDBPyConnection, staged: pa.Table, high: Any, low: Any) -> None:
    """Give stored calls the counts of a fuller row: a transcript read while an answer was still being written.

    Of a row that its format does not say to be the fuller one (`replaces`) the counts are taken where the stored call
    has none. `staged` are calls just published, new or not, and `high` and `low` the halves of their keys. The calls
    changed lose their price, so that whoever prices calls does it again.
    """
    present = [name for name in (*COUNTS, *BESIDE) if name in staged.column_names]
    if not {"input_tokens", "output_tokens"} & set(present):
        return
    if "replaces" not in staged.column_names:
        staged = staged.append_column("replaces", pa.nulls(len(staged), pa.bool_()))
    staged = staged.select([*present, "replaces"])
    staged = staged.append_column("hi", pa.array(high)).append_column("lo", pa.array(low))
    con.register("staged_rows", staged.append_column("n", pa.array(np.arange(len(staged)))))
    given = [f"s.{name}" if name in present else f"NULL AS {name}" for name in (*COUNTS, *BESIDE)]
    total = _sum("s", [name for name in _TOTAL if name in present])
    parts = _sum("s", [name for name in _PARTS if name in present])
    con.execute(
        f"""CREATE OR REPLACE TEMP TABLE fuller AS
            SELECT c.call_no, {", ".join(given)}
              FROM (SELECT *, {HASH} AS call_key FROM staged_rows) s JOIN calls c USING (call_key)
             WHERE (s.replaces OR c.tokens_source = 'missing')
               AND ({total}, {parts}) > ({_sum("c", _TOTAL)}, {_sum("c", _PARTS)})
           QUALIFY row_number() OVER (PARTITION BY c.call_no ORDER BY {total} DESC, {parts} DESC, s.n) = 1"""
    )
    con.unregister("staged_rows")
    if con.execute("SELECT count(*) FROM fuller").fetchall()[0][0]:
        con.execute(
            f"""UPDATE calls SET {", ".join(f"{name} = s.{name}" for name in COUNTS)},
                       {", ".join(f"{name} = coalesce(s.{name}, calls.{name})" for name in BESIDE)}
                  FROM fuller s WHERE calls.call_no = s.call_no"""
        )
        if has_tables(con, "ledger"):
            con.execute("DELETE FROM ledger WHERE call_no IN (SELECT call_no FROM fuller)")
        con.execute(
            """DELETE FROM import_issues WHERE code IN ('partial_usage', 'usage_not_read')
                  AND call_no IN (SELECT call_no FROM fuller WHERE output_tokens IS NOT NULL)"""
        )
    con.execute("DROP TABLE fuller")


def ids_used_again(con: duckdb.DuckDBPyConnection, staged: pa.Table, high: Any, low: Any, format: str) -> Any:
    """The rows (int64) whose id another call of the same format has: a proxy's constant id, the id of a whole run.

    `high` and `low` are the halves of the keys. Another call: other token counts, at another time. What a format itself
    says to be a fuller row of the same call is none, nor are rows without an id.
    """
    names = ("start_us", "end_us", "input_tokens", "output_tokens", "replaces", "by_line")
    columns = {
        name: staged[name] if name in staged.column_names else pa.nulls(len(staged), pa.int64()) for name in names
    }
    con.register(
        "named_rows",
        pa.table({"n": pa.array(np.arange(len(low))), "hi": pa.array(high), "lo": pa.array(low), **columns}),
    )
    found = con.execute(
        f"""WITH named AS (
                SELECT n, {HASH} AS call_key, start_us, coalesce(end_us, start_us) AS end_us,
                       input_tokens, output_tokens
                  FROM named_rows
                 WHERE NOT coalesce(replaces::BOOLEAN, false) AND NOT coalesce(by_line::BOOLEAN, false)),
            first_named AS (
                SELECT call_key, min(n) AS n FROM named GROUP BY call_key HAVING count(*) > 1),
            known AS (
                SELECT call_key, epoch_us(c.start_time) AS start_us,
                       epoch_us(coalesce(c.end_time, c.start_time)) AS end_us, c.input_tokens, c.output_tokens
                  FROM calls c JOIN sources o ON o.source_id = c.source_id AND o.format = $format
                 WHERE call_key IN (SELECT call_key FROM named)),
            other AS (
                SELECT * FROM known UNION ALL
                SELECT call_key, start_us, end_us, input_tokens, output_tokens
                  FROM first_named JOIN named USING (call_key, n)
                 WHERE call_key NOT IN (SELECT call_key FROM calls))
            SELECT r.n FROM named r JOIN other f USING (call_key)
             WHERE (r.input_tokens <> f.input_tokens OR r.output_tokens <> f.output_tokens)
               AND greatest(r.start_us, f.start_us) > least(r.end_us, f.end_us) + $apart
             ORDER BY r.n""",
        {"format": format, "apart": APART_SECONDS * 1_000_000},
    ).fetchnumpy()["n"]
    con.unregister("named_rows")
    return np.asarray(found, dtype=np.int64)


def _sum(table: str, names: Sequence[str]) -> str:
    return " + ".join(["0::HUGEINT", *(f"coalesce({table}.{name}, 0)" for name in names)])


def logged_elsewhere(con: duckdb.DuckDBPyConnection, staged: pa.Table, kept: Any, format: str) -> dict[int, int]:
    """{row of `staged`: stored call} for new calls that another format has logged already.

    The same call: equal model and token counts, times that overlap or are at most 2 s apart (a tool's transcript may
    know only when the answer came), and at least one of the two without a response id. A transcript that is read while
    the answer is being written may count less output than the other. One stored call matches at most one row of a
    format, so that equal calls in a row stay several.
    """
    others = con.execute(
        "SELECT count(*) FROM sources WHERE format <> $format AND calls > 0", {"format": format}
    ).fetchall()[0][0]
    if not others or not len(kept):
        return {}
    columns = ("start_us", "model", "input_tokens", "output_tokens")
    if not set(columns) <= set(staged.column_names):
        return {}
    chosen = {name: staged[name].take(pa.array(kept)) for name in columns}
    for name, kind in (("response_id", pa.string()), ("end_us", pa.int64())):
        known = name in staged.column_names
        chosen[name] = staged[name].take(pa.array(kept)) if known else pa.nulls(len(kept), kind)
    table = pa.table({"n": pa.array(kept), **chosen})
    con.register("fresh_calls", table)
    near = NEAR_SECONDS * 1_000_000
    first, last = con.execute(
        "SELECT min(start_us) - $near, max(greatest(start_us, coalesce(end_us, start_us))) + $near FROM fresh_calls",
        {"near": near},
    ).fetchall()[0]
    pairs = con.execute(
        """SELECT f.n, c.call_no
             FROM fresh_calls f
             JOIN calls c ON c.model = f.model AND c.input_tokens = f.input_tokens
             JOIN sources o ON o.source_id = c.source_id
            WHERE o.format <> $format AND f.input_tokens + f.output_tokens > 0
              AND (c.output_tokens = f.output_tokens
                   OR (c.output_tokens < f.output_tokens AND o.format IN (SELECT unnest($growing)))
                   OR (c.output_tokens > f.output_tokens AND $format IN (SELECT unnest($growing))))
              AND (f.response_id IS NULL OR c.response_id IS NULL)
              AND c.start_time <= make_timestamp($last) AND coalesce(c.end_time, c.start_time) >= make_timestamp($first)
              AND epoch_us(c.start_time) <= coalesce(f.end_us, f.start_us) + $near
              AND f.start_us <= coalesce(epoch_us(c.end_time), epoch_us(c.start_time)) + $near
              AND NOT EXISTS (SELECT 1 FROM call_aliases a WHERE a.call_no = c.call_no AND a.format = $format)
            ORDER BY c.output_tokens <> f.output_tokens, abs(epoch_us(c.start_time) - f.start_us), f.n, c.call_no""",
        {"format": format, "near": near, "growing": list(GROWING), "first": first, "last": last},
    ).fetchall()
    con.unregister("fresh_calls")
    found: dict[int, int] = {}
    taken: set[int] = set()
    for row, call_no in pairs:
        if row not in found and call_no not in taken:
            found[row] = call_no
            taken.add(call_no)
    return found


def kept_otherwise(con: duckdb.DuckDBPyConnection, staged: pa.Table, kept: Any, format: str) -> dict[int, int]:
    """{row of `staged`: stored call} for rows without an id that were read before with texts, or now with them.

    Where no text is kept the key of such a row is made with the store's secret, so that it tells nothing about the row,
    and is another than with texts. The same call: same format, start, model, counts and duration, one of the two with
    hashed contents. Equal rows stay as many as either reading has.
    """
    names = ("start_us", "model", "input_tokens", "output_tokens", "duration_ms", "content_state")
    if not len(kept) or not {"by_line", *names[:4], names[5]} <= set(staged.column_names):
        return {}
    rows = kept[np.asarray(staged["by_line"].fill_null(False))[kept]]
    if not len(rows):
        return {}
    columns = {
        name: staged[name].take(pa.array(rows)) if name in staged.column_names else pa.nulls(len(rows), pa.float64())
        for name in names
    }
    con.register("nameless_rows", pa.table({"n": pa.array(rows), **columns}))
    found = con.execute(
        """WITH fresh AS (
               SELECT *, row_number() OVER (PARTITION BY start_us, model, input_tokens, output_tokens, duration_ms
                                            ORDER BY n) AS place
                 FROM nameless_rows WHERE input_tokens IS NOT NULL),
           stored AS (
               SELECT call_no, epoch_us(start_time) AS start_us, model, input_tokens, output_tokens, duration_ms,
                      content_state, row_number() OVER (PARTITION BY start_time, model, input_tokens, output_tokens,
                                                                     duration_ms ORDER BY call_no) AS place
                 FROM calls c JOIN sources o USING (source_id)
                WHERE o.format = $format AND c.response_id IS NULL
                  AND start_time BETWEEN (SELECT make_timestamp(min(start_us)) FROM fresh)
                                     AND (SELECT make_timestamp(max(start_us)) FROM fresh))
           SELECT f.n, s.call_no FROM fresh f JOIN stored s
               ON s.start_us = f.start_us AND s.model = f.model AND s.input_tokens = f.input_tokens
              AND s.output_tokens = f.output_tokens AND s.duration_ms IS NOT DISTINCT FROM f.duration_ms
              AND s.place = f.place
            WHERE (s.content_state = 'hashed') <> (f.content_state = 'hashed') ORDER BY f.n""",
        {"format": format},
    ).fetchall()
    con.unregister("nameless_rows")
    return dict(found)


def keep_aliases(con: duckdb.DuckDBPyConnection, found: dict[int, int], high: Any, low: Any, format: str) -> None:
    """Keep the keys of the rows that were `found` to be stored calls, halves in `high` and `low`, as their aliases."""
    if not found:
        return
    rows = np.fromiter(found, dtype=np.int64, count=len(found))
    numbers = pa.array(list(found.values()), pa.int64())
    con.register("aliases", pa.table({"hi": pa.array(high[rows]), "lo": pa.array(low[rows]), "call_no": numbers}))
    con.execute(f"INSERT INTO call_aliases SELECT {HASH}, call_no, $format FROM aliases", {"format": format})
    con.execute(
        """INSERT INTO import_issues
           SELECT call_no, $code, $format FROM aliases a
            WHERE NOT EXISTS (SELECT 1 FROM import_issues i
                               WHERE i.call_no = a.call_no AND i.code = $code AND i.detail = $format)
            ORDER BY call_no""",
        {"code": ALSO_LOGGED, "format": format},
    )
    con.unregister("aliases")
