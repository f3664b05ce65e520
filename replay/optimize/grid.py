"""The grid of a search: the caches and compressions that a routing is tried with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from replay.strategy.cache_schema import Cache
from replay.strategy.schema import Compressor, Strategy
from replay.traffic.traffic import Traffic

LOSSLESS: Final = ("whitespace", "json_minify", "dedup_paragraphs")
TTLS: Final = ("1h", "24h")


def two_tiers(ttl: str) -> list[dict[str, Any]]:
    """The memory of each process, and behind it a shared cache that keeps answers for `ttl`."""
    return [
        {"name": "memory", "scope": "process", "ttl": "5m", "max_entries": 10_000},
        {"name": "shared", "scope": "shared", "ttl": ttl},
    ]


@dataclass(frozen=True)
class Knobs:
    """One point of the grid: what surrounds the routing."""

    label: str
    cache: Cache | None = None
    compress: tuple[Compressor, ...] = ()


def default_grid(traffic: Traffic, base: Strategy | None = None) -> list[Knobs]:
    """No cache, one hour, one day; with and without the lossless compressors; and what `base` has, if given."""
    squeeze = tuple(Compressor(name=name) for name in LOSSLESS)
    weighted = bool((traffic.weight_micro != 1_000_000).any())
    caches: list[tuple[str, Cache | None]] = [("no cache", None)]
    if not weighted and (traffic.key >= 0).any():
        for ttl in TTLS:
            caches.append((f"cache {ttl}", Cache.model_validate({"tiers": two_tiers(ttl)})))
        if base and base.cache:
            caches.append((f"cache of {base.name}", base.cache))
    compressions: list[tuple[str, tuple[Compressor, ...]]] = [("", ()), (" + lossless compression", squeeze)]
    if base and base.compress and all(part.lossless for part in base.compress):
        compressions.append((f" + compression of {base.name}", base.compress))
    return [Knobs(a + b, cache, parts) for a, cache in caches for b, parts in compressions]
