"""What would count as the same request: the hit rate of each gateway's cache key on this traffic, side by side.

And the risk of any of them: how often the log shows two different answers to one request.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.calendar_days import DAY_MS
from replay.outcomes import HIT
from replay.response_cache.lookups import Demand, Temperature, demand
from replay.response_cache.simulate import Tier, simulate
from replay.traffic.traffic import KEY_POLICIES, Traffic

Int32 = NDArray[np.int32]
# sha256 of the whole payload, the home-made key: equal exactly where Helicone's is, the body as it was sent
POLICIES = {**{name: name for name in KEY_POLICIES}, "sha256": "helicone"}


@dataclass(frozen=True)
class Repeats:
    """Requests that came more than once. A group is one request with its repeats; answers are compared as logged."""

    repeats: int  # calls that repeat an earlier one
    groups: int
    groups_compared: int  # with at least two logged answers
    groups_one_answer: int  # of those: every answer the same
    groups_unanswered: int  # without any logged answer
    answers_compared: int  # repeats whose own answer and the first one are both logged
    answers_equal: int

    @property
    def false_share(self) -> float | None:
        """Share of the compared repeats that got another answer than the one a cache would have served."""
        return 1 - self.answers_equal / self.answers_compared if self.answers_compared else None


@dataclass(frozen=True)
class KeyPolicy:
    """One key policy on the window: what a shared unlimited cache would have served, for ever and for a day."""

    name: str
    asked: int
    keyless: int  # calls without text or hash: no key can be made
    hits: int
    saved: int  # pico-dollars
    hits_day: int  # with a time to live of 24 hours
    saved_day: int
    repeats: Repeats

    @property
    def hit_rate(self) -> float | None:
        return self.hits / self.asked if self.asked else None


def compare(traffic: Traffic, *, temperature: Temperature = "always", tenant: str | None = None) -> list[KeyPolicy]:
    """Every key policy over one traffic, in the order of POLICIES."""
    found: dict[str, KeyPolicy] = {}
    for name, column in POLICIES.items():
        if column in found:
            found[name] = KeyPolicy(**{**vars(found[column]), "name": name})
            continue
        asks = demand(traffic, key=column, temperature=temperature, tenant=tenant)
        sums = [(int(hit.sum()), int(asks.worth[hit].sum())) for hit in (_hits(asks, None), _hits(asks, DAY_MS))]
        found[name] = KeyPolicy(
            name=name,
            asked=int(asks.asked.sum()),
            keyless=int((asks.window & asks.requests.lookup & (asks.requests.key < 0)).sum()),
            hits=sums[0][0],
            saved=sums[0][1],
            hits_day=sums[1][0],
            saved_day=sums[1][1],
            repeats=repeats(asks),
        )
    return list(found.values())


def _hits(asks: Demand, ttl_ms: int | None) -> NDArray[np.bool_]:
    return (simulate(asks.requests, [Tier("shared", ttl_ms=ttl_ms)]) == HIT) & asks.asked


def repeats(asks: Demand) -> Repeats:
    """Exact repeats over all calls, whether or not their answer could be stored, in time order."""
    key = asks.requests.key
    order = np.argsort(key, kind="stable")
    order = order[key[order] >= 0]
    if not len(order):
        return Repeats(0, 0, 0, 0, 0, 0, 0)
    ordered = key[order]
    fresh = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    group = np.cumsum(fresh) - 1
    sizes = np.bincount(group)
    output = asks.output[order]
    first = output[np.flatnonzero(fresh)][group]
    again = ~fresh
    compared = again & (output >= 0) & (first >= 0)
    many = sizes > 1
    known = np.bincount(group, weights=output >= 0)
    low = np.full(len(sizes), np.iinfo(np.int32).max)
    high = np.full(len(sizes), -1)
    logged = output >= 0
    np.minimum.at(low, group[logged], output[logged])
    np.maximum.at(high, group[logged], output[logged])
    comparable = many & (known > 1)
    return Repeats(
        repeats=int(again.sum()),
        groups=int(many.sum()),
        groups_compared=int(comparable.sum()),
        groups_one_answer=int((comparable & (low == high)).sum()),
        groups_unanswered=int((many & (known == 0)).sum()),
        answers_compared=int(compared.sum()),
        answers_equal=int((compared & (output == first)).sum()),
    )
