"""From staged segments to the store: one short transaction that adds what is new, and only that."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ingest.calls import Bucket
from ingest.keys import POLICIES
from ingest.matching import logged_elsewhere, replace_fuller, without
from ingest.schema import CALL_COLUMNS
from ingest.sources import SourceFile
from ingest.staging import FIELD_COLUMNS, Part, Segment

_HASH = "(hi::HUGEINT * 18446744073709551616 + lo::HUGEINT)"
_PLAIN = ("tool_count", "input_words", "content_state", "has_images", "pending_tool_calls", "model", *FIELD_COLUMNS)


def publish(
    con: duckdb.DuckDBPyConnection,
    segments: Sequence[Segment],
    sources: Sequence[SourceFile],
    *,
    match_formats: bool = True,
) -> None:
    """Add the segments, in order, inside the caller's transaction; the counts go to the sources."""
    touched: dict[int, SourceFile] = {}
    for segment in segments:
        for number in segment.parts:
            if number not in touched:
                touched[number] = sources[number]
                sources[number].open(con)
        fresh = _publish_calls(con, segment, sources, match_formats) if segment.calls else {}
        for number, part in segment.parts.items():
            source = sources[number]
            _publish_quarantine(con, source, part)
            _publish_buckets(con, source, part)
            source.count(part, fresh.get(number, 0))
    for source in touched.values():
        source.save(con)


def _publish_calls(
    con: duckdb.DuckDBPyConnection, segment: Segment, sources: Sequence[SourceFile], match_formats: bool
) -> dict[int, int]:
    """Insert the calls that the store does not hold. Returns how many by source number."""
    staged = pq.read_table(segment.folder / "calls.parquet")
    staged = _numbered_lines(staged, sources)
    con.register("staged_calls", staged)
    con.execute(
        f"""CREATE OR REPLACE TEMP VIEW keyed AS
            SELECT row_number() OVER () - 1 AS n, {_HASH} AS call_key, * FROM staged_calls"""
    )
    rows = con.execute(
        """WITH firsts AS (SELECT call_key, min(n) AS n FROM keyed GROUP BY call_key)
           SELECT n FROM firsts ANTI JOIN calls USING (call_key) ORDER BY n"""
    ).fetchnumpy()
    kept = np.asarray(rows["n"], dtype=np.int64)
    if len(kept) < len(staged) and pc.any(staged["replaces"]).as_py():
        replace_fuller(con, "keyed")
    con.execute("DROP VIEW keyed")
    con.unregister("staged_calls")
    if match_formats:
        format = sources[next(iter(segment.parts))].format  # one per segment
        elsewhere = logged_elsewhere(con, staged, kept, format)
        for row in elsewhere:
            sources[staged["source"][row].as_py()].elsewhere += 1
        kept = without(kept, elsewhere)
    if not len(kept):
        return {}
    first_no = con.execute("SELECT coalesce(max(call_no) + 1, 0) FROM calls").fetchall()[0][0]
    calls = staged if len(kept) == len(staged) else staged.take(pa.array(kept))
    calls = _with_contents(con, segment, calls)
    calls = _with_keys(con, segment.folder, calls)
    calls = calls.append_column("n", pa.array(np.arange(len(kept), dtype=np.int64)))
    numbers = calls["source"].to_numpy()
    ids = np.array([source.source_id if source.source_id is not None else -1 for source in sources], dtype=np.int32)
    bases = np.array([source.row_base for source in sources], dtype=np.int64)
    calls = calls.append_column("source_id", pa.array(ids[numbers]))
    calls = calls.append_column("row", pa.array(calls["source_row"].to_numpy() + bases[numbers]))
    _insert_calls(con, calls, first_no)
    _publish_scores(con, segment.folder, kept, first_no)
    _publish_issues(con, segment, kept, first_no)
    found, counts = np.unique(numbers, return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


def _insert_calls(con: duckdb.DuckDBPyConnection, calls: pa.Table, first_no: int) -> None:
    made = {
        "call_no": f"{int(first_no)} + n",
        "call_key": _HASH,
        "source_id": "source_id",
        "source_row": "row",
        "start_time": "make_timestamp(start_us)",
        "end_time": "make_timestamp(end_us)",
        "logged_cost_usd": "(cost_pico::DECIMAL(19,0) * 0.000000000001::DECIMAL(12,12))::DECIMAL(18,12)",
        "weight": "(weight_micro::DECIMAL(19,0) * 0.000001::DECIMAL(6,6))::DECIMAL(18,6)",
        "message_ids": "messages",
        "tools_id": "tools",
        "output_id": "output",
        **{f"key_{policy}": f"key_{policy}" for policy in POLICIES},
        **{name: f'"{name}"' for name in _PLAIN},
    }
    names = ", ".join(f'"{name}"' for name in CALL_COLUMNS)
    values = ", ".join(made[name] for name in CALL_COLUMNS)
    con.register("staged_calls", calls)
    con.execute(f"INSERT INTO calls ({names}) SELECT {values} FROM staged_calls ORDER BY n")
    con.unregister("staged_calls")


def _numbered_lines(staged: pa.Table, sources: Sequence[SourceFile]) -> pa.Table:
    """Give the second and later of equal lines of one file keys of their own: two equal lines are two calls."""
    by_line = staged["by_line"].to_numpy(zero_copy_only=False)
    if not by_line.any():
        return staged
    high = staged["hi"].to_numpy().copy()
    low = staged["lo"].to_numpy().copy()
    numbers = staged["source"].to_numpy()
    for number in np.unique(numbers[by_line]).tolist():
        rows = np.flatnonzero(by_line & (numbers == number))
        for row, occurrence in sources[number].occurrences(rows, low[rows]):
            material = high[row].tobytes() + low[row].tobytes() + b"#%d" % occurrence
            digest = hashlib.sha256(material).digest()
            high[row] = np.frombuffer(digest[:8], ">i8")[0]
            low[row] = np.frombuffer(digest[8:16], ">u8")[0]
    staged = staged.set_column(staged.schema.get_field_index("hi"), "hi", pa.array(high))
    return staged.set_column(staged.schema.get_field_index("lo"), "lo", pa.array(low))


def _with_contents(con: duckdb.DuckDBPyConnection, segment: Segment, calls: pa.Table) -> pa.Table:
    """Store the contents that the calls use and the store lacks; turn local numbers into content ids."""
    path = segment.folder / "contents.parquet"
    if not path.exists():
        return calls
    messages = calls["messages"].combine_chunks()
    used = [messages.flatten().to_numpy(zero_copy_only=False)]
    for name in ("tools", "output"):
        used.append(calls[name].drop_null().to_numpy().astype(np.int32))
    wanted = np.unique(np.concatenate(used))
    ids = _content_ids(con, path, wanted)
    _complete_hashed(con, segment, ids)
    _given_tokens(con, segment.folder / "content_tokens.parquet", wanted, ids)
    values = pa.array(ids[used[0]], pa.int32()) if len(used[0]) else pa.array([], pa.int32())
    lengths = pc.list_value_length(messages).fill_null(0).to_numpy(zero_copy_only=False)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    renumbered = pa.ListArray.from_arrays(pa.array(offsets), values, mask=pc.is_null(messages))
    calls = calls.set_column(calls.schema.get_field_index("messages"), "messages", renumbered)
    for name in ("tools", "output"):
        calls = _take_ids(calls, name, ids)
    return calls


def _take_ids(calls: pa.Table, name: str, ids: Any) -> pa.Table:
    return calls.set_column(calls.schema.get_field_index(name), name, pc.take(pa.array(ids, pa.int32()), calls[name]))


def _content_ids(con: duckdb.DuckDBPyConnection, path: Path, wanted: Any) -> Any:
    """ids[local number] = content id, -1 for contents that are not wanted."""
    con.register("wanted", pa.table({"n": pa.array(wanted, pa.int64())}))
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE local AS
        SELECT w.n, s.hash, c.content_id
          FROM (SELECT file_row_number AS n, {_HASH} AS hash
                  FROM read_parquet($path, file_row_number = true)) s
          JOIN wanted w USING (n) LEFT JOIN contents c USING (hash)
        """,
        {"path": str(path)},
    )
    con.execute(
        """
        UPDATE local SET content_id = fresh.id
          FROM (SELECT n, (SELECT coalesce(max(content_id) + 1, 0) FROM contents)
                          + row_number() OVER (ORDER BY n) - 1 AS id
                  FROM local WHERE content_id IS NULL) fresh
         WHERE local.n = fresh.n
        """
    )
    con.execute(
        f"""
        INSERT INTO contents (content_id, hash, kind, role, text, chars, words)
        SELECT l.content_id, {_HASH}, s.kind, s.role, s.text, s.chars, s.words
          FROM read_parquet($path, file_row_number = true) s
          JOIN local l ON l.n = s.file_row_number
         WHERE l.content_id > (SELECT coalesce(max(content_id), -1) FROM contents)
         ORDER BY l.content_id
        """,
        {"path": str(path)},
    )
    rows = con.execute("SELECT n, content_id FROM local").fetchnumpy()
    con.unregister("wanted")
    con.execute("DROP TABLE local")
    size = int(wanted[-1]) + 1 if len(wanted) else 0
    ids = np.full(size, -1, dtype=np.int32)
    ids[np.asarray(rows["n"])] = np.asarray(rows["content_id"])
    return ids


def _complete_hashed(con: duckdb.DuckDBPyConnection, segment: Segment, ids: Any) -> None:
    """Give contents first seen as a bare hash the text that has turned up; it is counted anew when needed."""
    known = con.execute("SELECT count(*) FROM meta WHERE key = 'hashed_contents'").fetchall()[0][0]
    if segment.hashed and not known:
        con.execute("INSERT INTO meta VALUES ('hashed_contents', '1')")
    if not known:  # spares stores of whole texts the look at every text
        return
    numbered = pa.table({"n": pa.array(np.arange(len(ids))), "content_id": pa.array(ids, pa.int32())})
    con.register("numbered", numbered)
    con.execute(
        """CREATE OR REPLACE TEMP TABLE found_texts AS
           SELECT c.content_id, s.text, s.chars, s.words
             FROM read_parquet($path, file_row_number = true) s
             JOIN numbered u ON u.n = s.file_row_number
             JOIN contents c USING (content_id)
            WHERE s.text IS NOT NULL AND c.text IS NULL""",
        {"path": str(segment.folder / "contents.parquet")},
    )
    con.execute(
        """UPDATE contents SET text = f.text, chars = f.chars, words = f.words
             FROM found_texts f WHERE contents.content_id = f.content_id"""
    )
    con.execute(
        """DELETE FROM content_tokens
            WHERE blocks IS NULL AND content_id IN (SELECT content_id FROM found_texts)"""
    )
    con.execute("DROP TABLE found_texts")
    con.unregister("numbered")


def _given_tokens(con: duckdb.DuckDBPyConnection, path: Path, wanted: Any, ids: Any) -> None:
    """Token counts that the log gives with a content's hash."""
    if not path.exists():
        return
    table = pq.read_table(path)
    numbers = table["content"].to_numpy()
    known = np.isin(numbers, wanted)
    if not known.any():
        return
    table = table.filter(pa.array(known))
    table = table.append_column("content_id", pa.array(ids[numbers[known]], pa.int32()))
    con.register("given", table)
    con.execute(
        """INSERT INTO content_tokens (content_id, encoding, tokens, blocks)
           SELECT content_id, encoding, min(tokens), any_value(blocks) FROM given g
            WHERE NOT EXISTS (SELECT 1 FROM content_tokens t
                               WHERE t.content_id = g.content_id AND t.encoding = g.encoding)
            GROUP BY content_id, encoding ORDER BY content_id, encoding"""
    )
    con.unregister("given")


def _with_keys(con: duckdb.DuckDBPyConnection, folder: Path, calls: pa.Table) -> pa.Table:
    """Turn the segment's key numbers into dense ids of `request_keys`, adding the new ones."""
    path = folder / "keys.parquet"
    if not path.exists():
        return calls
    columns = [f"key_{policy}" for policy in POLICIES]
    wanted = np.unique(np.concatenate([calls[name].drop_null().to_numpy().astype(np.int64) for name in columns]))
    con.register("wanted", pa.table({"n": pa.array(wanted, pa.int64())}))
    rows = con.execute(
        f"""SELECT w.n, k.key_id
              FROM (SELECT file_row_number AS n, {_HASH} AS hash FROM read_parquet($path, file_row_number = true)) s
              JOIN wanted w USING (n) LEFT JOIN request_keys k USING (hash) ORDER BY w.n""",
        {"path": str(path)},
    ).fetchnumpy()
    numbers = np.asarray(rows["n"], dtype=np.int64)
    found = np.ma.filled(np.ma.asarray(rows["key_id"]).astype(np.int64), -1)
    first = con.execute("SELECT coalesce(max(key_id) + 1, 0) FROM request_keys").fetchall()[0][0]
    missing = found < 0
    found[missing] = first + np.arange(int(missing.sum()))
    con.register("fresh", pa.table({"n": pa.array(numbers[missing]), "key_id": pa.array(found[missing], pa.int32())}))
    con.execute(
        f"""INSERT INTO request_keys (hash, key_id)
            SELECT {_HASH}, f.key_id FROM read_parquet($path, file_row_number = true) s
              JOIN fresh f ON f.n = s.file_row_number ORDER BY f.key_id""",
        {"path": str(path)},
    )
    con.unregister("wanted")
    con.unregister("fresh")
    ids = np.full(int(numbers[-1]) + 1 if len(numbers) else 0, -1, dtype=np.int32)
    ids[numbers] = found
    for name in columns:
        calls = _take_ids(calls, name, ids)
    return calls


def _publish_scores(con: duckdb.DuckDBPyConnection, folder: Path, kept: Any, first_no: int) -> None:
    """Scores of the call's own answer and of other models on the same request."""
    con.execute(
        """INSERT INTO scores SELECT call_no, model, score, 'log' FROM calls
            WHERE call_no >= $first AND score IS NOT NULL AND model IS NOT NULL ORDER BY call_no""",
        {"first": first_no},
    )
    path = folder / "scores.parquet"
    if not path.exists():
        return
    con.register("kept", pa.table({"call": pa.array(kept), "call_no": pa.array(first_no + np.arange(len(kept)))}))
    con.execute(
        """INSERT INTO scores
           SELECT k.call_no, s.model, s.score, 'log' FROM read_parquet($path) s JOIN kept k ON k.call = s.call
            WHERE NOT EXISTS (SELECT 1 FROM scores o WHERE o.call_no = k.call_no AND o.model = s.model)
            ORDER BY k.call_no, s.model""",
        {"path": str(path)},
    )
    con.unregister("kept")


def _publish_issues(con: duckdb.DuckDBPyConnection, segment: Segment, kept: Any, first_no: int) -> None:
    if not segment.issues:
        return
    numbers = {call: first_no + position for position, call in enumerate(kept.tolist())}
    rows = [(numbers[call], code, detail[:200]) for call, code, detail in segment.issues if call in numbers]
    if rows:
        con.register("issues", pa.table(dict(zip(("call_no", "code", "detail"), zip(*rows, strict=True), strict=True))))
        con.execute("INSERT INTO import_issues SELECT call_no, code, detail FROM issues ORDER BY call_no, code, detail")
        con.unregister("issues")


def _publish_buckets(con: duckdb.DuckDBPyConnection, source: SourceFile, part: Part) -> None:
    """Usage and cost report rows, each once whatever is read again."""
    if not part.buckets:
        return
    names = [one.name for one in fields(Bucket)]
    kinds = {"start_us": pa.int64(), "end_us": pa.int64(), "requests": pa.int64()}
    columns = {
        name: pa.array([getattr(bucket, name) for bucket in part.buckets], kinds.get(name, pa.string()))
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


def _publish_quarantine(con: duckdb.DuckDBPyConnection, source: SourceFile, part: Part) -> None:
    if not part.quarantined:
        return
    rows = [
        (source.source_id, source.row_base + bad.row, bad.offset, bad.reason, bad.path, bad.sha256, bad.excerpt)
        for bad in part.quarantined
    ]
    names = ("source_id", "source_row", "byte_offset", "reason", "json_path", "line_sha256", "excerpt")
    columns = dict(zip(names, (list(column) for column in zip(*rows, strict=True)), strict=True))
    columns["excerpt"] = pa.array(columns["excerpt"], pa.string())
    con.register("bad_rows", pa.table(columns))
    con.execute(
        f"INSERT INTO quarantine ({', '.join(names)}) SELECT {', '.join(names)} FROM bad_rows ORDER BY source_row"
    )
    con.unregister("bad_rows")
