"""Why: drivers grouped into causes a person can act on, with evidence from the calls, the dollars and the fix.

Every driver belongs to exactly one cause, so causes sum to the change as drivers do. Drivers of one factor are first
placed (`placement`), then tried against signatures from the most specific to the most general (`signatures`). What
lies within the factor's ordinary day-to-day wobble counts less the more ordinary it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from analysis.causes.call_evidence import CallQueries
from analysis.causes.cause_signatures import (
    GENERIC,
    SURPRISING,
    Cause,
    cause_of,
    claim,
    find_agent_loops,
    missing_usage,
    without,
)
from analysis.causes.changed_names import tell_names
from analysis.causes.counted_causes import counted
from analysis.causes.segment_localization import Effect, Universe, place

MATERIAL: Final = 0.02  # of the day's change (or a hundredth of its cost), before a group is looked into
STEEP: Final = 6  # power of the distance, by which what is ordinary loses rank
AGAINST: Final = 0.7  # of its size, for the order of what runs against the day
COMES_AND_GOES: Final = {"new_agent": "traffic", "gone": "traffic"}
WHOLE_DAY: Final = 0.6  # of its spreads, what a day's own shift is worth beside a segment's
LOOKED_INTO: Final = 8  # groups that get call-level evidence


def find(
    effects: Sequence[Effect],
    universe: Universe,
    queries: CallQueries,
    total: int,
    actual: int,
    by: Sequence[str],
    repriced: Sequence[str] = (),
) -> list[Cause]:
    """Causes, most telling first; the last gathers what is too small to look into. Amounts are integer units.
    `repriced` are the models of which every price changed."""
    floor = max(MATERIAL * abs(total), MATERIAL * actual / 2)
    # an ordinary wobble of the whole day says little of which way its news runs
    wobble = _whole_day([e for e in effects if e.shared])
    direction = 1 if total >= (0 if wobble.surprising else wobble.delta) else -1
    causes, left = missing_usage(list(effects), universe, queries, by)
    found, left, universe = counted(left, universe, queries, by, floor, actual)
    causes += found
    day = [e for e in left if e.shared]
    placed = [_whole_day(day)] if day else []
    telling: set[int] = set()  # places that stood out, by identity: what is left over there has no signature
    rest: list[Effect] = []
    listed = [e for e in left if e.factor == "price" and repriced]
    if listed:
        placed.append(cause_of("price_change", [{"model": model} for model in repriced], listed))
    followers = [e for e in left if e.follows]
    calm: dict[str, list[Effect]] = {}  # by factor: nothing in them stands out, so both directions are one wobble
    groups = _groups([e for e in left if not (e.shared or e.follows or (e.factor == "price" and repriced))])
    for name in sorted(groups):
        for segments, members, stood_out in place(groups[name], universe):
            factor = members[0].factor
            if stood_out:
                inside = {tuple(m.segment.items()) for m in members}
                mine = [f for f in followers if f.follows == factor and tuple(f.segment.items()) in inside]
                followers = without(followers, mine)
                members = [*members, *mine]
            cause = cause_of(GENERIC[factor], segments, members)
            if not stood_out:
                # a few calls that come or stay away by chance are wobble of the traffic
                calm.setdefault(COMES_AND_GOES.get(GENERIC[factor], GENERIC[factor]), []).extend(members)
            elif abs(cause.delta) < floor:
                rest += members
            else:
                placed.append(cause)
                telling.add(id(cause))
    for generic in sorted(calm):
        cause = cause_of(generic, [{}], calm[generic])
        if abs(cause.delta) < floor:
            rest += cause.effects
        else:
            placed.append(cause)
    rest += followers
    placed.sort(key=lambda cause: _rank(cause, direction))
    causes += [
        claim(cause, queries) if id(cause) in telling and i < LOOKED_INTO else cause for i, cause in enumerate(placed)
    ]
    causes = tell_names(_merge(find_agent_loops(causes, queries)), queries)
    causes.sort(key=lambda cause: _rank(cause, direction))
    if rest:
        causes.append(replace(cause_of("smaller", [], rest), z=0.0))
    return causes


def _whole_day(effects: list[Effect]) -> Cause:
    """What all segments did alike. Whole days go astray by holidays and campaigns, far more often than their ordinary
    size tells, so the same distance says less."""
    cause = cause_of("traffic", [{}], effects)
    return replace(cause, z=WHOLE_DAY * cause.z)


def _groups(effects: Sequence[Effect]) -> dict[str, list[Effect]]:
    """Effects of one factor and one direction; the two cache shares move together."""
    groups: dict[str, list[Effect]] = {}
    for effect in effects:
        family = "cache" if effect.factor.startswith("cache_") else effect.factor
        sign = "+" if effect.delta > 0 else "-"
        groups.setdefault(family + ("" if family == "cache" else sign), []).append(effect)
    return groups


def _rank(cause: Cause, direction: int) -> tuple[float, str]:
    """By amount, discounted steeply the more ordinary it is and by AGAINST if it runs against the day."""
    news = 1 / (1 + (SURPRISING / max(cause.z, 1.0)) ** STEEP)
    along = 1.0 if cause.delta * direction > 0 else AGAINST
    return -abs(cause.delta) * along * news, cause.cause + str(cause.segments)


def _merge(causes: Sequence[Cause]) -> list[Cause]:
    """The same cause in several tasks of one agent, or in one task of several agents: one cause in several places."""
    found: list[Cause] = []
    for cause in causes:
        at = next((i for i, one in enumerate(found) if _akin(one, cause)), None)
        if at is not None:
            one = found[at]
            both = [*one.effects, *cause.effects]
            places = [*one.segments, *(s for s in cause.segments if s not in one.segments)]
            merged = cause_of(cause.cause, places, both, list(dict.fromkeys([*one.evidence, *cause.evidence])))
            saves = None
            if one.saves is not None and cause.saves is not None:
                # two drivers of one place share one count
                again = places == one.segments
                saves = max(one.saves, cause.saves) if again else one.saves + cause.saves
            # what was counted has no noise of its own to weigh it by
            own = merged.z if any(effect.noise for effect in both) else 0.0
            found[at] = replace(merged, z=max(own, one.z, cause.z), saves=saves)
        else:
            found.append(cause)
    return found


def _akin(one: Cause, other: Cause) -> bool:
    """Whether two causes are one: alike in name, direction and news, and in the same places, or in places that have the
    value of one dimension in common."""
    if (one.cause, one.delta > 0, one.surprising) != (other.cause, other.delta > 0, other.surprising):
        return False
    if one.segments == other.segments:
        return True
    places = [*one.segments, *other.segments]
    names = set.intersection(*(set(segment) for segment in places)) if places else set()
    if "user" in names and "user" not in {e for effect in one.effects for e in effect.segment}:
        return len({segment["user"] for segment in places}) == 1
    return any(len({segment[name] for segment in places}) == 1 and places[0][name] is not None for name in names)
