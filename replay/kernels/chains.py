"""Prompts as paths in a tree of texts, and each path as chained block ids: what a provider's prefix cache can match.

Two prompts share a chain id at some block iff everything up to and including that block is equal. Work is done once per
distinct path: a conversation's next turn costs one look-up per message.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Int8 = NDArray[np.int8]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]

_MIX = np.uint64(0x9E3779B97F4A7C15)


@njit(cache=True, nogil=True)
def _child(slots: Int32, keys: Int64, known: Any, parent: Any, step: Any) -> Any:
    """The number of the node that `step` leads to from `parent`; `known` if there is none yet, and then it is made."""
    key = (np.int64(parent) << 32) | np.int64(step)
    mixed = np.uint64(key) * _MIX
    mask = np.uint64(slots.size - 1)
    place = (mixed ^ (mixed >> np.uint64(32))) & mask
    while True:
        found = slots[place]
        if found < 0:
            slots[place] = known
            keys[known] = key
            return known
        if keys[found] == key:
            return np.int64(found)
        place = (place + np.uint64(1)) & mask


@njit(cache=True, nogil=True)
def paths(offsets: Int64, contents: Int32, slots: Int32, keys: Int64, path: Int32) -> int:
    """Fill `path` with the number of each request's path (its node in the tree); returns the number of nodes.

    Node 0 is the empty prompt. `keys[node]` is (parent << 32 | content). `slots` is -1 everywhere and a power of two.
    """
    known = 1
    for row in range(offsets.size - 1):
        node = 0
        for at in range(offsets[row], offsets[row + 1]):
            node = _child(slots, keys, known, node, contents[at])
            if node == known:
                known += 1
        path[row] = node
    return known


@njit(cache=True, nogil=True)
def node_blocks(
    keys: Int64,
    nodes: int,
    block_offsets: Int64,
    starts: Int64,
    last: Int32,
    chain: Int32,
    slots: Int32,
    chain_keys: Int64,
    block: Int32,
) -> int:
    """Chain ids of every node's own content; nodes come after their parents. Returns the number of chains.

    `starts[node]` is where the node's blocks stand in `chain`, `last[node]` the chain id at its end (0: empty prompt).
    """
    known = 1
    for node in range(1, nodes):
        parent = keys[node] >> 32
        content = keys[node] & 0xFFFFFFFF
        at = last[parent]
        for number in range(block_offsets[content], block_offsets[content + 1]):
            at = _child(slots, chain_keys, known, at, block[number])
            if at == known:
                known += 1
            chain[starts[node] + number - block_offsets[content]] = at
        last[node] = at
    return known


@njit(cache=True, nogil=True)
def spread(
    wanted: Int32,
    keys: Int64,
    block_offsets: Int64,
    starts: Int64,
    chain: Int32,
    block_tokens: Int32,
    head: Int8,
    offsets: Int64,
    ids: Int32,
    tokens: Int32,
    ends: Int8,
) -> None:
    """Lay out the wanted nodes' blocks from the first to the last. `head[content]` 1: tools or system.

    `ends`: 0 inside a content, 1 at its end, 2 at the end of the leading tools and system contents.
    """
    for number in range(wanted.size):
        node = int(wanted[number])
        at = offsets[number + 1]
        leading = -1
        while node > 0:
            content = keys[node] & 0xFFFFFFFF
            if head[content] == 0:
                leading = -1
            elif leading < 0:
                leading = at - 1
            blocks = block_offsets[content + 1] - block_offsets[content]
            for offset in range(blocks - 1, -1, -1):
                at -= 1
                ids[at] = chain[starts[node] + offset]
                tokens[at] = block_tokens[block_offsets[content] + offset]
                ends[at] = 1 if offset == blocks - 1 else 0
            node = keys[node] >> 32
        if leading >= 0:
            ends[leading] = 2


@njit(cache=True, nogil=True)
def accumulate(parent: Int64, counted: Int64, missing: Int64, depth: Int64, known: Int64, unknown: Int32) -> None:
    """Sums from the root to each node: blocks (`depth` comes as the node's own), tokens, uncounted blocks."""
    for node in range(1, parent.size):
        up = parent[node]
        depth[node] += depth[up]
        known[node] = known[up] + counted[node]
        unknown[node] = unknown[up] + missing[node]
