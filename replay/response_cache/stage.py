"""The strategy's own caches over the traffic: which requests are equal, who may look up, whose answer may be kept."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ingest.errors import StrategyError
from replay.response_cache import capacity, invalidation
from replay.response_cache import simulate as tiers
from replay.response_cache.capacity import Held
from replay.stages import rule_evaluation
from replay.strategy.cache_schema import Cache
from replay.traffic.prompts import Prompts, Tree
from replay.traffic.traffic import Bool, Int32, Int64, Traffic
from replay.traffic.unit_draws import conversations, mixed

# what `key` already holds beside the messages, as far as the store keeps it by name
_PARAMETERS = ("temperature", "max_tokens", "response_format", "reasoning_effort")


def tier_list(spec: Cache) -> list[tiers.Tier]:
    """The file's tiers as the simulator takes them."""
    return [
        tiers.Tier(
            name=tier.name,
            scope=tier.scope,
            ttl_ms=tier.ttl_ms,
            sliding=tier.sliding,
            max_entries=tier.max_entries,
            max_bytes=tier.max_bytes,
            policy=tier.policy,
            fill_on_lower_hit=tier.fill_on_lower_hit,
        )
        for tier in spec.tiers
    ]


@dataclass
class Room:
    """Where the calls are a part of a log: what limited tiers would have to hold, as each simulation finds it.

    They are simulated without their limits; once all parts are merged, `Held.fits` says whether that was right.
    """

    span_ms: int  # of the whole log
    held: list[Held] = field(default_factory=list)


def simulate(
    traffic: Traffic, spec: Cache, body: Int64 | Int32, served: Int32, room: Room | None = None, variant: str = ""
) -> np.ndarray[tuple[int], np.dtype[np.int8]]:
    """One outcome code per call. `body` is the dense id of the request without its model, -1 for none.

    With `room` no limit binds, and what the tiers hold is noted there under `variant`.

    Raises StrategyError on weighted rows: a row that stands for many calls has no single time and no single key.
    """
    weight = traffic.usage.weight_micro
    count = 0 if weight is None else int((weight != 1_000_000).sum())
    if count:
        raise StrategyError(
            f"{count:,} rows of this log are sampled or aggregated (weight is not 1), so cache hits cannot be replayed",
            remedy="Leave `cache` out of the strategy, or ingest the calls one by one.",
        )
    lookup = traffic.demand & (body >= 0) & _allowed(traffic, spec)
    requests = tiers.Requests(
        key=_key(body, served),
        start_ms=traffic.start_ms,
        end_ms=traffic.end_ms,
        storable=traffic.storable & lookup,
        lookup=lookup,
        process=processes(traffic, spec),
        size_bytes=traffic.size_bytes if any(tier.max_bytes for tier in spec.tiers) else np.zeros(0, np.int64),
    )
    emptied = invalidation.events(traffic, spec, requests.key, requests.process)
    caches = tier_list(spec)
    if room is not None:
        room.held += capacity.held(requests, caches, span_ms=room.span_ms, variant=variant)
        caches = capacity.without_limits(caches)
    return tiers.simulate(requests, caches, in_flight=spec.in_flight, events=emptied, seed=spec.seed)


def _key(body: Int64 | Int32, served: Int32) -> Int32:
    """Request and model in one dense id; ids without a call are allowed, as long as they fit 31 bits."""
    from replay.kernels.common.dense_ids import count, factorise, joined

    used = np.flatnonzero(count(served, int(served.max(initial=0)) + 1))
    rank = np.zeros(int(used[-1]) + 1 if len(used) else 1, np.int32)
    rank[used] = np.arange(len(used))
    most = (int(body.max(initial=-1)) + 1) * len(used)
    if most < min(2**31 - 1, 4 * len(body) + 1000):
        key = np.empty(len(body), np.int32)
        joined(body, served, rank, len(used), key)
        return key
    return factorise(np.where(body < 0, np.int64(-1), body.astype(np.int64) * len(used) + rank[served]), skip=-1)[0]


def _allowed(traffic: Traffic, spec: Cache) -> Bool:
    """False for calls that the file keeps away from the cache: too hot, or skipped by rule."""
    allowed = np.ones(len(traffic), np.bool_)
    if spec.max_temperature is not None:
        heat = traffic.rule_frame(["temperature"])["temperature"].fill_null(1.0)  # a provider's default is 1
        allowed &= (heat <= spec.max_temperature).to_numpy()
    for selection in spec.skip:
        frame = traffic.rule_frame(rule_evaluation.columns_of([selection]))
        allowed &= ~rule_evaluation.selected(selection, frame)
    return allowed


def processes(traffic: Traffic, spec: Cache) -> Int32:
    """The process of each call: as logged, else one of `processes` by `assign` and `seed`, numbered behind those.

    `sticky` keeps a conversation on one process, drawn by its hash; a call without a conversation is its own. A call's
    process depends on nothing later than itself.
    """
    missing = traffic.process < 0
    if not missing.any():
        return traffic.process
    if spec.processes == 1:
        drawn = np.zeros(len(traffic), np.int64)
    elif spec.assign == "round_robin":
        drawn = (np.cumsum(missing) - 1) % spec.processes
    else:
        drawn = (mixed(conversations(traffic), spec.seed) % np.uint64(spec.processes)).astype(np.int64)
    return np.where(missing, drawn + len(traffic.processes), traffic.process).astype(np.int32)


def compressed_keys(traffic: Traffic, before: Prompts, after: Prompts) -> Int64:
    """Dense ids of the compressed requests, without the model; -1 where the logged request has no key.

    Two requests share a key iff they are equal after compression and had equal parameters. The parameters are part of
    the logged key: keys merge only where the named parameters are equal and each key is the only one of its message
    list, so that a parameter the store does not name keeps them apart.
    """
    from replay.kernels.common.dense_ids import factorise

    keys, first = np.unique(traffic.key, return_index=True)
    parameters = traffic.columns.combinations(_PARAMETERS)[first].astype(np.int64)
    old, new = (_paths(prompts, first) * np.int64(2**31) + parameters for prompts in (before, after))
    body, _ = factorise(old)
    sole = (np.bincount(body)[body] == 1) & (before.offsets[first + 1] > before.offsets[first])
    identity = np.where(keys < 0, np.int64(-1), np.where(sole, new, -2 - keys.astype(np.int64)))
    ids, _ = factorise(identity, skip=-1)
    return ids[np.searchsorted(keys, traffic.key)].astype(np.int64)


def _paths(prompts: Prompts, calls: Int64) -> Int64:
    """A number for each call's list of contents: equal lists, equal numbers."""
    length = prompts.offsets[calls + 1] - prompts.offsets[calls]
    offsets = np.zeros(len(calls) + 1, np.int64)
    np.cumsum(length, out=offsets[1:])
    ids = prompts.ids[np.repeat(prompts.offsets[calls] - offsets[:-1], length) + np.arange(offsets[-1])]
    return Tree.of(offsets, ids).path.astype(np.int64)
