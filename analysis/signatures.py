"""What a cause is called: signatures in the calls, from the most specific to the most general.

Traffic and mix get only what no loop, retry, breakage or growth explains. The table of causes, their signatures and
fixes follows the LLM incidents that users report (loops, retry storms, broken prompt caches, silent model switches).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import sqrt
from typing import Final

from analysis.detect import two_sided
from analysis.evidence import Facts, Witness
from analysis.placement import Effect, Segment

SURPRISING: Final = 3.5  # spreads; a cause below it is the day's ordinary wobble
TELLING: Final = 6.0  # spreads that a signature in the calls is worth: it is seen, not inferred from amounts
ROUNDS: Final = 3  # of two agents answering each other in a session, before it is called a loop
FALLEN: Final = ("volume", "calls_per_request", "vanished_segment")
COUNTED: Final = ("retry_storm", "duplicate_calls", "long_session", "user_surge", "loop", "usage_missing")
ENOUGH: Final = 10  # calls, for a count to mean anything
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


def cause_of(name: str, segments: list[Segment], effects: list[Effect], evidence: Sequence[str] = ()) -> Cause:
    delta = sum(e.delta for e in effects)
    own = sqrt(sum(max(e.noise**2 - e.common**2, 0.0) for e in effects) + sum(e.common for e in effects) ** 2)
    z = min(abs(delta) / own, 99.0) if own else 99.0 if delta else 0.0
    factors = sorted({e.factor for e in effects}, key=lambda f: (-abs(_sum(effects, f)), f))
    return Cause(name, segments, factors, delta, z, effects, list(evidence))


def _sum(effects: Sequence[Effect], factor: str) -> int:
    return sum(e.delta for e in effects if e.factor == factor)


def claim(cause: Cause, witness: Witness) -> Cause:
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
        facts = witness.facts(scope_of(cause))
        cut = [facts.figures["cut"][i] or 0.0 for i in (0, 1)]
        if facts.calls[1] and cut[1] / facts.calls[1] > 2 * cut[0] / max(facts.calls[0], 1) + 0.01:
            return _told(cause, f"{cut[1] / facts.calls[1]:.1%} of answers stop at the token limit")
    return cause


def scope_of(cause: Cause) -> list[Segment]:
    """The calls to look at: the place itself, which is a shorter question than its segments one by one."""
    return cause.segments or [{}]


def _told(cause: Cause, *evidence: str, name: str | None = None) -> Cause:
    """The cause with evidence; a name of COUNTED is a signature that was counted in the calls, not inferred."""
    z = max(cause.z, TELLING) if name in COUNTED else cause.z
    return replace(cause, cause=name or cause.cause, z=z, evidence=[*cause.evidence, *evidence])


def _repeating(cause: Cause, facts: Facts) -> Cause | None:
    """Retries and duplicates: added calls that were asked before."""
    if facts.added("retries") >= MOST and facts.after("retries") - facts.before("retries") >= ENOUGH:
        return _told(
            cause,
            f"{facts.after('retries'):,.0f} retries instead of {facts.before('retries'):,.0f}",
            f"{facts.after('errors'):,.0f} failed calls instead of {facts.before('errors'):,.0f}",
            name="retry_storm",
        )
    if facts.added("repeats") >= MOST and facts.after("repeats") - facts.before("repeats") >= ENOUGH:
        return _told(
            cause,
            f"{facts.after('repeats'):,.0f} calls repeat an earlier request of the day word for word, "
            f"instead of {facts.before('repeats'):,.0f}",
            name="duplicate_calls",
        )
    return None


def _traffic(cause: Cause, witness: Witness) -> Cause:
    facts = witness.facts(scope_of(cause))
    if cause.delta > 0:
        found = _repeating(cause, facts)
        if found:
            return found
        grown = cause.delta * witness.usd_per_unit
        longest = facts.after("top_session") - facts.before("top_session")
        if grown and longest >= MOST * grown and longest >= 0.5 * facts.before("top_session"):
            return _told(cause, f"one session cost ${facts.after('top_session'):,.2f}", name="long_session")
        if grown and facts.after("users") > 1:
            user, before, most, after = witness.movers(scope_of(cause), "user")[0]
            if (
                user is not None
                and after - before >= MOST * grown
                and after >= max(3 * before, 1.5 * most, 0.2 * facts.after("usd"))
            ):
                if longest >= MOST * (after - before):  # the user is only the one whose session it was
                    return _told(cause, f"one session cost ${facts.after('top_session'):,.2f}", name="long_session")
                who = [{**segment, "user": user} for segment in cause.segments]
                told = f"user {user} went from ${before:,.2f} to ${after:,.2f} a day"
                return replace(_told(cause, told, name="user_surge"), segments=who)
    more = f"{facts.calls[0]:,.0f} -> {facts.calls[1]:,.0f} calls"
    if facts.after("sessions"):
        more += f" in {facts.before('sessions'):,.0f} -> {facts.after('sessions'):,.0f} sessions"
    return _told(cause, more)


def _fan_out(cause: Cause, witness: Witness) -> Cause:
    facts = witness.facts(scope_of(cause))
    found = _repeating(cause, facts) if cause.delta > 0 else None
    if found:
        return found
    turns = witness.sessions(scope_of(cause))
    if cause.delta > 0 and turns.known("beyond"):
        # a runaway is in few sessions: what lies beyond the baseline's 99th percentile is most of what was added
        share = (facts.calls[1] - facts.calls[0]) / max(facts.calls[1], 1.0)
        few = turns.after("long_sessions") <= max(3.0, 0.2 * turns.after("sessions"))
        if turns.after("beyond") >= MOST * share > 0 and few:
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
    scope = scope_of(cause)
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


def missing_usage(effects: list[Effect], witness: Witness, by: Sequence[str]) -> tuple[list[Cause], list[Effect]]:
    """Segments whose calls lost their token counts: what looks like less traffic there is not. Also the rest."""
    lost = {}
    for segment, before, after, calls in witness.without_usage(by):
        if after >= ENOUGH / 2 and after >= 0.3 * calls and before <= 0.1 * after:
            lost[tuple(segment.items())] = (before, after)
    mine = [e for e in effects if tuple(e.segment.items()) in lost and e.delta < 0 and e.factor in FALLEN]
    if not mine:
        return [], effects
    found = []
    places = sorted({e.segment.get("agent") for e in mine}, key=str) if "agent" in by else [None]
    for agent in places:
        inside = [e for e in mine if "agent" not in by or e.segment["agent"] == agent]
        segments = [e.segment for e in inside if e.factor in ("volume", "vanished_segment")] or [inside[0].segment]
        counts = [lost[tuple(segment.items())] for segment in segments]
        told = (
            f"{sum(after for _, after in counts):,.0f} calls have no token counts, "
            f"{sum(before for before, _ in counts):,.1f} a day before; what they cost is not known"
        )
        found.append(_told(cause_of("usage_missing", segments, inside), told, name="usage_missing"))
    return found, [e for e in effects if not any(e is m for m in mine)]


def going_round(causes: list[Cause], witness: Witness) -> list[Cause]:
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
        loop = cause_of("loop", [{"agent": one}, {"agent": other}], caught, told)
        kept = []
        for cause in causes:
            left = [e for e in cause.effects if not any(e is c for c in caught)]
            if len(left) == len(cause.effects):
                kept.append(cause)
            elif left:
                kept.append(cause_of(cause.cause, cause.segments, left))
        return [loop, *kept]
    return causes
