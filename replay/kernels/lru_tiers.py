"""Tiers that evict by LRU or not at all, counted in entries, with answers that come at once: the usual two-tier cache.

The same semantics as the general kernel, call by call, at several times its speed.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from replay.kernels.single import EVICTED, FOREVER, RAN_OUT
from replay.kernels.tiered import BASE, FILL, INSTANCE, MAX_ENTRIES, PER_PROCESS, SLIDING, TTL
from replay.outcomes import BYPASSED, EXPIRED, HIT, MISS

Int8 = NDArray[np.int8]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]


@njit(cache=True, nogil=True)
def run(
    key: Int32,
    pair: Int32,
    process: Int32,
    start: Int64,
    storable: Bool,
    lookup: Bool,
    tiers: Int64,
    expiry: Int64,
    link: Int32,
    held: Int64,
    outcomes: Int8,
) -> None:
    """`tiers` as in the general kernel. `link` is (nodes + instances) x 2: the next older and the next newer entry.

    Instance i's list closes at row nodes + i; `held` counts its entries.
    """
    count = len(tiers)
    first = expiry.size
    for row in range(key.size):
        x = key[row]
        if x < 0 or not lookup[row]:
            outcomes[row] = BYPASSED
            continue
        now = start[row]
        outcome = MISS
        served = count
        until = np.int64(0)
        for tier in range(count):
            own = tiers[tier, PER_PROCESS] == 1
            node = tiers[tier, BASE] + (pair[row] if own else x)
            until = expiry[node]
            if now <= until:
                if tiers[tier, SLIDING] == 1 and tiers[tier, TTL] >= 0:
                    until = now + tiers[tier, TTL]
                    expiry[node] = until
                if tiers[tier, MAX_ENTRIES] > 0:
                    head = first + tiers[tier, INSTANCE] + (process[row] if own else 0)
                    if link[head, 0] != node:
                        link[link[node, 1], 0] = link[node, 0]
                        link[link[node, 0], 1] = link[node, 1]
                        newest = link[head, 0]
                        link[head, 0] = node
                        link[node, 1] = head
                        link[node, 0] = newest
                        link[newest, 1] = node
                outcome = HIT + tier
                served = tier
                break
            if until >= RAN_OUT:
                outcome = EXPIRED
                if until > RAN_OUT:
                    expiry[node] = RAN_OUT
                    if tiers[tier, MAX_ENTRIES] > 0:
                        link[link[node, 1], 0] = link[node, 0]
                        link[link[node, 0], 1] = link[node, 1]
                        held[tiers[tier, INSTANCE] + (process[row] if own else 0)] -= 1
        outcomes[row] = outcome
        if served == count and not storable[row]:
            continue
        for tier in range(served):
            if served < count and tiers[tier, FILL] == 0:
                continue
            own = tiers[tier, PER_PROCESS] == 1
            node = tiers[tier, BASE] + (pair[row] if own else x)
            life = FOREVER if tiers[tier, TTL] < 0 else now + tiers[tier, TTL]
            if served < count:
                life = min(life, until)
            expiry[node] = life  # it is not held: each tier above the one that served has just missed
            if tiers[tier, MAX_ENTRIES] > 0:
                instance = tiers[tier, INSTANCE] + (process[row] if own else 0)
                head = first + instance
                if held[instance] >= tiers[tier, MAX_ENTRIES]:
                    old = link[head, 1]
                    expiry[old] = EVICTED
                    link[head, 1] = link[old, 1]
                    link[link[old, 1], 0] = head
                else:
                    held[instance] += 1
                newest = link[head, 0]
                link[head, 0] = node
                link[node, 1] = head
                link[node, 0] = newest
                link[newest, 1] = node
