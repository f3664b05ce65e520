"""Prompts as paths in a tree of texts, and each path as chained segments: what a provider's prefix cache can match.

Two prompts share a segment iff everything up to and including its last block is equal. Work is done once per distinct
path: a conversation's next turn costs one look-up per message, and its caches see one segment per message.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from replay.kernels.common.hashing import MIX, home, move
from replay.kernels.common.intrinsics import fetch
from replay.kernels.common.jit import lean

Int8 = NDArray[np.int8]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]

_PLACES: Final = 1 << 12  # that a table starts with
_GROUP: Final = 64  # rows whose look-ups wait for memory together
_AHEAD: Final = 16  # nodes whose memory is fetched before their turn
BLOCK_TOKENS: Final = 128
START, STOP, KNOWN, REST = range(4)  # columns of BlockChains.routes


@lean(forceinline=True)
def _child(table: Int64, key: Any, known: Any) -> Any:
    """The number of the node that `key` (parent << 32 | step) leads to, made with the number `known` if it is new."""
    mask = np.uint64(len(table) - 1)
    place = home(key, mask)
    while True:
        found = table[place, 1]
        if found == 0:
            table[place, 0] = key
            table[place, 1] = known
            return known
        if table[place, 0] == key:
            return found
        place = (place + np.uint64(1)) & mask


@lean()
def _paths(offsets: Int64, contents: Int32, table: Int64, keys: Int64, path: Int32, first: int, known: int) -> Any:
    """Goes on from row `first` with `known` nodes until the table is three quarters full. Returns the next of both.

    All but the last two contents of a group of rows come first, and the place of the next one is fetched; then comes
    that one for all rows, and then the last: so the reads of one group wait for memory together.
    """
    rows, row = offsets.size - 1, first
    mask = np.uint64(len(table) - 1)
    while row < rows:
        stop = min(row + _GROUP, rows)
        if 4 * (known + offsets[stop] - offsets[row]) >= 3 * len(table):
            stop = row + 1
            if 4 * (known + offsets[stop] - offsets[row]) >= 3 * len(table):
                return row, known
        for back in range(2, -1, -1):  # how many contents the step leaves to the next ones
            for one in range(row, stop):
                end = offsets[one + 1] - back
                if back == 2:
                    node, at = np.int64(0), offsets[one]
                else:
                    node, at = np.int64(path[one]), max(end - 1, offsets[one])
                while at < end:
                    key = (node << 32) | np.int64(contents[at])
                    node = _child(table, key, known)
                    if node == known:
                        keys[known] = key
                        known += 1
                    at += 1
                path[one] = node
                if offsets[one] <= end < offsets[one + 1]:
                    fetch(table, home((node << 32) | np.int64(contents[end]), mask) << np.uint64(1))
        row = stop
    return row, known


def paths(offsets: Int64, contents: Int32, keys: Int64, path: Int32) -> int:
    """Fill `path` with the number of each request's path (its node in the tree); returns the number of nodes.

    Node 0 is the empty prompt; nodes come after their parents. `keys[node]` is (parent << 32 | content).
    """
    table = np.zeros((_PLACES, 2), np.int64)
    row, known = _paths(offsets, contents, table, keys, path, 0, 1)
    while row < len(offsets) - 1:
        wide = np.zeros((2 * len(table), 2), np.int64)
        move(table, wide)
        table = wide
        row, known = _paths(offsets, contents, table, keys, path, row, known)
    return int(known)


@lean(forceinline=True)
def _branch(at: Any, block: Any) -> Any:
    """31 mixed bits of a point and the block that follows it."""
    mixed = (np.uint64(block) ^ (np.uint64(at) * MIX)) * MIX
    return np.int64((mixed ^ (mixed >> np.uint64(29))) >> np.uint64(33))


@lean()
def _move_branches(table: Int64, wide: Int64) -> None:
    mask = len(wide) - 1
    for entry in table:
        if entry > 0:
            place = (entry >> 32) & mask
            while wide[place] > 0:
                place = (place + 1) & mask
            wide[place] = entry


@lean()
def _points(
    keys: Int64,
    block_offsets: Int64,
    hashes: Int64,
    up: Int32,
    first: Int64,
    size: Int32,
    point_of: Int32,
    table: Int64,
    begin: int,
    known: Any,
) -> Any:
    """Goes on from node `begin` until the table is three quarters full. Returns the next node and the points.

    What the nodes to come will read is fetched in steps, each of which needs what the one before has brought.
    """
    last = keys.size - 1
    for node in range(begin, keys.size):
        fetch(block_offsets, keys[min(node + 3 * _AHEAD, last)] & 0xFFFFFFFF)
        fetch(hashes, block_offsets[keys[min(node + 2 * _AHEAD, last)] & 0xFFFFFFFF])
        later = keys[min(node + _AHEAD, last)]
        opening = block_offsets[later & 0xFFFFFFFF]
        if opening < hashes.size:
            fetch(table, _branch(point_of[later >> 32], hashes[opening]) & (len(table) - 1))
        content = keys[node] & 0xFFFFFFFF
        at = np.int64(point_of[keys[node] >> 32])
        block, stop = block_offsets[content], block_offsets[content + 1]
        while block < stop:
            if 4 * (known + 2) >= 3 * len(table):
                return node, known
            mask = len(table) - 1
            bits = _branch(at, hashes[block])
            place = bits & mask
            found = np.int64(0)
            while table[place] > 0:
                if table[place] >> 32 == bits:
                    one = table[place] & 0xFFFFFFFF
                    if up[one] == at and hashes[first[one]] == hashes[block]:
                        found = one
                        break
                place = (place + 1) & mask
            if found == 0:
                table[place] = (bits << 32) | known
                up[known], first[known], size[known] = at, block, stop - block
                at = known
                known += 1
                break
            same = np.int64(1)
            most = min(np.int64(size[found]), stop - block)
            while same < most and hashes[first[found] + same] == hashes[block + same]:
                same += 1
            block += same
            if same == size[found]:
                at = found
                continue
            table[place] = (bits << 32) | known
            up[known], first[known], size[known] = at, first[found], same
            up[found] = known
            first[found] += same
            size[found] -= same
            at = known
            known += 1
            bits = _branch(at, hashes[first[found]])
            place = bits & mask
            while table[place] > 0:
                place = (place + 1) & mask
            table[place] = (bits << 32) | found
        point_of[node] = at
    return np.int64(keys.size), known


def points(
    keys: Int64, block_offsets: Int64, hashes: Int64, up: Int32, first: Int64, size: Int32, point_of: Int32
) -> int:
    """Grow the tree of blocks; returns how many points it has. `point_of[node]` is where the node's prompt ends.

    A point ends a segment: a content ends there, or prompts part there. No cache can tell apart the blocks between two
    points. Point 0 is the empty prompt; `up` is the point before, and the `size` blocks up to it are those of `hashes`
    from `first` on. A node makes at most two points. A branch is found by its point and first block, in a table of
    (mixed bits << 32 | point); where a new prompt parts in the middle of a segment, the segment is cut.
    """
    table = np.zeros(_PLACES, np.int64)
    node, known = _points(keys, block_offsets, hashes, up, first, size, point_of, table, 1, np.int64(1))
    while node < len(keys):
        wide = np.zeros(2 * len(table), np.int64)
        _move_branches(table, wide)
        table = wide
        node, known = _points(keys, block_offsets, hashes, up, first, size, point_of, table, node, np.int64(known))
    return int(known)


@lean()
def accumulate(
    keys: Int64,
    counts: Int32,
    block_offsets: Int64,
    up: Int32,
    point_of: Int32,
    depth: Int32,
    known: Int64,
    unknown: Int32,
) -> None:
    """Sums from the root to each node: points, tokens of counted contents, blocks of the others (all over nodes)."""
    for node in range(1, depth.size):
        parent = keys[node] >> 32
        content = keys[node] & 0xFFFFFFFF
        point, before = point_of[node], point_of[parent]
        steps = 0
        while point != before:
            steps += 1
            point = up[point]
        depth[node] = depth[parent] + steps
        counted = counts[content] >= 0
        known[node] = known[parent] + (counts[content] if counted else 0)
        blocks = block_offsets[content + 1] - block_offsets[content]
        unknown[node] = unknown[parent] + (0 if counted else blocks)


@lean()
def begin(wanted: Int32, depth: Int32, known: Int64, unknown: Int32, routes: Int64) -> int:
    """Fill `routes` from the sums of the wanted nodes, REST with the blocks alone; returns how many steps there are."""
    at = np.int64(0)
    for number in range(wanted.size):
        node = np.int64(wanted[number])
        routes[number, START] = at
        at += depth[node]
        routes[number, STOP] = at
        routes[number, KNOWN] = known[node]
        routes[number, REST] = unknown[node]
    return int(at)


@lean()
def lay_out(
    wanted: Int32,
    keys: Int64,
    counts: Int32,
    block_offsets: Int64,
    up: Int32,
    size: Int32,
    point_of: Int32,
    head: Int8,
    routes: Int64,
    steps: Int32,
    ends: Int8,
) -> None:
    """Lay out the wanted nodes' segments from the first to the last, as BlockChains has them.

    `head[content]` 1: system, 2: tools, -1: an answer. START and STOP of `routes` are given. A content's last block has
    what the content counts beyond its whole blocks of 128 tokens, and at least one token.
    """
    last = wanted.size - 1
    for number in range(wanted.size):
        later = wanted[min(number + _AHEAD, last)]
        fetch(counts, keys[later] & 0xFFFFFFFF)
        fetch(block_offsets, keys[later] & 0xFFFFFFFF)
        fetch(up, point_of[later])
        fetch(size, point_of[later])
        node = np.int64(wanted[number])
        at = routes[number, STOP]
        leading, tools, top = -1, 0, 0
        while node > 0:
            content = keys[node] & 0xFFFFFFFF
            tools = 1 if head[content] == 2 else 0
            if head[content] <= 0:
                leading = -1
            elif leading < 0:
                leading = at - 1
            parent = keys[node] >> 32
            blocks = block_offsets[content + 1] - block_offsets[content]
            point, before = point_of[node], point_of[parent]
            last = True
            while point != before:
                at -= 1
                steps[at, 0] = point
                ends[at] = (3 if head[content] < 0 else 1) if last else 0
                if counts[content] < 0:
                    steps[at, 1] = -size[point]
                elif not last:
                    steps[at, 1] = BLOCK_TOKENS * size[point]
                elif blocks == 1:
                    steps[at, 1] = counts[content]
                else:
                    rest = max(counts[content] - BLOCK_TOKENS * (blocks - 1), 1)
                    steps[at, 1] = rest + BLOCK_TOKENS * (size[point] - 1)
                last = False
                top = point
                point = up[point]
            node = parent
        if leading >= 0:
            ends[leading] = 2
        routes[number, REST] = 2 * routes[number, REST] + tools
        if top > 0:
            second = 0 if size[top] > 1 else 1
            lead = steps[min(at + second, routes[number, STOP] - 1), 0]
            routes[number, REST] |= np.int64(lead) << 32
