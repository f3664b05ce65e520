"""The name of a run: equal ids mean equal results, byte for byte.

It is of what was logged, not of how it came into the store: the order in which files were ingested, and the numbers
that calls and requests have there, leave no trace in it.
"""

from __future__ import annotations

import hashlib
import json
from typing import Final

import numpy as np

from replay.kernels.common.dense_ids import factorise
from replay.quality.scores import Priors
from replay.strategy.schema import Strategy
from replay.traffic.traffic import Traffic

ENGINE_VERSION: Final = 3
"""Grows when the same input would give another result."""

_CALLS = (
    "SELECT count(*), bit_xor(call_key), sum(hash(call_key, score, score_scope, propensity, assignment))"
    " FILTER (score IS NOT NULL) FROM calls WHERE {}"
)
_SCORES = """
    SELECT count(*), sum(hash(call_key, scores.model, scores.score, scores.source))
    FROM scores JOIN calls USING (call_no)
"""


def run_id(strategy: Strategy, book_version: str, data: bytes, priors: Priors | None = None) -> str:
    """16 hex digits of data + prices + strategy + a person's own table of qualities. `data` is `digest(traffic)`."""
    own = [row.model_dump(mode="json") for row in priors.rows] if priors else []
    said = (ENGINE_VERSION, book_version, json.dumps(strategy.document(), sort_keys=True), json.dumps(own))
    return hashlib.sha256("\n".join(map(str, said)).encode() + data).hexdigest()[:16]


def digest(traffic: Traffic) -> bytes:
    """32 bytes of the calls, their order, cost, requests and scores, and the window."""
    found = hashlib.sha256()
    with traffic.store.read() as con:
        for query in (_CALLS.format(traffic.where), _SCORES):
            found.update(repr(con.execute(query).fetchall()).encode())
    requests = factorise(traffic.key.astype(np.int64), skip=-1)[0]  # numbered as they first come
    for column in (traffic.start_ms, traffic.cost, requests, traffic.window):
        found.update(np.ascontiguousarray(column).data)
    return found.digest()
