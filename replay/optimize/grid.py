"""The grid of a search: the caches and compressions that a routing is tried with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from replay.strategy.cache_schema import Cache, CacheTier
from replay.strategy.schema import Compressor, Strategy
from replay.traffic.traffic import Traffic

LOSSLESS: Final = ("whitespace", "json_minify", "dedup_paragraphs")


@dataclass(frozen=True)
class Knobs:
    """One point of the grid: what surrounds the routing."""

    label: str
    cache: Cache | None = None
    compress: tuple[Compressor, ...] = ()


def default_grid(traffic: Traffic, base: Strategy | None = None) -> list[Knobs]:
    """No cache, one hour, one day; with and without the lossless compressors; and what `base` has, if given."""
    squeeze = tuple(Compressor(name=name) for name in LOSSLESS)
    memory = CacheTier.model_validate({"name": "memory", "scope": "process", "ttl": "5m", "max_entries": 10_000})
    weighted = bool((traffic.weight_micro != 1_000_000).any())
    caches: list[tuple[str, Cache | None]] = [("no cache", None)]
    if not weighted and (traffic.key >= 0).any():
        for ttl in ("1h", "24h"):
            tiers = (memory, CacheTier.model_validate({"name": "shared", "scope": "shared", "ttl": ttl}))
            caches.append((f"cache {ttl}", Cache(tiers=tiers)))
        if base and base.cache:
            caches.append((f"cache of {base.name}", base.cache))
    compressions: list[tuple[str, tuple[Compressor, ...]]] = [("", ()), (" + lossless compression", squeeze)]
    if base and base.compress and all(part.lossless for part in base.compress):
        compressions.append((f" + compression of {base.name}", base.compress))
    return [Knobs(a + b, cache, parts) for a, cache in caches for b, parts in compressions]
