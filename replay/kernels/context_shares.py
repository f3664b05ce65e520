"""The input of each call divided among the parts of its texts: tokens and pico-dollars, exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

READ, WRITTEN, FULL = 0, 1, 2


@njit(cache=True, nogil=True)
def divide(
    order: Any, lane: Any, offsets: Any, ids: Any, weight: Any, hidden_share: Any, tokens: Any, zones: Any, cost: Any,
    part_offsets: Any, part_chars: Any, part_source: Any, group: Any, by_group: Any, by_part: Any, seen: Any,
) -> None:  # fmt: skip
    """Adds each call's input to the sums of its group and of its parts.

    order       int64 n: calls, those of one lane together and in order of time
    lane        int64 n: the conversation that a call goes on with
    offsets/ids int64 n + 1 / int32: the contents of each request, first to last
    weight      float64 contents: estimated tokens
    hidden_share bool n: whether what the texts do not explain is a part of its own, before them, or belongs to all
    tokens      int64 n: the logged input, < 0 where unknown
    zones       int64 n x 3: tokens read from cache, written to it, paid in full; their sum is `tokens`
    cost        int64 n x 3: pico-dollars of the zones
    group       int64 n: row of `by_group`
    by_group    int64 groups x sources x 6 (out): tokens and pico-dollars of the zones
    by_part     int64 parts x 5 (out): calls, calls that had it before, tokens, pico-dollars, pico of having it again
    seen        int64 parts (out, no lane's number before): the last lane that had the part

    A prompt is read from its beginning: first what the cache held, then what was written to it, then the rest. A
    boundary between parts is rounded to a whole token, and money to whole pico-dollars by running sums, so that the
    parts of a call sum to the call.
    """
    for i in order:
        total = tokens[i]
        if total < 0:
            continue
        explained = 0.0
        for k in range(offsets[i], offsets[i + 1]):
            explained += weight[ids[k]]
        start = 0.0
        if explained <= 0:  # no text at all
            start = float(total)
        elif hidden_share[i] and explained < total:
            start = total - explained
        scale = (total - start) / explained if explained > 0 else 0.0
        ends = np.empty(3, np.int64)
        ends[READ] = zones[i, READ]
        ends[WRITTEN] = ends[READ] + zones[i, WRITTEN]
        ends[FULL] = total
        position = start
        low = int(position + 0.5)
        _give(by_group[group[i], 0], 0, low, ends, zones[i], cost[i])
        for zone in range(3):  # charged without tokens: of no part
            if zones[i, zone] <= 0:
                by_group[group[i], 0, 3 + zone] += cost[i, zone]
        for k in range(offsets[i], offsets[i + 1]):
            content = ids[k]
            chars = 0
            for part in range(part_offsets[content], part_offsets[content + 1]):
                chars += part_chars[part]
            before = position
            share = 0
            for part in range(part_offsets[content], part_offsets[content + 1]):
                share += part_chars[part]
                position = before + scale * weight[content] * share / chars
                high = min(int(position + 0.5), total)
                if k == offsets[i + 1] - 1 and part == part_offsets[content + 1] - 1:
                    high = total
                paid = _give(by_group[group[i], part_source[part]], low, high, ends, zones[i], cost[i])
                by_part[part, 0] += 1
                by_part[part, 2] += high - low
                by_part[part, 3] += paid
                if seen[part] == lane[i]:
                    by_part[part, 1] += 1
                    by_part[part, 4] += paid
                seen[part] = lane[i]
                low = high


@njit(cache=True, nogil=True)
def _give(sums: Any, low: int, high: int, ends: Any, size: Any, cost: Any) -> int:
    """Adds the tokens [low, high) of a call to `sums`; returns their pico-dollars."""
    begin = 0
    paid = 0
    for zone in range(3):
        first, last = max(low, begin), min(high, ends[zone])
        if size[zone] > 0 and last > first:
            amount = _until(cost[zone], last - begin, size[zone]) - _until(cost[zone], first - begin, size[zone])
            sums[zone] += last - first
            sums[3 + zone] += amount
            paid += amount
        begin = ends[zone]
    return paid


@njit(cache=True, nogil=True)
def _until(cost: int, tokens: int, size: int) -> int:
    """Pico-dollars of the first `tokens` of a zone."""
    return cost if tokens == size else int(cost * (tokens / size))
