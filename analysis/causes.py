"""Why: drivers grouped into causes a person can act on, with evidence from the calls, the dollars and the fix.

Every driver belongs to exactly one cause, so causes sum to the change as drivers do. A group of drivers is first
placed (the fewest segments that hold it), then tried against signatures from the most specific to the most general:
traffic and mix get only what no loop, retry, breakage or growth explains. What lies within the factor's ordinary
day-to-day wobble is said to be that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import sqrt
from typing import Final

from analysis.detect import two_sided
from analysis.evidence import Facts, Witness
from analysis.factors import FACTORS

Segment = dict[str, str | None]
Sizes = dict[tuple[tuple[str, str | None], ...], float]  # the usual size of every segment, moved or not
SURPRISING: Final = 3.5  # spreads; a cause below it is the day's ordinary wobble
MATERIAL: Final = 0.02  # of the day's change (or a hundredth of its cost), before a group is looked into
LOOKED_INTO: Final = 8  # groups that get call-level evidence
ROUNDS: Final = 3  # of two agents answering each other in a session, before it is called a loop
MOST: Final = 0.6  # of the added calls or dollars, for a signature to own a group


@dataclass(frozen=True)
class Kind:
    title: str
    fix: str


KINDS: Final[dict[str, Kind]] = {
    "new_agent": Kind("new agent or feature", "set a budget gate for it and a cheaper default model"),
    "model_switch": Kind("calls moved to another model", "route back by task the calls that do not need it"),
    "prompt_growth": Kind("longer prompts", "trim or compress the prompt, retrieve less"),
    "context_accumulation": Kind("conversations carry more history", "summarise or window the history, cache it"),
    "loop": Kind("loop", "cap the rounds of a session, break loops that repeat a request"),
    "retry_storm": Kind("retries", "back off, give retries a budget, fix what fails"),
    "cache_breakage": Kind("prompt cache no longer hits", "put what changes last, keep the prefix stable"),
    "output_growth": Kind("longer answers", "set max_tokens, ask for a shorter format"),
    "reasoning_growth": Kind("more reasoning", "lower the effort, route simple tasks elsewhere"),
    "traffic": Kind("more traffic", "none needed: put it in the forecast"),
    "price_change": Kind("price change", "renegotiate, or route to another provider"),
    "batch_to_realtime": Kind("work left the batch tier", "send what can wait through the batch API again"),
    "tool_bloat": Kind("larger tool definitions", "load tools on demand"),
    "duplicate_calls": Kind("the same request again", "put an exact cache in front"),
    "user_surge": Kind("one user", "set a quota per user"),
    "long_session": Kind("one session", "set a budget per session"),
    "usage_missing": Kind("calls without usage", "ask for usage in streamed answers"),
    "fan_out": Kind("more calls per request", "run fewer agents side by side, share what they ask for"),
    "other_fees": Kind("fees, audio or images", "see the calls behind it"),
    "gone": Kind("no longer runs", "none needed"),
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
class Effect:
    """One driver with what its history says: `noise` is what an ordinary day's wobble of it is worth."""

    segment: Segment
    factor: str
    delta: int
    z: float
    noise: float
    weight: float  # the segment's usual size, in the metric's units
    common: float = 0.0  # the part of `noise` that all segments share


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

    @property
    def kind(self) -> Kind:
        return KINDS[self.cause]

    @property
    def surprising(self) -> bool:
        return abs(self.z) >= SURPRISING

    @property
    def confidence(self) -> float:
        """One minus the chance that the ordinary wobble of these factors does this."""
        return 1 - two_sided(abs(self.z))


def find(effects: Sequence[Effect], witness: Witness, total: int, actual: int) -> list[Cause]:
    """Causes, surprising ones first, by |delta|; the last gathers what is too small to look into."""
    floor = max(MATERIAL * abs(total), MATERIAL * actual / 2)
    groups: dict[str, list[Effect]] = {}
    for effect in effects:
        family = "cache" if effect.factor.startswith("cache_") else effect.factor
        sign = "+" if effect.delta > 0 else "-"
        groups.setdefault(family + ("" if family == "cache" else sign), []).append(effect)
    # a segment of one side only cannot move by a factor, so it spoils no place
    sizes = {tuple(e.segment.items()): e.weight for e in effects if e.factor in FACTORS}
    placed: list[Cause] = []
    rest: list[Effect] = []
    for name in sorted(groups):
        for segments, members in _split(groups[name], sizes):
            cause = _cause(GENERIC[members[0].factor], segments, members)
            if abs(cause.delta) >= floor:
                placed.append(cause)
            else:
                rest += members
    rank = partial(_rank, sign=1 if total >= 0 else -1)
    placed.sort(key=rank)
    claimed = [
        _claim(cause, witness) if i < LOOKED_INTO and cause.surprising else cause for i, cause in enumerate(placed)
    ]
    causes = _merge(claimed, witness)
    causes.sort(key=rank)
    if rest:
        causes.append(replace(_cause("smaller", [], rest), z=0.0))
    return causes


def _rank(cause: Cause, *, sign: int) -> tuple[bool, bool, int, str]:
    """Surprising before ordinary, in the day's own direction before against it, then by size."""
    return (not cause.surprising, cause.delta * sign < 0, -abs(cause.delta), cause.cause + str(cause.segments))


def _cause(name: str, segments: list[Segment], effects: list[Effect], evidence: Sequence[str] = ()) -> Cause:
    delta = sum(e.delta for e in effects)
    own = sqrt(sum(max(e.noise**2 - e.common**2, 0.0) for e in effects) + sum(e.common for e in effects) ** 2)
    alone = any(e.factor in ("new_segment", "vanished_segment", "price") for e in effects)
    z = 99.0 if alone else min(abs(delta) / own, 99.0) if own else 0.0
    factors = sorted({e.factor for e in effects}, key=lambda f: -abs(sum(e.delta for e in effects if e.factor == f)))
    return Cause(name, segments, factors, delta, z, effects, list(evidence))


# -- where -------------------------------------------------------------------------------------------------------------


def _split(effects: list[Effect], sizes: Sizes) -> list[tuple[list[Segment], list[Effect]]]:
    """Effects of one factor and sign, split into places: the coarsest elements whose segments all moved."""
    moved = [e for e in effects if abs(e.z) >= SURPRISING]
    calm = [e for e in effects if abs(e.z) < SURPRISING]
    if not moved:
        return [([{}], effects)]
    found: list[tuple[list[Segment], list[Effect]]] = []
    left = list(moved)
    while left:
        element = max(_elements(left), key=lambda el: _worth(el, left, sizes))
        inside = [e for e in left if _holds(element, e.segment)]
        found.append(([element], inside))
        left = [e for e in left if not _holds(element, e.segment)]
    if calm:
        found.append(([{}], calm))
    return found


def _elements(effects: list[Effect]) -> list[Segment]:
    """Every partial segment of these effects, in a fixed order, coarse ones first."""
    found: dict[tuple[tuple[str, str | None], ...], None] = {}
    for effect in effects:
        items = list(effect.segment.items())
        for mask in range(1 << len(items)):
            found[tuple(item for i, item in enumerate(items) if mask >> i & 1)] = None
    return [dict(key) for key in sorted(found, key=lambda key: (len(key), str(key)))]


def _worth(element: Segment, moved: list[Effect], sizes: Sizes) -> tuple[float, int]:
    """Amount that the element explains, less what an element with calm members must not claim."""
    inside = [e for e in moved if _holds(element, e.segment)]
    size = sum(weight for segment, weight in sizes.items() if _holds(element, dict(segment)))
    hot = sum(e.weight for e in inside)
    pure = hot >= 0.9 * size
    return (sum(abs(e.delta) for e in inside) if pure else 0.0, -len(element))


def _holds(element: Segment, segment: Segment) -> bool:
    return all(segment[name] == value for name, value in element.items())


# -- what --------------------------------------------------------------------------------------------------------------


def _claim(cause: Cause, witness: Witness) -> Cause:
    """The most specific signature that the calls support."""
    if cause.cause == "traffic":
        return _traffic(cause, witness)
    if cause.cause == "fan_out":
        return _fan_out(cause, witness)
    if cause.cause == "prompt_growth":
        return _prompt(cause, witness)
    if cause.cause == "new_agent":
        return _new(cause, witness)
    if cause.cause == "output_growth":
        facts = witness.facts(_scope(cause))
        cut = [facts.figures["cut"][i] or 0.0 for i in (0, 1)]
        if facts.calls[1] and cut[1] / facts.calls[1] > 2 * cut[0] / max(facts.calls[0], 1) + 0.01:
            return _told(cause, f"{cut[1] / facts.calls[1]:.1%} of answers stop at the token limit")
    return cause


def _scope(cause: Cause) -> list[Segment]:
    """The calls to look at: the place itself, which is a shorter question than its segments one by one."""
    return cause.segments or [{}]


def _told(cause: Cause, *evidence: str, name: str | None = None) -> Cause:
    return replace(cause, cause=name or cause.cause, evidence=[*cause.evidence, *evidence])


def _repeating(cause: Cause, facts: Facts) -> Cause | None:
    """Retries and duplicates: added calls that were asked before."""
    if facts.added("retries") >= MOST:
        return _told(
            cause,
            f"{facts.after('retries'):,.0f} retries instead of {facts.before('retries'):,.0f}",
            f"{facts.after('errors'):,.0f} failed calls instead of {facts.before('errors'):,.0f}",
            name="retry_storm",
        )
    if facts.added("repeats") >= MOST:
        return _told(
            cause,
            f"{facts.after('repeats'):,.0f} calls repeat an earlier request of the day word for word, "
            f"instead of {facts.before('repeats'):,.0f}",
            name="duplicate_calls",
        )
    return None


def _traffic(cause: Cause, witness: Witness) -> Cause:
    facts = witness.facts(_scope(cause))
    if cause.delta > 0:
        found = _repeating(cause, facts)
        if found:
            return found
        grown = (facts.after("usd") - facts.before("usd")) or 1.0
        if facts.known("top_session") and facts.after("top_session") - facts.before("top_session") >= MOST * grown:
            return _told(cause, f"one session cost ${facts.after('top_session'):,.2f}", name="long_session")
        if facts.known("top_user") and facts.after("users") > 1:
            users = witness.movers(_scope(cause), "user")
            user, before, after = users[0]
            if after - before >= MOST * grown and before < MOST * max(facts.before("usd"), 1e-9):
                who = [{**segment, "user": user} for segment in cause.segments]
                told = f"user {user} went from ${before:,.2f} to ${after:,.2f} a day"
                return replace(_told(cause, told, name="user_surge"), segments=who)
    more = f"{facts.calls[0]:,.0f} -> {facts.calls[1]:,.0f} calls"
    if facts.after("sessions"):
        more += f" in {facts.before('sessions'):,.0f} -> {facts.after('sessions'):,.0f} sessions"
    return _told(cause, more)


def _fan_out(cause: Cause, witness: Witness) -> Cause:
    facts = witness.facts(_scope(cause))
    found = _repeating(cause, facts) if cause.delta > 0 else None
    if found:
        return found
    turns = witness.sessions(_scope(cause))
    if cause.delta > 0 and turns.known("beyond"):
        # a runaway is in few sessions: what lies beyond the baseline's 99th percentile is most of what was added
        share = (facts.calls[1] - facts.calls[0]) / max(facts.calls[1], 1.0)
        if turns.after("beyond") >= MOST * share and turns.after("long_sessions") < 0.2:
            longest = (
                f"the longest of {facts.after('sessions'):,.0f} sessions makes {turns.after('longest'):,.0f} calls"
            )
            return _told(cause, longest, f"it was {turns.before('longest'):,.0f} before", name="loop")
    told = f"{facts.calls[0]:,.0f} -> {facts.calls[1]:,.0f} calls"
    if facts.after("repeats") > 0.01 * facts.calls[1]:
        told += (
            f"; {facts.before('repeats'):,.0f} -> {facts.after('repeats'):,.0f} of them repeat an earlier request "
            "of the day word for word"
        )
    return _told(cause, told)


def _prompt(cause: Cause, witness: Witness) -> Cause:
    scope = _scope(cause)
    facts = witness.facts(scope)
    turns = witness.sessions(scope)
    if cause.delta > 0 and turns.known("first_tokens") and turns.before("turns") >= 1.5:
        first = turns.after("first_tokens") - turns.before("first_tokens")
        grew = turns.after("growth") * (turns.after("turns") - 1) - turns.before("growth") * (turns.before("turns") - 1)
        if grew > 2 * max(first, 0.0) and grew > 0:
            return _told(
                cause,
                f"the first call of a session reads {turns.before('first_tokens'):,.0f} -> "
                f"{turns.after('first_tokens'):,.0f} tokens",
                f"each later call adds {turns.before('growth'):,.0f} -> {turns.after('growth'):,.0f}",
                name="context_accumulation",
            )
    if facts.known("tools") and facts.after("tools") > facts.before("tools") + 0.5:
        told = f"{facts.before('tools'):.1f} -> {facts.after('tools'):.1f} tools are defined per call"
        return _told(cause, told, name="tool_bloat")
    versions = facts.after("versions")
    return _told(cause, f"{versions:,.0f} prompt versions in use") if versions > facts.before("versions") else cause


def _new(cause: Cause, witness: Witness) -> Cause:
    told = []
    for name, value in sorted(cause.segments[0].items()):
        first = witness.first_seen(name, value)
        if first and first > max(witness.days, default=first):
            told.append(f"{name} {value} was first seen on {first}")
    return _told(cause, *told)


def _merge(causes: list[Cause], witness: Witness) -> list[Cause]:
    """Review loops own the drivers of the agents that go round; equal causes in one place become one."""
    causes = _ping_pong(causes, witness)
    found: dict[tuple[str, str, bool], Cause] = {}
    for cause in causes:
        key = (cause.cause, str(cause.segments), cause.delta > 0)
        if key in found:
            both = [*found[key].effects, *cause.effects]
            evidence = list(dict.fromkeys([*found[key].evidence, *cause.evidence]))
            found[key] = _cause(cause.cause, cause.segments, both, evidence)
        else:
            found[key] = cause
    return list(found.values())


def _ping_pong(causes: list[Cause], witness: Witness) -> list[Cause]:
    """Agents that answer each other, when their going round is what grew: their drivers are one loop.

    Either each session goes round more often than before, or the going round takes a larger part of all calls and
    makes most of those that were added. More sessions alone, alike to the earlier ones, stay traffic.
    """
    growing = [c for c in causes if c.cause in ("traffic", "fan_out", "loop") and c.delta > 0]
    everyone = [e for c in growing for e in c.effects if "agent" in e.segment]
    if not everyone or not any(c.surprising for c in growing):
        return causes
    every: Facts | None = None
    for one, other, before, after, sessions, _ in witness.ping_pong(
        sorted({e.segment["agent"] for e in everyone}, key=str)
    ):
        tasks = [{e.segment.get("task") for e in everyone if e.segment["agent"] == name} for name in (one, other)]
        caught = [
            e for e in everyone if e.segment["agent"] in (one, other) and e.segment.get("task") in tasks[0] & tasks[1]
        ]
        if not caught or after < ROUNDS:
            continue
        facts = witness.facts([e.segment for e in caught])
        every = every or witness.facts([{}])
        share = [facts.calls[side] / max(every.calls[side], 1.0) for side in (0, 1)]
        added = (facts.calls[1] - facts.calls[0]) / max(every.calls[1] - every.calls[0], 1.0)
        rounder = before > 0 and after >= 1.2 * before
        if not rounder and not (share[1] >= share[0] + 0.1 and added >= MOST):
            continue
        named = sorted(str(task) for task in tasks[0] & tasks[1] - {None})
        told = [
            f"{one} and {other} answer each other in {after:.1f} rounds a session ({before:.1f} before)",
            f"{facts.calls[1]:,.0f} of the day's {every.calls[1]:,.0f} calls ({share[1]:.0%}, {share[0]:.0%} before) "
            f"in {sessions:,} sessions" + (f": {', '.join(named)}" if named else ""),
        ]
        loop = _cause("loop", [{"agent": one}, {"agent": other}], caught, told)
        kept = []
        for cause in causes:
            left = [e for e in cause.effects if not any(e is c for c in caught)]
            if len(left) == len(cause.effects):
                kept.append(cause)
            elif left:
                kept.append(_cause(cause.cause, cause.segments, left))
        return [loop, *kept]
    return causes
