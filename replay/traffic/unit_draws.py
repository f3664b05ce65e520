"""Seeded draws by hash of the unit drawn: the same for a call or a conversation whatever else a window holds.

A draw by rank or by a generator's sequence would change with the calls around it, and with it the past when later days
are added.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from replay.traffic.rule_columns import in_order
from replay.traffic.traffic import Int64, Traffic

UInt64 = NDArray[np.uint64]

_NAMES = """
    SELECT call_no, CASE WHEN {unit} IS NULL THEN (call_key & {mask}::HUGEINT)::BIGINT
        ELSE (md5_number_lower({unit}) & {mask}::UBIGINT)::BIGINT END AS name
    FROM calls WHERE {where}
"""


def mixed(units: Int64, stream: int) -> UInt64:
    """64 bits for each unit and `stream` (a seed, or a number of the draw): splitmix64, Steele et al. 2014."""
    with np.errstate(over="ignore"):
        x = units.astype(np.uint64) + np.uint64((stream + 1) * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x ^= x >> np.uint64(31)
    return x


def uniform(units: Int64, stream: int) -> NDArray[np.float64]:
    """A number in [0, 1) for each unit and stream."""
    return (mixed(units, stream) >> np.uint64(11)).astype(np.float64) / float(1 << 53)


def conversations(traffic: Traffic) -> Int64:
    """63 bits that name each call's conversation, or the call itself where it has none: by md5, so in every store."""
    return _named(traffic, "conversation_id")


def tasks_of_users(traffic: Traffic) -> Int64:
    """As `conversations`, with the trace of a call that is in no conversation."""
    return _named(traffic, "coalesce(conversation_id, trace_id)")


def _named(traffic: Traffic, unit: str) -> Int64:
    with traffic.store.read() as con:
        rows = con.sql(_NAMES.format(unit=unit, mask=2**63 - 1, where=traffic.where)).to_arrow_table()
    numbers, names = (rows.column(name).to_numpy() for name in ("call_no", "name"))
    place = in_order(numbers, traffic.call_no)
    found: Int64 = names if place is None else names[place]
    return found
