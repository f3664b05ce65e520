"""Whether a cache's limit can bind at all, told from counts that parts of a traffic add up to.

A limit that binds couples all requests: which answer goes out depends on everything asked in between. A limit that
cannot bind changes nothing, and then each request's calls can be simulated by themselves. It cannot where all that is
ever asked for would fit; nor, for LRU and FIFO with a life that hits do not renew, where all that is asked for within
one life fits: both keep the newest, and what is older is dead. Then the same calls are served; only a dead answer that
the limit has pushed out is told as a miss, where without the limit it would be told as expired. The second count is
taken in steps of time, so it is at most too high.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from replay.response_cache.simulate import Requests, Tier

Int64 = NDArray[np.int64]
Counts = NDArray[np.integer]

STEP_MS: Final = 60_000
STEPS_PER_LIFE: Final = 16
MOST_STEPS: Final = 4096


@dataclass(frozen=True)
class Held:
    """What one instance of a limited tier is asked to hold. `variant` tells runs of one strategy apart.

    `keys` and `bytes` are of all requests ever asked; `live_keys` and `live_bytes`, one per step of `step_ms` from the
    epoch's step `first` on, of those within a life of their answers. They are empty where there is no such bound, and
    else in the smallest type that holds them: a worker sends them.
    """

    variant: str
    tier: Tier
    place: int  # of the tier in its strategy
    process: int
    keys: int
    bytes: int
    step_ms: int = STEP_MS
    first: int = 0
    live_keys: Counts = field(default_factory=lambda: np.zeros(0, np.uint8), repr=False)
    live_bytes: Counts = field(default_factory=lambda: np.zeros(0, np.uint8), repr=False)

    @property
    def fits_all(self) -> bool:
        """Whether all that is ever asked for fits."""
        return self._fits(self.keys, self.bytes)

    @property
    def fits(self) -> bool:
        """Whether no limit of the tier can keep a call from a hit."""
        keys, size = (
            min(whole, int(live.max())) if len(live) else whole
            for whole, live in ((self.keys, self.live_keys), (self.bytes, self.live_bytes))
        )
        return self._fits(keys, size)

    def _fits(self, keys: int, size: int) -> bool:
        tier = self.tier
        if tier.policy == "s3fifo" and tier.max_entries is not None and tier.max_bytes is not None:
            return False  # its queues follow what it holds
        return (tier.max_entries is None or keys <= tier.max_entries) and (
            tier.max_bytes is None or size <= tier.max_bytes
        )

    @classmethod
    def merged(cls, parts: Iterable[Held]) -> tuple[Held, ...]:
        """The counts of parts without a request in common, added up instance by instance."""
        found: dict[tuple[str, int, int], Held] = {}
        for part in parts:
            key = part.variant, part.place, part.process
            found[key] = found[key]._plus(part) if key in found else part
        return tuple(found[key] for key in sorted(found))

    def _plus(self, other: Held) -> Held:
        first = min(self.first, other.first)
        last = max(one.first + max(len(one.live_keys), len(one.live_bytes)) for one in (self, other))
        both = np.zeros((2, last - first), np.uint64)
        for one in (self, other):
            for row, amounts in zip(both, (one.live_keys, one.live_bytes), strict=True):
                row[one.first - first : one.first - first + len(amounts)] += amounts
        return replace(
            self,
            keys=self.keys + other.keys,
            bytes=self.bytes + other.bytes,
            first=first,
            live_keys=_smallest(both[0] if len(self.live_keys) + len(other.live_keys) else both[0, :0]),
            live_bytes=_smallest(both[1] if len(self.live_bytes) + len(other.live_bytes) else both[1, :0]),
        )


def _smallest(amounts: Counts) -> Counts:
    return amounts.astype(np.min_scalar_type(int(amounts.max(initial=0))))


def held(requests: Requests, tiers: Sequence[Tier], *, span_ms: int, variant: str = "") -> list[Held]:
    """The counts of each instance of each limited tier. `span_ms`, of the whole log, sets the steps for all parts."""
    rows = np.flatnonzero(requests.lookup & (requests.key >= 0))
    found = []
    for place, tier in enumerate(tiers):
        if tier.limited and len(rows):
            found += _of_tier(requests, rows, tier, place, span_ms, variant)
    return found


def without_limits(tiers: Sequence[Tier]) -> list[Tier]:
    """The tiers with all the room they could need."""
    return [replace(tier, max_entries=None, max_bytes=None) for tier in tiers]


def _of_tier(requests: Requests, rows: Int64, tier: Tier, place: int, span_ms: int, variant: str) -> list[Held]:
    process = requests.process[rows].astype(np.int64) if tier.scope == "process" else np.zeros(len(rows), np.int64)
    pair = process * (int(requests.key.max()) + 1) + requests.key[rows]
    order = np.argsort(pair, kind="stable")  # the calls come in order of time
    rows, pair, process = rows[order], pair[order], process[order]
    fresh = np.ones(len(rows), np.bool_)
    fresh[1:] = pair[1:] != pair[:-1]
    begins = np.flatnonzero(fresh)
    size = requests.size_bytes[rows] if len(requests.size_bytes) else np.zeros(len(rows), np.int64)
    largest = np.maximum.reduceat(size, begins) + tier.overhead_bytes
    owner = process[begins]
    count = int(process.max()) + 1
    keys = np.bincount(owner, minlength=count)
    room = np.zeros(count, np.int64)
    np.add.at(room, owner, largest)
    result = [
        Held(variant, tier, place, number, int(keys[number]), int(room[number]))
        for number in np.flatnonzero(keys).tolist()
    ]
    if tier.ttl_ms is None or tier.sliding or tier.policy not in ("lru", "fifo"):
        return result
    step = max(STEP_MS, tier.ttl_ms // STEPS_PER_LIFE, -(-span_ms // MOST_STEPS))
    start = requests.start_ms[rows]
    first, last = start // step, (np.maximum(requests.end_ms[rows], start) + tier.ttl_ms) // step
    # steps that the ask before of the same request has counted already
    first[1:] = np.where(fresh[1:], first[1:], np.maximum(first[1:], last[:-1] + 1))
    some = first <= last
    least, width = int(first.min()), int(last.max()) - int(first.min()) + 2
    weight = np.repeat(largest, np.diff([*begins.tolist(), len(rows)]))
    live = []
    for asked, amounts in ((tier.max_entries, np.ones(len(rows), np.int64)), (tier.max_bytes, weight)):
        steps = np.zeros(count * width if asked else 0, np.int64)
        if not asked:
            live.append(steps.reshape(count, 0))
            continue
        np.add.at(steps, (process * width + first - least)[some], amounts[some])
        np.add.at(steps, (process * width + last - least + 1)[some], -amounts[some])
        live.append(np.cumsum(steps.reshape(count, width), axis=1))
    return [
        replace(one, step_ms=step, first=least, live_keys=keys, live_bytes=sizes)
        for one in result
        for keys, sizes in [[_smallest(amounts[one.process]) for amounts in live]]
    ]
