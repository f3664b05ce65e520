"""Reads requests as lists of distinct texts from the store."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import polars as pl

from ingest.store.database import Store
from replay.traffic.prompts import KINDS, Contents, Encodings, Int32, Int64, Prompts, Tree
from replay.traffic.rule_columns import in_order
from replay.traffic.traffic import Traffic

ENCODINGS = ("cl100k_base", "o200k_base")
_ROLES = " ".join(f"WHEN '{role}' THEN {number}" for number, role in enumerate(KINDS))
_KIND = f"""(CASE WHEN c.kind = 'tools' THEN {KINDS.index("tools")}
    ELSE CASE c.role {_ROLES} ELSE {KINDS.index("other")} END END)::TINYINT"""


_WITH_TOOLS = """CASE WHEN tools_id IS NULL THEN message_ids
    ELSE list_prepend(tools_id, coalesce(message_ids, CAST([] AS INTEGER[]))) END"""
_PIECE = 500_000  # call numbers read at once


def load_prompts(traffic: Traffic, *, texts: bool, tree: bool = False, encodings: Encodings | None = None) -> Prompts:
    """The prompts of all calls of `traffic`; with `texts` also the stored texts, which compression needs.

    With `tree` the requests' paths are worked out while the contents are read.

    A call without stored messages has an empty list. `encodings` are told where the traffic is a part of a log.
    """
    from replay.kernels.common.dense_ids import mark, renumber

    offsets, ids = _lists(traffic)
    there = np.zeros(int(ids.max(initial=-1)) + 1, np.bool_)
    mark(ids, there)
    used = np.flatnonzero(there).astype(np.int32)
    if len(used) < len(there):
        number = np.cumsum(there, dtype=np.int32) - np.int32(1)
        renumber(ids, number)
    with ThreadPoolExecutor(1) as beside:
        grown = beside.submit(Tree.of, offsets, ids) if tree else None
        contents = _contents(traffic.store, used, texts=texts, encodings=encodings)
        return Prompts(offsets, ids, contents, grown.result() if grown else None)


def _lists(traffic: Traffic) -> tuple[Int64, Int32]:
    """(offsets, content ids) of the calls, read in pieces of call numbers so that they are held once."""
    call_no = traffic.call_no
    rising = bool((call_no[1:] > call_no[:-1]).all())
    numbers = call_no if rising else np.sort(call_no)
    offsets = np.zeros(len(call_no) + 1, np.int64)
    if not len(call_no):
        return offsets, np.zeros(0, np.int32)
    first = int(numbers[0])
    with traffic.store.read() as con:
        tools = con.execute(f"SELECT count(tools_id) FROM calls WHERE {traffic.where}").fetchall()[0][0]
        ids = _WITH_TOOLS if tools else "message_ids"
        sizes = con.execute(
            f"""SELECT (call_no - {first:d}) // {_PIECE:d}, count(*)::BIGINT, coalesce(sum(len({ids})), 0)::BIGINT
                FROM calls WHERE {traffic.where} GROUP BY 1 ORDER BY 1"""
        ).fetchall()
        values = np.empty(sum(size for _, _, size in sizes), np.int32)
        row = at = 0
        for piece, count, size in sizes:
            low = first + piece * _PIECE
            rows = con.sql(
                f"""SELECT call_no, {ids} AS ids FROM calls
                    WHERE {traffic.where} AND call_no >= {low:d} AND call_no < {low + _PIECE:d}"""
            ).to_arrow_table()
            chunks = rows.column("ids").chunks
            lengths = np.concatenate([chunk.value_lengths().fill_null(0).to_numpy(False) for chunk in chunks])
            found = np.concatenate([chunk.flatten().to_numpy(False) for chunk in chunks])
            place = in_order(rows.column("call_no").to_numpy(), numbers[row : row + count])
            lengths, found = (lengths, found) if place is None else _moved(lengths, found, place)
            offsets[row + 1 : row + count + 1] = lengths
            values[at : at + size] = found
            row, at = row + count, at + size
    if not rising:
        lengths, values = _moved(offsets[1:], values, np.searchsorted(numbers, call_no))
        offsets[1:] = lengths
    np.cumsum(offsets, out=offsets)
    return offsets, values


def _moved(lengths: Int64, values: Int32, place: Int64) -> tuple[Int64, Int32]:
    """Lists in another order: those at `place`."""
    starts = np.cumsum(lengths, dtype=np.int64) - lengths
    lengths = lengths[place]
    behind = np.cumsum(lengths, dtype=np.int64) - lengths
    return lengths, values[np.repeat(starts[place] - behind, lengths) + np.arange(len(values))]


def _contents(store: Store, used: Int32, *, texts: bool, encodings: Encodings | None) -> Contents:
    wanted = pl.DataFrame({"content_id": used})
    with store.read() as con:
        con.register("wanted", wanted.to_arrow())
        rows = con.sql(
            f"""SELECT c.content_id, {_KIND} AS kind, coalesce(c.words, 0) AS words
               FROM contents c JOIN wanted USING (content_id) ORDER BY content_id"""
        ).pl()
        counted = con.sql(
            """SELECT t.content_id, t.encoding, t.tokens, t.blocks
               FROM content_tokens t JOIN wanted USING (content_id) ORDER BY content_id, encoding"""
        ).pl()
        stored: Mapping[int, str] = {}
        if texts:
            found = con.execute(
                """SELECT content_id, text FROM contents JOIN wanted USING (content_id)
                   WHERE text IS NOT NULL ORDER BY content_id"""
            ).fetchall()
            numbers = np.searchsorted(used, np.array([row[0] for row in found], np.int32))
            stored = {int(number): row[1] for number, row in zip(numbers, found, strict=True)}
    tokens = {}
    for encoding in ENCODINGS:
        part = counted.filter(pl.col("encoding") == encoding)
        column = np.full(len(used), -1, np.int32)
        column[np.searchsorted(used, part["content_id"].to_numpy())] = part["tokens"].to_numpy()
        tokens[encoding] = column
    offsets, blocks = _blocks(used, counted, encodings)
    return Contents(
        content_id=used.astype(np.int32),
        kind=rows["kind"].to_numpy(),
        words=rows["words"].cast(pl.Int32).to_numpy(),
        tokens=tokens,
        block_offsets=offsets,
        block_hashes=blocks,
        texts=stored,
        encodings=encodings,
    )


def chain_encoding(contents: Contents) -> str:
    """The encoding that counts most of the contents: the one that prompt caches are simulated in."""
    if contents.encodings is not None:
        return contents.encodings.counted
    return max(sorted(contents.tokens, reverse=True), key=lambda name: int((contents.tokens[name] >= 0).sum()))


def encodings_of(traffic: Traffic) -> Encodings:
    """The encodings by which the prompts of this traffic are chained, told from counts alone."""
    with traffic.store.read() as con:
        rows = con.execute(
            f"""SELECT encoding, count(*) FILTER (tokens >= 0), count(blocks) FROM content_tokens
                WHERE content_id IN (SELECT unnest({_WITH_TOOLS}) FROM calls WHERE {traffic.where}) GROUP BY encoding"""
        ).fetchall()
    counted = dict.fromkeys(ENCODINGS, 0) | {name: many for name, many, _ in rows if name in ENCODINGS}
    hashed = max(((many, name) for name, _, many in rows if many), default=None)
    return Encodings(max((many, name) for name, many in counted.items())[1], None if hashed is None else hashed[1])


def _blocks(used: Int32, counted: pl.DataFrame, told: Encodings | None) -> tuple[Int64, Int64]:
    """Block hashes per content, all in the encoding that counts most of them: chains of two encodings never meet."""
    hashed = counted.filter(pl.col("blocks").is_not_null())
    if hashed.is_empty():
        return np.zeros(len(used) + 1, np.int64), np.zeros(0, np.int64)
    most = told.hashed if told else None
    if most is None:
        most = hashed.group_by("encoding").len().sort("len", "encoding", descending=True)["encoding"][0]
    known = hashed.filter(pl.col("encoding") == most)
    sizes = np.zeros(len(used), np.int64)
    sizes[np.searchsorted(used, known["content_id"].to_numpy())] = known["blocks"].list.len().to_numpy()
    offsets = np.zeros(len(used) + 1, np.int64)
    np.cumsum(sizes, out=offsets[1:])
    values = known["blocks"].explode(empty_as_null=False, keep_nulls=False).cast(pl.Int64).to_numpy()
    return offsets, values
