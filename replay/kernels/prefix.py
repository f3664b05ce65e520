"""A provider's prompt cache: how many tokens of each prompt it has already seen, under one rule per request.

`rules` is (rules x 9) int64, its columns named below. Two modes:
- implicit: every block of a prompt long enough is remembered; the longest remembered prefix counts, in increments;
- breakpoints: only the prefix up to a breakpoint is remembered, and a breakpoint finds what was remembered at most
  `LOOKBACK` contents before it.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

Int8 = NDArray[np.int8]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]

# TTL: of idleness, from the last use, in ms. MAX_AGE: from the first writing, 0 for none. RPM: how many requests of a
# minute with one head (its first 256 tokens) one machine takes, the rest go to a second one; 0 for no limit.
MODE, MINIMUM, INCREMENT, TTL, MAX_AGE, RPM, LOOKBACK, HEAD_BREAKPOINT, WRITES = range(9)
IMPLICIT: Final = 0
BREAKPOINTS: Final = 1
MINUTE_MS: Final = 60_000
LONG_AGO: Final = np.iinfo(np.int64).min // 2


@njit(cache=True, nogil=True)
def in_scope_order(scope: Int32, alive: Bool, rule: Int32, starts: Int64, order: Int32) -> None:
    """Counting sort of the rows that reach a cache: by scope, in time order within it. `starts` is moved along."""
    for row in range(scope.size):
        if alive[row] and rule[row] >= 0:
            order[starts[scope[row]]] = row
            starts[scope[row]] += 1


@njit(cache=True, nogil=True)
def _actual(matched: Any, known: Any, unknown: Any, unknown_matched: Any, whole: Any, scaled: Any) -> Any:
    """Matched tokens in the provider's own count of the prompt, `whole`; ours where that is not known (-1).

    Blocks without a count share what is left. Tokens that no content explains are tools that were not logged: they
    lead every prompt of the kind, so they match when anything does; if few, they are a matter of the tokeniser.
    """
    if whole < 0:
        return matched
    if whole < known:
        return matched * whole // known
    if unknown > 0:
        return matched + (whole - known) * unknown_matched // unknown
    if known <= 0:
        return 0
    if scaled:
        return matched * whole // known
    return matched + whole - known


@njit(cache=True, nogil=True)
def run(
    order: Int32,
    scope: Int32,
    start: Int64,
    ready: Int64,
    rule: Int32,
    path: Int32,
    offsets: Int64,
    ids: Int32,
    tokens: Int32,
    ends: Int8,
    known: Int64,
    unknown: Int32,
    has_tools: Bool,
    whole: Int64,
    rules: Int64,
    owner: Int32,
    last: Int64,
    born: Int64,
    minute: Int64,
    load: Int32,
    cached: Int64,
    written: Int64,
) -> None:
    """Fill `cached` and `written` (tokens) for the rows of `order`. The arrays from `owner` on are state over chains.

    `owner` tells which scope the state of a chain belongs to: rows come scope by scope, so it needs no clearing.
    `last` and `born` are (chains x 2): one plane for each of the two machines of `RPM`.
    """
    for step in range(order.size):
        row = order[step]
        place, now, mine = path[row], start[row], scope[row]
        r = rules[rule[row]]
        first, stop = offsets[place], offsets[place + 1]
        if first == stop:
            continue
        total = whole[row] if whole[row] >= 0 else known[place]
        scaled = has_tools[place] or 5 * (total - known[place]) <= known[place] + 320
        machine = 0
        if r[RPM] > 0:
            head = ids[min(first + 1, stop - 1)]
            if owner[head] != mine:
                owner[head] = mine
                last[head, 0] = last[head, 1] = LONG_AGO
                minute[head] = LONG_AGO
            if now - minute[head] >= MINUTE_MS:
                minute[head] = now - now % MINUTE_MS
                load[head] = 0
            load[head] += 1
            machine = 1 if load[head] > r[RPM] else 0
        matched, unknown_matched, found = 0, 0, first - 1
        if r[MODE] == IMPLICIT:
            for at in range(first, stop):
                chain = ids[at]
                if owner[chain] != mine or now - last[chain, machine] > r[TTL]:
                    break
                if last[chain, machine] > now:  # its first prompt is still being read
                    break
                if r[MAX_AGE] > 0 and now - born[chain, machine] > r[MAX_AGE]:
                    break
                found = at
                if tokens[at] >= 0:
                    matched += tokens[at]
                else:
                    unknown_matched += 1
            if found >= first:
                matched = _actual(matched, known[place], unknown[place], unknown_matched, whole[row], scaled)
            if matched < r[MINIMUM]:
                matched = 0
            matched -= matched % r[INCREMENT]
            cached[row] = matched
            if total >= r[MINIMUM]:
                if r[WRITES] > 0:
                    written[row] = total - total % r[INCREMENT] - matched
                for at in range(first, stop):
                    chain = ids[at]
                    fresh = owner[chain] != mine
                    if fresh:
                        last[chain, 0] = last[chain, 1] = LONG_AGO
                        owner[chain] = mine
                    if at > found:
                        other = last[chain, machine]  # later than now: an equal prompt is being read just now
                        born[chain, machine] = min(other, ready[row]) if other > now else ready[row]
                        last[chain, machine] = born[chain, machine]
                    else:
                        last[chain, machine] = now
        else:
            _breakpoints(
                row,
                now,
                ready[row],
                mine,
                r,
                first,
                stop,
                ids,
                tokens,
                ends,
                known[place],
                unknown[place],
                whole[row],
                scaled,
                owner,
                last,
                cached,
                written,
            )


@njit(cache=True, nogil=True)
def _breakpoints(
    row: Any,
    now: Any,
    ready: Any,
    mine: Any,
    r: Int64,
    first: Any,
    stop: Any,
    ids: Int32,
    tokens: Int32,
    ends: Int8,
    known: Any,
    unknown: Any,
    whole: Any,
    scaled: Any,
    owner: Int32,
    last: Int64,
    cached: Int64,
    written: Int64,
) -> None:
    """One request under the breakpoint rule: breakpoints stand at the end of the prompt and, if asked, of its head."""
    total = whole if whole >= 0 else known
    head = -1
    if r[HEAD_BREAKPOINT] > 0:
        for at in range(first, stop):
            if ends[at] == 2:
                head = at
    found = first - 1
    for breakpoint_at in (stop - 1, head):
        back = 0
        at = breakpoint_at
        while at > found and back < r[LOOKBACK]:
            if ends[at] > 0:
                back += 1
                chain = ids[at]
                if owner[chain] == mine and last[chain, 0] <= now and now - last[chain, 0] <= r[TTL]:
                    found = at
                    break
            at -= 1
    matched, unknown_matched, sum_head, unknown_head = 0, 0, 0, 0
    for at in range(first, stop):
        if tokens[at] >= 0:
            matched += tokens[at] if at <= found else 0
            sum_head += tokens[at] if at <= head else 0
        else:
            unknown_matched += 1 if at <= found else 0
            unknown_head += 1 if at <= head else 0
    if found >= first:
        matched = _actual(matched, known, unknown, unknown_matched, whole, scaled)
        last[ids[found], 0] = now
    cached[row] = matched
    if total >= r[MINIMUM]:
        if found < stop - 1:
            written[row] = total - matched
            owner[ids[stop - 1]] = mine
            last[ids[stop - 1], 0] = ready
        if head >= first and head < stop - 1:
            if head > found:
                if _actual(sum_head, known, unknown, unknown_head, whole, scaled) >= r[MINIMUM]:
                    owner[ids[head]] = mine
                    last[ids[head], 0] = ready
            elif owner[ids[head]] == mine and now - last[ids[head], 0] <= r[TTL]:
                last[ids[head], 0] = now
