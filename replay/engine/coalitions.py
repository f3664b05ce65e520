"""The cost of every coalition of stages, over the calls that all of them can price."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from analysis.money import exact_sum
from analysis.price_book import vocabulary
from replay.engine.rewritten_requests import Stages
from replay.traffic.traffic import Bool, Int64


def coalition_sums(
    players: Sequence[str], logged: Bool, cost_under: Callable[[Stages], Int64]
) -> tuple[Bool, dict[Stages, int]]:
    """(calls of `logged` with a price under every coalition, the coalitions' sums over just these, in pico-dollars).

    `logged` marks the calls with a price as they are; `cost_under` is the cost of every call under a coalition. No
    coalition's array is kept: it is asked for again where its sum holds calls that another one cannot price.
    """
    known = logged.copy()
    sums: dict[Stages, int] = {}
    lost: dict[Stages, int] = {}
    for on in coalitions(players):
        cost = cost_under(on)
        priced = logged & (cost != vocabulary.UNPRICED)
        known &= priced
        lost[on] = int((logged & ~priced).sum())
        sums[on] = exact_sum(cost if priced.all() else cost[priced])
    beside = np.flatnonzero(logged & ~known)
    for on, missing in lost.items():
        if missing < len(beside):
            cost = cost_under(on)[beside]
            sums[on] -= exact_sum(cost[cost != vocabulary.UNPRICED])
    return known, sums


def coalitions(players: Sequence[str]) -> list[Stages]:
    """All subsets of the players; those that differ by the cache alone follow each other and share their prices."""
    found: list[Stages] = [frozenset()]
    for player in sorted(players, key=lambda name: (name != "cache", players.index(name))):
        found = [*found, *(members | {player} for members in found)]
    return found
