"""A provider's prompt cache: how many tokens of each prompt it has already seen, under one rule per request.

`rules` is (rules x 10) int64, its columns named below. Two modes:
- implicit: every block of a prompt long enough is remembered; the longest remembered prefix counts, in increments;
- breakpoints: only the prefix up to a breakpoint is remembered, and a breakpoint finds what was remembered at most
  `LOOKBACK` contents before it.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from replay.kernels.common.intrinsics import fetch
from replay.kernels.common.jit import lean
from replay.kernels.prompt_cache.prompt_tree import KNOWN, REST, START, STOP

Int8 = NDArray[np.int8]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]

# TTL: of idleness, from the last use, in ms. MAX_AGE: from the first writing, 0 for none. RPM: how many requests of a
# minute with one head (its first 256 tokens) one machine takes, the rest go to a second one; 0 for no limit. ANSWERS: a
# prompt is remembered with its answer, where a later prompt goes on with one.
MODE, MINIMUM, INCREMENT, TTL, MAX_AGE, RPM, LOOKBACK, HEAD_BREAKPOINT, WRITES, ANSWERS = range(10)
IMPLICIT: Final = 0
BREAKPOINTS: Final = 1
MINUTE_MS: Final = 60_000
GROUP: Final = 64


@lean()
def per_part(scope: Int32, alive: Bool, rule: Int32, path: Int32, part: Int8, sizes: Int64) -> None:
    """Count the rows that reach a cache by part and scope; `part` is over paths, `sizes` (parts x scopes) all zero."""
    for row in range(scope.size):
        if alive[row] and rule[row] >= 0:
            sizes[part[path[row]], scope[row]] += 1


@lean()
def in_scope_order(
    scope: Int32, alive: Bool, rule: Int32, path: Int32, part: Int8, starts: Int64, order: Int32
) -> None:
    """Counting sort of the rows that reach a cache: by part, by scope, then in time order. `starts` is moved along."""
    for row in range(scope.size):
        if alive[row] and rule[row] >= 0:
            mine = part[path[row]]
            order[starts[mine, scope[row]]] = row
            starts[mine, scope[row]] += 1


@lean()
def heads(routes: Int64, steps: Int32, path: Int32, calls: Int64) -> None:
    """Count the calls of each first segment; `calls` (over segments) is all zero."""
    for row in range(path.size):
        start = routes[path[row], START]
        if start < routes[path[row], STOP]:
            calls[steps[start, 0]] += 1


@lean(forceinline=True)
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


@lean()
def run(
    order: Int32,
    scope: Int32,
    epoch: Int64,
    start: Int64,
    ready: Int64,
    rule: Int32,
    path: Int32,
    routes: Int64,
    steps: Int32,
    ends: Int8,
    whole: Int64,
    answer: Int64,
    rules: Int64,
    state: Int64,
    born: Int64,
    load: Int64,
    answered: Int64,
    cached: Int64,
    written: Int64,
) -> None:
    """Fill `cached` and `written` (tokens) for the rows of `order`. The arrays from `state` on are over segments.

    `state` is (segments x machines), all zero: the last use at each machine. Rows come scope by scope, and `epoch`
    (over scopes) is added to the times of a scope: it is further from the one before than any life lasts, so what
    other scopes have used counts as forgotten. `born` (segments x 2) is the first writing at each machine, `load`
    (segments x 2) a minute and its requests, `answered` (segments) the tokens of the last prompt that ended there and
    of its answer, which `answer` (over rows) counts, -1 where unknown; each is empty where no rule needs it. `ready` is
    empty where it is the start. The rows of the next groups have their memory fetched step by step, while those of one
    are gone through.
    """
    aged, limited, machines = len(born) > 0, len(load) > 0, state.shape[1]
    for step in range(order.size):
        if step % GROUP == 0:
            for at in range(min(step + 2 * GROUP, order.size), min(step + 3 * GROUP, order.size)):
                fetch(routes, 4 * np.int64(path[order[at]]))
            for at in range(min(step + GROUP, order.size), min(step + 2 * GROUP, order.size)):
                place = path[order[at]]
                fetch(steps, 2 * routes[place, START])
                fetch(steps, 2 * routes[place, STOP] - 2)
            for at in range(step, min(step + GROUP, order.size)):
                fetch(state, machines * steps[max(routes[path[order[at]], STOP] - 1, 0), 0])
        row = order[step]
        place, now = path[row], start[row] + epoch[scope[row]]
        r = rules[rule[row]]
        first, stop, known, rest = routes[place, START], routes[place, STOP], routes[place, KNOWN], routes[place, REST]
        if first == stop:
            continue
        unknown = (rest & 0xFFFFFFFF) >> 1
        done = ready[row] + epoch[scope[row]] if ready.size > 0 else now
        total = whole[row] if whole[row] >= 0 else known
        scaled = (rest & 1) == 1 or 5 * (total - known) <= known + 320
        if r[MODE] == BREAKPOINTS:
            _breakpoints(
                row, now, done, r, first, stop, steps, ends, known, unknown, whole[row], scaled, state, cached, written
            )  # fmt: skip
            continue
        machine = _machine(load, rest >> 32, now, r[RPM]) if limited and r[RPM] > 0 else 0
        matched, unknown_matched, found = 0, 0, first - 1
        for at in range(first, stop):
            one = steps[at, 0]
            seen = state[one, machine]
            if now - seen > r[TTL] or seen > now:  # idle for too long, or its first prompt is still being read
                break
            if aged and r[MAX_AGE] > 0 and now - born[one, machine] > r[MAX_AGE]:
                break
            found = at
            if steps[at, 1] >= 0:
                matched += steps[at, 1]
            else:
                unknown_matched -= steps[at, 1]
        if found >= first:
            matched = _actual(matched, known, unknown, unknown_matched, whole[row], scaled)
            if answered.size > 0 and r[ANSWERS] > 0 and _goes_on_with_an_answer(ends, found, stop):
                matched = min(max(matched, answered[steps[found, 0]]), total)
        if matched < r[MINIMUM]:
            matched = 0
        matched -= matched % r[INCREMENT]
        cached[row] = matched
        if total < r[MINIMUM]:
            continue
        if r[WRITES] > 0:
            written[row] = total - total % r[INCREMENT] - matched
        for at in range(first, found + 1):
            state[steps[at, 0], machine] = now
        for at in range(found + 1, stop):
            one = steps[at, 0]
            other = state[one, machine]
            when = min(other, done) if other > now else done  # an equal prompt may be read just now
            if aged:
                born[one, machine] = when
            state[one, machine] = when
        if answered.size > 0 and r[ANSWERS] > 0:
            answered[steps[stop - 1, 0]] = total + answer[row] if answer[row] >= 0 else 0


@lean(forceinline=True)
def _goes_on_with_an_answer(ends: Int8, found: Any, stop: Any) -> bool:
    """Whether a content ends at the step `found`, and the next one is an answer."""
    at = found + 1
    while at < stop and ends[at] == 0:
        at += 1
    return ends[found] > 0 and at < stop and ends[at] == 3


@lean(forceinline=True)
def _machine(load: Int64, lead: Any, now: Any, limit: Any) -> int:
    """0 for the machine that serves this head of prompts, 1 where it has had its requests of this minute."""
    minute = now // MINUTE_MS
    if load[lead, 0] != minute:
        load[lead, 0] = minute
        load[lead, 1] = 0
    load[lead, 1] += 1
    return 1 if load[lead, 1] > limit else 0


@lean()
def _breakpoints(
    row: Any,
    now: Any,
    ready: Any,
    r: Int64,
    first: Any,
    stop: Any,
    steps: Int32,
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
                chain = steps[at, 0]
                if state[chain, 0] <= now and now - state[chain, 0] <= r[TTL]:
                    found = at
                    break
            at -= 1
    matched, unknown_matched, sum_head, unknown_head = 0, 0, 0, 0
    for at in range(first, stop):
        size = steps[at, 1]
        if size >= 0:
            matched += size if at <= found else 0
            sum_head += size if at <= head else 0
        else:
            unknown_matched -= size if at <= found else 0
            unknown_head -= size if at <= head else 0
    if found >= first:
        matched = _actual(matched, known, unknown, unknown_matched, whole, scaled)
        state[steps[found, 0], 0] = now
    cached[row] = matched
    if total >= r[MINIMUM]:
        if found < stop - 1:
            written[row] = total - matched
            state[steps[stop - 1, 0], 0] = ready
        if head >= first and head < stop - 1:
            if head > found:
                if _actual(sum_head, known, unknown, unknown_head, whole, scaled) >= r[MINIMUM]:
                    state[steps[head, 0], 0] = ready
            elif now - state[steps[head, 0], 0] <= r[TTL]:
                state[steps[head, 0], 0] = now
