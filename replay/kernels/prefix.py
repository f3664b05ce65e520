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
    lead: Int32,
    whole: Int64,
    rules: Int64,
    state: Int64,
    second: Int64,
    born: Int64,
    load: Int64,
    cached: Int64,
    written: Int64,
) -> None:
    """Fill `cached` and `written` (tokens) for the rows of `order`. The arrays from `state` on are over segments.

    `state` is (segments x 2): the scope that what is known of the segment belongs to, and its last use there. Rows come
    scope by scope, so it needs no clearing. `second` is the last use at the second machine, `born` (segments x 2) the
    first writing at each machine, `load` (segments x 3) a scope, a minute and its requests; each is empty where no rule
    needs it.
    """
    aged, limited = len(born) > 0, len(second) > 0
    for step in range(order.size):
        row = order[step]
        place, now, mine = path[row], start[row], scope[row]
        r = rules[rule[row]]
        first, stop = offsets[place], offsets[place + 1]
        if first == stop:
            continue
        total = whole[row] if whole[row] >= 0 else known[place]
        scaled = has_tools[place] or 5 * (total - known[place]) <= known[place] + 320
        if r[MODE] == BREAKPOINTS:
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
                state,
                cached,
                written,
            )
            continue
        machine = _machine(load, lead[place], mine, now, r[RPM]) if limited and r[RPM] > 0 else 0
        matched, unknown_matched, found = 0, 0, first - 1
        for at in range(first, stop):
            one = ids[at]
            if state[one, 0] != mine:
                break
            seen = state[one, 1] if machine == 0 else second[one]
            if now - seen > r[TTL] or seen > now:  # idle for too long, or its first prompt is still being read
                break
            if aged and r[MAX_AGE] > 0 and now - born[one, machine] > r[MAX_AGE]:
                break
            found = at
            if tokens[at] >= 0:
                matched += tokens[at]
            else:
                unknown_matched -= tokens[at]
        if found >= first:
            matched = _actual(matched, known[place], unknown[place], unknown_matched, whole[row], scaled)
        if matched < r[MINIMUM]:
            matched = 0
        matched -= matched % r[INCREMENT]
        cached[row] = matched
        if total < r[MINIMUM]:
            continue
        if r[WRITES] > 0:
            written[row] = total - total % r[INCREMENT] - matched
        for at in range(first, found + 1):
            if machine == 0:
                state[ids[at], 1] = now
            else:
                second[ids[at]] = now
        for at in range(found + 1, stop):
            one = ids[at]
            if state[one, 0] != mine:
                state[one, 0] = mine
                state[one, 1] = LONG_AGO
                if limited:
                    second[one] = LONG_AGO
            other = state[one, 1] if machine == 0 else second[one]
            when = ready[row]
            if other > now:  # an equal prompt is being read just now
                when = min(other, when)
            if aged:
                born[one, machine] = when
            if machine == 0:
                state[one, 1] = when
            else:
                second[one] = when


@njit(cache=True, nogil=True)
def _machine(load: Int64, lead: Any, mine: Any, now: Any, limit: Any) -> int:
    """0 for the machine that serves this head of prompts, 1 where it has had its requests of this minute."""
    minute = now // MINUTE_MS
    if load[lead, 0] != mine + 1 or load[lead, 1] != minute:
        load[lead, 0] = mine + 1
        load[lead, 1] = minute
        load[lead, 2] = 0
    load[lead, 2] += 1
    return 1 if load[lead, 2] > limit else 0


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
    state: Int64,
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
                if state[chain, 0] == mine and state[chain, 1] <= now and now - state[chain, 1] <= r[TTL]:
                    found = at
                    break
            at -= 1
    matched, unknown_matched, sum_head, unknown_head = 0, 0, 0, 0
    for at in range(first, stop):
        if tokens[at] >= 0:
            matched += tokens[at] if at <= found else 0
            sum_head += tokens[at] if at <= head else 0
        else:
            unknown_matched -= tokens[at] if at <= found else 0
            unknown_head -= tokens[at] if at <= head else 0
    if found >= first:
        matched = _actual(matched, known, unknown, unknown_matched, whole, scaled)
        state[ids[found], 1] = now
    cached[row] = matched
    if total >= r[MINIMUM]:
        if found < stop - 1:
            written[row] = total - matched
            state[ids[stop - 1], 0] = mine
            state[ids[stop - 1], 1] = ready
        if head >= first and head < stop - 1:
            if head > found:
                if _actual(sum_head, known, unknown, unknown_head, whole, scaled) >= r[MINIMUM]:
                    state[ids[head], 0] = mine
                    state[ids[head], 1] = ready
            elif state[ids[head], 0] == mine and now - state[ids[head], 1] <= r[TTL]:
                state[ids[head], 1] = now
