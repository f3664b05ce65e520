"""Looking after a lake: is all of it there, how many buckets, fewer and larger parts, objects that nothing names."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ingest.errors import InputError, StoreBusyError, StoreError
from ingest.places.place import Place
from ingest.store import lake_commits
from ingest.store.lake import LakeStore
from ingest.store.lake_commits import MOST_BUCKETS, LakeState, Part
from ingest.store.lake_parts import COLUMNS, SPREAD

MERGED_ROWS: Final = 500_000  # of a part that compacting makes
FEW_ROWS: Final = 250_000  # parts with fewer rows are merged
_BY_NUMBER = {"calls": "call_no", "contents": "content_id", "keys": "key_id"}


class Checked(msgspec.Struct):
    """What a check found; no fault where `faults` is empty."""

    commits: int
    buckets: int
    calls: int
    parts: int
    bytes: int
    unused_objects: int
    unused_bytes: int
    faults: list[str]


def check(store: LakeStore) -> Checked:
    """Whether every part that a commit names is there as it was written, and holds each call once, with its cost."""
    state = _state(store)
    listed = {one.name: one.size for one in store.place.list()}
    faults = [f"{name} is missing" for name in _missing_commits(state, listed)]
    if state.commit.side not in listed:
        faults.append(f"{state.commit.side} is missing")
    for part in state.parts.values():
        if part.name not in listed:
            faults.append(f"{part.name} is missing")
        elif listed[part.name] != part.bytes:
            faults.append(f"{part.name} has {listed[part.name]:,} bytes, not {part.bytes:,}")
    calls = sum(part.rows for part in state.of("calls"))
    if not faults and calls:
        with store.read() as con:
            found = con.execute(
                """SELECT count(*), count(DISTINCT call_key), count(DISTINCT call_no), count(cost_status)
                     FROM costs"""
            ).fetchall()[0]
        if set(found) != {calls}:
            faults.append(f"of {calls:,} calls {found[0]:,} are read, {found[1]:,} different, {found[3]:,} with a cost")
    unused = _unused(state, listed)
    return Checked(
        state.commit.number + 1, state.commit.buckets, calls, len(state.parts),
        sum(part.bytes for part in state.parts.values()), len(unused), sum(listed[name] for name in unused), faults,
    )  # fmt: skip


def split(store: LakeStore, buckets: int) -> int:
    """Let the lake have so many buckets; how many it had. Raises InputError where that is no power of two.

    A bucket's calls are those whose hash begins alike, so no part is written anew.
    """
    if buckets < 1 or buckets & (buckets - 1) or buckets > MOST_BUCKETS:
        raise InputError(f"{buckets} is no power of two up to {MOST_BUCKETS:,}", remedy="Such as: --buckets 16")
    state = _state(store)
    _commit(store, state, buckets=buckets)
    return state.commit.buckets


def compact(store: LakeStore) -> tuple[int, int]:
    """Merge small parts into larger ones; the number of parts before and after."""
    state = _state(store)
    added: list[Part] = []
    removed: list[str] = []
    for kind in _BY_NUMBER:
        for group in _groups(state.of(kind)):
            added.append(_merged(store.place, kind, group, state.commit.buckets))
            removed += [part.name for part in group]
    if removed:
        _commit(store, state, parts=added, removed=removed)
    return len(state.parts), len(state.parts) - len(removed) + len(added)


def remove_unused(store: LakeStore, hours: float) -> tuple[int, int]:
    """Remove objects that the newest commit does not name and that are older; how many, and their bytes.

    What an ingest that is still running has staged is younger than it, what a reader still reads was named by a
    commit younger than its question.
    """
    state = _state(store)
    listed = {one.name: one for one in store.place.list()}
    before = (time.time() - hours * 3600) * 1_000_000
    unused = _unused(state, {name: one.size for name, one in listed.items()})
    gone = [name for name in unused if listed[name].modified_us < before]
    for name in gone:
        store.place.remove(name)
    return len(gone), sum(listed[name].size for name in gone)


def _state(store: LakeStore) -> LakeState:
    state = store.state()
    if state is None:
        remedy = f"Make one with: hindcast ingest PATH --store {store.address}"
        raise StoreError(f"there is no store at {store.address}", remedy=remedy)
    return state


def _commit(store: LakeStore, state: LakeState, **changes: Any) -> None:
    if lake_commits.add(store.place, state, lake_commits.following(state, **changes)) is None:
        raise StoreBusyError(
            f"another program has written to {store.address} meanwhile; nothing was changed",
            remedy="Run the same command again.",
        )


def _missing_commits(state: LakeState, listed: dict[str, int]) -> list[str]:
    names = map(lake_commits.name_of, range(state.commit.number + 1))
    return [name for name in names if name not in listed]


def _unused(state: LakeState, listed: dict[str, int]) -> list[str]:
    named = {state.commit.side, *state.parts}
    return [name for name in listed if name not in named and not name.startswith(lake_commits.FOLDER)]


def _groups(parts: list[Part]) -> Iterator[list[Part]]:
    """Small parts that follow each other, at most MERGED_ROWS together."""
    held: list[Part] = []
    for part in parts:
        if part.rows >= FEW_ROWS:
            continue
        if sum(one.rows for one in held) + part.rows > MERGED_ROWS:
            if len(held) > 1:
                yield held
            held = []
        held.append(part)
    if len(held) > 1:
        yield held


def _merged(place: Place, kind: str, parts: list[Part], buckets: int) -> Part:
    columns = list(COLUMNS[kind])
    table = pa.concat_tables([pq.read_table(io.BytesIO(place.read(part.name))).select(columns) for part in parts])
    number = _BY_NUMBER[kind]
    if kind == "calls":
        bucket = pc.divide(table[SPREAD].cast(pa.int32()), 65536 // buckets)
        order = pc.sort_indices(
            pa.table({"bucket": bucket, number: table[number]}), [("bucket", "ascending"), (number, "ascending")]
        )
    else:
        order = pc.sort_indices(table, [(number, "ascending")])
    sink = io.BytesIO()
    pq.write_table(table.take(order), sink, compression="zstd", row_group_size=122_880)
    data = sink.getvalue()
    token = hashlib.sha256("\n".join(part.name for part in parts).encode()).hexdigest()[:32]
    name = f"{kind}/{token}-merged.parquet"
    place.write(name, data)
    return Part(kind, name, len(table), len(data))
