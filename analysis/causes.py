"""Why: drivers grouped into causes a person can act on, with evidence from the calls, the dollars and the fix.

Every driver belongs to exactly one cause, so causes sum to the change as drivers do. Drivers of one factor are first
placed (`placement`), then tried against signatures from the most specific to the most general (`signatures`). What
lies within the factor's ordinary day-to-day wobble counts less the more ordinary it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from analysis.evidence import Witness
from analysis.placement import Effect, Universe, place
from analysis.signatures import GENERIC, SURPRISING, Cause, cause_of, claim, going_round, missing_usage

MATERIAL: Final = 0.02  # of the day's change (or a hundredth of its cost), before a group is looked into
NOTABLE: Final = 0.03  # of the day's cost
LOOKED_INTO: Final = 8  # groups that get call-level evidence


def find(
    effects: Sequence[Effect], universe: Universe, witness: Witness, total: int, actual: int, by: Sequence[str]
) -> list[Cause]:
    """Causes, most telling first; the last gathers what is too small to look into. Amounts are integer units."""
    floor = max(MATERIAL * abs(total), MATERIAL * actual / 2)
    direction = 1 if total >= 0 else -1
    causes, left = missing_usage(list(effects), witness, by)
    groups: dict[str, list[Effect]] = {}
    for effect in left:
        family = "cache" if effect.factor.startswith("cache_") else effect.factor
        sign = "+" if effect.delta > 0 else "-"
        groups.setdefault(family + ("" if family == "cache" else sign), []).append(effect)
    placed: list[Cause] = []
    rest: list[Effect] = []
    for name in sorted(groups):
        for segments, members, _ in place(groups[name], universe):
            cause = cause_of(GENERIC[members[0].factor], segments, members)
            if abs(cause.delta) >= floor:
                placed.append(cause)
            else:
                rest += members
    placed.sort(key=lambda cause: _rank(cause, direction, actual))
    causes += [claim(cause, witness) if i < LOOKED_INTO else cause for i, cause in enumerate(placed)]
    causes = _merge(going_round(causes, witness))
    causes.sort(key=lambda cause: _rank(cause, direction, actual))
    if rest:
        causes.append(replace(cause_of("smaller", [], rest), z=0.0))
    return causes


def _rank(cause: Cause, direction: int, actual: int) -> tuple[bool, float, str]:
    """News of a notable size first; then by amount, discounted steeply the more ordinary it is and by half if it runs
    against the day."""
    notable = cause.surprising and abs(cause.delta) >= NOTABLE * actual
    news = 1 / (1 + (SURPRISING / max(cause.z, 0.1)) ** 6)
    along = 1.0 if cause.delta * direction > 0 else 0.5
    return (not notable, -abs(cause.delta) * along * (1.0 if notable else news), cause.cause + str(cause.segments))


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
            found[key] = replace(merged, z=max(merged.z, one.z, cause.z))
        else:
            found[key] = cause
    return list(found.values())
