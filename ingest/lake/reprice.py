"""Every call of a lake priced anew: new parts beside the old ones, and one commit that puts them in their place."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

import msgspec

import ingest
from ingest.errors import StoreBusyError, StoreError
from ingest.lake.executors import Executor
from ingest.lake.job import Job, Pricing
from ingest.lake.part_costs import price_parts, share_costs
from ingest.lake.prices import settle_prices
from ingest.progress import Progress
from ingest.store import lake_commits
from ingest.store.lake import LakeStore
from ingest.store.lake_commits import LakeState
from ingest.store.lake_parts import define_views
from ingest.store.schema import SCOPE

TRIES: Final = 5  # commits that others may make meanwhile


def reprice(
    store: LakeStore, executor: Executor, pricing: Callable[[], Pricing], progress: Progress | None = None
) -> int:
    """Price all calls by the price book of this program and the own prices in the lake; how many.

    Raises StoreError where there is no lake; StoreBusyError where others kept committing meanwhile.
    """
    for _ in range(TRIES):
        state = store.state()
        if state is None:
            raise StoreError(
                f"there is no store at {store.address}",
                remedy=f"Make one with: hindcast ingest PATH --store {store.address}",
            )
        if progress:
            progress.total(sum(part.rows for part in state.of("calls")))
        if _committed(store, state, executor, pricing, progress):
            return sum(part.rows for part in state.of("calls"))
    raise StoreBusyError(
        f"others have written to {store.address} each time the new costs were ready",
        remedy="Run the same command again.",
    )


def _committed(
    store: LakeStore,
    state: LakeState,
    executor: Executor,
    pricing: Callable[[], Pricing],
    progress: Progress | None,
) -> bool:
    material = [ingest.__version__, state.commit.number, state.commit.side, sorted(state.parts)]
    run = hashlib.sha256(msgspec.json.encode(material)).hexdigest()[:32]
    job = Job(store.address, run, pricing)
    old = state.of("calls")
    others = {name: part for name, part in state.parts.items() if part.kind != "calls"}
    with store.change(state) as con:
        job.pricing().forget(con)
        scopes = con.execute(f"SELECT DISTINCT {', '.join(SCOPE)} FROM calls ORDER BY ALL").fetchall()
        settle_prices(job, con, scopes)
        new = price_parts(job, old, executor, progress.advance if progress else None)
        define_views(con, store.place, LakeState(state.commit, others | {part.name: part for part in new}))
        if new:
            shared = share_costs(job, con, new, executor)
            new = [shared.get(part.name, part) for part in new]
            define_views(con, store.place, LakeState(state.commit, others | {part.name: part for part in new}))
            job.pricing().conclude(con)
        side = store.save_side(con, state.commit.number + 1)
    commit = lake_commits.following(state, side=side, parts=new, removed=[part.name for part in old], run=run)
    return lake_commits.add(store.place, state, commit) is not None
