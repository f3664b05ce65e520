"""Plain-Python cache models: the slow, obvious truth that every kernel must equal, call by call."""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from replay.outcomes import BYPASSED, COALESCED, EXPIRED, HIT, MISS
from replay.response_cache.simulate import Events, Requests, Tier

FOREVER = float("inf")
MASK = (1 << 64) - 1


class Policy(Protocol):
    """Which keys are held, and which goes next. Keys are any hashable values."""

    def add(self, key: Any, now: int) -> None: ...

    def touch(self, key: Any, now: int) -> None: ...

    def drop(self, key: Any) -> None: ...

    def victim(self, now: int) -> Any: ...


class Lru:
    def __init__(self, tier: Tier, seed: int) -> None:
        self.held: OrderedDict[Any, None] = OrderedDict()

    def add(self, key: Any, now: int) -> None:
        self.held[key] = None

    def touch(self, key: Any, now: int) -> None:
        self.held.move_to_end(key)

    def drop(self, key: Any) -> None:
        del self.held[key]

    def victim(self, now: int) -> Any:
        return next(iter(self.held))


class Fifo(Lru):
    def touch(self, key: Any, now: int) -> None:
        pass


class Lfu:
    def __init__(self, tier: Tier, seed: int) -> None:
        self.held: dict[Any, tuple[int, int]] = {}
        self.clock = 0

    def add(self, key: Any, now: int) -> None:
        self.clock += 1
        self.held[key] = (1, self.clock)

    def touch(self, key: Any, now: int) -> None:
        self.clock += 1
        self.held[key] = (self.held[key][0] + 1, self.clock)

    def drop(self, key: Any) -> None:
        del self.held[key]

    def victim(self, now: int) -> Any:
        return min(self.held, key=self.held.__getitem__)


class Sieve:
    """The list from the oldest (index 0) to the newest; the hand is the key it stands on, or None for the oldest."""

    def __init__(self, tier: Tier, seed: int) -> None:
        self.order: list[Any] = []
        self.visited: dict[Any, bool] = {}
        self.hand: Any = None

    def add(self, key: Any, now: int) -> None:
        self.order.append(key)
        self.visited[key] = False

    def touch(self, key: Any, now: int) -> None:
        self.visited[key] = True

    def drop(self, key: Any) -> None:
        at = self.order.index(key)
        if self.hand == key:
            self.hand = self.order[at + 1] if at + 1 < len(self.order) else None
        del self.order[at], self.visited[key]

    def victim(self, now: int) -> Any:
        at = self.order.index(self.hand) if self.hand is not None else 0
        while self.visited[self.order[at]]:
            self.visited[self.order[at]] = False
            at = (at + 1) % len(self.order)
        self.hand = self.order[at]
        return self.hand


class S3Fifo:
    def __init__(self, tier: Tier, seed: int) -> None:
        self.room = tier.max_entries if tier.max_bytes is None else None
        self.small: list[Any] = []
        self.main: list[Any] = []
        self.touches: dict[Any, int] = {}
        self.ghost: dict[Any, int] = {}  # key -> its number among all that ever left the small queue untouched
        self.ghosts = 0

    def _size(self, held: int) -> int:
        return self.room if self.room is not None else held

    def add(self, key: Any, now: int) -> None:
        size = self._size(len(self.touches) + 1)
        number = self.ghost.pop(key, None)
        self.touches[key] = 0
        (self.main if number is not None and self.ghosts - number < size - size // 10 else self.small).append(key)

    def touch(self, key: Any, now: int) -> None:
        self.touches[key] = min(3, self.touches[key] + 1)

    def drop(self, key: Any) -> None:
        (self.small if key in self.small else self.main).remove(key)
        del self.touches[key]

    def victim(self, now: int) -> Any:
        while True:
            if self.small and (len(self.small) >= max(1, self._size(len(self.touches)) // 10) or not self.main):
                key = self.small[0]
                if self.touches[key] <= 1:
                    self.ghosts += 1
                    self.ghost[key] = self.ghosts
                    return key
                self.touches[key] = 0
                self.main.append(self.small.pop(0))
            else:
                key = self.main[0]
                if self.touches[key] == 0:
                    return key
                self.touches[key] -= 1
                self.main.append(self.main.pop(0))


class Sampled:
    """Redis' pool of 16 eviction candidates; the two policies differ in what an entry is worth."""

    def __init__(self, tier: Tier, seed: int) -> None:
        self.samples = tier.samples
        self.held: list[Any] = []
        self.place: dict[Any, int] = {}
        self.pool: list[tuple[int, Any]] = []
        self.since: dict[Any, int] = {}
        x = (seed * 0x9E3779B97F4A7C15 + 0xBF58476D1CE4E5B9) & MASK
        x = ((x ^ (x >> 30)) * 0x94D049BB133111EB) & MASK
        self.random = (x ^ (x >> 31)) or 1

    def draw(self) -> int:
        x = self.random
        x ^= x >> 12
        x ^= (x << 25) & MASK
        x ^= x >> 27
        self.random = x
        return ((x * 0x2545F4914F6CDD1D) & MASK) >> 33

    def worth(self, key: Any, now: int) -> int:
        return self.since[key]

    def add(self, key: Any, now: int) -> None:
        self.place[key] = len(self.held)
        self.held.append(key)
        self.since[key] = now // 1000

    def touch(self, key: Any, now: int) -> None:
        self.since[key] = now // 1000

    def drop(self, key: Any) -> None:
        at = self.place.pop(key)
        last = self.held.pop()
        if last != key:
            self.held[at] = last
            self.place[last] = at

    def victim(self, now: int) -> Any:
        while True:
            for _ in range(self.samples):
                key = self.held[self.draw() % len(self.held)]
                worth = self.worth(key, now)
                if any(key == other for _, other in self.pool):
                    continue
                if len(self.pool) == 16 and worth >= self.pool[-1][0]:
                    continue
                at = min(len(self.pool), 15)
                while at > 0 and self.pool[at - 1][0] > worth:
                    at -= 1
                self.pool.insert(at, (worth, key))
                del self.pool[16:]
            while self.pool:
                _, key = self.pool.pop(0)
                if key in self.place:
                    return key


class SampledLfu(Sampled):
    def __init__(self, tier: Tier, seed: int) -> None:
        super().__init__(tier, seed)
        self.counter: dict[Any, int] = {}

    def worth(self, key: Any, now: int) -> int:
        return max(0, self.counter[key] - (now // 60_000 - self.since[key]))

    def add(self, key: Any, now: int) -> None:
        super().add(key, now)
        self.since[key] = now // 60_000
        self.counter[key] = 5

    def touch(self, key: Any, now: int) -> None:
        counter = self.worth(key, now)
        self.since[key] = now // 60_000
        if counter < 255 and self.draw() % (max(0, counter - 5) * 10 + 1) == 0:
            counter += 1
        self.counter[key] = counter


POLICIES: dict[str, Any] = {
    "lru": Lru,
    "fifo": Fifo,
    "sieve": Sieve,
    "lfu": Lfu,
    "s3fifo": S3Fifo,
    "allkeys-lru": Sampled,
    "allkeys-lfu": SampledLfu,
}


@dataclass
class Cache:
    """One instance of a tier: what it holds, until when, and why a key it once held is gone."""

    tier: Tier
    policy: Policy
    expiry: dict[int, float] = field(default_factory=dict)
    size: dict[int, int] = field(default_factory=dict)
    ran_out: set[int] = field(default_factory=set)

    def drop(self, key: int) -> None:
        del self.expiry[key], self.size[key]
        self.policy.drop(key)

    def used(self) -> int:
        return sum(self.size.values()) + len(self.size) * self.tier.overhead_bytes

    def store(self, key: int, now: int, expiry: float, size: int) -> None:
        tier = self.tier
        self.ran_out.discard(key)
        whole = size + tier.overhead_bytes
        if tier.max_bytes is not None and whole > tier.max_bytes:
            if key in self.expiry:
                self.drop(key)
            return
        if key in self.expiry:
            self.policy.touch(key, now)
            self.expiry[key], self.size[key] = expiry, size
            while tier.max_bytes is not None and self.used() > tier.max_bytes:
                self.drop(self.policy.victim(now))
            return
        while self.expiry and (
            (tier.max_entries is not None and len(self.expiry) >= tier.max_entries)
            or (tier.max_bytes is not None and self.used() + whole > tier.max_bytes)
        ):
            self.drop(self.policy.victim(now))
        self.policy.add(key, now)
        self.expiry[key], self.size[key] = expiry, size


def tiers(
    requests: Requests,
    stack: Sequence[Tier],
    *,
    in_flight: str = "duplicate",
    events: Events | None = None,
) -> np.ndarray:
    """What `replay.response_cache.simulate.simulate` must return. Sampled policies agree for shared tiers alone in
    their stack."""
    caches: dict[tuple[int, int], Cache] = {}

    def cache(number: int, row: int) -> Cache:
        owner = int(requests.process[row]) if stack[number].scope == "process" else 0
        if (number, owner) not in caches:
            caches[number, owner] = Cache(stack[number], POLICIES[stack[number].policy](stack[number], 0))
        return caches[number, owner]

    def land(row: int, now: int) -> None:
        for number, tier in enumerate(stack):
            life = FOREVER if tier.ttl_ms is None else now + tier.ttl_ms
            cache(number, row).store(int(requests.key[row]), now, life, int(requests.size_bytes[row]))

    def forget(event: int) -> None:
        key, process = int(events.key[event]), int(events.process[event])
        for (number, owner), held in caches.items():
            if key >= 0 and key in held.expiry:
                held.drop(key)
            elif key < 0 and stack[number].scope == "process" and owner == process:
                for other in list(held.expiry):
                    held.drop(other)

    # (time, 0 for an event and 1 for an answer, number)
    queue: list[tuple[int, int, int]] = []
    for event in range(len(events.time_ms) if events else 0):
        queue.append((int(events.time_ms[event]), 0, event))
    heapq.heapify(queue)
    flying: dict[int, int] = {}
    outcomes = []
    for row in range(len(requests)):
        now, key = int(requests.start_ms[row]), int(requests.key[row])
        while queue and queue[0][0] <= now:
            when, kind, number = heapq.heappop(queue)
            if kind == 0:
                forget(number)
            else:
                land(number, when)
        if key < 0 or not requests.lookup[row]:
            outcomes.append(BYPASSED)
            continue
        outcome = MISS
        for number, tier in enumerate(stack):
            held = cache(number, row)
            if key in held.expiry and now <= held.expiry[key]:
                outcome = HIT + number
                held.policy.touch(key, now)
                if tier.sliding and tier.ttl_ms is not None:
                    held.expiry[key] = now + tier.ttl_ms
                for upper in range(number):
                    if stack[upper].fill_on_lower_hit:
                        own = FOREVER if stack[upper].ttl_ms is None else now + stack[upper].ttl_ms
                        cache(upper, row).store(key, now, min(own, held.expiry[key]), held.size[key])
                break
            if key in held.expiry:
                held.drop(key)
                held.ran_out.add(key)
            if key in held.ran_out:
                outcome = EXPIRED
        if outcome in (MISS, EXPIRED):
            if in_flight == "coalesced" and flying.get(key, now) > now:
                outcome = COALESCED
            elif requests.storable[row]:
                end = max(now, int(requests.end_ms[row]))
                if end <= now:
                    land(row, now)
                else:
                    heapq.heappush(queue, (end, 1, row))
                    flying[key] = end
        outcomes.append(outcome)
    return np.array(outcomes, np.int8)
