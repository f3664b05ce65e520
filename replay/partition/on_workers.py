"""A replay of a lake on the workers of a cluster, a bucket each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date

from ingest.errors import InputError
from ingest.lake.executors import executor
from ingest.store.database import Store
from ingest.store.lake import LakeStore
from replay.engine.run import Parts
from replay.partition.run_parts import by_buckets


@contextmanager
def on_workers(
    store: Store,
    address: str,
    since: date | None,
    until: date | None,
    *,
    cold: bool,
    every_miss: bool,
    here: Callable[[str], None] | None = None,
) -> Iterator[Parts]:
    """Finds the sums of a lake's buckets on the cluster at `address`; arguments as of `by_buckets`.

    Raises InputError where the store is no lake or a filter chooses among its calls, or the cluster cannot be reached.
    """
    if store.restriction:
        raise InputError("--on replays all calls of a lake, not those of a filter", remedy="Leave out --where or --on.")
    state = store.state() if isinstance(store, LakeStore) else None
    if state is None:
        raise InputError(
            f"--on replays a lake, and {store.address} is a file of this machine",
            remedy="Leave out --on, or name a lake: --store s3://BUCKET/FOLDER/",
        )
    with executor(address, 1) as workers:
        yield by_buckets(
            store,
            state.commit.buckets,
            since=since,
            until=until,
            cold=cold,
            run=workers.map,
            every_miss=every_miss,
            here=here,
        )
