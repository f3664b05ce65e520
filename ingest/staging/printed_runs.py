"""What a tool printed of a run beside the log of its session: `codex exec --json`, `opencode run`, `claude -p`.

A printed row tells the counts of one call or of a whole turn, without the ids of the session's own log. It is left out
where the store has calls of the same session of the same tool that come to as much. Printed files are read after all
others of an ingest, so that this holds in any order of files; of a session that is read in a later ingest than what was
printed of it, both stay and are flagged.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import msgspec
import numpy as np
import pyarrow as pa

from ingest.files.byte_stream import open_file
from ingest.staging.segment import PRINTED

TWICE = "counted_twice"
_PEEK = 1 << 16  # bytes of a file that hold its first line
_KINDS = {
    "codex": ("thread.started", "turn.started", "turn.completed", "item.started", "item.updated", "item.completed"),
    "opencode": ("step_start", "step_finish", "text", "tool_use"),
}


def is_printed(format: str, path: Path) -> bool:
    """Whether a file of a format, by its first line, is what a tool printed of a run."""
    if format in ("claude_print", "gemini_print"):
        return True
    kinds = _KINDS.get(format)
    if kinds is None:
        return False
    with open_file(path) as handle:
        head: bytes = handle.read(_PEEK)
    try:
        first = msgspec.json.decode(head.lstrip().split(b"\n", 1)[0])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return isinstance(first, dict) and first.get("type") in kinds


def in_session(con: duckdb.DuckDBPyConnection, staged: pa.Table, kept: Any) -> dict[int, int]:
    """{row of `staged`: stored call of its session} for printed rows among `kept` whose session's log has them."""
    if not len(kept) or "printed" not in staged.column_names:
        return {}
    rows = kept[np.asarray(staged["printed"].fill_null(False))[kept]]
    names = ("service_name", "conversation_id", "input_tokens", "output_tokens")
    if not len(rows) or not set(names) <= set(staged.column_names):
        return {}
    con.register(
        "printed_rows",
        pa.table({"n": pa.array(rows), **{name: staged[name].take(pa.array(rows)) for name in names}}),
    )
    found = con.execute(
        """WITH sessions AS (
               SELECT service_name, conversation_id, min(call_no) AS call_no,
                      coalesce(sum(input_tokens), 0) AS asked, coalesce(sum(output_tokens), 0) AS made
                 FROM calls c
                WHERE conversation_id IN (SELECT conversation_id FROM printed_rows)
                  AND NOT EXISTS (SELECT 1 FROM import_issues i WHERE i.call_no = c.call_no AND i.code = $printed)
                GROUP BY ALL)
           SELECT p.n, s.call_no FROM printed_rows p JOIN sessions s USING (service_name, conversation_id)
            WHERE s.asked >= coalesce(p.input_tokens, 0) AND s.made >= coalesce(p.output_tokens, 0)
            ORDER BY p.n""",
        {"printed": PRINTED},
    ).fetchall()
    con.unregister("printed_rows")
    return dict(found)


def flag_earlier(con: duckdb.DuckDBPyConnection, first: int) -> int:
    """Flag printed rows of an earlier ingest whose session's own calls are those from number `first` on; how many."""
    found = con.execute(
        """SELECT DISTINCT p.call_no FROM calls p
             JOIN import_issues i ON i.call_no = p.call_no AND i.code = $printed
             JOIN calls c ON c.service_name = p.service_name AND c.conversation_id = p.conversation_id
                         AND c.call_no >= $first
            WHERE p.call_no < $first
              AND NOT EXISTS (SELECT 1 FROM import_issues o
                               WHERE o.call_no = c.call_no AND o.code = $printed)
              AND NOT EXISTS (SELECT 1 FROM import_issues o
                               WHERE o.call_no = p.call_no AND o.code = $twice)
            ORDER BY 1""",
        {"printed": PRINTED, "first": first, "twice": TWICE},
    ).fetchall()
    for (call_no,) in found:
        con.execute(
            "INSERT INTO import_issues VALUES ($call_no, $twice, 'the log of its session was read later')",
            {"call_no": call_no, "twice": TWICE},
        )
    return len(found)
