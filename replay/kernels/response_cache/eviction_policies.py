"""Eviction policies on flat arrays: what a touch, an admission, a departure and a choice of victim do.

Every cached entry is a node: a dense int. A cache instance (one shared tier, or one process's memory) owns a sentinel
node that closes its circular list. The functions below know nothing of time to live or of tiers.

Policies, and where their order lives:
- LRU, FIFO: the list, newest at `after[sentinel]`; the victim is `before[sentinel]`.
- SIEVE (Zhang et al., NSDI 2024): the list in order of insertion, a visited mark, and a hand that moves from the oldest
  to newer ones, clearing marks until it finds an unmarked entry.
- LFU: the list by (count, last touch), the victim at `after[sentinel]`; entries of one count form a group, so every
  operation is O(1). Ties fall to the least recently touched.
- S3-FIFO (Yang et al., SOSP 2023): a small queue (a tenth of the entries) and a main queue, both FIFO; entries leaving
  the small queue untouched are remembered in a ghost of as many entries as the main queue has places.
- allkeys-lru, allkeys-lfu (Redis 7): random samples into a pool of 16 candidates kept over evictions; LFU with Redis'
  8-bit logarithmic counter (starts at 5, factor 10, loses 1 a minute). Random numbers: xorshift64*, seeded.
"""

from __future__ import annotations

from collections import namedtuple
from typing import Any, Final

import numpy as np

from replay.kernels.common.jit import lean

UNLIMITED: Final = 0
LRU: Final = 1
FIFO: Final = 2
SIEVE: Final = 3
LFU: Final = 4
S3FIFO: Final = 5
REDIS_LRU: Final = 6
REDIS_LFU: Final = 7
POLICIES: Final = {
    "lru": LRU,
    "fifo": FIFO,
    "sieve": SIEVE,
    "lfu": LFU,
    "s3fifo": S3FIFO,
    "allkeys-lru": REDIS_LRU,
    "allkeys-lfu": REDIS_LFU,
}

POOL: Final = 16  # EVPOOL_SIZE in Redis 7 evict.c
LRU_CLOCK_MS: Final = 1000  # LRU_CLOCK_RESOLUTION in Redis 7 server.h: within a second, recency is not known
LFU_START: Final = 5  # LFU_INIT_VAL
LFU_FACTOR: Final = 10  # lfu-log-factor
MINUTE_MS: Final = 60_000  # lfu-decay-time 1
IN_MAIN: Final = 8  # S3-FIFO: added to the mark of an entry of the main queue

# Over nodes: `after`, `before` (the lists), `mark`, `since` (int64; their meaning is the policy's), `seat` (LFU: its
# group; sampled: its place in `resident`). `resident` lists what each sampled instance holds. `groups` is (groups x 5)
# and `instance` (instances x WIDTH), their columns named below. Few arrays: each costs compile time in every caller.
State = namedtuple("State", "after before mark since seat resident groups instance")
TAIL, MEMBERS, LEVEL, STACK, SPARE = range(5)  # SPARE, in row 0, is the height of the stack of free groups
HEAD, COUNT, HAND, ROOM = range(4)  # ROOM: the capacity in entries, 0 where bytes alone limit
MAIN_HEAD, SMALL_COUNT, MAIN_COUNT, GHOSTS = range(4, 8)  # S3-FIFO
RANDOM, SAMPLES, RESIDENT_AT, POOL_SIZE = range(8, 12)  # sampled policies
POOL_AT: Final = 12
RANK_AT: Final = POOL_AT + POOL
WIDTH: Final = RANK_AT + POOL


@lean(forceinline=True)
def _unlink(s: Any, node: int) -> None:
    left, right = s.before[node], s.after[node]
    s.after[left] = right
    s.before[right] = left


@lean(forceinline=True)
def _link_after(s: Any, place: int, node: int) -> None:
    following = s.after[place]
    s.after[place] = node
    s.before[node] = place
    s.after[node] = following
    s.before[following] = node


@lean()
def _new_group(s: Any, node: int, level: int) -> None:
    s.groups[0, SPARE] -= 1
    group = s.groups[s.groups[0, SPARE], STACK]
    s.groups[group, TAIL] = node
    s.groups[group, MEMBERS] = 1
    s.groups[group, LEVEL] = level
    s.seat[node] = group


@lean()
def _leave_group(s: Any, node: int) -> None:
    """Take an LFU entry out of its group and of the list."""
    group = s.seat[node]
    s.groups[group, MEMBERS] -= 1
    if s.groups[group, MEMBERS] == 0:
        s.groups[s.groups[0, SPARE], STACK] = group
        s.groups[0, SPARE] += 1
    elif s.groups[group, TAIL] == node:
        s.groups[group, TAIL] = s.before[node]
    _unlink(s, node)


@lean()
def _join(s: Any, place: int, following_sentinel: int, node: int, level: int) -> None:
    """Put `node` with `level` touches behind `place`: at the end of the next group if that has this level."""
    following = s.after[place]
    if following != following_sentinel and s.groups[s.seat[following], LEVEL] == level:
        group = s.seat[following]
        _link_after(s, s.groups[group, TAIL], node)
        s.groups[group, TAIL] = node
        s.groups[group, MEMBERS] += 1
        s.seat[node] = group
    else:
        _link_after(s, place, node)
        _new_group(s, node, level)


@lean()
def _draw(s: Any, instance: int) -> np.uint64:
    x = np.uint64(s.instance[instance, RANDOM])
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    s.instance[instance, RANDOM] = np.int64(x)
    return (x * np.uint64(0x2545F4914F6CDD1D)) >> np.uint64(33)


@lean(forceinline=True)
def _decayed(s: Any, node: int, now: int) -> int:
    """Redis' LFU counter after losing one for each whole minute since it was last looked at."""
    return max(0, s.mark[node] - (now // MINUTE_MS - s.since[node]))


@lean(forceinline=True)
def _room(s: Any, instance: int) -> int:
    """S3-FIFO's capacity in entries; limited by bytes alone, it is what the instance holds now."""
    return s.instance[instance, ROOM] if s.instance[instance, ROOM] > 0 else s.instance[instance, COUNT]


@lean(forceinline=True)
def touch(s: Any, policy: int, instance: int, node: int, now: int) -> None:
    """A present entry was served or stored again at `now` (milliseconds)."""
    if policy == LRU:
        _unlink(s, node)
        _link_after(s, s.instance[instance, HEAD], node)
    elif policy == SIEVE:
        s.mark[node] = 1
    elif policy == LFU:
        group = s.seat[node]
        level = s.groups[group, LEVEL]
        place = s.groups[group, TAIL]
        if place == node:
            place = s.before[node]
        _leave_group(s, node)
        _join(s, place, s.instance[instance, HEAD], node, level + 1)
    elif policy == S3FIFO:
        if s.mark[node] & 7 < 3:
            s.mark[node] += 1
    elif policy == REDIS_LRU:
        s.since[node] = now // LRU_CLOCK_MS
    elif policy == REDIS_LFU:
        counter = _decayed(s, node, now)
        s.since[node] = now // MINUTE_MS
        if counter < 255:
            above = max(0, counter - LFU_START) * LFU_FACTOR + 1
            if _draw(s, instance) % np.uint64(above) == 0:
                counter += 1
        s.mark[node] = counter


@lean()
def admit(s: Any, policy: int, instance: int, node: int, now: int) -> None:
    """A new entry enters; there is room for it."""
    s.instance[instance, COUNT] += 1
    head = s.instance[instance, HEAD]
    if policy in (LRU, FIFO):
        _link_after(s, head, node)
    elif policy == SIEVE:
        s.mark[node] = 0
        _link_after(s, head, node)
    elif policy == LFU:
        _join(s, head, head, node, 1)
    elif policy == S3FIFO:
        room = _room(s, instance)
        remembered = s.since[node] > 0 and s.instance[instance, GHOSTS] - s.since[node] < room - room // 10
        s.since[node] = 0
        if remembered:
            s.mark[node] = IN_MAIN
            s.instance[instance, MAIN_COUNT] += 1
            _link_after(s, s.instance[instance, MAIN_HEAD], node)
        else:
            s.mark[node] = 0
            s.instance[instance, SMALL_COUNT] += 1
            _link_after(s, head, node)
    elif policy in (REDIS_LRU, REDIS_LFU):
        at = s.instance[instance, RESIDENT_AT] + s.instance[instance, COUNT] - 1
        s.resident[at] = node
        s.seat[node] = at
        s.since[node] = now // (LRU_CLOCK_MS if policy == REDIS_LRU else MINUTE_MS)
        if policy == REDIS_LFU:
            s.mark[node] = LFU_START


@lean()
def leave(s: Any, policy: int, instance: int, node: int) -> None:
    """A present entry goes: evicted, expired or invalidated."""
    s.instance[instance, COUNT] -= 1
    if policy == SIEVE and s.instance[instance, HAND] == node:
        s.instance[instance, HAND] = s.before[node]
    if policy == LFU:
        _leave_group(s, node)
    elif policy in (REDIS_LRU, REDIS_LFU):
        at = s.seat[node]
        moved = s.resident[s.instance[instance, RESIDENT_AT] + s.instance[instance, COUNT]]
        s.resident[at] = moved
        s.seat[moved] = at
        s.seat[node] = -1
    elif policy != UNLIMITED:
        if policy == S3FIFO:
            if s.mark[node] >= IN_MAIN:
                s.instance[instance, MAIN_COUNT] -= 1
            else:
                s.instance[instance, SMALL_COUNT] -= 1
        _unlink(s, node)


@lean()
def _sampled_victim(s: Any, policy: int, instance: int, now: int) -> np.int64:
    pool = s.instance[instance, POOL_AT:RANK_AT]
    rank = s.instance[instance, RANK_AT:WIDTH]
    while True:
        for _ in range(s.instance[instance, SAMPLES]):
            pick = _draw(s, instance) % np.uint64(s.instance[instance, COUNT])
            node = s.resident[s.instance[instance, RESIDENT_AT] + np.int64(pick)]
            worth = s.since[node] if policy == REDIS_LRU else np.int64(_decayed(s, node, now))
            size = s.instance[instance, POOL_SIZE]
            known = False
            for at in range(size):
                known = known or pool[at] == node
            if known or (size == POOL and worth >= rank[POOL - 1]):
                continue
            at = min(size, POOL - 1)
            while at > 0 and rank[at - 1] > worth:
                pool[at] = pool[at - 1]
                rank[at] = rank[at - 1]
                at -= 1
            pool[at] = node
            rank[at] = worth
            s.instance[instance, POOL_SIZE] = min(size + 1, POOL)
        while s.instance[instance, POOL_SIZE] > 0:
            node = pool[0]
            s.instance[instance, POOL_SIZE] -= 1
            for at in range(s.instance[instance, POOL_SIZE]):
                pool[at] = pool[at + 1]
                rank[at] = rank[at + 1]
            if s.seat[node] >= 0:
                return np.int64(node)


@lean()
def _s3fifo_victim(s: Any, instance: int) -> np.int64:
    small, main = s.instance[instance, HEAD], s.instance[instance, MAIN_HEAD]
    while True:
        few = s.instance[instance, SMALL_COUNT]
        if few > 0 and (few >= max(1, _room(s, instance) // 10) or s.instance[instance, MAIN_COUNT] == 0):
            node = s.before[small]
            if s.mark[node] <= 1:
                s.instance[instance, GHOSTS] += 1
                s.since[node] = s.instance[instance, GHOSTS]
                return np.int64(node)
            s.mark[node] = IN_MAIN
            s.instance[instance, SMALL_COUNT] -= 1
            s.instance[instance, MAIN_COUNT] += 1
        else:
            node = s.before[main]
            if s.mark[node] == IN_MAIN:
                return np.int64(node)
            s.mark[node] -= 1
        _unlink(s, node)
        _link_after(s, main, node)


@lean()
def victim(s: Any, policy: int, instance: int, now: int) -> np.int64:
    """The entry that must go next. The instance is not empty; the caller then calls `leave`."""
    head = s.instance[instance, HEAD]
    if policy == LFU:
        return np.int64(s.after[head])
    if policy == SIEVE:
        node = s.instance[instance, HAND]
        if node == head:
            node = s.before[head]
        while s.mark[node] == 1:
            s.mark[node] = 0
            node = s.before[node]
            if node == head:
                node = s.before[head]
        s.instance[instance, HAND] = node
        return np.int64(node)
    if policy == S3FIFO:
        return _s3fifo_victim(s, instance)
    if policy in (REDIS_LRU, REDIS_LFU):
        return _sampled_victim(s, policy, instance, now)
    return np.int64(s.before[head])


def empty_state(nodes: int, policies: set[int], room: Any, samples: Any, held: Any, seed: int) -> Any:
    """Arrays for `nodes` entries and one instance per element of `room`, `samples`, `held` (int64 arrays).

    Arrays that no policy in `policies` reads stay empty: the kernels index them only under that policy.
    """

    def over(used_by: tuple[int, ...], size: int, kind: Any, fill: int = 0) -> Any:
        return np.full(size if policies.intersection(used_by) else 0, fill, kind)

    lists, sampled = (LRU, FIFO, SIEVE, LFU, S3FIFO), (REDIS_LRU, REDIS_LFU)
    count = len(room)
    head = np.arange(nodes, nodes + count, dtype=np.int64)
    ring = np.arange(nodes + 2 * count, dtype=np.int32) if policies.intersection(lists) else np.empty(0, np.int32)
    groups = np.zeros((nodes + 1 if LFU in policies else 0, 5), np.int32)
    groups[:, STACK] = np.arange(len(groups))[::-1]
    groups[:1, SPARE] = len(groups)
    instance = np.zeros((count, WIDTH), np.int64)
    instance[:, HEAD] = instance[:, HAND] = head
    instance[:, MAIN_HEAD] = head + count
    instance[:, ROOM] = room
    instance[:, SAMPLES] = samples
    instance[:, RESIDENT_AT] = np.cumsum(held) - held
    instance[:, RANDOM] = _seeds(count, seed).view(np.int64)
    return State(
        after=ring,
        before=ring.copy(),
        mark=over((SIEVE, S3FIFO, REDIS_LFU), nodes, np.int64),
        since=over((S3FIFO, *sampled), nodes, np.int64),
        seat=over((LFU, *sampled), nodes, np.int32, -1),
        resident=np.empty(int(held.sum()), np.int32),
        groups=groups,
        instance=instance,
    )


def _seeds(count: int, seed: int) -> Any:
    """One non-zero xorshift state per instance: splitmix64 of the seed and the instance's number."""
    states = []
    for instance in range(count):
        x = (seed * 0x9E3779B97F4A7C15 + (instance + 1) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        x = ((x ^ (x >> 30)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
        states.append((x ^ (x >> 31)) or 1)
    return np.array(states, np.uint64)
