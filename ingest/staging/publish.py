"""From staged segments to the store: one short transaction that adds what is new, and only that.

The segments of one format that come together are taken in as one table, so that the statements of a publish do not
multiply with the files it holds.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from functools import partial
from itertools import groupby
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from ingest.records.call import Bucket
from ingest.records.policy_in_force import IMPOSSIBLE_SCORE
from ingest.staging import interning, printed_runs, source_files
from ingest.staging.deduplicate import (
    ID_USED_AGAIN,
    ids_used_again,
    keep_aliases,
    kept_otherwise,
    logged_elsewhere,
    replace_fuller,
)  # fmt: skip
from ingest.staging.interning import Staged
from ingest.staging.segment import FileCounts, Segment
from ingest.staging.source_files import SourceFile
from ingest.store.schema import CALL_COLUMNS, HASH, TABLES

# columns of `calls` that are made from staged columns of other names
_MADE = {
    "call_no": ("n", "$first + n"),
    "call_key": ("hi", HASH),
    "source_row": ("row", "row"),
    "start_time": ("start_us", "make_timestamp(start_us)"),
    "end_time": ("end_us", "make_timestamp(end_us)"),
    "logged_cost_usd": ("cost_pico", "(cost_pico::DECIMAL(19,0) * 0.000000000001::DECIMAL(12,12))::DECIMAL(18,12)"),
    "weight": ("weight_micro", "(weight_micro::DECIMAL(19,0) * 0.000001::DECIMAL(6,6))::DECIMAL(18,6)"),
    "message_ids": ("messages", "messages"),
    "tools_id": ("tools", "tools"),
    "output_id": ("output", "output"),
}


def publish(
    con: duckdb.DuckDBPyConnection,
    segments: Sequence[Segment],
    files: Sequence[SourceFile],
    *,
    match_formats: bool = True,
) -> None:
    """Add the segments, in order, inside the caller's transaction; the counts go to the source files."""
    touched = [files[number] for number in dict.fromkeys(number for one in segments for number in one.counts)]
    source_files.open_all(con, touched)
    for format, group in groupby(segments, key=lambda segment: _format(segment, files)):
        together = list(group)
        bases = _publish_counts(con, together, files)
        holding = [(place, segment) for place, segment in enumerate(together) if segment.calls]
        if holding:
            staged = Staged.read([segment for _, segment in holding])
            _place(staged, [place for place, _ in holding], bases, files)
            _publish_calls(con, staged, files, format if match_formats else None)
        source_files.save_all(
            con, [files[number] for number in dict.fromkeys(n for one in together for n in one.counts)]
        )
    _leave_out_other_scales(con)


def publish_counts(con: duckdb.DuckDBPyConnection, segments: Sequence[Segment], files: Sequence[SourceFile]) -> None:
    """Add what the segments say of the files that is no call: rows left out, rows of usage reports, the counts."""
    touched = [files[number] for number in dict.fromkeys(number for one in segments for number in one.counts)]
    source_files.open_all(con, touched)
    _publish_counts(con, segments, files)
    source_files.save_all(con, touched)


def _publish_counts(
    con: duckdb.DuckDBPyConnection, segments: Sequence[Segment], files: Sequence[SourceFile]
) -> dict[tuple[int, int], int]:
    """By place of the segment and number of the file: the lines of the file that stand before the segment's."""
    bases = {}
    for place, segment in enumerate(segments):
        for number, counts in segment.counts.items():
            bases[place, number] = files[number].row_base
            _publish_quarantine(con, files[number], counts)
            _publish_left_out(con, files[number], counts)
            _publish_buckets(con, files[number], counts)
            files[number].count(counts)
    return bases


def _format(segment: Segment, files: Sequence[SourceFile]) -> str:
    return next((files[number].format for number in segment.counts), "")


def _place(staged: Staged, places: list[int], bases: dict[tuple[int, int], int], files: Sequence[SourceFile]) -> None:
    """Say of every call which file's which row it is."""
    source = staged.calls["source"].to_numpy()
    segment = np.asarray(places, dtype=np.int64)[staged.segment_of_call]
    table = np.zeros((max(places) + 1, len(files)), dtype=np.int64)
    for (place, number), base in bases.items():
        if place < len(table):
            table[place, number] = base
    rows = staged.calls["source_row"].to_numpy() + table[segment, source]
    ids = np.array([file.source_id if file.source_id is not None else -1 for file in files], dtype=np.int32)
    staged.calls = staged.calls.append_column("row", pa.array(rows)).append_column("source_id", pa.array(ids[source]))


def _publish_calls(
    con: duckdb.DuckDBPyConnection, staged: Staged, files: Sequence[SourceFile], format: str | None
) -> None:
    """Insert the calls that the store does not hold; `format` None: whatever other formats have logged."""
    high, low = _keys(staged.calls, files)
    kept, aliased = _fresh(con, high, low)
    again = np.empty(0, dtype=np.int64)
    if len(kept) < len(high):
        again = ids_used_again(con, staged.calls, high, low, files[int(staged.calls["source"][0].as_py())].format)
        if len(again):
            high, low = _own_keys(staged.calls, high, low, again)
            kept, aliased = _fresh(con, high, low)
    repeated = staged.calls if len(kept) < len(high) else None
    if format is not None:
        for find, name in (
            (partial(logged_elsewhere, format=format), format),
            (printed_runs.in_session, f"{format}, printed"),
            (partial(kept_otherwise, format=format), format),
        ):
            found = find(con, staged.calls, kept)
            keep_aliases(con, found, high, low, name)
            known = np.fromiter(found, dtype=np.int64, count=len(found))
            aliased = np.concatenate([aliased, known])
            kept = kept[~np.isin(kept, known)]
    for number, count in Counter(staged.calls["source"].to_numpy()[aliased].tolist()).items():
        files[number].elsewhere += count
    first = con.execute("SELECT coalesce(max(call_no) + 1, 0) FROM calls").fetchall()[0][0]
    if len(kept):
        staged.keep(kept)
        staged.calls = interning.with_contents(con, staged)
        staged.calls = interning.with_keys(con, staged)
        insert_calls(con, staged.calls, high[kept], low[kept], first)
        _publish_scores(con, staged, kept, first)
        _publish_issues(con, staged, kept, first, again)
        twice = printed_runs.flag_earlier(con, first)
        if twice:
            files[int(staged.calls["source"][0].as_py())].flagged[printed_runs.TWICE] += twice
        sources, counts = np.unique(staged.calls["source"].to_numpy(), return_counts=True)
        for number, count in zip(sources.tolist(), counts.tolist(), strict=True):
            files[number].found_new(count)
    if repeated is not None:
        replace_fuller(con, repeated, high, low)


def _fresh(con: duckdb.DuckDBPyConnection, high: Any, low: Any) -> tuple[Any, Any]:
    """(places of the calls that are neither in the store nor repeat an earlier one of these, of those that are an alias
    of a stored call), each in order."""
    size = len(low)
    first = np.ones(size, dtype=bool)
    found = [np.empty(0, dtype=np.int64)] * 2
    ranked = np.sort(low)
    if (ranked[1:] == ranked[:-1]).any():
        order = np.lexsort((np.arange(size), high, low))
        same = (low[order][1:] == low[order][:-1]) & (high[order][1:] == high[order][:-1])
        first[order[1:][same]] = False
    if con.execute("SELECT 1 FROM calls LIMIT 1").fetchall():
        con.register("staged_keys", _key_table(high, low))
        for place, table in enumerate(("calls", "call_aliases")):
            known = con.execute(
                f"""SELECT n FROM (SELECT n, {HASH} AS call_key FROM staged_keys) JOIN {table} USING (call_key)
                     ORDER BY n"""
            ).fetchnumpy()
            found[place] = np.asarray(known["n"], dtype=np.int64)
            first[found[place]] = False
        con.unregister("staged_keys")
    return np.flatnonzero(first), found[1]


def _key_table(high: Any, low: Any) -> pa.Table:
    return pa.table({"n": pa.array(np.arange(len(low))), "hi": pa.array(high), "lo": pa.array(low)})


def insert_calls(con: duckdb.DuckDBPyConnection, calls: pa.Table, high: Any, low: Any, first: int) -> None:
    """Insert the columns that some call fills; the others are NULL without being named.

    `high` and `low` are the halves of the calls' keys, `first` is the number of the first call.
    """
    given = {name: calls[name] for name in calls.column_names if name not in ("hi", "lo")}
    given |= {"n": pa.array(np.arange(len(calls))), "hi": pa.array(high), "lo": pa.array(low)}
    values = {}
    for name in CALL_COLUMNS:
        staged, expression = _MADE.get(name, (name, f'"{name}"'))
        if staged in given:
            values[name] = expression
    # in one piece: DuckDB takes twice as long over many short ones
    con.register("staged_calls", pa.table(given).combine_chunks())
    con.execute(
        f"""INSERT INTO calls ({", ".join(f'"{name}"' for name in values)})
            SELECT {", ".join(values.values())} FROM staged_calls""",
        {"first": first},
    )
    con.unregister("staged_calls")


def _keys(staged: pa.Table, files: Sequence[SourceFile]) -> tuple[Any, Any]:
    """The keys' halves. Of equal lines of one file the second and later get keys of their own: they are calls too."""
    high, low = staged["hi"].to_numpy(), staged["lo"].to_numpy()
    by_line = staged["by_line"].to_numpy()
    if not by_line.any():
        return high, low
    high, low = high.copy(), low.copy()
    rows = np.flatnonzero(by_line)
    numbers = staged["source"].to_numpy()[rows]
    order = np.argsort(numbers, kind="stable")
    found, starts = np.unique(numbers[order], return_index=True)
    for number, of_file in zip(found.tolist(), np.split(rows[order], starts[1:]), strict=True):
        for row, occurrence in files[number].occurrences(of_file, low[of_file]):
            material = high[row].tobytes() + low[row].tobytes() + b"#%d" % occurrence
            digest = hashlib.sha256(material).digest()
            high[row] = np.frombuffer(digest[:8], ">i8")[0]
            low[row] = np.frombuffer(digest[8:16], ">u8")[0]
    return high, low


def _publish_scores(con: duckdb.DuckDBPyConnection, staged: Staged, kept: Any, first: int) -> None:
    """Scores of the call's own answer and of other models on the same request."""
    if "score" in staged.calls.column_names:
        con.execute(
            """INSERT INTO scores SELECT call_no, model, score, 'log' FROM calls
                WHERE call_no >= $first AND score IS NOT NULL AND model IS NOT NULL ORDER BY call_no""",
            {"first": first},
        )
    given = staged.beside_calls("scores", "call")
    if given is None:
        return
    con.register("given_scores", given)
    con.register("kept", pa.table({"call": pa.array(kept), "call_no": pa.array(first + np.arange(len(kept)))}))
    con.execute(
        """INSERT INTO scores
           SELECT k.call_no, s.model, s.score, 'log' FROM given_scores s JOIN kept k ON k.call = s.call
            WHERE NOT EXISTS (SELECT 1 FROM scores o WHERE o.call_no = k.call_no AND o.model = s.model)
            ORDER BY k.call_no, s.model"""
    )
    con.unregister("kept")
    con.unregister("given_scores")


def _own_keys(calls: pa.Table, high: Any, low: Any, rows: Any) -> tuple[Any, Any]:
    """The keys' halves, those of `rows` made of their ids, times and counts."""
    high, low = high.copy(), low.copy()
    told = [calls[name].take(pa.array(rows)).to_pylist() for name in ("start_us", "input_tokens", "output_tokens")]
    for row, *counts in zip(rows.tolist(), *told, strict=True):
        digest = hashlib.sha256(high[row].tobytes() + low[row].tobytes() + repr(counts).encode()).digest()
        high[row] = np.frombuffer(digest[:8], ">i8")[0]
        low[row] = np.frombuffer(digest[8:16], ">u8")[0]
    return high, low


def _publish_issues(con: duckdb.DuckDBPyConnection, staged: Staged, kept: Any, first: int, again: Any) -> None:
    issues = [*staged.issues(), *((int(row), ID_USED_AGAIN, "another call has its id") for row in again)]
    if not issues:
        return
    numbers = {call: first + position for position, call in enumerate(kept.tolist())}
    rows = [(numbers[call], code, detail[:200]) for call, code, detail in issues if call in numbers]
    if rows:
        con.register("issues", pa.table(dict(zip(("call_no", "code", "detail"), zip(*rows, strict=True), strict=True))))
        con.execute("INSERT INTO import_issues SELECT call_no, code, detail FROM issues ORDER BY call_no, code, detail")
        con.unregister("issues")


def _leave_out_other_scales(con: duckdb.DuckDBPyConnection) -> None:
    """Forget the scores of logs of which some lie outside 0..1: those inside mean something else there.

    Of thumbs as 1 and -1 only the praise would be left, of stars from 1 to 5 only the worst, as perfect. A log is the
    files of one format in one folder.
    """
    query = "SELECT 1 FROM import_issues WHERE code = $code LIMIT 1"
    if not con.execute(query, {"code": IMPOSSIBLE_SCORE}).fetchall():
        return
    log = r"format || ':' || regexp_replace(path, '[^/\\]*$', '')"
    other = f"""SELECT source_id FROM sources WHERE {log} IN (
        SELECT {log} FROM import_issues JOIN calls USING (call_no) JOIN sources USING (source_id) WHERE code = $code)"""
    values = {"code": IMPOSSIBLE_SCORE}
    con.execute(
        f"""DELETE FROM scores WHERE source = 'log'
            AND call_no IN (SELECT call_no FROM calls WHERE source_id IN ({other}))""",
        values,
    )
    con.execute(f"UPDATE calls SET score = NULL WHERE score IS NOT NULL AND source_id IN ({other})", values)


def _publish_buckets(con: duckdb.DuckDBPyConnection, source: SourceFile, counts: FileCounts) -> None:
    """Usage and cost report rows, each once whatever is read again."""
    if not counts.buckets:
        return
    names = [one.name for one in fields(Bucket)]
    kinds = {"start_us": pa.int64(), "end_us": pa.int64(), "requests": pa.int64()}
    columns = {
        name: pa.array([getattr(bucket, name) for bucket in counts.buckets], kinds.get(name, pa.string()))
        for name in names
    }
    con.register("found_buckets", pa.table(columns))
    con.execute(
        """INSERT INTO usage_buckets (source_id, kind, start_time, end_time, provider, model, line_item, token_kind,
                                      project, api_key, service_tier, quantity, requests, amount_usd, currency)
           SELECT DISTINCT ?, kind, make_timestamp(start_us) AS start_time, make_timestamp(end_us) AS end_time,
                  provider, model, line_item, token_kind, project, api_key, service_tier,
                  quantity::DECIMAL(38,6), requests, amount_usd::DECIMAL(38,12), currency
             FROM found_buckets f
            WHERE NOT EXISTS (
                  SELECT 1 FROM usage_buckets b
                   WHERE b.kind = f.kind AND b.start_time IS NOT DISTINCT FROM make_timestamp(f.start_us)
                     AND b.end_time IS NOT DISTINCT FROM make_timestamp(f.end_us)
                     AND b.provider IS NOT DISTINCT FROM f.provider AND b.model IS NOT DISTINCT FROM f.model
                     AND b.line_item IS NOT DISTINCT FROM f.line_item
                     AND b.token_kind IS NOT DISTINCT FROM f.token_kind
                     AND b.project IS NOT DISTINCT FROM f.project AND b.api_key IS NOT DISTINCT FROM f.api_key
                     AND b.service_tier IS NOT DISTINCT FROM f.service_tier)
            ORDER BY ALL""",
        [source.source_id],
    )
    con.unregister("found_buckets")


def _publish_left_out(con: duckdb.DuckDBPyConnection, source: SourceFile, counts: FileCounts) -> None:
    rows = [
        (source.source_id, kind, reason, offset, lost.rows, lost.tokens, lost.cost_pico)
        for kind, reason, offset, lost in source_files.left_out_of(counts)
    ]
    if rows:
        con.execute(f"CREATE TABLE IF NOT EXISTS left_out ({TABLES['left_out']})")  # a store may be older than it
        con.executemany("INSERT INTO left_out VALUES (?, ?, ?, ?, ?, ?, ?)", rows)


def _publish_quarantine(con: duckdb.DuckDBPyConnection, source: SourceFile, counts: FileCounts) -> None:
    if not counts.quarantined:
        return
    rows = [
        (source.source_id, source.row_base + bad.row, bad.offset, bad.reason, bad.path, bad.sha256, bad.excerpt)
        for bad in counts.quarantined
    ]
    names = ("source_id", "source_row", "byte_offset", "reason", "json_path", "line_sha256", "excerpt")
    columns = dict(zip(names, (list(column) for column in zip(*rows, strict=True)), strict=True))
    columns["excerpt"] = pa.array(columns["excerpt"], pa.string())
    con.register("bad_rows", pa.table(columns))
    con.execute(
        f"INSERT INTO quarantine ({', '.join(names)}) SELECT {', '.join(names)} FROM bad_rows ORDER BY source_row"
    )
    con.unregister("bad_rows")
