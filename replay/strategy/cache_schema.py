"""The `cache:` part of a strategy file: tiers, keys, processes, and what empties them from outside."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from replay.strategy.fields import Bytes, Milliseconds, Name, Part, Selection
from replay.strategy.schedule import Moments, read_invalidations, read_restarts


class CacheTier(Part):
    """One tier, nearest first. No limit is set where a limit is not given."""

    name: Name
    scope: Literal["process", "shared"] = "shared"
    ttl_ms: Milliseconds | None = Field(default=None, alias="ttl")
    sliding: bool = False
    max_entries: Annotated[int, Field(ge=1)] | None = None
    max_bytes: Bytes | None = Field(default=None, alias="max_memory")
    policy: str = "lru"
    fill_on_lower_hit: bool = True


class Restart(Part):
    """When the memory of the processes starts empty; `process` is one that the log names, default: all of them."""

    at: Moments
    process: Name | None = None


class Invalidation(Selection):
    """When answers are deleted from every tier: those of the requests that the selection holds, default: all."""

    at: Moments


class Cache(Part):
    """Our own response cache. The key is of the compressed request and the routed model."""

    key: Literal["canonical", "canonical+mask", "litellm", "helicone", "portkey"] = "canonical"
    tiers: Annotated[tuple[CacheTier, ...], Field(min_length=1, max_length=6)]
    in_flight: Literal["duplicate", "coalesced"] = "duplicate"
    processes: Annotated[int, Field(ge=1, le=10_000)] = 1
    assign: Literal["sticky", "round_robin"] = "sticky"
    seed: Annotated[int, Field(ge=0)] = 0
    max_temperature: Annotated[float, Field(ge=0)] | None = None  # hotter calls bypass the cache
    skip: tuple[Selection, ...] = ()  # calls that must always reach the model
    restarts: Annotated[tuple[Restart, ...], BeforeValidator(read_restarts)] = ()
    invalidate: Annotated[tuple[Invalidation, ...], BeforeValidator(read_invalidations)] = ()
