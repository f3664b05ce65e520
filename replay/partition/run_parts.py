"""Runs the parts of a replay, here or on other processes, and merges what they find."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial as bound
from pathlib import Path
from typing import Protocol

from ingest.store.database import Store
from replay.engine.engine import Engine
from replay.engine.partial import Partial, merge, partial
from replay.engine.run import Parts
from replay.engine.shared_results import Shared
from replay.engine.whole_log import WholeLog
from replay.partition import one_node
from replay.partition.bucket_store import BucketStore
from replay.traffic.load_traffic import LogNames, load
from replay.traffic.traffic import Traffic


class Map(Protocol):
    """Runs a function of this program over small items, wherever: the results, in any order."""

    def __call__(self, work: Callable[[int], list[Partial]], items: Sequence[int], /) -> Iterator[list[Partial]]: ...


@dataclass(frozen=True)
class PartJob:
    """What the worker of any part is told. `strategies` are (key policy, what the whole log says), one for each."""

    path: Path
    of: int
    since: date | None
    until: date | None
    cold: bool
    names: LogNames
    strategies: tuple[tuple[str, WholeLog], ...]


def by_buckets(
    store: Store,
    of: int,
    *,
    since: date | None = None,
    until: date | None = None,
    cold: bool = False,
    run: Map = map,
) -> Parts:
    """Finds sums over `of` parts of the store's calls for `replay.engine.run.run` with the same window.

    The parts are read and replayed by `run`, such as the `map` of an executor. Raises OneNodeError for a strategy
    whose result is not that of its parts, added up.
    """

    def found(engines: Sequence[Engine]) -> list[Partial]:
        for engine in engines:
            one_node.check(engine)
        job = PartJob(store.path, of, since, until, cold, LogNames.of(engines[0].traffic), _told(engines))
        parts = list(run(bound(replay_part, job), range(of)))
        merged = [merge(part[place] for part in parts) for place in range(len(engines))]
        for engine, whole in zip(engines, merged, strict=True):
            one_node.check_room(engine, whole.held)
        return merged

    return found


def _told(engines: Sequence[Engine]) -> tuple[tuple[str, WholeLog], ...]:
    for engine in engines:
        if "route" in engine.everything and engine.reading.counts_prompts:
            engine.count_texts()  # here and once, not in each part
    return tuple((engine.traffic.key_policy, engine.whole_log()) for engine in engines)


def replay_part(job: PartJob, bucket: int) -> list[Partial]:
    """What one part adds to the result of each strategy."""
    store = Store(job.path)
    with store.read():  # further connections share what this one has opened
        return _replayed(job, BucketStore(store, bucket, job.of))


def _replayed(job: PartJob, store: Store) -> list[Partial]:
    loaded: dict[str, Traffic] = {}
    shared: dict[str, Shared] = {}
    found = []
    for policy, whole in job.strategies:
        if policy not in loaded:
            loaded[policy] = load(
                store, since=job.since, until=job.until, key_policy=policy, cold=job.cold, whole=job.names
            )
            shared[policy] = Shared([told.strategy for _, told in job.strategies])
        found.append(partial(Engine(loaded[policy], whole.strategy, shared[policy], whole=whole)))
    return found
