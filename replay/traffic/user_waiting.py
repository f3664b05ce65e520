"""Is a user waiting for the answer? Inferred, because logs do not say: from streams, tiers, turns and cadence.

The first sign that speaks decides. A batch or flex tier: nobody waits. A stream: somebody does. Then the whole
conversation counts: a user message behind an answer in any of its prompts is a user's turn, so somebody waits, unless
every call came within a second of the answer before it, which only a program does. Calls that start at regular
intervals come from a timer. A conversation of several prompts without a user's turn is a pipeline: nobody waits for a
single call of it; but where it runs tools, somebody may watch, and it stays unknown. Without messages, a call within a
minute of the answer before it is taken as a turn. Whatever no sign speaks of stays unknown and satisfies neither
`online: true` nor `online: false`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.price_book import vocabulary

if TYPE_CHECKING:
    from replay.traffic.traffic import Traffic

Bools = NDArray[np.bool_]
Int8 = NDArray[np.int8]
Int64 = NDArray[np.int64]

UNKNOWN: Final = -1
AT_ONCE_MS: Final = 1_000  # nobody reads an answer and replies within it
REPLY_MS: Final = 60_000
CONTINUED_MS: Final = 60_000  # between an answer's end and the next call of its conversation, which then used it
REGULAR: Final = 0.1  # spread of the middle half of the intervals over their median, below which a timer is at work
INTERVALS: Final = 10  # fewer show no rhythm

# One prompt per conversation and agent, the longest, holds all turns of its thread. A tool's result travels as a user
# message in some formats, and is no turn.
_TURNS = """
    WITH turns AS (
        SELECT content_id, role = 'assistant' AS answer FROM contents
        WHERE kind = 'message' AND (role = 'assistant'
            OR (role = 'user' AND NOT coalesce(contains(text, '"type":"tool_result"'), false)))
    ), prompts AS (
        SELECT min(call_no) AS call_no, arg_max(message_ids, (len(message_ids), -call_no)) AS ids FROM calls
        WHERE {where} AND len(message_ids) > 1
        GROUP BY coalesce(conversation_id, call_no::VARCHAR), conversation_id IS NULL, agent
    ), places AS (
        SELECT call_no, unnest(ids) AS content_id, generate_subscripts(ids, 1) AS place FROM prompts
    )
    SELECT call_no FROM places JOIN turns USING (content_id)
    GROUP BY call_no HAVING min(place) FILTER (answer) < max(place) FILTER (NOT answer) ORDER BY call_no
"""


def online(traffic: Traffic) -> pl.Series:
    """True, false or null per call, in the order of the traffic."""
    codes = inferred(traffic)
    return pl.select(pl.when(pl.Series(codes) != UNKNOWN).then(pl.Series(codes) == 1)).to_series().alias("online")


def inferred(traffic: Traffic) -> Int8:
    """1 a user waits, 0 nobody does, UNKNOWN, per call."""
    n = len(traffic)
    if not n:
        return np.zeros(0, np.int8)
    frame = traffic.rule_frame(["conversation_id", "stream"])
    label = frame["conversation_id"]
    named = label.is_not_null().to_numpy()
    lone = traffic.agent.astype(np.int64) * len(traffic.tasks) + traffic.task  # the rhythm of calls without a session
    session = np.where(named, label.rank("dense").fill_null(0).to_numpy().astype(np.int64), -1 - lone)
    _, group = np.unique(session, return_inverse=True)
    turn, plain = _turns(traffic, group, named)
    found = _by_rhythm(traffic, group, named, turn, plain)
    found[frame["stream"].fill_null(False).to_numpy()] = 1
    waiting = [vocabulary.TIERS.index(name) for name in ("batch", "flex")]
    found[np.isin(traffic.tier, waiting)] = 0
    return found


def waited_for(traffic: Traffic) -> Bools:
    """Calls that something waited for, as far as the log shows."""
    frame = traffic.rule_frame(["conversation_id", "stream"])
    waited = frame["stream"].fill_null(False).to_numpy().copy()
    label = frame["conversation_id"]
    session = label.rank("dense").fill_null(0).to_numpy().astype(np.int64)
    order = np.lexsort((traffic.start_ms, session))
    same = (session[order][1:] == session[order][:-1]) & (session[order][1:] > 0)
    gap = traffic.start_ms[order][1:] - traffic.end_ms[order][:-1]
    waited[order[:-1][same & (gap <= CONTINUED_MS)]] = True
    return waited


def _turns(traffic: Traffic, group: Int64, named: Bools) -> tuple[Bools, Bools | None]:
    """Per call, of its conversation or else its own: a user's turn stands in a prompt; and prompts without tools.

    The second is None where no call keeps its messages.
    """
    with traffic.store.read() as con:
        told = con.sql(_TURNS.format(where=traffic.where)).pl()["call_no"].to_numpy()
        rows = con.sql(
            f"""SELECT call_no, coalesce(pending_tool_calls, false) AS tools FROM calls
                WHERE {traffic.where} AND len(message_ids) > 0"""
        ).pl()

    def spread(calls: Int64) -> Bools:
        own = np.isin(traffic.call_no, calls)
        of_group = np.zeros(int(group.max()) + 1, np.bool_)
        of_group[group[own & named]] = True
        return np.where(named, of_group[group], own)

    if rows.is_empty():
        return spread(told), None
    tools = spread(rows.filter("tools")["call_no"].to_numpy())
    return spread(told), spread(rows["call_no"].to_numpy()) & ~tools


def _by_rhythm(traffic: Traffic, group: Int64, named: Bools, turn: Bools, plain: Bools | None) -> Int8:
    """The inference from turns and the times between calls."""
    order = np.lexsort((traffic.start_ms, group))
    start, end, code = traffic.start_ms[order], traffic.end_ms[order], group[order]
    same = code[1:] == code[:-1]
    count = int(group.max()) + 1
    ended = np.where(same, start[1:] - end[:-1], -1)
    after, owner = ended[same], code[1:][same]
    size = np.bincount(owner, minlength=count)
    timed = bool(traffic.has_durations)
    slowest = np.full(count, -1, np.int64)
    np.maximum.at(slowest, owner, after)
    program = timed & (size > 0) & (slowest <= AT_ONCE_MS)
    replied = np.zeros(count, np.bool_)
    replied[owner[(after > AT_ONCE_MS) & (after <= REPLY_MS)]] = True
    timer = _regular((start[1:] - start[:-1])[same], owner, count)
    chained = size > 0
    found = np.full(len(group), UNKNOWN, np.int8)
    if plain is None:
        found[named & replied[group]] = 1
    else:
        found[named & plain & ~turn & chained[group]] = 0
    found[named & program[group]] = 0
    found[timer[group]] = 0
    found[turn & ~(named & program[group])] = 1
    return found


def _regular(gaps: Int64, owner: Int64, count: int) -> Bools:
    """Groups whose calls start at nearly equal intervals: the middle half of them differs little from the median."""
    order = np.lexsort((gaps, owner))
    gaps = gaps[order]
    size = np.bincount(owner, minlength=count)
    first = np.cumsum(size) - size
    many = np.flatnonzero(size >= INTERVALS)
    result = np.zeros(count, np.bool_)
    low, mid, high = (gaps[first[many] + (size[many] * part).astype(np.int64)] for part in (0.25, 0.5, 0.75))
    result[many] = (mid > AT_ONCE_MS) & (high - low <= REGULAR * mid)
    return result
