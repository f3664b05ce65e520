"""Dense ids for what calls share: contents and request keys. Each is stored once, whatever segment brings it.

In a segment calls name their contents and keys by local numbers; here those become ids of the store.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.contents.cache_keys import POLICIES
from ingest.staging.arrow_files import concatenated, not_as_staged, read_table
from ingest.staging.segment import Segment
from ingest.store.schema import HASH

_HALVES = ("hi", "lo")
_KEYS = tuple(f"key_{policy}" for policy in POLICIES)


@dataclass
class Staged:
    """The calls of several segments as one table, in order."""

    segments: Sequence[Segment]
    calls: pa.Table
    segment_of_call: Any  # the place in `segments` of each call

    @classmethod
    def read(cls, segments: Sequence[Segment]) -> Staged:
        """The calls of the segments, each of which has some, one segment after the other.

        Raises StoreError if a segment does not hold the calls that its parser counted.
        """
        tables = []
        for segment in segments:
            table = read_table(segment.folder, "calls")
            if table is None or len(table) != segment.calls:
                raise not_as_staged(segment.folder)
            tables.append(table)
        counts = [len(table) for table in tables]
        return cls(segments, concatenated(tables), np.repeat(np.arange(len(segments)), counts))

    def keep(self, kept: Any) -> None:
        """Go on with these calls alone."""
        if len(kept) < len(self.calls):
            self.calls = self.calls.take(pa.array(kept))
            self.segment_of_call = self.segment_of_call[kept]

    def _offsets(self) -> list[int]:
        return np.concatenate([[0], np.cumsum([one.calls for one in self.segments])]).tolist()

    def issues(self) -> Iterator[tuple[int, str, str]]:
        """(place of the call in all that was read, code, detail)."""
        for segment, offset in zip(self.segments, self._offsets(), strict=False):
            for call, code, detail in segment.issues:
                yield offset + call, code, detail

    def beside_calls(self, name: str, column: str) -> pa.Table | None:
        """A table whose `column` names calls, of all segments; None where none has it."""
        found = []
        for segment, offset in zip(self.segments, self._offsets(), strict=False):
            table = read_table(segment.folder, name)
            if table is not None:
                moved = pa.array(table[column].to_numpy().astype(np.int64) + offset)
                found.append(table.set_column(table.schema.get_field_index(column), column, moved))
        return concatenated(found) if found else None


@dataclass
class _SegmentIds:
    """Segment-local ids of hashes, counted from 0 in each segment, and what they are among all segments' ids."""

    tables: list[pa.Table | None]  # by segment; hashes only
    starts: Any  # of each segment's numbers in all
    high: Any
    low: Any

    @classmethod
    def read(cls, segments: Sequence[Segment], name: str) -> _SegmentIds | None:
        tables = [read_table(one.folder, name, _HALVES) for one in segments]
        known = [table for table in tables if table is not None]
        if not known:
            return None
        starts = np.concatenate([[0], np.cumsum([0 if table is None else len(table) for table in tables])])
        joined = concatenated(known)
        return cls(tables, starts, joined["hi"].to_numpy(), joined["lo"].to_numpy())

    def ids(self, con: duckdb.DuckDBPyConnection, wanted: Any, look_up: str, next_id: str) -> tuple[Any, Any]:
        """(id of every wanted number and -1 of the others, the numbers that are new to the store by their new ids).

        `look_up` gives (n, id) of those of the registered `wanted_hashes` that the store has, `next_id` the first
        free id.
        """
        high, low = self.high[wanted], self.low[wanted]
        order = _grouped(high, low)
        again = np.zeros(len(wanted), dtype=bool)
        again[1:] = (low[order][1:] == low[order][:-1]) & (high[order][1:] == high[order][:-1])
        group = np.cumsum(~again) - 1
        # the first number of each group of equal ones stands for it
        firsts = np.minimum.reduceat(wanted[order], np.flatnonzero(~again)) if len(wanted) else wanted
        firsts_in_order = np.sort(firsts)
        con.register(
            "wanted_hashes",
            pa.table(
                {
                    "n": pa.array(firsts_in_order),
                    "hi": pa.array(self.high[firsts_in_order]),
                    "lo": pa.array(self.low[firsts_in_order]),
                }
            ),
        )
        rows = con.execute(look_up).fetchnumpy()
        con.unregister("wanted_hashes")
        ids = np.full(len(self.high), -1, dtype=np.int32)
        ids[np.asarray(rows["n"], dtype=np.int64)] = np.asarray(rows["id"], dtype=np.int32)
        fresh = firsts_in_order[ids[firsts_in_order] < 0]
        start = con.execute(next_id).fetchall()[0][0]
        ids[fresh] = start + np.arange(len(fresh))
        ids[wanted[order]] = ids[firsts[group]]
        return ids, fresh


def _grouped(high: Any, low: Any) -> Any:
    """An order in which equal hashes stand together."""
    order = np.argsort(low)
    ranked_low, ranked_high = low[order], high[order]
    if np.any((ranked_low[1:] == ranked_low[:-1]) & (ranked_high[1:] != ranked_high[:-1])):
        return np.lexsort((high, low))  # different ones with the same half
    return order


def with_contents(con: duckdb.DuckDBPyConnection, staged: Staged) -> pa.Table:
    """Store the contents that the calls use and the store lacks; turn local numbers into content ids."""
    calls = staged.calls
    found = _SegmentIds.read(staged.segments, "contents")
    if found is None:
        return calls
    numbers: dict[str, Any] = {}
    start_of_call = found.starts[staged.segment_of_call]
    lengths = np.empty(0, dtype=np.int64)
    if "messages" in calls.column_names:
        messages = calls["messages"].combine_chunks()
        lengths = pc.list_value_length(messages).fill_null(0).to_numpy(zero_copy_only=False)
        local = messages.flatten().to_numpy(zero_copy_only=False)
        numbers["messages"] = local + np.repeat(start_of_call, lengths)
    for name in ("tools", "output"):
        if name in calls.column_names:
            numbers[name] = _moved(calls[name], start_of_call)
    flags = np.zeros(len(found.high), dtype=bool)
    for one in numbers.values():
        flags[one[one >= 0]] = True
    wanted = np.flatnonzero(flags)
    ids, fresh = found.ids(
        con,
        wanted,
        f"""SELECT w.n, c.content_id AS id
              FROM (SELECT n, {HASH} AS hash FROM wanted_hashes) w JOIN contents c USING (hash)""",
        "SELECT coalesce(max(content_id) + 1, 0) FROM contents",
    )
    _insert_contents(con, staged.segments, found, fresh, ids)
    _complete_hashed(con, staged.segments, found, ids)
    _given_tokens(con, staged.segments, found, ids)
    for name, local in numbers.items():
        place = calls.schema.get_field_index(name)
        if name == "messages":
            offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
            renumbered = pa.ListArray.from_arrays(pa.array(offsets), pa.array(ids[local]), mask=pc.is_null(messages))
        else:
            renumbered = _taken(ids, local)
        calls = calls.set_column(place, name, renumbered)
    return calls


def _moved(column: Any, starts: Any) -> Any:
    """Local numbers of one column as numbers in all; -1 where there is none."""
    local = column.fill_null(-1).to_numpy().astype(np.int64)
    return np.where(local < 0, -1, local + starts)


def _taken(ids: Any, numbers: Any) -> pa.Array:
    found = ids[np.maximum(numbers, 0)] if len(ids) else np.full(len(numbers), -1, dtype=np.int32)
    return pa.array(found, pa.int32(), mask=numbers < 0)


def _insert_contents(
    con: duckdb.DuckDBPyConnection, segments: Sequence[Segment], found: _SegmentIds, fresh: Any, ids: Any
) -> None:
    """One segment after the other, so that the texts of only one are in memory."""
    for place, segment in enumerate(segments):
        start, end = found.starts[place], found.starts[place + 1]
        new = fresh[(fresh >= start) & (fresh < end)]
        if not len(new):
            continue
        table = read_table(segment.folder, "contents")
        assert table is not None
        if len(new) < len(table):
            table = table.take(pa.array(new - start))
        names = [name for name in ("kind", "role", "text", "chars", "words") if name in table.column_names]
        con.register("new_contents", table.append_column("content_id", pa.array(ids[new])))
        con.execute(
            f"""INSERT INTO contents (content_id, hash, {", ".join(names)})
                SELECT content_id, {HASH}, {", ".join(names)} FROM new_contents"""
        )
        con.unregister("new_contents")


def _complete_hashed(con: duckdb.DuckDBPyConnection, segments: Sequence[Segment], found: _SegmentIds, ids: Any) -> None:
    """Give contents first seen as a bare hash the text that has turned up; it is counted anew when needed."""
    known = con.execute("SELECT count(*) FROM meta WHERE key = 'hashed_contents'").fetchall()[0][0]
    if any(segment.hashed for segment in segments) and not known:
        con.execute("INSERT INTO meta VALUES ('hashed_contents', '1')")
    if not known:  # spares stores of whole texts the look at every text
        return
    for place, segment in enumerate(segments):
        table = read_table(segment.folder, "contents", ("text", "chars", "words"))
        if table is None or "text" not in table.column_names:
            continue
        of_segment = ids[found.starts[place] : found.starts[place + 1]]
        con.register("numbered", table.append_column("content_id", pa.array(of_segment)))
        con.execute(
            """CREATE OR REPLACE TEMP TABLE found_texts AS
               SELECT c.content_id, s.text, s.chars, s.words
                 FROM numbered s JOIN contents c USING (content_id)
                WHERE s.text IS NOT NULL AND c.text IS NULL"""
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


def _given_tokens(con: duckdb.DuckDBPyConnection, segments: Sequence[Segment], found: _SegmentIds, ids: Any) -> None:
    """Token counts that the log gives with a content's hash."""
    for place, segment in enumerate(segments):
        table = read_table(segment.folder, "content_tokens")
        if table is None:
            continue
        content = ids[table["content"].to_numpy() + found.starts[place]]
        table = table.append_column("content_id", pa.array(content)).filter(pa.array(content >= 0))
        if "blocks" not in table.column_names:
            table = table.append_column("blocks", pa.nulls(len(table), pa.list_(pa.int64())))
        con.register("given", table)
        con.execute(
            """INSERT INTO content_tokens (content_id, encoding, tokens, blocks)
               SELECT content_id, encoding, min(tokens), any_value(blocks) FROM given g
                WHERE NOT EXISTS (SELECT 1 FROM content_tokens t
                                   WHERE t.content_id = g.content_id AND t.encoding = g.encoding)
                GROUP BY content_id, encoding ORDER BY content_id, encoding"""
        )
        con.unregister("given")


def with_keys(con: duckdb.DuckDBPyConnection, staged: Staged) -> pa.Table:
    """Turn the segments' key numbers into dense ids of `request_keys`, adding the new ones."""
    calls = staged.calls
    found = _SegmentIds.read(staged.segments, "keys")
    if found is None:
        return calls
    starts = found.starts[staged.segment_of_call]
    numbers = {name: _moved(calls[name], starts) for name in _KEYS if name in calls.column_names}
    flags = np.zeros(len(found.high), dtype=bool)
    for one in numbers.values():
        flags[one[one >= 0]] = True
    ids, fresh = found.ids(
        con,
        np.flatnonzero(flags),
        f"""SELECT w.n, k.key_id AS id
              FROM (SELECT n, {HASH} AS hash FROM wanted_hashes) w JOIN request_keys k USING (hash)""",
        "SELECT coalesce(max(key_id) + 1, 0) FROM request_keys",
    )
    new = {"hi": pa.array(found.high[fresh]), "lo": pa.array(found.low[fresh]), "key_id": pa.array(ids[fresh])}
    con.register("new_keys", pa.table(new))
    con.execute(f"INSERT INTO request_keys (hash, key_id) SELECT {HASH}, key_id FROM new_keys")
    con.unregister("new_keys")
    for name, local in numbers.items():
        calls = calls.set_column(calls.schema.get_field_index(name), name, _taken(ids, local))
    return calls
