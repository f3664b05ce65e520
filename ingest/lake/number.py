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

SHARED: Final = {"contents": "content_id", "keys": "key_id"}


class Settled(msgspec.Struct):
    """What stays of a task."""

    calls: int
    files: dict[int, int]  # calls that stay, by file
    models: list[list[str | None]]  # provider, model and region of the calls that stay, each once


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
    """Tell what stays of a task, and write which texts and keys that uses."""
    parsed = result(job, task)
    token = job.plan.tasks[task].token
    kept = kept_rows(job, task, parsed.calls)
    path = f"run/parse/{token}/calls.parquet"
    shared = ("messages", *SEGMENT_NUMBERS)
    calls = read_table(job.place, path).take(pa.array(kept))
    for kind in SHARED:
        if not getattr(parsed, kind):
            continue
        used = np.unique(np.concatenate([_numbers(calls, name) for name in shared if _kind(name) == kind]))
        hashes = read_table(job.place, f"run/parse/{token}/{kind}.parquet", ["hi", "lo"]).take(pa.array(used))
        table = hashes.append_column("local", pa.array(used))
        write_table(job.place, f"run/{job.run}/used/{task}-{kind}.parquet", table)
    names = ("provider_name", "model", "region")
    scope = pa.table({n: calls[n] if n in calls.column_names else pa.nulls(len(calls), pa.string()) for n in names})
    models = scope.group_by(list(names)).aggregate([]).to_pylist()
    files, counts = np.unique(calls["source"].to_numpy(), return_counts=True)
    return Settled(
        len(kept),
        dict(zip(files.tolist(), counts.tolist(), strict=True)),
        sorted(([one[name] for name in names] for one in models), key=str),
    )


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
    parts = [part.name for part in begin.known if part.kind == kind]
    known = [read_table(job.place, name, ["hi", "lo", column]) for name in parts]
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
    ids = ids[leader]
    at = old
    for task, table in zip(tasks, used, strict=True):
        end = at + len(table)
        told = pa.table({"local": table["local"], "id": pa.array(ids[at:end]), "fresh": pa.array(fresh[at:end])})
        write_table(job.place, f"run/{job.run}/numbers/{task}-{kind}.parquet", told)
        at = end
    return start + len(new)
