"""Third and fourth stage: which calls of a task stay, and the numbers of calls, texts and request keys.

Numbers are those that a file would have: in the order of the files, and of what is shared by its first use in a call
that stays.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa

from ingest.lake.deduplicate import verdicts
from ingest.lake.job import Job
from ingest.lake.objects import read_table, write_table
from ingest.lake.parse import SEGMENT_NUMBERS, result
from ingest.store.lake_commits import Part
from ingest.store.lake_parts import COMPLETED
from ingest.store.schema import SCOPE

SHARED: Final = {"contents": "content_id", "keys": "key_id"}


class Settled(msgspec.Struct):
    """What stays of a task."""

    calls: int
    files: dict[int, int]  # calls that stay, by file


class Begin(msgspec.Struct):
    """The numbers from which a run counts, and where those of earlier commits stand; written once to the lake."""

    calls: list[int]  # of every task, its first
    contents: int
    keys: int
    known: list[Part]  # contents and keys of earlier commits
    tasks: list[int]  # those in which calls stay
    scaleless: list[int]  # files whose scores are of another scale


def kept_rows(job: Job, task: int, calls: int) -> Any:
    """The places (int64) of the calls of a task that stay."""
    stays = np.ones(calls, bool)
    gone = verdicts(job, task, "gone")
    if gone is not None:
        stays[gone["place"].to_numpy()] = False
    return np.flatnonzero(stays)


def settle(job: Job, task: int) -> Settled:
    """Tell what stays of a task, and write which texts and keys that uses, and what its prices depend on."""
    parsed = result(job, task)
    token = job.plan.tasks[task].token
    kept = kept_rows(job, task, parsed.calls)
    path = f"run/parse/{token}/calls.parquet"
    shared = ("messages", *SEGMENT_NUMBERS)
    calls = read_table(job.place, path, ["source", *SCOPE, *shared]).take(pa.array(kept))
    for kind in SHARED:
        if not getattr(parsed, kind):
            continue
        used = np.unique(np.concatenate([_numbers(calls, name) for name in shared if _kind(name) == kind]))
        shared_table = read_table(job.place, f"run/parse/{token}/{kind}.parquet").take(pa.array(used))
        table = shared_table.select(["hi", "lo"]).append_column("local", pa.array(used))
        bare = np.zeros(len(used), bool)
        if kind == "contents" and parsed.hashed:
            told = "text" in shared_table.column_names
            bare = np.asarray(shared_table["text"].is_null()) if told else np.ones(len(used), bool)
        table = table.append_column("bare", pa.array(bare))
        write_table(job.place, f"run/{job.run}/used/{task}-{kind}.parquet", table)
    scope = pa.table({n: calls[n] if n in calls.column_names else pa.nulls(len(calls), pa.string()) for n in SCOPE})
    scopes = scope.group_by(list(SCOPE)).aggregate([])
    write_table(job.place, f"run/{job.run}/scopes/{task}.parquet", scopes)
    files, counts = np.unique(calls["source"].to_numpy(), return_counts=True)
    return Settled(len(kept), dict(zip(files.tolist(), counts.tolist(), strict=True)))


def _kind(column: str) -> str:
    return "keys" if column.startswith("key_") else "contents"


def _numbers(calls: pa.Table, column: str) -> Any:
    if column not in calls.column_names:
        return np.zeros(0, np.int64)
    found = calls[column].combine_chunks()
    if column == "messages":
        found = found.flatten()
    return found.drop_null().to_numpy(zero_copy_only=False).astype(np.int64)


def number(job: Job, _: int) -> dict[str, int]:
    """Number what the calls of a run share; the next free numbers. One task: it holds 20 bytes of each text and key."""
    begin = begin_of(job)
    found = {}
    for kind, column in SHARED.items():
        found[kind] = _number(job, begin, kind, column, getattr(begin, kind))
    return found


def begin_of(job: Job) -> Begin:
    """The numbers from which the run counts."""
    return msgspec.json.decode(job.place.read(f"run/{job.run}/begin.json"), type=Begin)


def _number(job: Job, begin: Begin, kind: str, column: str, start: int) -> int:
    bare_told = ["bare"] if kind == "contents" else []
    parts = [part.name for part in begin.known if part.kind == kind]
    known = [read_table(job.place, name, ["hi", "lo", column, *bare_told]) for name in parts]
    tasks = [task for task in begin.tasks if getattr(result(job, task), kind)]
    used = [read_table(job.place, f"run/{job.run}/used/{task}-{kind}.parquet") for task in tasks]
    if not used:
        return start
    high = np.concatenate([table["hi"].to_numpy() for table in (*known, *used)])
    low = np.concatenate([table["lo"].to_numpy() for table in (*known, *used)])
    old = sum(map(len, known))
    order = np.lexsort((np.arange(len(high)), low, high))
    leads = np.ones(len(order), bool)
    leads[1:] = (high[order][1:] != high[order][:-1]) | (low[order][1:] != low[order][:-1])
    leader = np.empty(len(order), np.int64)
    leader[order] = order[np.maximum.accumulate(np.where(leads, np.arange(len(order)), 0))]
    ids = np.full(len(order), -1, np.int32)
    if old:
        ids[:old] = np.concatenate([table[column].to_numpy() for table in known])
    fresh = np.zeros(len(order), bool)
    fresh[order[leads]] = True
    fresh[:old] = False
    new = np.flatnonzero(fresh)
    ids[new] = start + np.arange(len(new))
    bare = np.zeros(len(order), bool)
    if kind == "contents":
        bare[old:] = np.concatenate([table["bare"].to_numpy() for table in used])
        if old:
            stored = np.concatenate([table["bare"].to_numpy() for table in known])
            bare[:old] = stored & ~_completed(job, begin, ids[:old])
    gives = _completing(leader, bare, old)  # the first that has the text of what was met without it
    completes = np.zeros(len(order), bool)
    completes[gives] = leader[gives] < old
    fresh[leader[gives]] = False
    fresh[gives] = ~completes[gives]
    ids = ids[leader]
    at = old
    for task, table in zip(tasks, used, strict=True):
        end = at + len(table)
        told = pa.table({"local": table["local"], "id": pa.array(ids[at:end]), "fresh": pa.array(fresh[at:end])})
        told = told.append_column("completes", pa.array(completes[at:end]))
        write_table(job.place, f"run/{job.run}/numbers/{task}-{kind}.parquet", told)
        at = end
    return start + len(new)


def _completed(job: Job, begin: Begin, ids: Any) -> Any:
    """Of numbers of contents, whether an earlier commit has given them their text."""
    parts = [part.name for part in begin.known if part.kind == COMPLETED]
    found = [read_table(job.place, name, ["content_id"])["content_id"].to_numpy() for name in parts]
    return np.isin(ids, np.concatenate(found)) if found else np.zeros(len(ids), bool)


def _completing(leader: Any, bare: Any, old: int) -> Any:
    """The places of new rows that have the text of a content whose first row has none; one for each content."""
    whole = np.flatnonzero(~bare & bare[leader])
    whole = whole[whole >= old]
    _, first = np.unique(leader[whole], return_index=True)
    return whole[first]
