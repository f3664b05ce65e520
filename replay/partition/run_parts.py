"""Runs the parts of a replay, here or on other processes, and merges what they find.

Strategies that change what the providers' prompt caches see are replayed by the heads of prompts, in two rounds: the
first simulates the caches as logged, from which the corrections of the second follow. All others go by request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial as bound
from typing import Any, Protocol

from ingest.store.address import open_store
from ingest.store.database import Store
from replay.engine.engine import Engine
from replay.engine.partial import Partial, merge, partial
from replay.engine.reproduction import check_plan, logged_caches
from replay.engine.run import Parts
from replay.engine.shared_results import Shared
from replay.engine.whole_log import WholeLog
from replay.partition import one_node
from replay.partition.bucket_store import BucketStore
from replay.provider_cache.check import LoggedCaches
from replay.traffic.load_prompts import encodings_of
from replay.traffic.load_traffic import LogNames, load
from replay.traffic.prompts import Encodings
from replay.traffic.traffic import Traffic


class Map(Protocol):
    """Runs a function of this program over small items, wherever: the results, in any order."""

    def __call__(self, work: Callable[[int], Any], items: Sequence[int], /) -> Iterator[Any]: ...


@dataclass(frozen=True)
class PartJob:
    """What the worker of any part is told. `strategies` are (key policy, what the whole log says), one for each."""

    address: str
    of: int
    since: date | None
    until: date | None
    cold: bool
    names: LogNames
    strategies: tuple[tuple[str, WholeLog], ...]
    heads: Encodings | None = None  # where the parts go by the heads of prompts


def by_buckets(
    store: Store,
    of: int,
    *,
    since: date | None = None,
    until: date | None = None,
    cold: bool = False,
    run: Map = map,
    every_miss: bool = False,
    here: Callable[[str], None] | None = None,
) -> Parts:
    """Finds sums over `of` parts of the store's calls for `replay.engine.run.run` with the same window.

    The parts are read and replayed by `run`, such as the `map` of an executor. With `every_miss` each miss is told
    from an answer that expired, as in the whole. A strategy whose result is not that of its parts, added up, is
    replayed whole by this process, and `here` is told why; without `here`, OneNodeError is raised.
    """

    def alone(check: Callable[[], None]) -> bool:
        """Whether a strategy needs all calls at one place."""
        try:
            check()
        except one_node.OneNodeError as error:
            if here is None:
                raise
            here(f"{error.what}; this machine replays it whole")
            return True
        return False

    def found(engines: Sequence[Engine]) -> list[Partial]:
        result: dict[int, Partial] = {}
        whole = {place for place, engine in enumerate(engines) if alone(bound(one_node.check, engine))}
        names = LogNames.of(engines[0].traffic)
        plain = PartJob(store.address, of, since, until, cold, names, ())
        prompted = {
            place: bool(engine.players) and engine.provider.needed(engine.routed(engine.everything))
            for place, engine in enumerate(engines)
            if place not in whole
        }
        heads = _heads([engines[place] for place, by_heads in prompted.items() if by_heads])
        if heads is not None:
            beginning = [place for place, by_heads in prompted.items() if by_heads]
            whole |= {place for place in beginning if alone(bound(one_node.check_heads, engines[place], heads))}
        for by in (None, heads) if heads else (None,):
            chosen = [place for place, by_heads in prompted.items() if by_heads == bool(by) and place not in whole]
            if chosen:
                mine = [engines[place] for place in chosen]
                job = _by_heads(plain, mine, by, run) if by else replace(plain, strategies=_told(mine))
                parts = list(run(bound(replay_part, job), range(of)))
                for number, place in enumerate(chosen):
                    result[place] = merge(part[number] for part in parts)
        for place in list(result):
            held = result[place].held
            if alone(bound(one_node.check_room, engines[place], held, every_miss=every_miss)):
                whole.add(place)
        for place in sorted(whole):
            engines[place].provider.told = None
            result[place] = merge([partial(engines[place])])
        return [result[place] for place in range(len(engines))]

    return found


def _told(engines: Sequence[Engine]) -> tuple[tuple[str, WholeLog], ...]:
    for engine in engines:
        if "route" in engine.everything and engine.reading.counts_prompts:
            engine.count_texts()  # here and once, not in each part
    return tuple((engine.traffic.key_policy, engine.whole_log()) for engine in engines)


def _heads(engines: Sequence[Engine]) -> Encodings | None:
    """How the texts are counted by whose first blocks the parts go; None where no strategy asks for it."""
    for engine in engines:
        engine.count_texts()
    return encodings_of(engines[0].traffic) if engines else None


def _by_heads(plain: PartJob, engines: Sequence[Engine], heads: Encodings, run: Map) -> PartJob:
    """The job by heads of prompts, once its first round has told how the simulation compares with the log."""
    asked = [(engine, engine.routed(engine.everything)) for engine in engines]
    told = [
        (policy, replace(whole, caches=engine.provider.whole_caches(served, heads)))
        for (policy, whole), (engine, served) in zip(_told(engines), asked, strict=True)
    ]
    job = replace(plain, strategies=tuple(told), heads=heads)
    logged = LoggedCaches.merged(run(bound(simulate_part, job), range(job.of)))
    for engine in engines:
        engine.provider.told = logged
    plan = check_plan(engines[0], logged.folds)
    second = [
        (policy, replace(whole, caches=engine.provider.whole_caches(served, heads), check=plan))
        for (policy, whole), (engine, served) in zip(told, asked, strict=True)
    ]
    return replace(job, strategies=tuple(second))


def replay_part(job: PartJob, bucket: int) -> list[Partial]:
    """What one part adds to the result of each strategy."""
    return [partial(engine) for engine in _engines(job, bucket)]


def simulate_part(job: PartJob, bucket: int) -> LoggedCaches:
    """What the simulation of a part's calls as logged says beside the log."""
    return logged_caches(next(_engines(job, bucket)))


def _engines(job: PartJob, bucket: int) -> Iterator[Engine]:
    loaded: dict[str, Traffic] = {}
    shared: dict[str, Shared] = {}
    with BucketStore(open_store(job.address), bucket, job.of, job.heads).kept_open() as store:
        for policy, whole in job.strategies:
            if policy not in loaded:
                loaded[policy] = load(
                    store, since=job.since, until=job.until, key_policy=policy, cold=job.cold, whole=job.names
                )
                shared[policy] = Shared([told.strategy for _, told in job.strategies])
            yield Engine(loaded[policy], whole.strategy, shared[policy], whole=whole)
