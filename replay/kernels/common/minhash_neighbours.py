"""Near-duplicate texts by MinHash digests, and a cache that serves the nearest stored one, in time order."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Bool = NDArray[np.bool_]
Int16 = NDArray[np.int16]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
UInt32 = NDArray[np.uint32]


@njit(cache=True, nogil=True, forceinline=True)
def _bucket(digests: UInt32, scope: Int32, text: int, band: int, rows: int) -> Any:
    mixed = np.uint64(scope[text]) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(band)
    for at in range(band * rows, (band + 1) * rows):
        mixed = (mixed ^ np.uint64(digests[text, at])) * np.uint64(0xBF58476D1CE4E5B9)
        mixed ^= mixed >> np.uint64(29)
    return mixed


@njit(cache=True, nogil=True)
def pairs(
    digests: UInt32,
    scope: Int32,
    rows: int,
    need: int,
    heads: Int32,
    links: Int32,
    left: Int32,
    right: Int32,
    equal: Int16,
) -> int:
    """Pairs of texts of one scope that agree in at least `need` places of their digest; returns how many there are.

    Banding: only texts that agree in a whole band of `rows` places are compared. `heads` (a power of two, -1) and
    `links` (bands x texts) are the buckets' lists. When the pairs outgrow `left`, counting goes on and nothing is kept.
    """
    bands = digests.shape[1] // rows
    texts = len(digests)
    mask = np.uint64(heads.shape[1] - 1)
    met = np.full(texts, -1, np.int32)
    found = 0
    for text in range(texts):
        for band in range(bands):
            place = np.int64(_bucket(digests, scope, text, band, rows) & mask)
            other = heads[band, place]
            while other >= 0:
                if met[other] != text and scope[other] == scope[text]:
                    met[other] = text
                    same = 0
                    for at in range(digests.shape[1]):
                        same += digests[other, at] == digests[text, at]
                    if same >= need:
                        if found < left.size:
                            left[found] = other
                            right[found] = text
                            equal[found] = same
                        found += 1
                other = links[band, other]
            links[band, text] = heads[band, place]
            heads[band, place] = text
    return found


@njit(cache=True, nogil=True)
def serve(
    text: Int32,
    start: Int64,
    storable: Bool,
    lookup: Bool,
    offsets: Int64,
    near: Int32,
    similarity: Int16,
    need: int,
    ttl: int,
    stored: Int64,
    served: Int64,
) -> None:
    """`served[call]` is the call whose answer a cache would give, -1 where it asks the model.

    The nearest stored text with at least `need` similarity wins, then the one stored first. `offsets`, `near` and
    `similarity` list each text's neighbours (CSR), itself among them. `ttl` -1: no expiry. `stored` (texts) is -1.
    """
    for call in range(text.size):
        served[call] = -1
        one = text[call]
        if one < 0 or not lookup[call]:
            continue
        best, nearest = -1, -1
        for at in range(offsets[one], offsets[one + 1]):
            if similarity[at] < need or similarity[at] < nearest:
                continue
            holder = stored[near[at]]
            if holder < 0 or (ttl >= 0 and start[call] > start[holder] + ttl):
                continue
            if similarity[at] > nearest or holder < best:
                best, nearest = holder, similarity[at]
        if best >= 0:
            served[call] = best
        elif storable[call]:
            stored[one] = call
