"""The name of a run: equal ids mean equal results, byte for byte.

It is of what was logged, not of how it came into the store: the order in which files were ingested, and the numbers
that calls and requests have there, leave no trace in it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from replay.quality.scores import Priors
from replay.strategy.schema import Strategy
from replay.traffic.traffic import Int64, Traffic
from replay.traffic.unit_draws import mixed

ENGINE_VERSION: Final = 5
"""Grows when the same input would give another result."""

_SCORED = """
    SELECT count(*), coalesce(sum(hash(call_key, score, score_scope, propensity, assignment)), 0)
    FROM calls WHERE {} AND score IS NOT NULL
"""
_SCORES = """
    SELECT count(*), coalesce(sum(hash(call_key, scores.model, scores.score, scores.source)), 0)
    FROM scores JOIN calls USING (call_no)
"""
Digest = tuple[int, ...]
"""Counts and sums of hashes: those of two parts of a log add up to those of both."""


def run_id(strategy: Strategy, book_version: str, data: Digest, priors: Priors | None = None) -> str:
    """16 hex digits of data + prices + strategy + a person's own table of qualities. `data` is `digest(traffic)`."""
    own = [row.model_dump(mode="json") for row in priors.rows] if priors else []
    said = (ENGINE_VERSION, book_version, json.dumps(strategy.meaning(), sort_keys=True), json.dumps(own), data)
    return hashlib.sha256("\n".join(map(str, said)).encode()).hexdigest()[:16]


def digest(traffic: Traffic) -> Digest:
    """The calls, their times, cost and scores, which of them ask the same in which order, and the window.

    Each call is hashed with what it is, what the first call of its request is and how many asked that before it, so
    the sum says the same in whatever order calls are added up, and whatever numbers they have in this store.
    """
    found: list[int] = []
    with traffic.store.read() as con:
        for query in (_SCORED.format(traffic.where), _SCORES):
            found += [int(value) for value in con.execute(query).fetchall()[0]]
    first, before = _askers(traffic)
    columns = (traffic.identity, traffic.start_ms, traffic.cost, first, before, traffic.window.astype(np.int64))
    sums = []
    for stream in (0, 1):  # 128 bits together
        hashed = np.full(len(traffic), stream, np.int64)
        for place, column in enumerate(columns):
            hashed = mixed(hashed ^ column, place + stream * len(columns)).view(np.int64)
        sums.append(int(hashed.view(np.uint64).sum(dtype=np.uint64)))
    return (len(traffic), *found, *sums)


def added(parts: Iterable[Digest]) -> Digest:
    """The digest of a log whose parts have these; what a call's request is must not depend on another part."""
    counts = list(map(sum, zip(*parts, strict=True)))
    return (*counts[:-2], *(total % 2**64 for total in counts[-2:]))


def _askers(traffic: Traffic) -> tuple[Int64, Int64]:
    """(identity of the first call with the same request, how many such calls came before) of each call.

    A call without a request is the first of its own.
    """
    order = np.argsort(traffic.key, kind="stable")
    ordered = traffic.key[order]
    fresh: NDArray[np.bool_] = np.ones(len(order), np.bool_)
    fresh[1:] = (ordered[1:] != ordered[:-1]) | (ordered[1:] < 0)
    begin = np.maximum.accumulate(np.where(fresh, np.arange(len(order)), 0))
    first, before = np.empty((2, len(order)), np.int64)
    first[order] = traffic.identity[order[begin]]
    before[order] = np.arange(len(order)) - begin
    return first, before
