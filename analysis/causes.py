"""Why: drivers grouped into causes a person can act on, with evidence from the calls, the dollars and the fix.

Every driver belongs to exactly one cause, so causes sum to the change as drivers do. Drivers of one factor are first
placed (`placement`), then tried against signatures from the most specific to the most general (`signatures`). What
lies within the factor's ordinary day-to-day wobble counts less the more ordinary it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from analysis.counted import counted
from analysis.evidence import Witness
from analysis.placement import Effect, Universe, place
from analysis.signatures import GENERIC, SURPRISING, Cause, cause_of, claim, going_round, missing_usage

MATERIAL: Final = 0.02  # of the day's change (or a hundredth of its cost), before a group is looked into
NOTABLE: Final = 0.03  # of the day's cost
AGAINST: Final = 0.7  # of its size, for the order of what runs against the day
LOOKED_INTO: Final = 8  # groups that get call-level evidence


def find(
    effects: Sequence[Effect],
    universe: Universe,
    witness: Witness,
    total: int,
    actual: int,
    by: Sequence[str],
    repriced: Sequence[str] = (),
) -> list[Cause]:
    """Causes, most telling first; the last gathers what is too small to look into. Amounts are integer units.
    `repriced` are the models of which every price changed."""
    floor = max(MATERIAL * abs(total), MATERIAL * actual / 2)
    # an ordinary wobble of the whole day says little of which way its news runs
    wobble = cause_of("traffic", [{}], [e for e in effects if e.shared])
    direction = 1 if total >= (0 if wobble.surprising else wobble.delta) else -1
    causes, left = missing_usage(list(effects), universe, witness, by)
    found, left, universe = counted(left, universe, witness, by, floor, actual)
    causes += found
    day = [e for e in left if e.shared]
    placed = [cause_of("traffic", [{}], day)] if day else []
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
                inside = [m.segment for m in members]
                members += [f for f in followers if f.follows == factor and f.segment in inside]
                followers = [f for f in followers if not any(f is m for m in members)]
            cause = cause_of(GENERIC[factor], segments, members)
            if not stood_out:
                calm.setdefault(GENERIC[factor], []).extend(members)
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
    placed.sort(key=lambda cause: _rank(cause, direction, actual))
    causes += [
        claim(cause, witness) if id(cause) in telling and i < LOOKED_INTO else cause for i, cause in enumerate(placed)
    ]
    causes = _merge(going_round(causes, witness))
    causes.sort(key=lambda cause: _rank(cause, direction, actual))
    if rest:
        causes.append(replace(cause_of("smaller", [], rest), z=0.0))
    return causes


def _groups(effects: Sequence[Effect]) -> dict[str, list[Effect]]:
    """Effects of one factor and one direction; the two cache shares move together."""
    groups: dict[str, list[Effect]] = {}
    for effect in effects:
        family = "cache" if effect.factor.startswith("cache_") else effect.factor
        sign = "+" if effect.delta > 0 else "-"
        groups.setdefault(family + ("" if family == "cache" else sign), []).append(effect)
    return groups


def _rank(cause: Cause, direction: int, actual: int) -> tuple[bool, float, str]:
    """News of a notable size first; then by amount, discounted steeply the more ordinary it is and by AGAINST if it
    runs against the day."""
    notable = cause.surprising and abs(cause.delta) >= NOTABLE * actual
    news = 1 / (1 + (SURPRISING / max(cause.z, 1.0)) ** 4)
    along = 1.0 if cause.delta * direction > 0 else AGAINST
    return (not notable, -abs(cause.delta) * along * news, cause.cause + str(cause.segments))


def _merge(causes: Sequence[Cause]) -> list[Cause]:
    """The same cause in several tasks of one agent is one cause in several places."""
    found: dict[tuple[str, str, bool, bool], Cause] = {}
    for cause in causes:
        agents = {segment.get("agent") for segment in cause.segments}
        where = str(agents) if len(agents) == 1 and agents != {None} else str(cause.segments)
        key = (cause.cause, where, cause.delta > 0, cause.surprising)
        if key in found:
            one = found[key]
            both = [*one.effects, *cause.effects]
            places = [*one.segments, *(s for s in cause.segments if s not in one.segments)]
            merged = cause_of(cause.cause, places, both, list(dict.fromkeys([*one.evidence, *cause.evidence])))
            saves = None
            if one.saves is not None and cause.saves is not None:
                # two drivers of one place share one count
                again = places == one.segments
                saves = max(one.saves, cause.saves) if again else one.saves + cause.saves
            found[key] = replace(merged, z=max(merged.z, one.z, cause.z), saves=saves)
        else:
            found[key] = cause
    return list(found.values())
