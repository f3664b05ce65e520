"""Every combination of time to live, capacity, policy and number of tiers over one traffic, in parallel threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from itertools import product
from typing import Literal

import numpy as np

from ingest.threads import at_most
from replay.outcomes import HIT, MAX_TIERS
from replay.response_cache.lookups import Demand
from replay.response_cache.simulate import InFlight, Tier, simulate

Stack = Literal["shared", "process", "two"]
PICO = Decimal(10) ** -12
GB = 10**9
DAYS_A_MONTH = 30
MEMORY_USD = Decimal(10)
"""Dollars for a GB of cache memory and month: the order of managed Redis list prices. An assumption, an option."""


@dataclass(frozen=True)
class Setting:
    """One cell: `ttl_ms` None never expires, `entries` None has no capacity. 'two' puts a memory tier per process
    with a tenth of the entries (at least one) and at most five minutes before the shared one."""

    ttl_ms: int | None
    entries: int | None
    policy: str = "lru"
    stack: Stack = "shared"

    def tiers(self) -> list[Tier]:
        shared = Tier("shared", ttl_ms=self.ttl_ms, max_entries=self.entries, policy=self.policy)
        if self.stack == "shared":
            return [shared]
        small = None if self.entries is None else max(1, self.entries // 10)
        short = min(self.ttl_ms or FIVE_MINUTES, FIVE_MINUTES)
        if self.stack == "two":
            return [Tier("memory", "process", ttl_ms=short, max_entries=small), shared]
        return [Tier("memory", "process", ttl_ms=self.ttl_ms, max_entries=self.entries, policy=self.policy)]


FIVE_MINUTES = 300_000


@dataclass(frozen=True)
class Cell:
    """What one setting would have done on the window."""

    setting: Setting
    asked: int
    hits: int
    hits_by_tier: tuple[int, ...]
    saved: int  # pico-dollars
    memory_bytes: int  # at most held at a time by the shared tier, and by the processes together

    def memory_usd_per_day(self, usd_per_gb_month: Decimal) -> Decimal:
        return Decimal(self.memory_bytes) / GB * usd_per_gb_month / DAYS_A_MONTH

    def saved_usd(self) -> Decimal:
        return self.saved * PICO

    def net_usd_per_day(self, days: int, usd_per_gb_month: Decimal) -> Decimal:
        """Dollars saved a day, less what the cache's memory costs a day."""
        return self.saved_usd() / max(days, 1) - self.memory_usd_per_day(usd_per_gb_month)


def settings(
    ttls: Sequence[int | None], entries: Sequence[int | None], policies: Sequence[str], stacks: Sequence[Stack]
) -> list[Setting]:
    """All combinations; without a capacity the policies do the same and one of them stands for all."""
    return [
        Setting(ttl, room, policy, stack)
        for stack, ttl, room, policy in product(stacks, ttls, entries, policies)
        if room is not None or policy == policies[0]
    ]


def sweep(
    asks: Demand,
    cells: Sequence[Setting],
    *,
    in_flight: InFlight = "duplicate",
    threads: int | None = None,
    done: Callable[[], None] = lambda: None,
) -> list[Cell]:
    """Simulate every setting, in the order given. Kernels release the interpreter's lock: threads use all cores."""
    mean = _mean_entry(asks)
    # the first one alone: it compiles the kernel, which threads would only do over again
    first = [_cell(asks, setting, in_flight, mean) for setting in cells[:1]]
    if first:
        done()

    def run(setting: Setting) -> Cell:
        cell = _cell(asks, setting, in_flight, mean)
        done()
        return cell

    with ThreadPoolExecutor(threads or at_most()) as pool:
        return first + list(pool.map(run, cells[1:]))


def _cell(asks: Demand, setting: Setting, in_flight: InFlight, mean: int) -> Cell:
    tiers = setting.tiers()
    outcomes = simulate(asks.requests, tiers, in_flight=in_flight)
    asked = asks.asked
    hit = (outcomes >= HIT) & (outcomes < HIT + MAX_TIERS) & asked
    by_tier = np.bincount(outcomes[hit] - HIT, minlength=len(tiers))
    keys = int(asks.requests.key.max(initial=-1)) + 1
    processes = int(asks.requests.process.max(initial=0)) + 1
    held = 0
    for tier in tiers:
        cells = keys * (processes if tier.scope == "process" else 1)
        room = None if tier.max_entries is None else tier.max_entries * (processes if tier.scope == "process" else 1)
        held += min(cells, room) if room is not None else cells
    return Cell(
        setting=setting,
        asked=int(asked.sum()),
        hits=int(hit.sum()),
        hits_by_tier=tuple(int(one) for one in by_tier),
        saved=int(asks.worth[hit].sum()),
        memory_bytes=held * mean,
    )


def _mean_entry(asks: Demand) -> int:
    """Bytes of a mean answer with the overhead of an entry."""
    sizes = asks.requests.size_bytes
    return int(sizes.mean() if len(sizes) else 0) + Tier("t").overhead_bytes


def best(cells: Sequence[Cell], days: int, usd_per_gb_month: Decimal = MEMORY_USD) -> Cell | None:
    """The setting that saves most a day after paying for its memory; ties fall to the smaller memory."""
    if not cells:
        return None
    return max(cells, key=lambda cell: (cell.net_usd_per_day(days, usd_per_gb_month), -cell.memory_bytes))
