"""What a cause is called: signatures in the calls, from the most specific to the most general.

Traffic and mix get only what no loop, retry, breakage or growth explains. The table of causes, their signatures and
fixes follows the LLM incidents that users report (loops, retry storms, broken prompt caches, silent model switches).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import sqrt
from typing import Final

from analysis import formatting
from analysis.anomalies.detector import two_sided
from analysis.causes import lost_prefixes
from analysis.causes.call_evidence import CallQueries, Facts
from analysis.causes.segment_localization import Effect, Key, Segment, Universe, place

SURPRISING: Final = 3.5  # spreads; a cause below it is the day's ordinary wobble
MOST_CERTAIN: Final = 0.999  # the wobble is known of some weeks of days, which bear out no more
MIN_EVIDENCE: Final = 6.0  # the least spreads of a cause counted in the calls rather than inferred from amounts
ROUNDS: Final = 3  # of two agents answering each other in a session, before it is called a loop
DROP_FACTORS: Final = ("volume", "calls_per_request", "vanished_segment")
COUNTED: Final = ("retry_storm", "duplicate_calls", "long_session", "user_surge", "loop", "usage_missing")
ENOUGH: Final = 10  # calls, for a count to mean anything
MISSING: Final = 3  # calls without usage in a segment, for it to have lost them
LATER: Final = 4  # calls after a session's first, to tell history that piles up from prompts that grew
MOST: Final = 0.6  # of the added calls or dollars, for a signature to own a group
LOST: Final = 0.01  # of the input tokens, for what was not read for one reason to be looked into
HOURLY: Final = 0.2  # of the written tokens, by which those kept for an hour must have fallen to be the reason


@dataclass(frozen=True)
class Kind:
    """How one sort of cause is shown, and what to do about it."""

    title: str
    fix: str
    less: str | None = None  # the title where it goes the other way and lowers the amount


KINDS: Final[dict[str, Kind]] = {
    "new_agent": Kind("new agent or feature", "set a budget gate for it and a cheaper default model"),
    "renamed": Kind("another name, as it seems", "none needed for what ran before; a budget gate for what it grew by"),
    "runs_again": Kind("a job that runs again", "put it in the forecast; a budget gate if nobody planned it"),
    "alias_moved": Kind("the same name, another model", "name the model's version, or agree with the new one",
                        "the same name, another model"),
    "model_switch": Kind("calls moved to another model", "route back by task the calls that do not need it",
                         "calls moved to another model"),
    "prompt_growth": Kind("longer prompts", "trim or compress the prompt, retrieve less", "shorter prompts"),
    "context_accumulation": Kind("conversations carry more history", "summarise or window the history, cache it"),
    "loop": Kind("loop", "cap the rounds of a session, break loops that repeat a request"),
    "retry_storm": Kind("retries", "back off, give retries a budget, fix what fails"),
    "cache_breakage": Kind("prompt cache no longer hits", "put what changes last, keep the prefix stable",
                           "prompt cache hits more often"),
    "prefix_changed": Kind("the beginning of the prompts changes", "put what changes last, keep the prefix stable"),
    "cold_fan_out": Kind("calls side by side begin before one has cached their prompt",
                         "start one, and the others after its first answer"),
    "cold_starts": Kind("more conversations begin uncached", "begin them alike, so that one reads what another wrote"),
    "cache_expired": Kind("pauses outlast the prompt cache", "cache prompts for an hour, or resume sooner"),
    "cache_life_changed": Kind("prompts are cached for a shorter time", "ask for the hour again (ttl: 1h)"),
    "model_changes": Kind("conversations change their model", "keep a conversation on one model: each has its cache"),
    "output_growth": Kind("longer answers", "set max_tokens, ask for a shorter format", "shorter answers"),
    "reasoning_growth": Kind("more reasoning", "lower the effort, route simple tasks elsewhere", "less reasoning"),
    "traffic": Kind("more traffic", "none needed: put it in the forecast", "less traffic"),
    "price_change": Kind("price change", "renegotiate, or route to another provider", "price change"),
    "batch_to_realtime": Kind("work left the batch tier", "send what can wait through the batch API again",
                              "more work at a cheaper tier"),
    "tool_bloat": Kind("larger tool definitions", "load tools on demand"),
    "duplicate_calls": Kind("the same request again", "put an exact cache in front"),
    "user_surge": Kind("one user", "set a quota per user"),
    "long_session": Kind("one session", "set a budget per session"),
    "usage_missing": Kind("calls without usage", "ask for usage in streamed answers"),
    "fan_out": Kind("more calls per request", "run fewer agents side by side, share what they ask for",
                    "fewer calls per request"),
    "other_fees": Kind("fees, audio or images", "see the calls behind it", "fees, audio or images"),
    "gone": Kind("no longer in the log", "none needed if it was stopped; else look for its log"),
    "failing": Kind("all its calls fail", "fix what fails"),
    "smaller": Kind("smaller changes", "none needed"),
}  # fmt: skip
# what a factor is called when no specific signature claims it; shrinking has the same name and another sign
GENERIC: Final = {
    "volume": "traffic", "calls_per_request": "fan_out", "model_mix": "model_switch", "input_tokens": "prompt_growth",
    "cache_read_share": "cache_breakage", "cache_write_share": "cache_breakage", "output_tokens": "output_growth",
    "reasoning_tokens": "reasoning_growth", "batch_share": "batch_to_realtime", "price": "price_change",
    "other": "other_fees", "new_segment": "new_agent", "vanished_segment": "gone",
}  # fmt: skip


@dataclass(frozen=True)
class Cause:
    """`delta` is the sum of the cause's drivers, in integer units."""

    cause: str
    segments: list[Segment]  # the fewest partial segments that hold it; {} is everything
    factors: list[str]
    delta: int
    z: float
    effects: list[Effect] = field(repr=False)
    evidence: list[str] = field(default_factory=list)
    saves: int | None = None  # integer units, where it was counted in the calls

    @property
    def title(self) -> str:
        """What it is called: what shrank is no growth."""
        kind = KINDS[self.cause]
        return kind.less or kind.title if self.delta < 0 else kind.title

    @property
    def fix(self) -> str:
        """What to do about it; nothing about what lowers the amount."""
        kind = KINDS[self.cause]
        if self.delta < 0 and self.cause == "traffic" and self.segments == [{}]:
            return "none needed, if the log is complete"
        return "none needed: it lowers the amount" if self.delta < 0 and kind.less else kind.fix

    @property
    def surprising(self) -> bool:
        """Whether it is beyond the ordinary wobble of its factors."""
        return abs(self.z) >= SURPRISING

    @property
    def confidence(self) -> float:
        """One minus the chance that the ordinary wobble of these factors does this; at most MOST_CERTAIN."""
        return min(1 - two_sided(abs(self.z)), MOST_CERTAIN)


def cause_of(name: str, segments: list[Segment], effects: list[Effect], evidence: Sequence[str] = ()) -> Cause:
    """A cause made of effects: their sum, and how many of its ordinary spreads that sum is (at most 99)."""
    delta = sum(e.delta for e in effects)
    own = sqrt(sum(max(e.noise**2 - e.common**2, 0.0) for e in effects) + sum(e.common for e in effects) ** 2)
    z = min(abs(delta) / own, 99.0) if own else 99.0 if delta else 0.0
    # what moved by itself names a cause, not what merely followed it, however much that is worth
    own_factors = {e.factor for e in effects if not e.follows}
    factors = sorted({e.factor for e in effects}, key=lambda f: (f not in own_factors, -abs(_sum(effects, f)), f))
    return Cause(name, segments, factors, delta, z, effects, list(evidence))


def without(effects: Sequence[Effect], taken: Sequence[Effect]) -> list[Effect]:
    """The effects but those very ones."""
    gone = {id(effect) for effect in taken}
    return [effect for effect in effects if id(effect) not in gone]


def _sum(effects: Sequence[Effect], factor: str) -> int:
    return sum(e.delta for e in effects if e.factor == factor)


def claim(cause: Cause, queries: CallQueries) -> Cause:
    """The most specific signature that the calls support."""
    if cause.cause == "traffic":
        return _traffic(cause, queries)
    if cause.cause == "fan_out":
        return _fan_out(cause, queries)
    if cause.cause == "prompt_growth":
        return _prompt(cause, queries)
    if cause.cause == "cache_breakage" and cause.delta > 0:
        return _cache(cause, queries)
    if cause.cause == "new_agent":
        return _new(cause, queries)
    if cause.cause == "output_growth":
        facts = queries.facts(scope_of(cause), "cut")
        cut = [facts.figures["cut"][i] or 0.0 for i in (0, 1)]
        if facts.calls[1] and cut[1] / facts.calls[1] > 2 * cut[0] / max(facts.calls[0], 1) + 0.01:
            return with_evidence(
                cause, f"{formatting.share(cut[1] / facts.calls[1])} of answers stop at the token limit"
            )
    return cause


def scope_of(cause: Cause) -> list[Segment]:
    """The calls to look at: the place itself, which is a shorter question than its segments one by one."""
    return cause.segments or [{}]


def with_evidence(
    cause: Cause, *evidence: str, name: str | None = None, z: float | None = None, saves: int | None = None
) -> Cause:
    """The cause with evidence; a name of COUNTED is a signature that was counted in the calls, not inferred."""
    z = z if z is not None else max(cause.z, MIN_EVIDENCE) if name in COUNTED else cause.z
    saves = cause.saves if saves is None else saves
    return replace(cause, cause=name or cause.cause, z=z, saves=saves, evidence=[*cause.evidence, *evidence])


def _traffic(cause: Cause, queries: CallQueries) -> Cause:
    facts = queries.facts(scope_of(cause), "sessions")
    more = f"{facts.calls[0]:,.0f} -> {facts.calls[1]:,.0f} calls"
    if facts.after("sessions"):
        more += f" in {facts.before('sessions'):,.0f} -> {facts.after('sessions'):,.0f} sessions"
    return with_evidence(cause, more)


def _fan_out(cause: Cause, queries: CallQueries) -> Cause:
    facts = queries.facts(scope_of(cause), "repeats")
    told = f"{facts.calls[0]:,.0f} -> {facts.calls[1]:,.0f} calls"
    if facts.after("repeats") > 0.01 * facts.calls[1]:
        told += (
            f"; {facts.before('repeats'):,.0f} -> {facts.after('repeats'):,.0f} of them repeat an earlier request "
            "of the day word for word"
        )
    return with_evidence(cause, told)


def _prompt(cause: Cause, queries: CallQueries) -> Cause:
    scope = scope_of(cause)
    facts = queries.facts(scope, "tools", "versions")
    turns = queries.turns(scope) if cause.delta > 0 else []
    if sum(n for turn, n, *_ in turns if turn > 1) >= LATER:
        every, rising = _explained(turns, 0), _explained(turns, 1)
        later = _explained([(2, n, before, now) for turn, n, before, now in turns if turn > 1], 1)
        if max(rising, later) > every:
            first, last = turns[0], max(turns[1:], key=lambda t: (t[1] * (t[0] - 1), t[0]))
            return with_evidence(
                cause,
                f"the first call of a session reads {first[2]:,.0f} -> {first[3]:,.0f} tokens",
                f"call {last[0]} reads {last[2]:,.0f} -> {last[3]:,.0f}",
                name="context_accumulation",
            )
    if facts.known("tools") and facts.after("tools") > facts.before("tools") + 0.5:
        told = f"{facts.before('tools'):.1f} -> {facts.after('tools'):.1f} tools are defined per call"
        return with_evidence(cause, told, name="tool_bloat")
    versions = facts.after("versions")
    return (
        with_evidence(cause, f"{versions:,.0f} prompt versions in use")
        if versions > facts.before("versions")
        else cause
    )


def _cache(cause: Cause, queries: CallQueries) -> Cause:
    """Why less was read from the provider's cache, where one reason makes most of it."""
    scope = scope_of(cause)
    found = lost_prefixes.misses(queries, scope)
    if found is None:
        return cause
    reason = max(lost_prefixes.REASONS, key=found.rise)
    rises = sum(max(found.rise(one), 0.0) for one in lost_prefixes.REASONS)
    if found.rise(reason) < max(MOST * rises, LOST):
        return cause
    before, after = found.turns[reason]
    turns = f"{formatting.share(after)} of turns, {formatting.share(before)} before"
    if reason == lost_prefixes.COLD:
        told = f"calls that begin a conversation uncached are {turns}"
        if found.beside[1] < MOST:
            return with_evidence(cause, told, name="cold_starts")
        while_running = f"{formatting.share(found.beside[1])} of them while another call of the agent was running"
        return with_evidence(cause, told, while_running, name="cold_fan_out")
    if reason == lost_prefixes.EXPIRED:
        told = f"turns that come after the cache's life are {turns}"
        hour = found.for_an_hour
        if hour[1] > hour[0] - HOURLY:
            return with_evidence(cause, told, name="cache_expired")
        kept = f"{formatting.share(hour[1])} of what is written is kept for an hour, {formatting.share(hour[0])} before"
        return with_evidence(cause, kept, told, name="cache_life_changed")
    if reason == lost_prefixes.MODEL:
        return with_evidence(cause, f"turns on another model than the one before are {turns}", name="model_changes")
    broken = lost_prefixes.broken_prefix(queries, scope)
    told = f"turns that lost the prefix of the one before within its life are {turns}"
    if broken is None:  # the log keeps no messages, or they are all there: the provider dropped them
        return with_evidence(cause, told)
    role = f" ({broken.role})" if broken.role else ""
    where = f"message {broken.message}{role}" + (f", byte {broken.byte:,}" if broken.byte is not None else "")
    at = f"turn {broken.turn} of call {broken.call_no} differs from the turn before at {where}"
    return with_evidence(
        cause, told, at, f"{broken.alike} of {broken.compared} such turns at that message", name="prefix_changed"
    )


def _explained(turns: Sequence[tuple[int, float, float, float]], slope: int) -> float:
    """How much of the squares of what each turn reads more is explained by one amount for every call (slope 0), or by
    one for every turn before it (slope 1), calls weighing alike."""
    top = sum(n * (now - before) * (turn - 1) ** slope for turn, n, before, now in turns)
    bottom = sum(n * (turn - 1) ** (2 * slope) for turn, n, *_ in turns)
    return top * top / bottom if top > 0 and bottom else 0.0


def _new(cause: Cause, queries: CallQueries) -> Cause:
    told = []
    for name, value in sorted(cause.segments[0].items()):
        first = queries.first_seen(name, value)
        if first and first > max(queries.days, default=first):
            told.append(f"{name} {value} was first seen on {first}")
    return with_evidence(cause, *told)


def missing_usage(
    effects: list[Effect], universe: Universe, queries: CallQueries, by: Sequence[str]
) -> tuple[list[Cause], list[Effect]]:
    """Segments whose calls lost their token counts: what looks like less traffic there is not. Also the rest."""
    lost: dict[Key, tuple[float, float, float]] = {}
    for segment, before, after, calls, each in queries.without_usage(by):
        if after >= MISSING and after >= 0.3 * calls and before <= 0.1 * after:
            lost[tuple(segment.items())] = (before, after, (after - before) * each)
    mine = [e for e in effects if tuple(e.segment.items()) in lost and e.delta < 0 and e.factor in DROP_FACTORS]
    if not mine:
        return [], effects
    everywhere = {*universe["volume"], *universe["vanished_segment"]}
    members = {key: (float(key in lost), 0.1) for key in everywhere}
    hits = [Effect(dict(key), "usage", -1, 1.0, 0.1, 0.0) for key in lost if key in everywhere]
    found = []
    for segments, inside, _ in place(hits, {"usage": members}):
        held = [tuple(hit.segment.items()) for hit in inside]
        own = [e for e in mine if tuple(e.segment.items()) in held]
        if not own:
            continue
        before, after, worth = (sum(lost[key][i] for key in held) for i in range(3))
        told = f"{after:,.0f} calls have no token counts, {before:,.1f} a day before"
        if worth:
            told += f"; at the price of the others they cost {queries.amount_words(worth)}"
        made = replace(cause_of("usage_missing", segments, own, [told]), saves=-round(worth * queries.unit))
        found.append(replace(made, z=max(made.z, MIN_EVIDENCE)))
    return found, without(effects, mine)


def find_agent_loops(causes: list[Cause], queries: CallQueries) -> list[Cause]:
    """Make one cause `loop` of the drivers of two agents that answer each other more than before.

    Either a session has more rounds than before, or these rounds are a larger share of all calls and most of the calls
    that were added. More sessions of the earlier length stay traffic.
    """
    growing = [c for c in causes if c.cause in ("traffic", "fan_out", "loop") and c.delta > 0]
    everyone = [e for c in growing for e in c.effects if "agent" in e.segment]
    if not everyone or not any(c.surprising for c in growing):
        return causes
    every: Facts | None = None
    for one, other, before, after, sessions, _ in queries.ping_pong(
        sorted({e.segment["agent"] for e in everyone}, key=str)
    ):
        tasks = [{e.segment.get("task") for e in everyone if e.segment["agent"] == name} for name in (one, other)]
        caught = [
            e for e in everyone if e.segment["agent"] in (one, other) and e.segment.get("task") in tasks[0] & tasks[1]
        ]
        if not caught or after < ROUNDS:
            continue
        facts = queries.facts([e.segment for e in caught])
        every = every or queries.facts([{}])
        share = [facts.calls[side] / max(every.calls[side], 1.0) for side in (0, 1)]
        added = (facts.calls[1] - facts.calls[0]) / max(every.calls[1] - every.calls[0], 1.0)
        rounder = before > 0 and after >= 1.2 * before
        if not rounder and not (share[1] >= share[0] + 0.1 and added >= MOST):
            continue
        named = sorted(str(task) for task in tasks[0] & tasks[1] - {None})
        told = [
            f"{one} and {other} answer each other in {after:.1f} rounds a session ({before:.1f} before)",
            f"{facts.calls[1]:,.0f} of the day's {every.calls[1]:,.0f} calls "
            f"({formatting.share(share[1])}, {formatting.share(share[0])} before) "
            f"in {sessions:,} sessions" + (f": {', '.join(named)}" if named else ""),
        ]
        loop = cause_of("loop", [{"agent": one}, {"agent": other}], caught, told)
        kept = []
        for cause in causes:
            left = without(cause.effects, caught)
            if len(left) == len(cause.effects):
                kept.append(cause)
            elif left:
                kept.append(cause_of(cause.cause, cause.segments, left))
        return [loop, *kept]
    return causes
