"""Prompts as paths in a tree of texts, and each path as chained block ids: what a provider's prefix cache can match.

Two prompts share a chain id at some block iff everything up to and including that block is equal. Work is done once per
distinct path: a conversation's next turn costs one look-up per message, and its caches see one segment per message.
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


@njit(cache=True, nogil=True, forceinline=True)
def _home(key: Any, mask: Any) -> Any:
    mixed = np.uint64(key) * _MIX
    return (mixed ^ (mixed >> np.uint64(32))) & mask


@njit(cache=True, nogil=True)
def _widened(table: Int64) -> Int64:
    wide = np.zeros((2 * len(table), 2), np.int64)
    mask = np.uint64(len(wide) - 1)
    for place in range(len(table)):
        if table[place, 1] > 0:
            home = _home(table[place, 0], mask)
            while wide[home, 1] > 0:
                home = (home + np.uint64(1)) & mask
            wide[home, 0] = table[place, 0]
            wide[home, 1] = table[place, 1]
    return wide


@njit(cache=True, nogil=True, forceinline=True)
def _child(table: Int64, key: Any, known: Any) -> Any:
    """The number of the node that `key` (parent << 32 | step) leads to, made with the number `known` if it is new."""
    mask = np.uint64(len(table) - 1)
    place = _home(key, mask)
    while True:
        found = table[place, 1]
        if found == 0:
            table[place, 0] = key
            table[place, 1] = known
            return known
        if table[place, 0] == key:
            return found
        place = (place + np.uint64(1)) & mask


@njit(cache=True, nogil=True)
def paths(offsets: Int64, contents: Int32, table: Int64, keys: Int64, path: Int32) -> int:
    """Fill `path` with the number of each request's path (its node in the tree); returns the number of nodes.

    Node 0 is the empty prompt. `keys[node]` is (parent << 32 | content). `table` is all zero, (a power of two) x 2.
    """
    known = 1
    for row in range(offsets.size - 1):
        node = np.int64(0)
        for at in range(offsets[row], offsets[row + 1]):
            if 2 * known >= len(table):
                table = _widened(table)
            key = (node << 32) | np.int64(contents[at])
            node = _child(table, key, known)
            if node == known:
                keys[known] = key
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
    table: Int64,
    children: Int32,
    block: Int32,
) -> int:
    """Chain ids of every node's own content; nodes come after their parents. Returns the number of chains.

    `starts[node]` is where the node's blocks stand in `chain`, `last[node]` the chain id at its end (0: empty prompt).
    `children` counts the blocks that follow each chain, and is over 1 too where a content ends.
    """
    known = 1
    for node in range(1, nodes):
        content = keys[node] & 0xFFFFFFFF
        at = np.int64(last[keys[node] >> 32])
        for number in range(block_offsets[content], block_offsets[content + 1]):
            if 2 * known >= len(table):
                table = _widened(table)
            before = at
            at = _child(table, (before << 32) | np.int64(block[number]), known)
            if at == known:
                known += 1
                children[before] += 1
            chain[starts[node] + number - block_offsets[content]] = at
        last[node] = at
        children[at] += 2
    return known


@njit(cache=True, nogil=True)
def segments(
    keys: Int64,
    nodes: int,
    block_offsets: Int64,
    starts: Int64,
    chain: Int32,
    children: Int32,
    block_tokens: Int32,
    firsts: Int64,
    number_of: Int32,
    ids: Int32,
    tokens: Int32,
    blocks: Int32,
) -> int:
    """Join runs of blocks that always come together: those after which nothing branches off and no content ends.

    Every prompt has all of such a run or none of it, so a cache cannot tell its blocks apart. `firsts[node]` is where
    the node's segments begin in `ids`, `tokens` (minus the number of blocks without a count) and `blocks`. Returns the
    number of distinct segments; `number_of` (over chains) starts as -1.
    """
    known, at = 0, 0
    for node in range(1, nodes):
        firsts[node] = at
        content = keys[node] & 0xFFFFFFFF
        first = block_offsets[content]
        sized, missing, count = 0, 0, 0
        for number in range(first, block_offsets[content + 1]):
            one = chain[starts[node] + number - first]
            count += 1
            if block_tokens[number] >= 0:
                sized += block_tokens[number]
            else:
                missing += 1
            if children[one] != 1:
                if number_of[one] < 0:
                    number_of[one] = known
                    known += 1
                ids[at] = number_of[one]
                tokens[at] = -missing if missing > 0 else sized
                blocks[at] = count
                at += 1
                sized, missing, count = 0, 0, 0
    firsts[nodes] = at
    return known


@njit(cache=True, nogil=True)
def spread(
    wanted: Int32,
    keys: Int64,
    firsts: Int64,
    segment: Int32,
    segment_tokens: Int32,
    segment_blocks: Int32,
    head: Int8,
    offsets: Int64,
    ids: Int32,
    tokens: Int32,
    ends: Int8,
    lead: Int32,
) -> None:
    """Lay out the wanted nodes' segments from the first to the last. `head[content]` 1: tools or system.

    `ends`: 0 inside a content, 1 at its end, 2 at the end of the leading tools and system contents. `lead` is the
    segment that holds the second block: prompts with an equal one begin with the same 256 tokens.
    """
    for number in range(wanted.size):
        node = int(wanted[number])
        at = offsets[number + 1]
        leading, start = -1, -1
        while node > 0:
            if head[keys[node] & 0xFFFFFFFF] == 0:
                leading = -1
            elif leading < 0:
                leading = at - 1
            start = firsts[node]
            for one in range(firsts[node + 1] - 1, start - 1, -1):
                at -= 1
                ids[at] = segment[one]
                tokens[at] = segment_tokens[one]
                ends[at] = 1 if one == firsts[node + 1] - 1 else 0
            node = keys[node] >> 32
        if leading >= 0:
            ends[leading] = 2
        if start >= 0:
            second = 0 if segment_blocks[start] > 1 else 1
            lead[number] = ids[min(at + second, offsets[number + 1] - 1)]


@njit(cache=True, nogil=True)
def accumulate(parent: Int64, counted: Int64, missing: Int64, depth: Int64, known: Int64, unknown: Int32) -> None:
    """Sums from the root to each node: segments (`depth` comes as the node's own), tokens, uncounted blocks."""
    for node in range(1, parent.size):
        up = parent[node]
        depth[node] += depth[up]
        known[node] = known[up] + counted[node]
        unknown[node] = unknown[up] + missing[node]
